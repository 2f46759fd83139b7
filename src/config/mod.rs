//! Configuration: validates flags, environment variables and `.env` ([`mod@env`]), and reports all problems at once
//! ([`reader`]). [`variables`] lists the settings, and [`unknown`] finds their misspelt names. Each of the other files
//! reads the settings of one subject.

mod database;
mod env;
mod environment;
mod jobs;
mod key_file;
mod keys;
mod limits;
mod log;
mod network;
mod reader;
mod research;
mod retention;
mod shared_limits;
mod symbols_file;
mod unknown;
mod variables;
mod webhook;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use secrecy::SecretString;

pub use database::{DatabaseConfig, MissingFolder, StandbyConfig};
pub use env::{Flags, Source, Variables, user};
pub use environment::Environment;
pub use jobs::JobsConfig;
pub use key_file::strong_key;
pub use keys::{ApiKey, Keys};
pub use limits::Limits;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use network::{Access, RateLimit, RateLimits, TlsFiles};
pub use reader::ConfigErrors;
pub use research::ResearchConfig;
pub use retention::{Age, Retention};
pub use shared_limits::SharedLimitsConfig;
pub use symbols_file::{MarketSession, SymbolDescription, Symbols};
pub use unknown::Misnamed;
pub use variables::{VARIABLES, Variable};
pub use webhook::{WebhookConfig, WebhookSecret};

use key_file::KeyGeneration;
use reader::Reader;

/// Everything that the service needs to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The environment, which decides what may be generated or shown.
    pub environment: Environment,
    /// The database.
    pub database: DatabaseConfig,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The names of the two settings that hold `listen`, variables or flags, for messages.
    pub listen_setting: String,
    /// The address to serve metrics on, if there is one.
    pub admin: Option<SocketAddr>,
    /// Host names under which metrics are served besides those of loopback and the address itself, in lower case.
    pub admin_hosts: Vec<String>,
    /// The certificate, if HTTPS is served directly.
    pub tls: Option<TlsFiles>,
    /// Keys that may post candles.
    pub ingest_keys: Vec<ApiKey>,
    /// Tokens that may read them.
    pub read_tokens: Vec<ApiKey>,
    /// Keys that may correct and delete candles. Without one nobody may over HTTP.
    pub maintenance_keys: Vec<ApiKey>,
    /// Keys that may start jobs of research. Without one nobody may.
    pub research_keys: Vec<ApiKey>,
    /// The origins, hosts and proxies from which requests are accepted.
    pub access: Access,
    /// The rate limits of requests.
    pub rate_limits: RateLimits,
    /// The Redis server that shares the rate limits among replicas, if there is one.
    pub shared_limits: Option<SharedLimitsConfig>,
    /// True if processes tell each other what they have written.
    pub live_hints: bool,
    /// The limits on one request.
    pub limits: Limits,
    /// The ages beyond which candles are deleted.
    pub retention: Retention,
    /// The webhook that events about candles, feeds, signals and jobs go to, if there is one.
    pub webhook: Option<WebhookConfig>,
    /// The descriptions of symbols for charts.
    pub symbols: Symbols,
    /// The settings of research.
    pub research: ResearchConfig,
    /// The settings of its jobs.
    pub jobs: JobsConfig,
    /// The settings of the log.
    pub log: LogConfig,
    /// The DSN of the Sentry project that failures are reported to, if there is one.
    pub sentry_dsn: Option<SecretString>,
    /// True if the API's documentation is served.
    pub docs_enabled: bool,
    /// True if the console is served, and its sessions count.
    pub console_enabled: bool,
    /// Warnings for the log about settings that are allowed but unwise.
    pub warnings: Vec<String>,
}

/// The configuration as far as it can be read, for a report on it.
#[derive(Debug)]
pub struct Examined {
    /// The configuration, with the default of each setting that has a problem, and without keys that would be
    /// generated.
    pub config: Config,
    /// All problems with it.
    pub problems: Vec<String>,
    /// The names of settings whose value has a problem.
    pub faulty: BTreeSet<&'static str>,
}

impl Config {
    /// Reads the configuration of `serve`. In development, missing keys are generated into a file.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn read(variables: &Variables) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(variables);
        let config = reader.config(KeyGeneration::Allowed);
        reader.done(config)
    }

    /// Reads the configuration of `worker`, which accepts no requests and so needs no keys.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn read_worker(variables: &Variables) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(variables);
        let mut config = reader.config(KeyGeneration::NotRead);
        if config.database.sqlite_file().is_some() {
            reader.refuse(
                "DATABASE_URL",
                " names a SQLite file, which one process alone should use; serve works on its jobs, and a worker needs Postgres.",
            );
        }
        if config.research.threads == 0 {
            reader.refuse("RESEARCH_THREADS", " is 0, so that a worker would have nothing to do; raise it.");
        }
        config.database.researches = true;
        reader.done(config)
    }

    /// Reads the configuration that `serve` would use, without generating keys.
    #[must_use]
    pub fn examine(variables: &Variables) -> Examined {
        let mut reader = Reader::new(variables);
        let config = reader.config(KeyGeneration::Forbidden);
        Examined { config, problems: reader.problems, faulty: reader.faulty }
    }

    /// Reads the configuration of `migrate` and of other commands that use the database, and the warnings for their log.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn read_for_migration(variables: &Variables) -> Result<(DatabaseConfig, LogConfig, Vec<String>), ConfigErrors> {
        let mut reader = Reader::new(variables);
        let environment = reader.environment();
        let (database, log) = (reader.database(environment), reader.log(environment));
        reader.note_misnamed();
        let warnings = std::mem::take(&mut reader.warnings);
        reader.done((database, log, warnings))
    }

    /// Reads the database and the ages beyond which candles are deleted.
    ///
    /// # Errors
    /// All problems, not only the first.
    pub fn read_retention(variables: &Variables) -> Result<(DatabaseConfig, Retention), ConfigErrors> {
        let mut reader = Reader::new(variables);
        let environment = reader.environment();
        let retention = (reader.database(environment), reader.retention());
        reader.done(retention)
    }

    /// Reads the address on which the service listens and whether it serves TLS there, for a health check from the same
    /// machine.
    ///
    /// # Errors
    /// When one of these settings is invalid.
    pub fn read_address(variables: &Variables) -> Result<(SocketAddr, bool), ConfigErrors> {
        let mut reader = Reader::new(variables);
        let address = (reader.address(), reader.tls().is_some());
        reader.done(address)
    }
}

impl Reader<'_> {
    fn config(&mut self, key_generation: KeyGeneration) -> Config {
        self.note_misnamed();
        let environment = self.environment();
        let production = environment == Environment::Production;
        let database = self.database(environment);
        let listen = self.address();
        let admin = self.admin();
        let admin_hosts = self.admin_hosts();
        let tls = self.tls();
        let access = self.access(environment);
        let rate_limits = self.rate_limits();
        let shared_limits = self.shared_limits();
        let live_hints = self.live_hints(&database);
        let limits = self.limits();
        let retention = self.retention();
        let webhook = self.webhook();
        let symbols = self.symbols();
        let research = self.research();
        let jobs = self.jobs();
        let log = self.log(environment);
        let sentry_dsn = self.sentry_dsn();
        let docs_enabled = self.flag("DOCS_ENABLED", !production);
        let console_enabled = self.flag("CONSOLE_ENABLED", environment == Environment::Development);
        // Last, because keys are generated only if the rest of the configuration is valid.
        let keys = match key_generation {
            KeyGeneration::NotRead => Keys::default(),
            KeyGeneration::Allowed | KeyGeneration::Forbidden => self.keys(environment, &database, key_generation),
        };
        let warnings = std::mem::take(&mut self.warnings);
        Config {
            environment,
            database,
            listen,
            listen_setting: format!("{} and {}", self.variables.label("BIND_ADDR"), self.variables.label("PORT")),
            admin,
            admin_hosts,
            tls,
            ingest_keys: keys.ingest,
            read_tokens: keys.read,
            maintenance_keys: keys.maintenance,
            research_keys: keys.research,
            access,
            rate_limits,
            shared_limits,
            live_hints,
            limits,
            retention,
            webhook,
            symbols,
            research,
            jobs,
            log,
            sentry_dsn,
            docs_enabled,
            console_enabled,
            warnings,
        }
    }
}
