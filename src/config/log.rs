//! The settings of the log.

use strum::{EnumString, VariantNames};

use super::environment::Environment;
use super::reader::Reader;

/// The settings of the log.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// The format of the lines.
    pub format: LogFormat,
}

/// The severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LogLevel {
    /// Somebody must look at it.
    Error,
    /// Somebody may want to look at it.
    Warn,
    /// An event in normal operation.
    Info,
    /// Details of such an event.
    Debug,
    /// Everything.
    Trace,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

impl Reader<'_> {
    pub(super) fn log(&mut self, environment: Environment) -> LogConfig {
        let default = if environment == Environment::Production { LogFormat::Json } else { LogFormat::Text };
        LogConfig { level: self.named("LOG_LEVEL", LogLevel::Info), format: self.named("LOG_FORMAT", default) }
    }
}
