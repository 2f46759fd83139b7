//! The variables that the service reads, with their defaults and meanings.

use super::environment::Environment;

/// A variable that the service reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// The value that applies if it is not set.
    pub default: &'static str,
    /// Its meaning, in one line.
    pub meaning: &'static str,
    /// True if its value must never be shown. Such a value may also be in a file, whose path is the value of the variable
    /// with `_FILE` appended to the name.
    pub secret: bool,
}

impl Variable {
    /// The value that applies in `environment` if it is not set.
    #[must_use]
    pub fn default_in(&self, environment: Environment) -> &'static str {
        match (self.name, environment) {
            (
                "DATABASE_URL" | "MT5_API_KEY" | "INTERNAL_API_TOKEN" | "RESEARCH_API_KEY",
                Environment::Staging | Environment::Production,
            ) => "",
            ("LOG_FORMAT", Environment::Production) => "json",
            ("DOCS_ENABLED" | "CONSOLE_ENABLED", Environment::Production)
            | ("CONSOLE_ENABLED", Environment::Staging) => "false",
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

/// All variables, in the order in which `--help` prints them.
pub const VARIABLES: [Variable; 51] = [
    secret("DATABASE_URL", "sqlite://candlewick.db", "sqlite://PATH or postgres://…; required outside development"),
    plain("DATABASE_MAX_CONNECTIONS", "10", "size of the connection pool"),
    secret("DATABASE_READ_URL", "", "postgres://… of a standby of DATABASE_URL, which then answers most reads"),
    plain("BIND_ADDR", "127.0.0.1", "IP address to listen on"),
    plain("PORT", "8000", "port to listen on"),
    plain("ADMIN_ADDR", "", "ADDRESS:PORT of a second listener that serves only /metrics and health"),
    plain(
        "ADMIN_HOSTS",
        "",
        "host names that the second listener serves besides localhost and its addresses, separated by commas",
    ),
    plain("ENVIRONMENT", "development", "development, staging or production"),
    secret(
        "MT5_API_KEY",
        "generated",
        "ingest keys: key or name:key, separated by commas; required outside development",
    ),
    secret("INTERNAL_API_TOKEN", "generated", "read tokens, in the same form; required outside development"),
    secret(
        "MAINTENANCE_KEY",
        "",
        "keys that may correct and delete stored candles, in the same form; without one nobody may over HTTP",
    ),
    secret(
        "RESEARCH_API_KEY",
        "generated",
        "keys that may test strategies and start jobs, in the same form; without one outside development nobody starts jobs",
    ),
    plain(
        "ALLOWED_ORIGINS",
        "",
        "origins whose pages may call the API, such as https://chart.example.com, separated by commas",
    ),
    plain("ALLOWED_HOSTS", "", "host names that are served, separated by commas; all if empty"),
    plain("TRUSTED_PROXIES", "", "addresses or CIDR ranges of proxies whose forwarding headers are trusted"),
    plain("CLIENT_IP_HEADER", "x-forwarded-for", "header in which trusted proxies name the client"),
    plain(
        "RATE_LIMIT_INGEST",
        "200/s",
        "maximum rate of requests for each ingest key: n/s, n/m or off; bursts may be twice as large",
    ),
    plain("RATE_LIMIT_QUERY", "200/s", "the same for each read token"),
    plain("RATE_LIMIT_RESEARCH", "20/s", "the same for each research key"),
    plain(
        "RATE_LIMIT_ANONYMOUS",
        "10/s",
        "the same for each client address, for requests without a valid key; off also lifts the limit on wrong keys",
    ),
    secret(
        "RATE_LIMIT_REDIS_URL",
        "",
        "redis://…, rediss://… or unix:///… of a Redis or Valkey server, by which replicas share these limits",
    ),
    plain("TLS_CERT", "", "PEM file of the certificate and its chain, to serve HTTPS directly"),
    plain("TLS_KEY", "", "PEM file of the certificate's private key"),
    plain("MAX_BATCH", "10000", "maximum number of candles in a post"),
    plain("MAX_BODY_BYTES", "4194304", "maximum size of a post's body in bytes"),
    plain("MAX_LIMIT", "10000", "maximum number of candles in an answer"),
    plain("MAX_EXPORTS", "2", "maximum number of exports at once"),
    plain("LIVE_MAX_STREAMS", "1000", "maximum number of live streams at once"),
    plain(
        "LIVE_MAX_STREAMS_PER_KEY",
        "",
        "maximum number of live streams of one key at once; as many as of all keys if empty",
    ),
    plain("LIVE_HINTS", "false", "whether services on one Postgres tell each other what they store, for live streams"),
    plain(
        "RETENTION",
        "",
        "ages beyond which candles are deleted, by timeframe, such as M1:2y,M5:18mo; all candles stay if empty",
    ),
    secret("WEBHOOK_URL", "", "URL that events about candles, feeds, signals and jobs are posted to"),
    secret(
        "WEBHOOK_SECRET",
        "",
        "whsec_ and the base64 of a key by which these posts are signed; required with WEBHOOK_URL",
    ),
    plain("WEBHOOK_FEEDS", "", "series whose feed the webhook watches, such as M1:EURUSD,M1:XAUUSD"),
    plain("WEBHOOK_STALE_SECONDS", "300", "seconds of trading time without a candle after which such a feed is stale"),
    plain(
        "STRATEGIES_DIR",
        "",
        "folder of strategies of your own, each in a .toml or .json file, beside the catalogue",
    ),
    plain(
        "SIGNALS",
        "",
        "signals whose history is kept, such as symbols=EURUSD,XAUUSD&timeframe=H1&strategies=ema-cross,donchian",
    ),
    plain("SYMBOLS_FILE", "", "JSON file with names, types, exchanges and sessions of symbols, for TradingView charts"),
    plain(
        "RESEARCH_THREADS",
        "",
        "number of threads that compute backtests, signals and jobs; all cores but one if empty, and none with 0",
    ),
    plain("RESEARCH_MEMORY", "256MiB", "maximum size of the candles and indicators that research keeps in memory"),
    plain("RESEARCH_JOBS", "3", "number of jobs that a process works on at once"),
    plain(
        "RESEARCH_MAX_EVALUATIONS",
        "100000",
        "maximum number of evaluations of an item of a job, and of points of a grid",
    ),
    plain("RESEARCH_MAX_QUEUED", "100", "maximum number of queued jobs of each research key"),
    plain("RESEARCH_MAX_SECONDS", "3600", "time in seconds after which an item of a job ends with what it has"),
    plain(
        "RESEARCH_RETENTION",
        "24h",
        "time from 1h to 30d for which jobs are kept after their end, and files after they were made",
    ),
    secret("SENTRY_DSN", "", "DSN of the Sentry project that failures are reported to"),
    plain("LOG_LEVEL", "info", "error, warn, info, debug or trace"),
    plain("LOG_FORMAT", "text", "text or json; json is the default in production"),
    plain("MIGRATE_ON_START", "true", "whether serve makes and updates the tables"),
    plain(
        "DOCS_ENABLED",
        "true",
        "whether /api/docs and the OpenAPI document are served; false is the default in production",
    ),
    plain(
        "CONSOLE_ENABLED",
        "true",
        "whether / and /console serve the console; false is the default in staging and production",
    ),
];
