//! The address of a PostgreSQL database, and connections to it that belong to no pool.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::store::StoreError;

/// The maximum time for reaching the database before another attempt.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Supabase's pooler lends a connection for one transaction on this port (Supabase documentation, "Connect to your
/// database").
const TRANSACTION_POOLER_PORT: u16 = 6543;

/// The parameters of an address that sqlx understands. It ignores any other, so that a misspelt `sslmode` would have no
/// effect.
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

/// Parses the `postgres://` address in `setting`. A connection to another machine uses TLS unless the address, or
/// PGSSLMODE, says otherwise.
pub(super) fn options(url: &str, setting: &str) -> Result<PgConnectOptions, StoreError> {
    let unfit = |problem: &str| StoreError::misconfigured(format!("{setting} {problem}"));
    let parsed = url::Url::parse(url).map_err(|_| {
        unfit("is not a URL; write postgres://USER:PASSWORD@HOST:5432/DATABASE and percent-encode the password")
    })?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(unfit("names no known database; it starts with sqlite:// or postgres://"));
    }
    if is_cut_short(&parsed) {
        return Err(unfit(
            "is cut short by a character of its password; percent-encode there every character but letters, digits and \
             -._~: # as %23, / as %2F, ? as %3F",
        ));
    }
    let known = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| !known(name)) {
        return Err(unfit(&format!("holds the parameter {name}, which is not known; remove it")));
    }
    let mut options = PgConnectOptions::from_str(url).map_err(|_| {
        unfit("holds a parameter with a value that is not known; correct it, as in sslmode=verify-full")
    })?;
    if options.get_port() == TRANSACTION_POOLER_PORT {
        return Err(unfit(
            "names port 6543, the transaction pooler, which keeps no prepared statements; use the session pooler or \
             the direct connection on port 5432",
        ));
    }
    let names_sslmode = parsed.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode"));
    let falls_back_to_plain = matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer);
    if !names_sslmode && falls_back_to_plain && !is_local(&options) {
        options = options.ssl_mode(PgSslMode::Require);
    }
    // Without extra_float_digits, which affects no type of ours, because poolers refuse start-up parameters that they
    // do not know.
    Ok(options.application_name("candlewick").extra_float_digits(None).disable_statement_logging())
}

/// True if a `#`, `/` or `?` of the password ends the part of the address that holds the host. The address would then
/// lead to another host, and the rest would be taken for the name of a database or a parameter.
fn is_cut_short(url: &url::Url) -> bool {
    let has_login = !url.username().is_empty() || url.password().is_some();
    let is_behind = url.path().contains('@') || url.query_pairs().any(|(name, _)| name.contains('@'));
    // The address of a database never has a fragment.
    url.fragment().is_some() || (!has_login && is_behind)
}

pub(super) fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Opens a connection for work other than requests, which use a pool.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let late = || StoreError::unavailable("connecting to it took too long");
    Ok(open(options).await.ok_or_else(late)??)
}

/// Opens a connection, or returns nothing if that takes too long.
pub(super) async fn open(options: &PgConnectOptions) -> Option<sqlx::Result<PgConnection>> {
    tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unencoded_characters_of_a_password_are_found_and_the_password_is_not_quoted() {
        for url in [
            "postgres://u:12#geheim@db.example.com/candles",
            "postgres://u:12/geheim@db.example.com/candles",
            "postgres://u:12?geheim@db.example.com/candles",
            "postgres://u#geheim:x@db.example.com/candles",
            "postgres://u:p@db.example.com/candles#geheim",
            "postgres://u:12#geheim",
        ] {
            let Err(StoreError::Misconfigured(sentence)) = options(url, "DATABASE_URL") else { panic!("{url}") };
            let sentence = sentence.to_string();
            assert!(sentence.starts_with("DATABASE_URL is cut short by a character of its password"), "{sentence}");
            assert!(!sentence.contains("geheim"), "{sentence}");
        }
        for url in [
            "postgres://u:p%23w@db.example.com/candles",
            "postgres://u:p@ss@db.example.com/candles",
            "postgres://db.example.com/candles?user=u@tenant&password=p",
            "postgres:///candles?host=/run/postgresql",
        ] {
            assert!(options(url, "DATABASE_URL").is_ok(), "{url}");
        }
    }

    #[test]
    fn errors_name_the_setting_of_the_address() {
        let Err(StoreError::Misconfigured(sentence)) = options("postgres://h:6543/d", "--database-url") else {
            panic!()
        };
        let sentence = sentence.to_string();
        assert!(sentence.starts_with("--database-url names port 6543"), "{sentence}");
    }
}
