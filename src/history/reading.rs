//! Plans how one file is read, by its own content ([`dialects::detect`]) and the flags, and says which facts are
//! missing. Then reads it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decode::Decoded;
use super::import_flags::ReadSettings;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::open::{Input, Opened, open};
use candle::{Symbol, Timeframe, Timestamp};
use dialects::{
    DateForm, DayMonth, DayMonthVotes, Dialect, Fault, FaultKind, FileReader, HST_HEADER_BYTES, HstHeader, Layout,
    Output, ReadOptions, RowOptions, RowReader, Sample, Symbols, VolumeChoice, ZoneOfFile, detect,
};

/// The number of lines between two checks whether the command was stopped.
const LINES_BETWEEN_LOOKS: u64 = 4096;

/// The reason for which a file is not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file cannot be opened, or breaks off.
    File(io::Error),
    /// A flag has to be given, or the file changed. A text of one or more lines whose subject is the file.
    Refused(String),
    /// The file does not say its zone, and neither do the flags. Holds a reader that takes its times for UTC, so that its
    /// weekends can be compared with those of the usual zones.
    NoZone(Box<Plan>),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// The look of a file.
#[derive(Debug, Clone)]
pub(super) enum Look {
    Text {
        encoding: String,
        /// `LF` or `CRLF`.
        line_end: &'static str,
    },
    Binary(HstHeader),
}

/// The source of a file's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZoneSource {
    Flag,
    File,
    Value,
}

/// The plan for reading one file.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) input: Input,
    pub(super) compression: Option<&'static str>,
    pub(super) look: Look,
    /// The reader of its lines, before the first line.
    pub(super) reader: FileReader,
    pub(super) sample: Sample,
    pub(super) zone_source: ZoneSource,
    /// True if the timeframe was given by a flag, because the steps of the sample do not show it.
    pub(super) timeframe_was_given: bool,
}

/// A file whose first bytes were examined.
pub(super) struct Source {
    lines: Lines<Decoded>,
    position: Arc<AtomicU64>,
    length: Option<u64>,
    encoding: String,
    compression: Option<&'static str>,
}

impl Source {
    pub(super) fn open(input: &Input, settings: &ReadSettings) -> io::Result<Self> {
        let Opened { bytes, position, length, compression } = open(input, settings.max_bytes)?;
        let decoded = Decoded::new(bytes, settings.encoding)?;
        let encoding = decoded.encoding_name();
        Ok(Self { lines: Lines::new(decoded), position, length, encoding, compression })
    }
}

/// Plans how to read the file of `source`. If the dates do not settle the order of day and month in the first lines,
/// the file is opened again, if that is possible.
pub(super) fn plan(
    input: &Input,
    source: &mut Source,
    settings: &ReadSettings,
    now: Timestamp,
) -> Result<Plan, ReadError> {
    refuse_by_ending(input)?;
    let head = source.lines.head()?.to_vec();
    if let Some(header) = HstHeader::read(&head) {
        let header = header.map_err(ReadError::Refused)?;
        return plan_binary(input, source, header, &head, settings, now);
    }
    if head.contains(&0) {
        return Err(ReadError::Refused(
            "is not a text; if it is one in another encoding, say so with --encoding".to_owned(),
        ));
    }
    let mut layout = match &settings.columns {
        Some(given) => given.layout(&head).map_err(ReadError::Refused)?,
        None => detect(&head, settings.dialect).map_err(|error| ReadError::Refused(error.to_string()))?,
    };
    let order = day_month(input, &layout, &head, settings)?;
    layout.order = Some(order);
    check_volume(&layout, settings)?;
    let line_end =
        if memchr::memchr(b'\n', &head).is_some_and(|end| end > 0 && head[end - 1] == b'\r') { "CRLF" } else { "LF" };
    let rows = RowReader::new(layout, row_options(settings, order));
    let sample = Sample::read(&head, &rows);
    let (timeframe, timeframe_was_given) = timeframe(&sample, settings)?;
    let symbols = symbols(rows.layout().columns.ticker.is_some(), None, settings)?;
    let zone = zone(rows.layout(), settings)?;
    let options = ReadOptions {
        clock: match &zone {
            Some((clock, _)) => clock.clone(),
            None => Some(calendar::WallClock::utc()),
        },
        timeframe,
        falling: sample.falling,
        labels_close: settings.labels_close,
        ambiguous: settings.ambiguous,
        symbols,
        now,
    };
    let plan = Plan {
        input: input.clone(),
        compression: source.compression,
        look: Look::Text { encoding: source.encoding.clone(), line_end },
        reader: FileReader::new(rows, options),
        sample,
        zone_source: zone.as_ref().map_or(ZoneSource::Flag, |(_, source)| *source),
        timeframe_was_given,
    };
    if zone.is_none() { Err(ReadError::NoZone(Box::new(plan))) } else { Ok(plan) }
}

fn refuse_by_ending(input: &Input) -> Result<(), ReadError> {
    let kind = match input.ending().as_str() {
        "fxt" => "a MetaTrader 4 file of tester ticks (.fxt)",
        "hcc" | "hc" => "a MetaTrader 5 history cache (.hcc), whose form is not public",
        _ => return Ok(()),
    };
    Err(ReadError::Refused(format!("is {kind}; export candles from the terminal instead (Symbols, Bars, Export Bars)")))
}

fn row_options(settings: &ReadSettings, order: DayMonth) -> RowOptions {
    RowOptions { volume: settings.volume.0, order, skip_empty: settings.skip_empty, drop_flat: settings.drop_flat }
}

/// The order of days and months, by the dialect, the flag or all dates of the file.
fn day_month(input: &Input, layout: &Layout, head: &[u8], settings: &ReadSettings) -> Result<DayMonth, ReadError> {
    let Some(DateForm::YearLast(mark)) = layout.form.map(|form| form.date) else {
        return Ok(settings.dates.unwrap_or(DayMonth::DayFirst));
    };
    if let Some(order) = settings.dates {
        return Ok(order);
    }
    // A dialect with points has a fixed order. Slashes show that another program has saved the file again.
    if let Some(order) = layout.order.filter(|_| mark == b'.') {
        return Ok(order);
    }
    let mut votes = DayMonthVotes::default();
    for line in head.split(|&byte| byte == b'\n').skip(layout.head_lines) {
        votes.look_at(line, layout);
    }
    if votes.order().is_none() && *input != Input::Stdin {
        let mut source = Source::open(input, settings)?;
        while votes.order().is_none() {
            match source.lines.next()? {
                Some(Line::Text(line)) => votes.look_at(line, layout),
                Some(Line::TooLong) => {}
                None => break,
            }
        }
    }
    votes.order().ok_or_else(|| {
        ReadError::Refused(
            "has dates in which day and month cannot be told apart\n  choose with --dates dmy (day first) or --dates mdy"
                .to_owned(),
        )
    })
}

/// The volume choices that the file has no column for.
fn check_volume(layout: &Layout, settings: &ReadSettings) -> Result<(), ReadError> {
    let (choice, _) = settings.volume;
    let missing = match choice {
        VolumeChoice::Trades if layout.columns.trades.is_none() => "no column that counts trades",
        VolumeChoice::Scaled(_) | VolumeChoice::Rounded if layout.columns.volume.is_none() => "no column of volumes",
        _ => return Ok(()),
    };
    Err(ReadError::Refused(format!("has {missing}; choose another --volume, such as none")))
}

/// The timeframe, and whether it came from the flag because the steps do not show it.
fn timeframe(sample: &Sample, settings: &ReadSettings) -> Result<(Timeframe, bool), ReadError> {
    if let Some(said) = sample.timeframe {
        return match settings.timeframe {
            Some(given) if given != said => {
                Err(ReadError::Refused(format!("says that its candles are {said}; leave --timeframe {given} out")))
            }
            _ => Ok((said, false)),
        };
    }
    match (settings.timeframe, sample.steps.timeframe()) {
        (Some(given), Some(told)) if told.timeframe != given && told.is_most() => {
            Err(ReadError::Refused(wrong_timeframe(given, told.timeframe)))
        }
        (Some(given), told) => Ok((given, told.is_none_or(|told| told.timeframe != given))),
        (None, Some(told)) => Ok((told.timeframe, false)),
        (None, None) => Err(ReadError::Refused(
            "has steps that do not show the timeframe; give it, as in --timeframe M1".to_owned(),
        )),
    }
}

pub(super) fn wrong_timeframe(given: Timeframe, told: Timeframe) -> String {
    format!("has candles of {told} by its steps; leave --timeframe {given} out, or correct it")
}

fn symbols(has_tickers: bool, said: Option<&str>, settings: &ReadSettings) -> Result<Symbols, ReadError> {
    match (&settings.symbols, said) {
        (Some(Symbols::ByTicker { .. }), _) if !has_tickers => {
            Err(ReadError::Refused("has no column of tickers; name its instrument with --symbol".to_owned()))
        }
        (Some(symbols), _) => Ok(symbols.clone()),
        (None, Some(name)) => {
            let symbol = Symbol::parse(name).map_err(|error| {
                ReadError::Refused(format!("says its instrument is {name:?}, which {}; give --symbol", error.message))
            })?;
            Ok(Symbols::One(symbol))
        }
        (None, None) if has_tickers => Ok(Symbols::ByTicker { named: std::collections::BTreeMap::new(), all: false }),
        (None, None) => Err(ReadError::Refused(
            "does not say its instrument; name it with --symbol, such as --symbol EURUSD".to_owned(),
        )),
    }
}

/// The clock of the file and its source; `None` if neither the file nor a flag says it. The clock is `None` if each
/// line has its offset.
fn zone(
    layout: &Layout,
    settings: &ReadSettings,
) -> Result<Option<(Option<calendar::WallClock>, ZoneSource)>, ReadError> {
    let given = settings.clock.as_ref();
    let beside = |said: &str| {
        let given = given.map(ToString::to_string).unwrap_or_default();
        ReadError::Refused(format!("{said}; leave --tz {given} out"))
    };
    match &layout.zone {
        ZoneOfFile::InValue => match given {
            Some(clock) if !clock.is_utc() => Err(beside("says the zone of each time itself")),
            _ => Ok(Some((None, ZoneSource::Value))),
        },
        ZoneOfFile::Says(zone) => {
            let clock = dialects::parse_zone(zone).map_err(ReadError::Refused)?;
            match given {
                Some(given) if *given != clock => {
                    Err(beside(&format!("is of {}, whose times are those of {clock}", layout.title())))
                }
                _ => Ok(Some((Some(clock), ZoneSource::File))),
            }
        }
        ZoneOfFile::Unsaid => Ok(given.map(|clock| (Some(clock.clone()), ZoneSource::Flag))),
    }
}

fn plan_binary(
    input: &Input,
    source: &Source,
    header: HstHeader,
    head: &[u8],
    settings: &ReadSettings,
    now: Timestamp,
) -> Result<Plan, ReadError> {
    if let Some(other) = settings.dialect.filter(|dialect| dialect.name != "hst") {
        return Err(ReadError::Refused(format!("is a MetaTrader 4 .hst file, and not {}", other.title)));
    }
    if matches!(settings.volume.0, VolumeChoice::Trades | VolumeChoice::Scaled(_) | VolumeChoice::Rounded) {
        return Err(ReadError::Refused("has whole volumes; leave --volume out, or give none".to_owned()));
    }
    if let Some(given) = settings.timeframe.filter(|given| *given != header.timeframe) {
        return Err(ReadError::Refused(wrong_timeframe(given, header.timeframe)));
    }
    let dialect: &'static Dialect =
        dialects::named("hst").ok_or_else(|| ReadError::Refused("is not known".to_owned()))?;
    let layout = Layout::binary(dialect);
    let symbols = symbols(false, Some(&header.symbol), settings)?;
    let rows = RowReader::new(layout, row_options(settings, DayMonth::DayFirst));
    let mut sample = Sample::default();
    let first = head.get(HST_HEADER_BYTES..HST_HEADER_BYTES + header.record_bytes());
    if let Some(Ok(row)) = first.map(|record| header.row(record, settings.volume.0)) {
        sample.first_time = Some((row.reading.to_string(), row.reading, None));
    }
    let timeframe = header.timeframe;
    let options = ReadOptions {
        clock: Some(settings.clock.clone().unwrap_or_else(calendar::WallClock::utc)),
        timeframe,
        falling: false,
        labels_close: settings.labels_close,
        ambiguous: settings.ambiguous,
        symbols,
        now,
    };
    let plan = Plan {
        input: input.clone(),
        compression: source.compression,
        look: Look::Binary(header),
        reader: FileReader::new(rows, options),
        sample,
        zone_source: ZoneSource::Flag,
        timeframe_was_given: false,
    };
    if settings.clock.is_none() { Err(ReadError::NoZone(Box::new(plan))) } else { Ok(plan) }
}

/// The progress of a reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// The length of the file, if it is known.
    pub(super) length: Option<u64>,
    /// Candles that were read.
    pub(super) candles: u64,
}

/// The result of reading a file, to its end or to the point at which the command was stopped.
pub(super) struct Reading {
    /// The reader, with what it counted.
    pub(super) reader: FileReader,
    /// True if the end of the file was reached.
    pub(super) ended: bool,
}

/// Reads a file as `plan` says and hands its candles and faults to `output`. Asks `goes_on` now and then.
pub(super) fn read<O: Output>(
    plan: &Plan,
    mut source: Source,
    output: &mut O,
    goes_on: &mut dyn FnMut(Position, &mut O) -> bool,
) -> io::Result<Reading> {
    let mut reader = plan.reader.clone();
    let mut number = 0;
    let mut record = [0; 64];
    if let Look::Binary(_) = plan.look {
        source.lines.record(&mut [0; HST_HEADER_BYTES])?;
    }
    let head_lines = reader.rows().layout().head_lines as u64;
    loop {
        number += 1;
        let more = match &plan.look {
            Look::Binary(header) => {
                let record = &mut record[..header.record_bytes()];
                let length = source.lines.record(record)?;
                if length == record.len() {
                    reader.binary_row(number, header.row(record, reader_volume(&reader)), output);
                } else if length > 0 {
                    let fault = Fault::new(FaultKind::Shape, "the file breaks off in the middle of a candle");
                    reader.unreadable(number, fault, output);
                }
                length > 0
            }
            Look::Text { .. } => match source.lines.next()? {
                Some(_) if number <= head_lines => true,
                Some(Line::Text(line)) => {
                    reader.line(number, line, output);
                    true
                }
                Some(Line::TooLong) => {
                    let message = format!("the line has more than {MAX_LINE_BYTES} bytes");
                    reader.unreadable(number, Fault::new(FaultKind::Length, message), output);
                    true
                }
                None => false,
            },
        };
        if !more {
            reader.finish(output);
            return Ok(Reading { reader, ended: true });
        }
        if number % LINES_BETWEEN_LOOKS == 0 {
            let position = Position {
                bytes: source.position.load(Ordering::Relaxed),
                length: source.length,
                candles: reader.counts().candles,
            };
            if !goes_on(position, output) {
                return Ok(Reading { reader, ended: false });
            }
        }
    }
}

fn reader_volume(reader: &FileReader) -> VolumeChoice {
    reader.rows().options().volume
}
