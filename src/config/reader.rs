//! Reads settings out of variables, and collects what is wrong with them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use strum::VariantNames;

use super::env::Variables;
use super::environment::Environment;

/// Everything that is wrong with the configuration, in sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {}", problem.trim_end_matches('.')))
    }
}

/// Reads variables and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) variables: &'a Variables,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// The names of settings whose value has a problem.
    pub(super) faulty: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a Variables) -> Self {
        let faulty = variables.unreadable().clone();
        Self { variables, problems: variables.problems().to_vec(), warnings: Vec::new(), faulty }
    }

    pub(super) fn done<T>(mut self, config: T) -> Result<T, ConfigErrors> {
        if self.problems.is_empty() {
            return Ok(config);
        }
        // A setting that is missing may be there under another name.
        let misnamed = self.variables.misnamed().iter().filter(|misnamed| !misnamed.is_refused);
        self.problems.extend(misnamed.map(|misnamed| format!("{}.", misnamed.sentence)));
        Err(ConfigErrors(self.problems))
    }

    /// Notes the names that were meant to be settings.
    pub(super) fn note_misnamed(&mut self) {
        for misnamed in self.variables.misnamed() {
            let sentences = if misnamed.is_refused { &mut self.problems } else { &mut self.warnings };
            sentences.push(misnamed.sentence.clone());
        }
    }

    /// Notes a problem with the value of a setting. The sentence begins with the flag or the variable that the value came
    /// from.
    pub(super) fn refuse(&mut self, name: &'static str, problem: impl fmt::Display) {
        self.problems.push(format!("{}{problem}", self.variables.label(name)));
        self.faulty.insert(name);
    }

    /// Parses every entry of a list that is separated by commas. Entries that are not what they should be are problems.
    pub(super) fn list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
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

    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        match self.variables.get(name).map(parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.refuse(name, format_args!(" {problem}."));
                default
            }
        }
    }

    pub(super) fn size<T>(&mut self, name: &'static str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        self.parsed(name, default, |text| {
            let size = text.parse().ok().filter(|size| allowed.contains(size));
            size.ok_or_else(|| format!("must be a whole number from {} to {}", allowed.start(), allowed.end()))
        })
    }

    pub(super) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.parsed(name, default, |text| text.parse().map_err(|_| "must be true or false".to_owned()))
    }

    /// Parses the name of a variant of an enum.
    pub(super) fn named<T: FromStr + VariantNames>(&mut self, name: &'static str, default: T) -> T {
        self.parsed(name, default, |text| {
            text.parse().map_err(|_| format!("must be one of: {}", T::VARIANTS.join(", ")))
        })
    }

    pub(super) fn environment(&mut self) -> Environment {
        // A misspelt value was not meant to be development, so the same run also reports what production requires.
        let fallback = if self.variables.get("ENVIRONMENT").is_some() {
            Environment::Production
        } else {
            Environment::Development
        };
        self.named("ENVIRONMENT", fallback)
    }
}
