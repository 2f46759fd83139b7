//! The definition of a candle: types whose constructors parse, so that no other code has to validate again.
//!
//! A [`Candle`] is the open, high, low and close of one [`Symbol`] over one period of a [`Timeframe`], with the number
//! of ticks in it. Its [`Key`] identifies it, because a series has at most one candle for each opening time.

mod batch;
mod number;
mod offset;
mod price;
mod rule;
mod time;
mod timeframe;

use std::fmt;
use std::sync::Arc;

pub use batch::{Batch, BatchBuilder, Closing, Forming, Origin, Origins, Phase, Phases, Sorted, Written};
pub use offset::UtcOffset;
pub use price::{Ohlc, OhlcField, Price};
pub use rule::Rule;
pub use time::{EpochUnit, SentTime, Timestamp, format_bound, format_millis, parse_bound};
pub use timeframe::Timeframe;

use number::Number;

/// The refusal of a value: a rule for programs, and for people a clause whose subject is the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// The rule that was broken.
    pub rule: Rule,
    /// Says what is wrong with the value and what would be right.
    pub message: String,
}

impl fmt::Display for ValueError {
    /// Writes the message alone, so the caller has to show beside it which value is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}

impl ValueError {
    /// Pairs a rule with the clause that explains this breach of it.
    pub fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}

/// Quotes a value at the beginning of a clause for its sender, as in `nan, which is `. Returns nothing if the value is
/// too long or not printable.
fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    let readable = text.chars().nth(MAX_CHARS).is_none() && text.chars().all(is_printable) && !text.trim().is_empty();
    if readable { format!("{text}, which is ") } else { String::new() }
}

/// The name of an instrument exactly as its source spells it: `EURUSD`, `EURUSD.m`, `#AAPL`, `S&P 500`.
///
/// Case matters (brokers list `EURUSDm` beside `EURUSDM`) and nothing is stripped.
///
/// ```
/// use candle::{Rule, Symbol};
///
/// assert_eq!(Symbol::parse("EURUSD.m")?.as_str(), "EURUSD.m");
/// assert_eq!(Symbol::parse("EURUSD ").unwrap_err().rule, Rule::OuterBlank);
/// # Ok::<(), candle::ValueError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// The maximum length in characters. MetaTrader 5 allows 31.
    pub const MAX_CHARS: usize = 64;

    /// Accepts 1 to 64 printable characters that neither start nor end with a blank.
    ///
    /// # Errors
    /// Names the first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError::new(Rule::Empty, "is empty; send the symbol's name, such as EURUSD"));
        }
        if text.chars().nth(Self::MAX_CHARS).is_some() {
            return Err(ValueError::new(Rule::TooLong, "has more than 64 characters"));
        }
        if let Some(unprintable) = text.chars().find(|&c| !is_printable(c)) {
            let code = u32::from(unprintable);
            return Err(ValueError::new(
                Rule::Unprintable,
                format!("contains the unprintable character U+{code:04X}; remove it"),
            ));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(ValueError::new(Rule::OuterBlank, "starts or ends with a blank; remove it"));
        }
        Ok(Self(text.into()))
    }

    /// The symbol as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns true if a person can see `c` in a chart's title and type it. Refuses control, soft hyphen, zero-width,
/// bidirectional and replacement characters, all blanks but the space, and everything outside the planes and areas that
/// are assigned to text.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}'))
}

/// The number of ticks in a candle's period, 0 to `i64::MAX` (`MetaTrader` calls it tick volume).
///
/// ```
/// use candle::{Rule, Volume};
///
/// assert_eq!(Volume::parse("1.2E+03")?.get(), 1200);
/// assert_eq!(Volume::parse("0.5").unwrap_err().rule, Rule::NotWhole);
/// # Ok::<(), candle::ValueError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Volume(i64);

impl Volume {
    /// Parses a JSON number that denotes a whole number, however it is written: `1200`, `1200.0`, `1.2E+03`.
    ///
    /// # Errors
    /// When `text` is not a JSON number or not a whole one, or is negative or exceeds `i64::MAX`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        Number::read(text, "1200", |number| Self::from_ticks(number.to_i64()?))
    }

    /// The volume of this number of ticks.
    ///
    /// # Errors
    /// When `ticks` is negative.
    pub fn from_ticks(ticks: i64) -> Result<Self, ValueError> {
        if ticks < 0 {
            return Err(ValueError::new(Rule::OutOfRange, "is negative; a volume is 0 or more"));
        }
        Ok(Self(ticks))
    }

    /// The number of ticks.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// The identity of a candle: its series (symbol and timeframe) and its opening time.
///
/// Keys order by the bytes of the symbol, then of the timeframe's name, then by time. Every writer stores in this
/// order, so two batches that overlap cannot deadlock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    symbol: Symbol,
    timeframe: Timeframe,
    time: Timestamp,
}

impl Key {
    /// Joins the parts. See [`Timeframe::check_opening`] for the times at which a candle may open.
    ///
    /// # Errors
    /// When no candle of this timeframe opens at `time`.
    pub fn new(symbol: Symbol, timeframe: Timeframe, time: Timestamp) -> Result<Self, ValueError> {
        timeframe.check_opening(time)?;
        Ok(Self { symbol, timeframe, time })
    }

    /// The instrument.
    #[must_use]
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// The length of the period.
    #[must_use]
    pub fn timeframe(&self) -> Timeframe {
        self.timeframe
    }

    /// The start of the period.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns true if both keys belong to the same series.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        self.timeframe == other.timeframe && self.symbol == other.symbol
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.same_series(other) {
            return self.time.cmp(&other.time);
        }
        (&self.symbol, self.timeframe.name()).cmp(&(&other.symbol, other.timeframe.name()))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One candle: its key, its four prices and its tick volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candle {
    /// Symbol, timeframe and opening time.
    pub key: Key,
    /// Open, high, low and close, known to be consistent.
    pub ohlc: Ohlc,
    /// Ticks in the period.
    pub volume: Volume,
}

impl AsRef<Self> for Candle {
    fn as_ref(&self) -> &Self {
        self
    }
}
