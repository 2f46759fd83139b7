//! The database that a command uses.

use super::error::CommandError;
use crate::config::{Config, DatabaseConfig, Variables};

/// Reads the settings of the database, and logs the warnings about them.
pub(super) fn database_config(variables: &Variables) -> Result<DatabaseConfig, CommandError> {
    let (database, _, warnings) = Config::read_for_migration(variables)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(database)
}
