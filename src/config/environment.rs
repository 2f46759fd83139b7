//! The environment: how strict the service is about settings that are missing.

use strum::{EnumString, IntoStaticStr, VariantNames};

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
