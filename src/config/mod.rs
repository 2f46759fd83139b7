//! Configuration: from flags, environment variables and `.env` ([`sources`]) to validated plain data, with every problem
//! reported at once. [`unknown`] finds names that were meant to be settings.

mod database;
mod exposure;
mod key_file;
mod keys;
mod sources;
mod unknown;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

pub use database::{DatabaseConfig, MissingFolder};
pub use exposure::{Access, RateLimit, RateLimits, TlsFiles};
pub use keys::{ApiKey, Keys, strong_key};
pub use sources::{Flags, Source, Variables};
pub use unknown::Misnamed;

use key_file::KeyGeneration;

/// A variable that the service reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it sets, in one line.
    pub meaning: &'static str,
    /// Whether its value must never be shown. It may then be given as the path of a file, under its name and `_FILE`.
    pub secret: bool,
}

impl Variable {
    /// The value that holds in `environment` when it is not set.
    #[must_use]
    pub fn default_in(&self, environment: Environment) -> &'static str {
        match (self.name, environment) {
            ("DATABASE_URL" | "MT5_API_KEY" | "INTERNAL_API_TOKEN", Environment::Staging | Environment::Production) => {
                ""
            }
            ("LOG_FORMAT", Environment::Production) => "json",
            ("DOCS_ENABLED", Environment::Production) => "false",
            _ => self.default,
        }
    }
}

const fn plain(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: false }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: true }
}

/// Every variable there is, as `--help` prints them.
pub const VARIABLES: [Variable; 26] = [
    secret("DATABASE_URL", "sqlite://candlewick.db", "sqlite://PATH or postgres://…; required outside development"),
    plain("DATABASE_MAX_CONNECTIONS", "10", "size of the connection pool"),
    plain("BIND_ADDR", "127.0.0.1", "IP address to listen on"),
    plain("PORT", "8000", "port to listen on"),
    plain("ADMIN_ADDR", "", "ADDRESS:PORT of a second listener, for /metrics and health alone"),
    plain(
        "ADMIN_HOSTS",
        "",
        "host names under which it is served besides localhost and its addresses, several by commas",
    ),
    plain("ENVIRONMENT", "development", "development, staging or production"),
    secret("MT5_API_KEY", "generated", "ingest keys: key or name:key, several by commas; required outside development"),
    secret("INTERNAL_API_TOKEN", "generated", "read tokens, in the same form; required outside development"),
    plain("ALLOWED_ORIGINS", "", "origins whose pages may call, such as https://chart.example.com, several by commas"),
    plain("ALLOWED_HOSTS", "", "host names that are served, several by commas; all if empty"),
    plain("TRUSTED_PROXIES", "", "addresses or CIDR ranges of proxies whose forwarding headers are believed"),
    plain("CLIENT_IP_HEADER", "x-forwarded-for", "header in which trusted proxies name the client"),
    plain("RATE_LIMIT_INGEST", "200/s", "requests of each ingest key: n/s, n/m or off; bursts may be twice that"),
    plain("RATE_LIMIT_QUERY", "200/s", "requests of each read token, likewise"),
    plain(
        "RATE_LIMIT_ANONYMOUS",
        "10/s",
        "requests without a valid key of each client address, likewise; off also lifts the limit on wrong keys",
    ),
    plain("TLS_CERT", "", "PEM file of the certificate and its chain, to serve HTTPS directly"),
    plain("TLS_KEY", "", "PEM file of the certificate's private key"),
    plain("MAX_BATCH", "10000", "most candles in one post"),
    plain("MAX_BODY_BYTES", "4194304", "largest body of a post"),
    plain("MAX_LIMIT", "10000", "most candles in one answer"),
    secret("SENTRY_DSN", "", "where failures are reported: the DSN of a Sentry project"),
    plain("LOG_LEVEL", "info", "error, warn, info, debug or trace"),
    plain("LOG_FORMAT", "text", "text or json; json is the default in production"),
    plain("MIGRATE_ON_START", "true", "whether serve makes and updates the tables"),
    plain(
        "DOCS_ENABLED",
        "true",
        "whether /api/docs and the OpenAPI document are served; false is the default in production",
    ),
];

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
    pub sentry_dsn: Option<Secret>,
    /// Whether the API's documentation is served.
    pub docs_enabled: bool,
    /// Settings that are allowed and unwise, in sentences for the log.
    pub warnings: Vec<String>,
}

/// How much a request may ask.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most candles in one post.
    pub max_batch: usize,
    /// Largest body of a post, in bytes.
    pub max_body_bytes: usize,
    /// Most candles in one answer.
    pub max_limit: usize,
}

/// How to log.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// The least important level that is written.
    pub level: LogLevel,
    /// For people or for programs.
    pub format: LogFormat,
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Gives an enum its names in the environment.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Its name in the environment.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("must be one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

named! {
    /// How strict to be about what is missing.
    Environment {
        /// On the machine of somebody who works on it or tries it.
        Development = "development",
        /// As production, for rehearsal.
        Staging = "staging",
        /// Nothing is generated and nothing is shown that need not be.
        Production = "production",
    }
}

named! {
    /// How important a message must be to be written.
    LogLevel {
        /// What somebody must look at.
        Error = "error",
        /// What somebody may want to look at.
        Warn = "warn",
        /// What happens.
        Info = "info",
        /// How it happens.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

named! {
    /// Who reads the log.
    LogFormat {
        /// People.
        Text = "text",
        /// Programs: one JSON object a line.
        Json = "json",
    }
}

/// Largest `MAX_BATCH`: by docs/performance.md it is stored in about a second where nothing else goes on, and a statement may
/// take 5 s.
const MAX_BATCH: usize = 100_000;
/// Largest `MAX_BODY_BYTES`: a candle is posted in 60 to 200 bytes, so that this holds [`MAX_BATCH`] of them. It is half of
/// the 32 MiB that bodies have in all.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Largest `MAX_LIMIT`: a candle is answered in some 100 bytes, so that a page is a quarter of the 40 MiB that answers have in
/// all.
const MAX_LIMIT: usize = 100_000;

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
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
    pub fn read(variables: &Variables) -> Result<Self, Problems> {
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
    pub fn read_for_migration(variables: &Variables) -> Result<(DatabaseConfig, LogConfig, Vec<String>), Problems> {
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
    pub fn read_address(variables: &Variables) -> Result<(SocketAddr, bool), Problems> {
        let mut reader = Reader::new(variables);
        let address = (reader.address(), reader.tls().is_some());
        reader.done(address)
    }
}

/// Reads variables and collects what is wrong with them.
struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<String>,
    warnings: Vec<String>,
    /// The names of settings whose value has a problem.
    faulty: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    fn new(variables: &'a Variables) -> Self {
        let faulty = variables.unreadable().clone();
        Self { variables, problems: variables.problems().to_vec(), warnings: Vec::new(), faulty }
    }

    fn done<T>(mut self, config: T) -> Result<T, Problems> {
        if self.problems.is_empty() {
            return Ok(config);
        }
        // A setting that is missing may be there under another name.
        let misnamed = self.variables.misnamed().iter().filter(|misnamed| !misnamed.is_refused);
        self.problems.extend(misnamed.map(|misnamed| format!("{}.", misnamed.sentence)));
        Err(Problems(self.problems))
    }

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
        let limits = Limits {
            max_batch: self.bounded(
                "MAX_BATCH",
                10_000,
                1..=MAX_BATCH,
                "a larger batch might outlast the 5 s that a statement may take",
            ),
            max_body_bytes: self.bounded(
                "MAX_BODY_BYTES",
                4_194_304,
                1_024..=MAX_BODY_BYTES,
                "a larger body, and what it is parsed into, would take more memory than bodies have in all",
            ),
            max_limit: self.bounded(
                "MAX_LIMIT",
                10_000,
                1..=MAX_LIMIT,
                "a larger page would take most of the memory that answers have in all",
            ),
        };
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

    /// Notes the names that were meant to be settings.
    fn note_misnamed(&mut self) {
        for misnamed in self.variables.misnamed() {
            let sentences = if misnamed.is_refused { &mut self.problems } else { &mut self.warnings };
            sentences.push(misnamed.sentence.clone());
        }
    }

    /// Notes a problem with the value of a setting. The sentence begins with the flag or the variable that the value came
    /// from.
    fn refuse(&mut self, name: &'static str, problem: impl fmt::Display) {
        self.problems.push(format!("{}{problem}", self.variables.label(name)));
        self.faulty.insert(name);
    }

    /// Parses every entry of a list that is separated by commas. Entries that are not what they should be are problems.
    fn list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let entries = self.variables.get(name).unwrap_or_default().split(',').map(str::trim);
        let mut list = Vec::new();
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match parse(entry) {
                Ok(value) => list.push(value),
                Err(problem) => self.refuse(name, format_args!(": \"{entry}\" {problem}.")),
            }
        }
        list
    }

    fn parsed<T>(&mut self, name: &'static str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        match self.variables.get(name).map(parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.refuse(name, format_args!(" {problem}."));
                default
            }
        }
    }

    fn size<T>(&mut self, name: &'static str, default: T, allowed: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        self.parsed(name, default, |text| {
            let size = text.parse().ok().filter(|size| allowed.contains(size));
            size.ok_or_else(|| format!("must be a whole number from {} to {}", allowed.start(), allowed.end()))
        })
    }

    /// As [`Self::size`], and says why there is an end.
    fn bounded(
        &mut self,
        name: &'static str,
        default: usize,
        allowed: std::ops::RangeInclusive<usize>,
        reason: &str,
    ) -> usize {
        self.parsed(name, default, |text| {
            let size = text.parse().ok().filter(|size| allowed.contains(size));
            size.ok_or_else(|| {
                format!("must be a whole number from {} to {}: {reason}", allowed.start(), allowed.end())
            })
        })
    }

    fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.parsed(name, default, |text| text.parse().map_err(|_| "must be true or false".to_owned()))
    }

    fn environment(&mut self) -> Environment {
        // A misspelt value was not meant to be development, so the same run also reports what production requires.
        let fallback = if self.variables.get("ENVIRONMENT").is_some() {
            Environment::Production
        } else {
            Environment::Development
        };
        self.parsed("ENVIRONMENT", fallback, str::parse)
    }

    fn address(&mut self) -> SocketAddr {
        let port_setting = self.variables.label("PORT").into_owned();
        let address = self.parsed("BIND_ADDR", IpAddr::from([127, 0, 0, 1]), |text| {
            text.parse()
                .map_err(|_| format!("must be an IP address, such as 0.0.0.0; the port goes into {port_setting}"))
        });
        let port = self
            .parsed("PORT", 8000, |text| text.parse().map_err(|_| "must be a whole number from 0 to 65535".to_owned()));
        SocketAddr::new(address, port)
    }

    fn log(&mut self, environment: Environment) -> LogConfig {
        let default = if environment == Environment::Production { LogFormat::Json } else { LogFormat::Text };
        LogConfig {
            level: self.parsed("LOG_LEVEL", LogLevel::Info, str::parse),
            format: self.parsed("LOG_FORMAT", default, str::parse),
        }
    }
}
