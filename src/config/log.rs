//! The settings of the log.

use strum::{EnumString, VariantNames};

use super::environment::Environment;
use super::reader::Reader;

/// How to log.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// The least important level that is written.
    pub level: LogLevel,
    /// For people or for programs.
    pub format: LogFormat,
}

/// How important a message must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LogLevel {
    /// What somebody must look at.
    Error,
    /// What somebody may want to look at.
    Warn,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// People.
    Text,
    /// Programs: one JSON object a line.
    Json,
}

impl Reader<'_> {
    pub(super) fn log(&mut self, environment: Environment) -> LogConfig {
        let default = if environment == Environment::Production { LogFormat::Json } else { LogFormat::Text };
        LogConfig { level: self.named("LOG_LEVEL", LogLevel::Info), format: self.named("LOG_FORMAT", default) }
    }
}
