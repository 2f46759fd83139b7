//! The environment: how strict the service is about settings that are missing.

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::reader::Reader;

/// How strict to be about what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Environment {
    /// On the machine of somebody who works on it or tries it.
    Development,
    /// As production, for rehearsal.
    Staging,
    /// Nothing is generated and nothing is shown that need not be.
    Production,
}

impl Environment {
    /// Its value of `ENVIRONMENT`.
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
