//! The flags of the commands that read files, and what they mean together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use encoding_rs::Encoding;

use super::decode;
use candle::{Symbol, Timeframe};
use dialects::{Ambiguous, DayMonth, Dialect, GivenColumns, Symbols, VolumeChoice, named, nearest, parse_zone};

/// The files of `import` and `verify`, and the facts that they do not hold themselves.
#[derive(Debug, Args)]
pub(crate) struct FileFlags {
    /// Files of candles: plain, .gz, .zst or .zip; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Instrument of the files
    #[arg(long, value_name = "NAME")]
    symbol: Option<String>,
    /// Instrument of a ticker in files that hold several; may be given again
    #[arg(long, value_name = "TICKER=NAME")]
    map: Vec<String>,
    /// Take all tickers of the files as they are
    #[arg(long)]
    all_symbols: bool,
    /// Timeframe, such as M1 or H1, if the steps between candles do not show it
    #[arg(long)]
    timeframe: Option<String>,
    /// Zone of the times: UTC, ny+7 (New York + 7 h, as most brokers have it), Europe/Athens, +03:00
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    tz: Option<String>,
    /// Meaning of a local time that comes twice in autumn and once in the file: earlier or later
    #[arg(long, value_name = "WHICH")]
    ambiguous: Option<String>,
    /// Order of days and months, where the file does not settle it: dmy or mdy
    #[arg(long, value_name = "ORDER")]
    dates: Option<String>,
    /// End of a candle that its time stamps: open or close [default: open]
    #[arg(long, value_name = "END")]
    labels: Option<String>,
    /// Source of the volume: whole, trades, none, scaled:N or rounded [default: whole]
    #[arg(long, value_name = "HOW")]
    volume: Option<String>,
    /// Skip candles of four equal prices and no volume
    #[arg(long)]
    drop_flat: bool,
    /// Skip lines without prices (empty, NaN, null)
    #[arg(long)]
    skip_empty: bool,
    /// Kind of file, if it is not recognised by its look
    #[arg(long, value_name = "NAME")]
    dialect: Option<String>,
    /// Columns of a file of no known kind, from 0, such as time=0+1,open=2,high=3,low=4,close=5,volume=6
    #[arg(long, value_name = "COLUMNS", conflicts_with = "dialect")]
    columns: Option<String>,
    /// With --columns: form of the times, such as '%d/%m/%Y %H:%M'
    #[arg(long, value_name = "FORMAT", requires = "columns")]
    time_format: Option<String>,
    /// With --columns: the character between two columns
    #[arg(long, value_name = "CHARACTER", requires = "columns")]
    delimiter: Option<String>,
    /// With --columns: the mark before fractions, . or ,
    #[arg(long, value_name = "MARK", requires = "columns")]
    decimal: Option<String>,
    /// Encoding of files without a mark of it, such as windows-1252 or utf-16le [default: utf-8]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Members to read of a .zip, such as '*.csv' [default: all]
    #[arg(long, value_name = "PATTERN")]
    pub(crate) member: Option<String>,
    /// Maximum number of bytes that come out of a compressed file [default: 100 times its size]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,
}

/// The flags of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    #[command(flatten)]
    pub(crate) file: FileFlags,
    /// Leave bad lines out, and write them with their reasons to FILE if it is given
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "the flag may stand alone or have a file")]
    skip_bad: Option<Option<PathBuf>>,
    /// Write while the file is read for the first time, so that a bad line in it ends an import of which a part is stored
    #[arg(long)]
    pub(crate) one_pass: bool,
    /// Read and check the files, and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) service: PostFlags,
}

/// The flags of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyFlags {
    #[command(flatten)]
    pub(crate) file: FileFlags,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) service: super::ServiceFlags,
}

/// A running service to post to in place of the database.
#[derive(Debug, Args)]
pub(crate) struct PostFlags {
    /// Post to the service at this address in place of the database
    #[arg(long, requires = "key_file")]
    pub(crate) url: Option<String>,
    /// File that holds an ingest key of the service
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The treatment of bad lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadLines {
    /// Nothing of the file is stored.
    Refuse,
    /// They are left out.
    Skip,
    /// They are left out and written to a file.
    Keep(PathBuf),
}

impl ImportFlags {
    pub(super) fn bad_lines(&self) -> BadLines {
        match &self.skip_bad {
            None => BadLines::Refuse,
            Some(None) => BadLines::Skip,
            Some(Some(path)) => BadLines::Keep(path.clone()),
        }
    }
}

/// The options for reading files.
#[derive(Debug, Clone)]
pub(super) struct ReadSettings {
    pub(super) symbols: Option<Symbols>,
    pub(super) timeframe: Option<Timeframe>,
    pub(super) clock: Option<calendar::WallClock>,
    pub(super) ambiguous: Option<Ambiguous>,
    pub(super) dates: Option<DayMonth>,
    pub(super) labels_close: bool,
    /// The source of the volume, and whether it was given.
    pub(super) volume: (VolumeChoice, bool),
    pub(super) drop_flat: bool,
    pub(super) skip_empty: bool,
    pub(super) dialect: Option<&'static Dialect>,
    pub(super) columns: Option<GivenColumns>,
    pub(super) encoding: Option<&'static Encoding>,
    pub(super) max_bytes: Option<u64>,
}

impl FileFlags {
    /// Reads the flags.
    ///
    /// # Errors
    /// The mistake in the first invalid flag. It begins with the flag's name.
    pub(super) fn settings(&self) -> Result<ReadSettings, String> {
        let one_of = |name: &str, given: &Option<String>, values: &[&str]| -> Result<Option<usize>, String> {
            let Some(given) = given else { return Ok(None) };
            let found = values.iter().position(|value| given.eq_ignore_ascii_case(value));
            found.map(Some).ok_or_else(|| format!("--{name} must be {}", values.join(" or ")))
        };
        let of_values = |error: candle::ValueError| error.message.replace("; send ", "; give ");
        let timeframe = self.timeframe.as_deref().map(Timeframe::parse).transpose();
        let volume = match self.volume.as_deref().map(|text| (text, VolumeChoice::parse(text))) {
            None => (VolumeChoice::Whole, false),
            Some((_, Some(choice))) => (choice, true),
            Some((text, None)) => {
                return Err(format!(
                    "--volume is {text}; give whole, trades, none, scaled:N (N from 1 to 18) or rounded"
                ));
            }
        };
        let encoding = match &self.encoding {
            None => None,
            Some(name) => Some(decode::encoding(name).ok_or_else(|| {
                format!("--encoding is {name}, which is not known; give one such as utf-8, utf-16le or windows-1252")
            })?),
        };
        Ok(ReadSettings {
            symbols: self.symbols()?,
            timeframe: timeframe.map_err(|error| format!("--timeframe {}", of_values(error)))?,
            clock: match &self.tz {
                None => None,
                Some(zone) => Some(parse_zone(zone).map_err(|error| format!("--tz {error}"))?),
            },
            ambiguous: one_of("ambiguous", &self.ambiguous, &["earlier", "later"])?
                .map(|at| [Ambiguous::Earlier, Ambiguous::Later][at]),
            dates: one_of("dates", &self.dates, &["dmy", "mdy"])?
                .map(|at| [DayMonth::DayFirst, DayMonth::MonthFirst][at]),
            labels_close: one_of("labels", &self.labels, &["open", "close"])? == Some(1),
            volume,
            drop_flat: self.drop_flat,
            skip_empty: self.skip_empty,
            dialect: self.dialect()?,
            columns: self.given_columns()?,
            encoding,
            max_bytes: self.max_bytes,
        })
    }

    fn symbols(&self) -> Result<Option<Symbols>, String> {
        let symbol = |flag: &str, text: &str| {
            Symbol::parse(text).map_err(|error| format!("--{flag} {}", error.message.replace("; send ", "; give ")))
        };
        if let Some(text) = &self.symbol {
            if !self.map.is_empty() || self.all_symbols {
                return Err(
                    "--symbol names all of a file, and --map and --all-symbols name its tickers; give one of the two"
                        .to_owned(),
                );
            }
            return Ok(Some(Symbols::One(symbol("symbol", text)?)));
        }
        if self.map.is_empty() && !self.all_symbols {
            return Ok(None);
        }
        let mut named = BTreeMap::new();
        for pair in &self.map {
            let (ticker, name) = pair
                .split_once('=')
                .ok_or_else(|| format!("--map is {pair}; give a ticker and its symbol, such as AAPL.US=AAPL"))?;
            named.insert(ticker.to_owned(), symbol("map", name)?);
        }
        Ok(Some(Symbols::ByTicker { named, all: self.all_symbols }))
    }

    fn dialect(&self) -> Result<Option<&'static Dialect>, String> {
        let Some(name) = self.dialect.as_deref() else { return Ok(None) };
        if let Some(dialect) = named(name) {
            return Ok(Some(dialect));
        }
        if name == "columns" {
            return Err("--dialect columns needs --columns, and is not needed beside it".to_owned());
        }
        let meant = nearest(name).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        let names: Vec<_> = dialects::names().collect();
        Err(format!("--dialect is {name}, which is not known{meant}\n  known are {} and columns", names.join(" ")))
    }

    fn given_columns(&self) -> Result<Option<GivenColumns>, String> {
        let Some(columns) = &self.columns else { return Ok(None) };
        let byte = |flag: &str, given: &Option<String>| -> Result<Option<u8>, String> {
            match given.as_deref() {
                None => Ok(None),
                Some("tab" | "\\t") => Ok(Some(b'\t')),
                Some(text) => match text.as_bytes() {
                    [byte] if byte.is_ascii() => Ok(Some(*byte)),
                    _ => Err(format!("--{flag} must be one character")),
                },
            }
        };
        let decimal = byte("decimal", &self.decimal)?;
        if decimal.is_some_and(|mark| !matches!(mark, b'.' | b',')) {
            return Err("--decimal must be . or ,".to_owned());
        }
        let delimiter = byte("delimiter", &self.delimiter)?;
        if decimal.is_some() && decimal == delimiter {
            return Err("--decimal and --delimiter cannot be the same character".to_owned());
        }
        let time_format = self.time_format.clone();
        Ok(Some(GivenColumns { columns: columns.clone(), time_format, delimiter, decimal }))
    }
}
