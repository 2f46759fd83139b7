//! The environment: how strict the service is about settings that are missing.

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::reader::Reader;

/// The environment, which decides how strict the service is about settings that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Environment {
    /// The machine of somebody who develops the service or tries it.
    Development,
    /// Like production, for rehearsals.
    Staging,
    /// Nothing is generated, and only what is necessary is shown.
    Production,
}

impl Environment {
    /// The value of `ENVIRONMENT` that selects it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Reader<'_> {
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
