//! Keys and tokens: given in the environment, or generated for development.

use secrecy::{ExposeSecret as _, SecretString};

use super::database::DatabaseConfig;
use super::env::Variables;
use super::environment::Environment;
use super::key_file::{self, KeyGeneration};
use super::reader::{ConfigErrors, Reader};

/// The maximum length of a key's name.
const MAX_NAME_LENGTH: usize = 32;
/// The minimum length of a key in staging and production.
const MIN_KEY_LENGTH: usize = 16;

/// The setting of the keys that may correct and delete stored candles.
pub(super) const MAINTENANCE_KEY: &str = "MAINTENANCE_KEY";
/// The setting of the keys that may start jobs of research.
pub(super) const RESEARCH_KEY: &str = "RESEARCH_API_KEY";

/// A key or token, and its name in logs.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The name that logs show in place of the secret.
    pub name: String,
    /// The value that clients send.
    pub secret: SecretString,
    /// True if it was generated for development, so that the start-up banner may show it.
    pub generated: bool,
}

/// The keys that are accepted.
#[derive(Debug, Default)]
pub struct Keys {
    /// Keys that may post candles.
    pub ingest: Vec<ApiKey>,
    /// Tokens that may read them.
    pub read: Vec<ApiKey>,
    /// Keys that may correct and delete them; without one nobody may.
    pub maintenance: Vec<ApiKey>,
    /// Keys that may test strategies and start jobs; without one nobody starts jobs.
    pub research: Vec<ApiKey>,
    /// Warnings for the log about settings that are allowed but unwise.
    pub warnings: Vec<String>,
}

impl Keys {
    /// Reads the keys alone, for a reload.
    ///
    /// # Errors
    /// All problems with the settings that are read, not only the first.
    pub fn read(variables: &Variables) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(variables);
        let environment = reader.environment();
        let database = reader.database(environment);
        let keys = reader.keys(environment, &database, KeyGeneration::Allowed);
        let warnings = std::mem::take(&mut reader.warnings);
        reader.done(Self { warnings, ..keys })
    }
}

impl Reader<'_> {
    /// The keys of every kind. Those that maintenance needs are never generated.
    pub(super) fn keys(
        &mut self,
        environment: Environment,
        database: &DatabaseConfig,
        generation: KeyGeneration,
    ) -> Keys {
        const NAMES: [&str; 3] = ["MT5_API_KEY", "INTERNAL_API_TOKEN", RESEARCH_KEY];
        let given = NAMES.map(|name| self.variables.get(name).map(|list| self.key_list(name, list, environment)));
        let mut generated = None;
        if given.iter().any(Option::is_none) {
            let needed = || NAMES.into_iter().zip(&given).filter(|(name, _)| *name != RESEARCH_KEY);
            if environment != Environment::Development {
                for (name, _) in needed().filter(|(_, keys)| keys.is_none()) {
                    self.refuse(name, format_args!(" is missing, and {} needs one.", environment.name()));
                }
            } else if self.problems.is_empty() {
                match key_file::keys(&database.key_file(), generation) {
                    Ok(keys) => generated = keys,
                    // The service works without a research key.
                    Err(problem) if needed().all(|(_, keys)| keys.is_some()) => {
                        self.warnings.push(format!("there is no {RESEARCH_KEY}, so no jobs can be started: {problem}"));
                    }
                    Err(problem) => self.problems.push(problem),
                }
            }
        }
        let mut generated = generated.unwrap_or_default().into_iter();
        let [ingest, read, research] = given.map(|keys| {
            let secret = generated.next().flatten();
            let made = secret.map(|secret| ApiKey { name: "development".to_owned(), secret, generated: true });
            keys.unwrap_or_else(|| made.into_iter().collect())
        });
        let maintenance = self.variables.get(MAINTENANCE_KEY);
        let maintenance = maintenance.map(|list| self.key_list(MAINTENANCE_KEY, list, environment)).unwrap_or_default();
        let kinds =
            [(NAMES[1], &read), (NAMES[0], &ingest), (MAINTENANCE_KEY, &maintenance), (RESEARCH_KEY, &research)];
        for (position, (name, keys)) in kinds.iter().enumerate() {
            for (other, others) in &kinds[position + 1..] {
                let is_shared = |key: &ApiKey| {
                    others.iter().any(|other| other.secret.expose_secret() == key.secret.expose_secret())
                };
                if keys.iter().any(is_shared) {
                    self.problems.push(format!("{name} and {other} must not share a key."));
                    self.faulty.extend([*name, *other]);
                }
            }
        }
        Keys { ingest, read, maintenance, research, warnings: Vec::new() }
    }

    fn key_list(&mut self, variable: &'static str, list: &str, environment: Environment) -> Vec<ApiKey> {
        const QUOTED: &str = "has quotes around it, which would be part of the key; leave them out, because a file and \
                              docker --env-file keep them";
        let label = self.variables.label(variable);
        let mut keys: Vec<ApiKey> = Vec::new();
        if is_quoted(list) {
            self.refuse(variable, format_args!(" {QUOTED}."));
            return keys;
        }
        for (position, entry) in list.split(',').map(str::trim).enumerate() {
            let number = position + 1;
            let parts = if is_quoted(entry) { Err(QUOTED) } else { name_and_key(entry, number) };
            let (name, secret) = match parts {
                Ok(parts) => parts,
                Err(problem) => {
                    self.refuse(variable, format_args!(": entry {number} {problem}."));
                    continue;
                }
            };
            let is_short = secret.len() < MIN_KEY_LENGTH;
            let problem = if secret.is_empty() {
                Some("is empty")
            } else if is_quoted(secret) {
                Some(QUOTED)
            } else if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                Some("holds a blank or a character that no HTTP header can carry")
            } else if is_short && (environment != Environment::Development || entry.contains(':')) {
                // Also refused in development: half of a short key with a colon may be its name, and names are logged.
                Some("is shorter than 16 characters; make one with candlewick keygen")
            } else if keys.iter().any(|key| key.name == name || key.secret.expose_secret() == secret) {
                Some("repeats the name or the key of an earlier entry")
            } else {
                None
            };
            if let Some(problem) = problem {
                self.refuse(variable, format_args!(": entry {number} {problem}."));
                continue;
            }
            if is_short {
                self.warnings.push(format!(
                    "{label}: entry {number} is shorter than 16 characters, which staging and production refuse; \
                     make one with candlewick keygen"
                ));
            }
            keys.push(ApiKey { name, secret: SecretString::from(secret), generated: false });
        }
        keys
    }
}

fn is_quoted(text: &str) -> bool {
    ['"', '\''].into_iter().any(|quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote))
}

/// Splits `key` or `name:key`. Errors quote nothing, because the part before a colon may be the beginning of a key. For
/// the same reason names are short and simple. A key that holds a colon needs a name before it.
fn name_and_key(entry: &str, number: usize) -> Result<(String, &str), &'static str> {
    let Some((name, secret)) = entry.split_once(':') else { return Ok((format!("key-{number}"), entry)) };
    if (1..=MAX_NAME_LENGTH).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    {
        return Ok((name.to_owned(), secret));
    }
    if name.contains('.') {
        return Err(
            "has a dot before its colon, and a name is 1 to 32 letters, digits, _ and -; write - or _ in place \
             of the dot, or, if the key itself holds the colon, put a name and a colon before it",
        );
    }
    Err("has before its colon something other than a name of 1 to 32 letters, digits, _ and -; correct the name, or, \
         if the key itself holds the colon, put a name and a colon before it")
}
