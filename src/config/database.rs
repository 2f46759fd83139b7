//! The settings of the database.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::env::Source;
use super::environment::Environment;
use super::keys::{MAINTENANCE_KEY, RESEARCH_KEY};
use super::reader::Reader;
use super::retention::RETENTION;

/// The time for which the server may refuse the login with the same message before the service gives up: long enough
/// for an operator to create the database and the login while the service starts.
const REFUSED_LOGIN_TIMEOUT: Duration = Duration::from_mins(1);

/// The settings of the database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `sqlite://PATH` or `postgres://…`, with its password.
    pub url: SecretString,
    /// The name of the setting that holds the URL, for messages: `DATABASE_URL`, or the flag.
    pub setting: Cow<'static, str>,
    /// The maximum number of connections in the pool.
    pub max_connections: u32,
    /// A standby that reads may go to.
    pub standby: Option<StandbyConfig>,
    /// True if stored candles may be corrected and deleted, for which the login needs more privileges.
    pub maintains: bool,
    /// True if jobs may be started over HTTP, for which the login needs more privileges.
    pub researches: bool,
    /// True if `serve` creates and migrates the tables.
    pub migrate_on_start: bool,
    /// The time for which the server may refuse the login at the start before the service exits. No variable sets it.
    pub refusal_patience: Duration,
}

/// The address of a standby.
#[derive(Debug, Clone)]
pub struct StandbyConfig {
    /// `postgres://…`, with its password.
    pub url: SecretString,
    /// The name of the setting that holds the URL, for messages.
    pub setting: Cow<'static, str>,
}

impl DatabaseConfig {
    /// The defaults, with `url` as the value of DATABASE_URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            setting: Cow::Borrowed("DATABASE_URL"),
            max_connections: 10,
            standby: None,
            maintains: false,
            researches: false,
            migrate_on_start: true,
            refusal_patience: REFUSED_LOGIN_TIMEOUT,
        }
    }

    /// The path of the SQLite file; `None` for another database. Percent-encoding is decoded only here, so that all
    /// files beside the database share its name.
    ///
    /// # Errors
    /// When a SQLite URL names no file or more than a file, or its path is not UTF-8 or holds a zero byte.
    #[must_use]
    pub fn sqlite_file(&self) -> Option<Result<PathBuf, String>> {
        let url = self.url.expose_secret();
        let path = url.starts_with("sqlite:").then(|| url.strip_prefix("sqlite://").unwrap_or_default())?;
        Some(decoded(path).map_err(|problem| format!("{} {problem}", self.setting)))
    }

    /// The address without login, password and options, for people.
    #[must_use]
    pub fn place(&self) -> String {
        if let Some(Ok(file)) = self.sqlite_file() {
            return file.display().to_string();
        }
        let Ok(url) = Url::parse(self.url.expose_secret()) else { return "the database".to_owned() };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
    }

    /// The file of generated keys: beside the SQLite file, or else in the working directory.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        let database = self.sqlite_file().and_then(Result::ok).unwrap_or_else(|| PathBuf::from("candlewick.db"));
        database.with_extension("keys")
    }
}

fn decoded(path: &str) -> Result<PathBuf, &'static str> {
    if path.is_empty() || path.starts_with(":memory:") || path.contains('?') {
        return Err("must name a SQLite file and nothing else, as sqlite://candlewick.db does");
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| "holds percent-encoded bytes that are not UTF-8")?;
    if path.contains('\0') {
        return Err("holds a zero byte, which a path cannot contain");
    }
    Ok(PathBuf::from(&*path))
}

/// The missing folder of a file. `Display` shows the command that creates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFolder(PathBuf);

impl MissingFolder {
    /// The folder of `file`, if it does not exist.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        let file = absolute(file).ok()?;
        let folder = file.parent()?;
        // An error does not prove that the folder is missing.
        matches!(folder.try_exists(), Ok(false)).then(|| Self(folder.to_owned()))
    }
}

impl fmt::Display for MissingFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.0.display();
        write!(f, "its folder {folder} does not exist; correct the path, or make the folder: mkdir ")?;
        if cfg!(unix) {
            f.write_str("-p ")?;
        }
        let text = folder.to_string();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:\\".contains(&byte);
        if text.bytes().all(is_plain) {
            f.write_str(&text)
        } else if cfg!(unix) {
            write!(f, "'{}'", text.replace('\'', r"'\''"))
        } else {
            write!(f, "\"{text}\"")
        }
    }
}

impl Reader<'_> {
    pub(super) fn database(&mut self, environment: Environment) -> DatabaseConfig {
        let url = if let Some(url) = self.variables.get("DATABASE_URL") {
            url
        } else {
            if environment != Environment::Development {
                self.refuse("DATABASE_URL", format_args!(" is missing, and {} needs one.", environment.name()));
            }
            "sqlite://candlewick.db"
        };
        let setting = self.variables.label("DATABASE_URL");
        let default = DatabaseConfig::new(url);
        let database = DatabaseConfig {
            setting: setting.clone(),
            max_connections: self.size("DATABASE_MAX_CONNECTIONS", default.max_connections, 1..=1000),
            standby: self.standby(url),
            maintains: [MAINTENANCE_KEY, RETENTION].iter().any(|name| self.variables.get(name).is_some()),
            researches: self.variables.get(RESEARCH_KEY).is_some(),
            migrate_on_start: self.flag("MIGRATE_ON_START", default.migrate_on_start),
            ..default
        };
        if !url.starts_with("sqlite://") && !is_postgres(url) {
            self.refuse("DATABASE_URL", " must start with sqlite:// or postgres://.");
        } else if let Some(Err(problem)) = database.sqlite_file() {
            self.problems.push(format!("{problem}."));
            self.faulty.insert("DATABASE_URL");
        }
        if matches!(self.variables.source("DATABASE_URL"), Source::Flag(_)) && holds_password(url) {
            self.warnings.push(format!(
                "{setting} holds a password, which every user of this machine can read in the list of processes; set \
                 DATABASE_URL or DATABASE_URL_FILE instead"
            ));
        }
        database
    }
}

impl Reader<'_> {
    fn standby(&mut self, primary: &str) -> Option<StandbyConfig> {
        let url = self.variables.get("DATABASE_READ_URL")?;
        if !is_postgres(url) {
            self.refuse("DATABASE_READ_URL", " must start with postgres://.");
        } else if !is_postgres(primary) {
            self.refuse(
                "DATABASE_READ_URL",
                " names a standby, and only Postgres has standbys; remove it, or name the Postgres that it follows in \
                 DATABASE_URL.",
            );
        }
        let (url, setting) = (SecretString::from(url.to_owned()), self.variables.label("DATABASE_READ_URL"));
        Some(StandbyConfig { url, setting })
    }
}

impl Reader<'_> {
    /// Reads whether processes tell each other what they have written.
    pub(super) fn live_hints(&mut self, database: &DatabaseConfig) -> bool {
        let are_wanted = self.flag("LIVE_HINTS", false);
        if are_wanted && database.sqlite_file().is_some() {
            self.refuse(
                "LIVE_HINTS",
                " is for several services on one Postgres, and a SQLite file has one; remove it, or name a Postgres in DATABASE_URL.",
            );
        }
        are_wanted
    }
}

fn is_postgres(url: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}

fn holds_password(url: &str) -> bool {
    let parsed = Url::parse(url).ok().filter(|url| url.scheme() != "sqlite");
    parsed.is_some_and(|url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        for (url, path) in [
            ("sqlite://candlewick.db", "candlewick.db"),
            ("sqlite:///var/lib/candlewick.db", "/var/lib/candlewick.db"),
            ("sqlite://my%20data/c.db", "my data/c.db"),
            ("sqlite://my data/c.db", "my data/c.db"),
            ("sqlite://a%3Fb%23c%2525.db", "a?b#c%25.db"),
            ("sqlite://100%.db", "100%.db"),
        ] {
            assert_eq!(DatabaseConfig::new(url).sqlite_file().unwrap().unwrap(), Path::new(path), "{url}");
        }
        for url in
            ["sqlite://", "sqlite:", "sqlite://:memory:", "sqlite://a.db?mode=ro", "sqlite://%ff.db", "sqlite://%00"]
        {
            assert!(DatabaseConfig::new(url).sqlite_file().unwrap().unwrap_err().starts_with("DATABASE_URL "), "{url}");
        }
        assert!(DatabaseConfig::new("postgres://u:p@h/d").sqlite_file().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_folder_is_named_with_the_command_that_creates_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        assert_eq!(MissingFolder::of(&inside("c.db")), None);
        let message = MissingFolder::of(&inside("data/c.db")).unwrap().to_string();
        assert!(message.ends_with(&format!("mkdir -p {}", inside("data").display())), "{message}");
        let message = MissingFolder::of(&inside("trader's data/c.db")).unwrap().to_string();
        assert!(message.ends_with(&format!("mkdir -p '{}/trader'\\''s data'", folder.path().display())), "{message}");
    }

    #[test]
    fn a_password_is_found_in_the_authority_and_in_the_query() {
        assert!(holds_password("postgres://u:p@h/d") && holds_password("postgres://h/d?user=u&password=p"));
        assert!(!holds_password("postgres://u@h/d") && !holds_password("sqlite://a:b@c.db"));
    }
}
