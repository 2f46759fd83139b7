//! The commands and their flags.

use clap::{Args, Parser, Subcommand};

use crate::config::Flags;
use crate::history::{CorrectFlags, DeleteFlags, ExportFlags, GapsFlags, ImportFlags, VerifyFlags};
use crate::research::{BacktestFlags, PineFlags, StrategiesFlags};

/// Keeps OHLCV candles from MetaTrader 5 and serves them to charts.
#[derive(Parser)]
#[command(version, max_term_width = 110, subcommand_required = false, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: ServeFlags,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Serve the API (the default without a command)
    Serve(ServeFlags),
    /// Work on the jobs of research in a Postgres database, and serve nothing but ADMIN_ADDR, where a health check can ask
    Worker(DatabaseFlags),
    /// Make or update the database's tables, then exit
    Migrate(DatabaseFlags),
    /// Check settings, database and machine, and change nothing: exit code 0 if serve would start, 1 if something fails
    /// that may recover by itself, 2 if something must be changed
    Check(ServeFlags),
    /// Ask a running service for its health: exit code 0 if it is healthy, 1 if not. Give it the flags that serve was
    /// given
    Healthcheck {
        /// Address to ask [default: /health where serve listens with the same flags and variables]
        url: Option<String>,
        #[command(flatten)]
        listen: ListenFlags,
        #[command(flatten)]
        environment: EnvironmentFlag,
    },
    /// Write a series into a file, or all of them into a folder
    Export {
        #[command(flatten)]
        export: ExportFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Report the gaps of a series
    Gaps {
        #[command(flatten)]
        gaps: GapsFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Delete the candles of a series in a span of time. Without --confirm, show what that would delete
    Delete {
        #[command(flatten)]
        delete: DeleteFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// List the strategies of the catalogue and of STRATEGIES_DIR, or describe one
    Strategies {
        #[command(flatten)]
        strategies: StrategiesFlags,
        #[command(flatten)]
        environment: EnvironmentFlag,
    },
    /// Print a strategy as a Pine script for TradingView
    Pine {
        #[command(flatten)]
        pine: PineFlags,
        #[command(flatten)]
        environment: EnvironmentFlag,
    },
    /// Run a strategy on the stored candles of a series
    Backtest {
        #[command(flatten)]
        backtest: BacktestFlags,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Serve three years of invented candles from a temporary folder, with a feed that forms new ones
    Demo(ListenFlags),
    /// Show what RETENTION would delete now, and delete nothing
    Retention(DatabaseFlags),
    /// Store the candles of files: of MetaTrader, HistData, Dukascopy, TradingView, Binance and others. Candles that are
    /// stored already stay as they are, so an import can be run again
    Import {
        #[command(flatten)]
        import: Box<ImportFlags>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Compare the candles of files with what is stored: exit code 0 if all are stored with these values, 1 if not
    Verify {
        #[command(flatten)]
        verify: Box<VerifyFlags>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Give stored candles the values that they have in files. Without --confirm, show what that would change
    Correct {
        #[command(flatten)]
        correct: Box<CorrectFlags>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print a new key for MT5_API_KEY, INTERNAL_API_TOKEN, MAINTENANCE_KEY or RESEARCH_API_KEY
    Keygen,
}

/// Flags for the settings that are changed most often. Their values are parsed like those of variables.
#[derive(Args, Default)]
pub(super) struct ServeFlags {
    #[command(flatten)]
    pub(super) listen: ListenFlags,
    #[command(flatten)]
    pub(super) database: DatabaseFlags,
}

#[derive(Args, Default)]
pub(super) struct ListenFlags {
    /// Port that the service listens on, in place of PORT
    #[arg(long)]
    pub(super) port: Option<String>,
    /// IP address that the service listens on, in place of BIND_ADDR
    #[arg(long, value_name = "ADDRESS")]
    pub(super) bind: Option<String>,
}

#[derive(Args, Default)]
pub(super) struct DatabaseFlags {
    /// sqlite://PATH or postgres://…, in place of DATABASE_URL. Every user of this machine can read a password here in
    /// the list of processes (ps): with one, set DATABASE_URL or DATABASE_URL_FILE instead
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<String>,
    #[command(flatten)]
    pub(super) environment: EnvironmentFlag,
}

#[derive(Args, Default)]
pub(super) struct EnvironmentFlag {
    /// development, staging or production, in place of ENVIRONMENT
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Option<String>,
}

impl ServeFlags {
    pub(super) fn flags(self) -> Flags {
        self.listen.add_to(self.database.flags())
    }
}

impl ListenFlags {
    pub(super) fn add_to(self, flags: Flags) -> Flags {
        flags.with("--port", "PORT", self.port).with("--bind", "BIND_ADDR", self.bind)
    }
}

impl DatabaseFlags {
    pub(super) fn flags(self) -> Flags {
        self.environment.flags().with("--database-url", "DATABASE_URL", self.database_url)
    }
}

impl EnvironmentFlag {
    pub(super) fn flags(self) -> Flags {
        Flags::default().with("--environment", "ENVIRONMENT", self.environment)
    }
}
