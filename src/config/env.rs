//! The sources of settings: command-line flags, the process's environment, files that it names, and `.env`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use super::unknown::{self, Misnamed};
use super::variables::{VARIABLES, Variable};

/// Settings from the command line. Each overrides a variable.
#[derive(Clone, Default)]
pub struct Flags(Vec<Flag>);

#[derive(Clone)]
struct Flag {
    name: &'static str,
    variable: &'static str,
    value: String,
}

impl Flags {
    /// Adds the flag `name`, which overrides `variable`, if it was given.
    #[must_use]
    pub fn with(mut self, name: &'static str, variable: &'static str, value: Option<String>) -> Self {
        self.0.extend(value.map(|value| Flag { name, variable, value }));
        self
    }

    fn find(&self, variable: &str) -> Option<&Flag> {
        self.0.iter().find(|flag| flag.variable == variable)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|flag| flag.name)).finish()
    }
}

/// The source of a setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A command-line flag, by its name.
    Flag(&'static str),
    /// The process's environment.
    Environment,
    /// The file `.env`.
    DotEnv,
    /// A file that a variable names.
    File(String),
    /// The default, because the setting is not set.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv => f.write_str(".env"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The values of [`VARIABLES`] that are set.
#[derive(Default)]
pub struct Variables {
    values: BTreeMap<&'static str, Value>,
    problems: Vec<String>,
    /// The names of settings that are set but could not be read.
    unreadable: BTreeSet<&'static str>,
    misnamed: Vec<Misnamed>,
    ignored: Vec<String>,
}

struct Value {
    text: String,
    source: Source,
}

/// The name of the user who runs the process, for the record of changes.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the user is not a setting")]
pub fn user() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    names.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_else(|| "command line".to_owned())
}

/// Looks up a variable in one source. An empty value counts as not set.
type Lookup<'a> = &'a dyn Fn(&str) -> Result<Option<String>, String>;

impl Variables {
    /// Reads each setting from the first source that has it: the flags, the process's environment, and the file `.env`,
    /// which is read only if `ENVIRONMENT` is unset or `development`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the environment")]
    pub fn from_process(flags: &Flags) -> Self {
        let of_process = |name: &str| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8.")),
        };
        let environment = match flags.find("ENVIRONMENT") {
            Some(flag) => flag.value.clone(),
            None => std::env::var("ENVIRONMENT").unwrap_or_default(),
        };
        let is_development = matches!(environment.trim(), "" | "development");
        let (dotenv, problems) = if is_development { read_dotenv() } else { (BTreeMap::new(), Vec::new()) };
        let of_dotenv = |name: &str| Ok::<_, String>(dotenv.get(name).cloned());
        let sources: [(Source, Lookup<'_>); 2] = [(Source::Environment, &of_process), (Source::DotEnv, &of_dotenv)];
        let mut variables = Self::from_sources(flags, &sources);
        variables.problems.splice(0..0, problems);

        let of_process = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned(), Source::Environment))
        });
        let of_dotenv = dotenv.into_iter().map(|(name, value)| (name, value, Source::DotEnv));
        for (name, value, source) in of_process.chain(of_dotenv) {
            variables.examine_name(name, &value, &source);
        }
        variables
    }

    /// Reads every variable through `lookup`, and secrets also from a file whose path `lookup` returns.
    pub fn from_lookup(lookup: impl Fn(&str) -> Result<Option<String>, String>) -> Self {
        Self::from_sources(&Flags::default(), &[(Source::Environment, &lookup)])
    }

    fn from_sources(flags: &Flags, sources: &[(Source, Lookup<'_>)]) -> Self {
        let mut variables = Self::default();
        for variable in &VARIABLES {
            match find(variable, flags, sources) {
                Ok(Some(value)) => {
                    variables.values.insert(variable.name, value);
                }
                Ok(None) => {}
                Err(problem) => {
                    variables.unreadable.insert(variable.name);
                    variables.problems.push(problem);
                }
            }
        }
        variables
    }

    /// Records a name that is set but is not a setting's.
    fn examine_name(&mut self, name: String, value: &str, source: &Source) {
        if unknown::is_setting(&name) {
            return;
        }
        let is_set = |setting: &str| self.values.contains_key(setting) || self.unreadable.contains(setting);
        let label = if *source == Source::DotEnv { format!("{name} in .env") } else { name.clone() };
        match unknown::examine(&name, value, &label, is_set) {
            Some(misnamed) => self.misnamed.push(misnamed),
            // Only for `.env`, because a platform sets hundreds of variables in the environment.
            None if *source == Source::DotEnv => self.ignored.push(name),
            None => {}
        }
    }

    /// The value of a variable, trimmed. An empty value counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.text.trim()).filter(|value| !value.is_empty())
    }

    /// The source of a variable's value.
    #[must_use]
    pub fn source(&self, name: &str) -> &Source {
        self.values.get(name).map_or(&Source::Default, |value| &value.source)
    }

    /// The name of a setting for messages, which leads to its value: the flag, or the variable's name and whether it is
    /// in `.env`.
    #[must_use]
    pub fn label(&self, name: &'static str) -> Cow<'static, str> {
        match self.source(name) {
            Source::Flag(flag) => Cow::Borrowed(flag),
            Source::DotEnv => Cow::Owned(format!("{name} in .env")),
            Source::Environment | Source::File(_) | Source::Default => Cow::Borrowed(name),
        }
    }

    /// The problems found while reading.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn unreadable(&self) -> &BTreeSet<&'static str> {
        &self.unreadable
    }

    /// Names that are set but are not a setting's, although one was probably meant.
    #[must_use]
    pub fn misnamed(&self) -> &[Misnamed] {
        &self.misnamed
    }

    /// All other names in `.env` that are not a setting's. They may be meant for other programs.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// The variables in `.env`, and the problems with it.
fn read_dotenv() -> (BTreeMap<String, String>, Vec<String>) {
    let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
    match dotenvy::from_path_iter(".env") {
        Ok(lines) => {
            for line in lines {
                match line {
                    Ok((name, value)) => {
                        found.insert(name, value);
                    }
                    // The iterator would repeat this error for ever, for example if `.env` is a folder.
                    Err(dotenvy::Error::Io(_)) => {
                        problems.push(".env cannot be read.".to_owned());
                        break;
                    }
                    // Without the error, which quotes the line and so perhaps a secret.
                    Err(_) => problems.push(".env has a line that is not NAME=value.".to_owned()),
                }
            }
        }
        Err(error) if error.not_found() => {}
        Err(_) => problems.push(".env cannot be read.".to_owned()),
    }
    (found, problems)
}

/// The value of a variable in the first source that has one.
fn find(variable: &Variable, flags: &Flags, sources: &[(Source, Lookup<'_>)]) -> Result<Option<Value>, String> {
    if let Some(flag) = flags.find(variable.name) {
        // Refused, because an empty flag probably comes from an unset variable in a script, and the default may be
        // another database.
        if flag.value.trim().is_empty() {
            return Err(format!("{} has no value; give it one, or leave it out.", flag.name));
        }
        return Ok(Some(Value { text: flag.value.clone(), source: Source::Flag(flag.name) }));
    }
    for (source, lookup) in sources {
        if let Some(value) = find_in(source, lookup, variable)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn find_in(source: &Source, lookup: Lookup<'_>, variable: &Variable) -> Result<Option<Value>, String> {
    let name = variable.name;
    let set = |name: &str| Ok::<_, String>(lookup(name)?.filter(|value| !value.trim().is_empty()));
    let value = |text| Value { text, source: source.clone() };
    let given = set(name)?;
    if !variable.secret {
        return Ok(given.map(value));
    }
    let file_variable = format!("{name}_FILE");
    match (given, set(&file_variable)?) {
        (Some(_), Some(_)) => Err(format!("{name} and {file_variable} are both set; keep one of them.")),
        (None, Some(path)) => match fs::read_to_string(path.trim()) {
            Ok(text) if text.trim().is_empty() => Err(format!("{file_variable} names a file that is empty.")),
            Ok(text) => Ok(Some(Value { text, source: Source::File(path.trim().to_owned()) })),
            Err(error) => Err(format!("{file_variable} names a file that cannot be read: {error}.")),
        },
        (given, None) => Ok(given.map(value)),
    }
}
