//! A line as a candle's time, prices and volume.

use std::borrow::Cow;

use candle::{Ohlc, OhlcField, Price, Timeframe, Volume};
use chrono::format::{Item, Parsed, StrftimeItems, parse};

use crate::detect::is_nothing;
use crate::fields::{Fields, quoted};
use crate::layout::Layout;
use crate::times::{DateForm, DayMonth, FileTime, TimeError, TimeForm, parse_epoch, parse_time};
use crate::volume::{self, Loss, VolumeChoice, VolumeError};

/// The values that are read from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Seconds since 1970-01-01T00:00:00 on the clock of the file.
    pub reading: i64,
    /// The seconds that this clock is ahead of UTC, if the line says it.
    pub offset: Option<i64>,
    /// Open, high, low and close.
    pub ohlc: Ohlc,
    /// Ticks.
    pub volume: Volume,
    /// The instrument, empty in files that hold one.
    pub ticker: &'a [u8],
    /// The timeframe, if the line says it.
    pub timeframe: Option<Timeframe>,
}

/// The content of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineContent<'a> {
    /// A candle.
    Row(Row<'a>),
    /// Nothing.
    Blank,
    /// A time without prices.
    Empty,
    /// Four equal prices and a volume of 0.
    Flat,
}

/// The kind of a fault, by which advice is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The line does not have the shape of the file.
    Shape,
    /// Its time cannot be read.
    Time,
    /// Its prices cannot be read, or contradict each other.
    Prices,
    /// Its prices are missing.
    Empty,
    /// Its volume has a fraction.
    Fraction,
    /// Its volume cannot be read.
    Volume,
    /// Its time is skipped by the clocks of the zone.
    Skipped,
    /// Its time comes twice in the zone, and nothing says which is meant.
    Ambiguous,
    /// It is out of order, or contradicts another line.
    Order,
    /// No candle of the timeframe opens at its time.
    Opening,
    /// It lies in the future.
    Future,
    /// Its ticker has no symbol.
    Symbol,
    /// It has another timeframe.
    Timeframe,
    /// It is too long to be read.
    Length,
}

/// A mistake in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// A clause for people.
    pub message: String,
}

impl Fault {
    /// A fault of a kind, with the clause that explains it.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The options for reading rows, besides the layout.
#[derive(Debug, Clone, Copy)]
pub struct RowOptions {
    /// The source of the volume.
    pub volume: VolumeChoice,
    /// The order of day and month where the year comes last.
    pub order: DayMonth,
    /// True if lines without prices are skipped.
    pub skip_empty: bool,
    /// True if flat candles without volume are skipped.
    pub drop_flat: bool,
}

/// Reads the lines of a file.
#[derive(Debug, Clone)]
pub struct RowReader {
    layout: Layout,
    options: RowOptions,
    /// The form of times, from the first line on.
    form: Option<TimeForm>,
    format: Option<Vec<Item<'static>>>,
    /// The column that becomes the volume.
    volume: Option<usize>,
    loss: Loss,
}

impl RowReader {
    /// Reads lines of `layout`.
    #[must_use]
    pub fn new(layout: Layout, options: RowOptions) -> Self {
        let volume = match options.volume {
            VolumeChoice::None => None,
            VolumeChoice::Trades => layout.columns.trades,
            _ => layout.columns.volume,
        };
        let format = layout.time_format.as_deref().and_then(|format| time_items(format).ok());
        Self { form: layout.form, layout, options, format, volume, loss: Loss::default() }
    }

    /// A reader of the same lines that ignores volumes, so that a fault in a volume does not hide a line's time.
    pub(crate) fn for_times(&self) -> Self {
        let options = RowOptions { volume: VolumeChoice::None, drop_flat: false, ..self.options };
        Self { options, volume: None, ..self.clone() }
    }

    /// The layout.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The options for reading rows.
    #[must_use]
    pub fn options(&self) -> RowOptions {
        self.options
    }

    /// The column that becomes the volume, if there is one.
    #[must_use]
    pub fn volume_column(&self) -> Option<usize> {
        self.volume
    }

    /// The sum of what rounding has changed so far.
    #[must_use]
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Reads a line, given without its line ending.
    ///
    /// # Errors
    /// The mistake in the line.
    pub fn read<'a>(&mut self, line: &'a [u8]) -> Result<LineContent<'a>, Fault> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(LineContent::Blank);
        }
        let shape = |error: &dyn std::fmt::Display| Fault::new(FaultKind::Shape, format!("the line {error}"));
        let fields = Fields::split(line, self.layout.delimiter).map_err(|error| shape(&error))?;
        self.check_count(&fields)?;
        let time = self.time(&fields)?;
        let columns = &self.layout.columns;
        let prices = columns.prices.map(|at| fields.get(at));
        if prices.iter().any(|price| is_nothing(price)) && prices.iter().all(|price| is_nothing(price)) {
            return if self.options.skip_empty {
                Ok(LineContent::Empty)
            } else {
                Err(Fault::new(FaultKind::Empty, "the line has a time and no prices"))
            };
        }
        let ohlc = read_prices(prices, self.layout.decimal)?;
        let volume = match self.volume {
            None => Volume::from_ticks(0).map_err(|error| Fault::new(FaultKind::Volume, error.message))?,
            Some(at) => {
                let text = number_text(fields.get(at), self.layout.decimal);
                let read = volume::read(&text, self.options.volume, &mut self.loss);
                read.map_err(|error| volume_fault(fields.get(at), error))?
            }
        };
        if self.options.drop_flat && volume.get() == 0 && is_flat(&ohlc) {
            return Ok(LineContent::Flat);
        }
        let timeframe = match columns.period {
            Some(at) => Some(period(fields.get(at))?),
            None => None,
        };
        let ticker = columns.ticker.map_or(&[][..], |at| fields.get(at));
        let FileTime { reading, offset, .. } = time;
        Ok(LineContent::Row(Row { reading, offset, ohlc, volume, ticker, timeframe }))
    }

    fn check_count(&self, fields: &Fields<'_>) -> Result<(), Fault> {
        let Some(expected) = self.layout.columns.count else { return Ok(()) };
        if fields.as_slice().len() == expected {
            return Ok(());
        }
        let found = fields.without_empty_end().len();
        if found <= expected && fields.as_slice().len() > expected {
            return Ok(());
        }
        // Trailing columns that are left out may be missing.
        let columns = &self.layout.columns;
        let needed = columns.prices.iter().copied().chain([columns.date]).chain(columns.time).chain(self.volume).max();
        if found > needed.unwrap_or(0) && found <= expected {
            return Ok(());
        }
        let mut message = format!("the line has {found} fields in place of {expected}");
        if self.layout.delimiter == b',' && found > expected + 3 {
            message.push_str(
                "; if commas precede decimals too, nothing tells them apart: export the file with points or semicolons",
            );
        }
        Err(Fault::new(FaultKind::Shape, message))
    }

    fn time(&mut self, fields: &Fields<'_>) -> Result<FileTime, Fault> {
        let columns = &self.layout.columns;
        let date = fields.get(columns.date);
        let mut joined = [0; 64];
        let text = match columns.time {
            None => date,
            Some(time) => {
                let time = fields.get(time);
                let length = date.len() + 1 + time.len();
                let Some(joined) = joined.get_mut(..length) else {
                    return Err(time_fault(date, TimeError::Unknown));
                };
                joined[..date.len()].copy_from_slice(date);
                joined[date.len()] = b' ';
                joined[date.len() + 1..].copy_from_slice(time);
                joined.trim_ascii_end()
            }
        };
        let read = match (&self.format, self.form) {
            (Some(items), _) => parse_format(text, items),
            (None, Some(TimeForm { date: DateForm::Epoch, .. })) => parse_epoch(text),
            (None, _) => parse_time(text, self.options.order),
        };
        let time = read.map_err(|error| time_fault(text, error))?;
        let form = *self.form.get_or_insert(time.form);
        if time.form != form {
            let message = format!(
                "the time {} has another form than those before it, {}",
                quoted(text),
                form.name(self.options.order)
            );
            return Err(Fault::new(FaultKind::Time, message));
        }
        Ok(time)
    }
}

fn time_fault(text: &[u8], error: TimeError) -> Fault {
    let message = if text.is_empty() {
        "the time is empty".to_owned()
    } else {
        format!("the time is {}, which {error}", quoted(text))
    };
    Fault::new(FaultKind::Time, message)
}

fn volume_fault(field: &[u8], error: VolumeError) -> Fault {
    match error {
        VolumeError::Fraction => {
            Fault::new(FaultKind::Fraction, format!("the volume is {}, which has a fraction", quoted(field)))
        }
        VolumeError::Other(message) => Fault::new(FaultKind::Volume, format!("the volume {}", wrong(&message))),
    }
}

/// The mistake alone, without the advice that is meant for clients that post candles.
fn wrong(message: &str) -> &str {
    message.split("; send ").next().unwrap_or(message)
}

/// The text of a number with a point before its fraction.
fn number_text(field: &[u8], decimal: u8) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(field);
    if decimal == b',' {
        // Where commas precede decimals, a point separates thousands. It is replaced by an apostrophe, so that the
        // number is refused.
        return Cow::Owned(text.replace('.', "'").replace(',', "."));
    }
    text
}

fn read_prices(fields: [&[u8]; 4], decimal: u8) -> Result<Ohlc, Fault> {
    let mut prices = [None; 4];
    for ((price, field), name) in prices.iter_mut().zip(fields).zip(OhlcField::ALL) {
        let read = match std::str::from_utf8(field) {
            Ok(text) if decimal == b'.' => Price::parse(text),
            _ => Price::parse(&number_text(field, decimal)),
        };
        *price = Some(read.map_err(|error| {
            Fault::new(FaultKind::Prices, format!("the {} {}", name.name(), wrong(&error.message)))
        })?);
    }
    let [Some(open), Some(high), Some(low), Some(close)] = prices else {
        return Err(Fault::new(FaultKind::Prices, "a price is missing"));
    };
    Ohlc::new([open, high, low, close]).map_err(|contradictions| {
        let said = contradictions.iter().map(|(field, error)| format!("the {} {}", field.name(), error.message));
        Fault::new(FaultKind::Prices, said.collect::<Vec<_>>().join(", "))
    })
}

fn is_flat(ohlc: &Ohlc) -> bool {
    let [open, high, low, close] = OhlcField::ALL.map(|field| ohlc.get(field));
    open == high && high == low && low == close
}

/// The timeframe of a column `<PER>`: `D`, `W`, `M`, or a number of minutes.
fn period(field: &[u8]) -> Result<Timeframe, Fault> {
    let text = String::from_utf8_lossy(field);
    let found = match &*text {
        "D" => Some(Timeframe::D1),
        "W" => Some(Timeframe::W1),
        "M" => Some(Timeframe::MN1),
        minutes => minutes.parse::<i64>().ok().and_then(|minutes| {
            Timeframe::ALL.into_iter().find(|timeframe| timeframe.length() == minutes.checked_mul(60))
        }),
    };
    found.ok_or_else(|| {
        Fault::new(FaultKind::Timeframe, format!("the period is {}, which is not a known timeframe", quoted(field)))
    })
}

/// The parts of a format such as `%d/%m/%Y %H:%M`.
///
/// # Errors
/// When it has a part that is unknown.
pub(crate) fn time_items(format: &str) -> Result<Vec<Item<'static>>, String> {
    let items = StrftimeItems::new(format).parse_to_owned();
    items.map_err(|_| {
        "is not a format of times; give one such as '%d/%m/%Y %H:%M', with %Y %m %d %H %M %S, %y, %b, %I %p, %z or %s"
            .to_owned()
    })
}

fn parse_format(text: &[u8], items: &[Item<'static>]) -> Result<FileTime, TimeError> {
    let text = std::str::from_utf8(text).map_err(|_| TimeError::Unknown)?;
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).map_err(|_| TimeError::Unknown)?;
    let offset = parsed.offset().map(i64::from).or(parsed.timestamp().map(|_| 0));
    let form = TimeForm { date: DateForm::Compact, has_time: true, has_zone: offset.is_some() };
    if let Some(reading) = parsed.timestamp() {
        return Ok(FileTime { reading, offset, form });
    }
    let date = parsed.to_naive_date().map_err(|_| TimeError::NoSuchTime)?;
    let time = match parsed.hour_div_12() {
        None => chrono::NaiveTime::MIN,
        Some(_) => parsed.to_naive_time().map_err(|_| TimeError::NoSuchTime)?,
    };
    let whole = date.and_time(time).and_utc();
    if whole.timestamp_subsec_nanos() != 0 {
        return Err(TimeError::NotWhole);
    }
    Ok(FileTime { reading: whole.timestamp(), offset, form })
}
