//! Keys and tokens: given in the environment, or generated for development.

use std::io;
use std::path::PathBuf;

use super::{DatabaseConfig, Environment, Reader, Secret, sources};

/// A key or token and what it is called in logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Told in logs in place of the secret.
    pub name: String,
    /// What callers send.
    pub secret: Secret,
    /// Whether it was made here for development, so that the start-up banner may show it.
    pub generated: bool,
}

impl Reader<'_> {
    /// The ingest keys and the read tokens.
    pub(super) fn keys(&mut self, environment: Environment, database: &DatabaseConfig) -> (Vec<ApiKey>, Vec<ApiKey>) {
        const NAMES: [&str; 2] = ["MT5_API_KEY", "INTERNAL_API_TOKEN"];
        let given = NAMES.map(|name| self.variables.get(name).map(|list| self.key_list(name, list, environment)));
        let mut generated = None;
        if given.contains(&None) {
            if environment != Environment::Development {
                for (name, _) in NAMES.iter().zip(&given).filter(|(_, keys)| keys.is_none()) {
                    self.problems.push(format!("{name} is missing, and {} needs one.", environment.name()));
                }
            } else if self.problems.is_empty() {
                match sources::generated_keys(&key_file(database.url.expose())) {
                    Ok(keys) => generated = Some(keys),
                    Err(problem) => self.problems.push(problem),
                }
            }
        }
        let mut generated = generated.into_iter().flatten();
        let [ingest, read] = given.map(|keys| {
            let made =
                generated.next().map(|secret| ApiKey { name: "development".to_owned(), secret, generated: true });
            keys.unwrap_or_else(|| made.into_iter().collect())
        });
        if ingest.iter().any(|key| read.iter().any(|token| token.secret == key.secret)) {
            self.problems.push("INTERNAL_API_TOKEN and MT5_API_KEY must not share a key.".to_owned());
        }
        (ingest, read)
    }

    fn key_list(&mut self, variable: &str, list: &str, environment: Environment) -> Vec<ApiKey> {
        const SHORTEST: usize = 16;
        let mut keys: Vec<ApiKey> = Vec::new();
        for (position, entry) in list.split(',').map(str::trim).enumerate() {
            let number = position + 1;
            let (name, secret) = match entry.split_once(':') {
                Some((name, secret)) => (name.to_owned(), secret),
                None => (format!("key-{number}"), entry),
            };
            let problem = if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            {
                Some("has a name that is not made of letters, digits and ._-")
            } else if secret.is_empty() {
                Some("is empty")
            } else if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                Some("holds a blank or a character that no HTTP header can carry")
            } else if secret.len() < SHORTEST && environment != Environment::Development {
                Some("is shorter than 16 characters")
            } else if keys.iter().any(|key| key.name == name || key.secret.expose() == secret) {
                Some("repeats the name or the key of one before it")
            } else {
                None
            };
            match problem {
                Some(problem) => self.problems.push(format!("{variable}: entry {number} {problem}.")),
                None => keys.push(ApiKey { name, secret: Secret::new(secret), generated: false }),
            }
        }
        keys
    }
}

/// A new key: 256 random bits in hexadecimal.
///
/// # Errors
/// When the system gives no randomness.
pub fn strong_key() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

/// Where generated keys live: beside the SQLite file, or else in the working directory.
fn key_file(database_url: &str) -> PathBuf {
    let database = database_url.strip_prefix("sqlite://").filter(|path| !path.is_empty()).unwrap_or("candlewick.db");
    PathBuf::from(database).with_extension("keys")
}
