//! Where variables come from: the process's environment, files named by it, `.env` and the generated keys.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::keys::strong_key;
use super::{Secret, VARIABLES};

/// The values of [`VARIABLES`] that are set.
#[derive(Default)]
pub struct Variables {
    values: BTreeMap<&'static str, String>,
    problems: Vec<String>,
}

impl Variables {
    /// Reads the process's environment and, where it does not speak of staging or production, the file `.env` for what
    /// the environment leaves out.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the environment")]
    pub fn from_process() -> Self {
        let environment = std::env::var("ENVIRONMENT").unwrap_or_default();
        let mut problems = Vec::new();
        let mut dotenv = BTreeMap::new();
        if matches!(environment.trim(), "" | "development") {
            match dotenvy::from_path_iter(".env") {
                Ok(lines) => {
                    for line in lines {
                        match line {
                            Ok((name, value)) => {
                                dotenv.insert(name, value);
                            }
                            // It would repeat for ever, as for a folder of this name.
                            Err(dotenvy::Error::Io(_)) => {
                                problems.push(".env cannot be read.".to_owned());
                                break;
                            }
                            // The error quotes the line, which may hold a secret.
                            Err(_) => problems.push(".env has a line that is not NAME=value.".to_owned()),
                        }
                    }
                }
                Err(error) if error.not_found() => {}
                Err(_) => problems.push(".env cannot be read.".to_owned()),
            }
        }
        let mut variables = Self::from_lookup(|name| match std::env::var(name) {
            Ok(value) if !value.trim().is_empty() => Ok(Some(value)),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(dotenv.get(name).cloned()),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8.")),
        });
        variables.problems.splice(0..0, problems);
        variables
    }

    /// Asks `lookup` for every variable and, for secrets, for the path of a file that holds it.
    pub fn from_lookup(lookup: impl Fn(&str) -> Result<Option<String>, String>) -> Self {
        let mut variables = Self::default();
        for variable in VARIABLES {
            match lookup_one(&lookup, variable.name, variable.secret) {
                Ok(Some(value)) => {
                    variables.values.insert(variable.name, value);
                }
                Ok(None) => {}
                Err(problem) => variables.problems.push(problem),
            }
        }
        variables
    }

    /// The value of a variable, without blanks around it. What is set to nothing is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// What went wrong while reading.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

fn lookup_one(
    lookup: impl Fn(&str) -> Result<Option<String>, String>,
    name: &str,
    secret: bool,
) -> Result<Option<String>, String> {
    let set = |name: &str| Ok::<_, String>(lookup(name)?.filter(|value| !value.trim().is_empty()));
    let value = set(name)?;
    if !secret {
        return Ok(value);
    }
    let file_variable = format!("{name}_FILE");
    match (value, set(&file_variable)?) {
        (Some(_), Some(_)) => Err(format!("{name} and {file_variable} are both set; keep one of them.")),
        (None, Some(path)) => match fs::read_to_string(path.trim()) {
            Ok(value) if value.trim().is_empty() => Err(format!("{file_variable} names a file that is empty.")),
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(format!("{file_variable} names a file that cannot be read: {error}.")),
        },
        (value, None) => Ok(value),
    }
}

/// The ingest key and the read token in the file at `path`, which is made with new ones if it is not there.
pub(super) fn generated_keys(path: &Path) -> Result<[Secret; 2], String> {
    let failed = |error: io::Error| {
        format!(
            "{} cannot keep generated keys ({error}); set MT5_API_KEY and INTERNAL_API_TOKEN, or make it writable.",
            path.display()
        )
    };
    if !path.exists() {
        write_new_keys(path).map_err(failed)?;
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let find = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(str::trim).filter(|value| !value.is_empty()).map(Secret::new)
    };
    match (find("MT5_API_KEY"), find("INTERNAL_API_TOKEN")) {
        (Some(key), Some(token)) => Ok([key, token]),
        _ => Err(format!("{} does not hold both keys; delete it and start again.", path.display())),
    }
}

/// Writes a new key file, whole or not at all; of two processes that do so at once, the first one wins.
fn write_new_keys(path: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("keys.{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // On Windows the folder's access list says who may read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    let result = (|| {
        let (key, token) = (strong_key()?, strong_key()?);
        writeln!(file, "# Made for development by candlewick; delete this file to get new keys.")?;
        writeln!(file, "MT5_API_KEY={key}\nINTERNAL_API_TOKEN={token}")?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    })();
    fs::remove_file(&draft)?;
    result
}
