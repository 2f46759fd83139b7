//! The flags of the commands, and what they mean together.

use std::path::PathBuf;

use clap::Args;

use super::HistoryError;
use super::export::{SeriesFilter, Target};
use crate::query::FileFormat;
use candle::{Symbol, Timeframe};

/// A running service that is asked in place of the database.
#[derive(Debug, Args)]
pub(crate) struct ServiceFlags {
    /// Ask the service at this address in place of the database
    #[arg(long, requires = "key_file")]
    pub(crate) url: Option<String>,
    /// File that holds a read token of the service
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The flags of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportFlags {
    /// Instrument, exactly as it is stored
    #[arg(long)]
    symbol: Option<String>,
    /// Timeframe, such as M1 or H1
    #[arg(long)]
    timeframe: Option<String>,
    /// Shorter stored timeframe to build the candles from, such as M1
    #[arg(long, value_name = "TIMEFRAME")]
    source: Option<String>,
    /// With --source: where days begin, such as ny17, Europe/Athens or +03:00 [default: utc]
    #[arg(long, value_name = "ALIGNMENT", allow_hyphen_values = true)]
    align: Option<String>,
    /// With --source: the weekday with which weeks begin [default: monday]
    #[arg(long, value_name = "WEEKDAY")]
    week: Option<String>,
    /// First opening time: RFC 3339, a date for its midnight in UTC, or epoch seconds or milliseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Last opening time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Add forming candles
    #[arg(long)]
    forming: bool,
    /// csv, ndjson or parquet [default: by the ending of --output, else csv]
    #[arg(long)]
    format: Option<String>,
    /// CSV: how times are written, iso, ms or s
    #[arg(long, value_name = "FORM")]
    time: Option<String>,
    /// Parquet: the type of prices, decimal, double or text
    #[arg(long, value_name = "TYPE")]
    prices: Option<String>,
    /// File to write, or with --all the folder [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Export every series into a file of its own; --symbol and --timeframe select some
    #[arg(long, requires = "output")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}

/// The flags of `gaps`.
#[derive(Debug, Args)]
pub(crate) struct GapsFlags {
    /// Instrument, exactly as it is stored
    #[arg(long)]
    symbol: String,
    /// Timeframe, such as M1 or H1
    #[arg(long)]
    timeframe: String,
    /// First opening time: RFC 3339, a date for its midnight in UTC, or epoch seconds or milliseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// Last opening time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// When candles are expected: learned, 24x7, or a session such as 1700-1700:23456 [default: learned]
    #[arg(long)]
    session: Option<String>,
    /// Zone by which the week is counted [default: America/New_York]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    tz: Option<String>,
    /// Minimum number of periods of a gap [default: 1]
    #[arg(long, value_name = "PERIODS")]
    min: Option<String>,
    /// Maximum number of gaps to list [default: 1000]
    #[arg(long, value_name = "GAPS")]
    limit: Option<String>,
    /// Print the report as the service answers it
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
}

impl ExportFlags {
    /// The format, by the flag or the ending of the file.
    pub(crate) fn file_format(&self) -> Result<FileFormat, HistoryError> {
        let ending = self.output.as_ref().filter(|_| !self.all).and_then(|path| path.extension()?.to_str());
        let of = |name: &str| match name.to_ascii_lowercase().as_str() {
            "csv" => Some(FileFormat::Csv),
            "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
            "parquet" => Some(FileFormat::Parquet),
            _ => None,
        };
        let unknown = HistoryError::Usage("--format must be csv, ndjson or parquet, as the ending of --output may be");
        match (&self.format, &self.output) {
            (Some(format), _) => of(format).ok_or(unknown),
            (None, Some(path)) if !self.all && path.as_os_str() != "-" => ending.and_then(of).ok_or(unknown),
            (None, _) => Ok(FileFormat::Csv),
        }
    }

    /// The target of one series.
    pub(crate) fn target(&self) -> Target {
        match &self.output {
            Some(path) if path.as_os_str() != "-" => Target::File(path.clone()),
            _ => Target::Stdout,
        }
    }

    /// The folder for all series.
    pub(crate) fn folder(&self) -> PathBuf {
        self.output.clone().unwrap_or_default()
    }

    /// The parameters of one series, as the service takes them.
    pub(crate) fn of_series(&self) -> Vec<(&'static str, String)> {
        let mut parameters = self.of_every_series();
        parameters.extend(self.symbol.clone().map(|symbol| ("symbol", symbol)));
        parameters.extend(self.timeframe.clone().map(|timeframe| ("timeframe", timeframe)));
        parameters
    }

    /// The parameters that all series have in common.
    pub(crate) fn of_every_series(&self) -> Vec<(&'static str, String)> {
        let named = [
            ("source", &self.source),
            ("align", &self.align),
            ("week", &self.week),
            ("from", &self.from),
            ("to", &self.to),
            ("time", &self.time),
            ("prices", &self.prices),
        ];
        let given = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        given.chain(self.forming.then(|| ("forming", "true".to_owned()))).collect()
    }

    /// The series of `--all`. With `--source`, they are the series that are stored in that timeframe, and
    /// `--timeframe` is built from them.
    pub(crate) fn filter(&self) -> Result<SeriesFilter, HistoryError> {
        let invalid = |name: &str, error| {
            HistoryError::Invalid(vec![crate::validation::FieldError::new(["query".into(), name.into()], error)])
        };
        let symbol = self.symbol.as_deref().map(Symbol::parse).transpose().map_err(|error| invalid("symbol", error))?;
        let parse = |name, text: &Option<String>| {
            text.as_deref().map(Timeframe::parse).transpose().map_err(|error| invalid(name, error))
        };
        let (timeframe, source) = (parse("timeframe", &self.timeframe)?, parse("source", &self.source)?);
        match (source, timeframe) {
            (Some(source), Some(built)) => Ok(SeriesFilter { symbol, stored: Some(source), built: Some(built) }),
            (Some(_), None) => Err(HistoryError::Usage("--source needs --timeframe, which is built from it")),
            (None, stored) => Ok(SeriesFilter { symbol, stored, built: None }),
        }
    }
}

impl GapsFlags {
    /// The parameters as the service takes them.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let required =
            [("symbol", &self.symbol), ("timeframe", &self.timeframe), ("from", &self.from), ("to", &self.to)];
        let optional = [("session", &self.session), ("tz", &self.tz), ("min", &self.min), ("limit", &self.limit)];
        let given = optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        required.into_iter().map(|(name, value)| (name, value.clone())).chain(given).collect()
    }
}
