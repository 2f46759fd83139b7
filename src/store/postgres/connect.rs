//! The way to a PostgreSQL database: its address, and a first connection to it.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::store::StoreError;

/// The longest time that reaching the database may take before it is tried anew.
const CONNECT: Duration = Duration::from_secs(3);
/// Supabase's pooler lends a connection for one transaction on this port (Supabase documentation, "Connect to your
/// database").
const TRANSACTION_POOLER: u16 = 6543;

/// Parameters of an address that sqlx acts on. It would pass over any other, and with it perhaps a misspelt `sslmode`.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Reads a `postgres://` address. A host that is not this machine gets TLS unless the address, or PGSSLMODE, says otherwise.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let unfit = |sentence: &str| StoreError::Unfit(sentence.to_owned());
    let parsed = url::Url::parse(url).map_err(|_| {
        unfit("DATABASE_URL is not a URL; write postgres://USER:PASSWORD@HOST:5432/DATABASE and percent-encode the password")
    })?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(unfit("DATABASE_URL names no known database; it starts with sqlite:// or postgres://"));
    }
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| !known(name)) {
        return Err(StoreError::Unfit(format!(
            "DATABASE_URL holds the parameter {name}, which is not known; remove it"
        )));
    }
    let mut options = PgConnectOptions::from_str(url).map_err(|_| {
        unfit("DATABASE_URL holds a parameter with a value that is not known; correct it, as in sslmode=verify-full")
    })?;
    if options.get_port() == TRANSACTION_POOLER {
        return Err(unfit(
            "DATABASE_URL names port 6543, the transaction pooler, which keeps no prepared statements; \
             use the session pooler or the direct connection on port 5432",
        ));
    }
    let names_sslmode = parsed.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode"));
    let falls_back_to_plain = matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer);
    if !names_sslmode && falls_back_to_plain && !is_local(&options) {
        options = options.ssl_mode(PgSslMode::Require);
    }
    // Poolers refuse a start-up parameter that they do not know, and extra_float_digits concerns no type of ours.
    Ok(options.application_name("candlewick").extra_float_digits(None).disable_statement_logging())
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Opens a connection for work beside that of requests, which a pool lends connections for.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(options));
    Ok(connecting.await.map_err(|_| StoreError::Unavailable("connecting to it took too long".to_owned()))??)
}
