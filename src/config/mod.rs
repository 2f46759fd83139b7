//! Configuration: from flags, environment variables and `.env` ([`mod@env`]) to validated plain data, with every problem
//! reported at once ([`reader`]). [`variables`] lists the names there are, and [`unknown`] finds others that were meant to
//! be among them. Each other file reads the settings of its subject.

mod database;
mod env;
mod environment;
mod key_file;
mod keys;
mod limits;
mod log;
mod network;
mod reader;
mod unknown;
mod variables;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use secrecy::SecretString;

pub use database::{DatabaseConfig, MissingFolder};
pub use env::{Flags, Source, Variables};
pub use environment::Environment;
pub use key_file::strong_key;
pub use keys::{ApiKey, Keys};
pub use limits::Limits;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use network::{Access, RateLimit, RateLimits, TlsFiles};
pub use reader::ConfigErrors;
pub use unknown::Misnamed;
pub use variables::{VARIABLES, Variable};

use key_file::KeyGeneration;
use reader::Reader;

/// What the service needs to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is allowed to be generated or shown.
    pub environment: Environment,
    /// Where candles are kept.
    pub database: DatabaseConfig,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The names of the two settings that hold that, for sentences: of variables or flags.
    pub listen_setting: String,
    /// Where to serve metrics, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Host names under which metrics are served besides loopback's and the address itself, in lower case.
    pub admin_hosts: Vec<String>,
    /// The certificate, if HTTPS is served directly.
    pub tls: Option<TlsFiles>,
    /// Keys that may post candles.
    pub ingest_keys: Vec<ApiKey>,
    /// Tokens that may read them.
    pub read_tokens: Vec<ApiKey>,
    /// From where requests are taken.
    pub access: Access,
    /// How many requests are taken.
    pub rate_limits: RateLimits,
    /// How much a request may ask.
    pub limits: Limits,
    /// How to log.
    pub log: LogConfig,
    /// Where failures are reported, if anywhere.
    pub sentry_dsn: Option<SecretString>,
    /// Whether the API's documentation is served.
    pub docs_enabled: bool,
    /// Settings that are allowed and unwise, in sentences for the log.
    pub warnings: Vec<String>,
}

/// The configuration as far as it can be read, for a report on it.
#[derive(Debug)]
pub struct Examined {
    /// With a default in place of each setting that has a problem. Keys are missing where they would be generated.
    pub config: Config,
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
    /// The names of settings whose value has a problem.
    pub faulty: BTreeSet<&'static str>,
}

impl Config {
    /// Reads what `serve` needs. In development, missing keys are generated into a file.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn read(variables: &Variables) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(variables);
        let config = reader.config(KeyGeneration::Allowed);
        reader.done(config)
    }

    /// Reads what `serve` would use, and changes nothing: keys are not generated.
    #[must_use]
    pub fn examine(variables: &Variables) -> Examined {
        let mut reader = Reader::new(variables);
        let config = reader.config(KeyGeneration::Forbidden);
        Examined { config, problems: reader.problems, faulty: reader.faulty }
    }

    /// Reads what `migrate` needs, and the warnings for its log.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn read_for_migration(variables: &Variables) -> Result<(DatabaseConfig, LogConfig, Vec<String>), ConfigErrors> {
        let mut reader = Reader::new(variables);
        let environment = reader.environment();
        let (database, log) = (reader.database(environment), reader.log(environment));
        reader.note_misnamed();
        let warnings = std::mem::take(&mut reader.warnings);
        reader.done((database, log, warnings))
    }

    /// Reads where a service configured like this listens and whether it speaks TLS there, for a health check from the
    /// same machine.
    ///
    /// # Errors
    /// When the address or the port is no such thing.
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
        let limits = self.limits();
        let log = self.log(environment);
        let sentry_dsn = self.sentry_dsn();
        let docs_enabled = self.flag("DOCS_ENABLED", !production);
        // Last, because keys are generated only for a configuration that is otherwise right.
        let (ingest_keys, read_tokens) = self.keys(environment, &database, key_generation);
        let warnings = std::mem::take(&mut self.warnings);
        Config {
            environment,
            database,
            listen,
            listen_setting: format!("{} and {}", self.variables.label("BIND_ADDR"), self.variables.label("PORT")),
            admin,
            admin_hosts,
            tls,
            ingest_keys,
            read_tokens,
            access,
            rate_limits,
            limits,
            log,
            sentry_dsn,
            docs_enabled,
            warnings,
        }
    }
}
