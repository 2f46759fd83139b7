//! Validates the fields of a batch: every candle becomes a [`Candle`] or a list of what is wrong with it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::body::{BatchFields, CandleFields, Raw, Shape};
use crate::candle::{
    BatchBuilder, Candle, Closing, Invalid, Key, Ohlc, Phase, Phases, Price, Rule, Side, Sorted, Symbol, Timeframe,
    Timestamp, UtcOffset, Volume,
};
use crate::violation::{MAX_LISTED, Step, Violation};

/// How far a candle may open ahead of the server's clock before it is taken for broker time, in seconds.
const CLOCK_TOLERANCE: i64 = 60;
/// How long before its end an M1 candle is believed to be complete, in seconds: more would take its first half for the whole.
const M1_CLAIM_TOLERANCE: i64 = 30;

/// What a batch came to.
#[derive(Debug)]
pub struct Checked {
    /// The candles that may be stored.
    pub sorted: Sorted,
    /// Candles in the body.
    pub received: usize,
    /// Those that may not.
    pub rejected: Rejected,
}

/// The candles that break a rule.
#[derive(Debug, Default)]
pub struct Rejected {
    /// How many.
    pub candles: usize,
    /// Index of the candle and one of its violations; the first [`MAX_LISTED`] in the order of the batch.
    pub listed: Vec<(usize, Violation)>,
    /// How many candles broke which rule first.
    pub reasons: BTreeMap<Rule, u64>,
}

/// The fields that stand once beside `candles` for all that do not have their own.
#[derive(Debug)]
struct Defaults {
    symbol: Shape<Symbol>,
    timeframe: Shape<Timeframe>,
    utc_offset: Shape<UtcOffset>,
}

impl Defaults {
    fn read(fields: &BatchFields<'_>) -> (Self, Vec<Violation>) {
        let mut problems = Problems::default();
        let defaults = Self {
            symbol: problems.optional("symbol", fields.symbol, |raw| Symbol::parse(&string(raw)?)),
            timeframe: problems.optional("timeframe", fields.timeframe, |raw| Timeframe::parse(&string(raw)?)),
            utc_offset: problems.optional("utc_offset", fields.utc_offset, |raw| UtcOffset::parse(&scalar(raw)?)),
        };
        let place = |(field, invalid): (Option<&'static str>, Invalid)| {
            Violation::new(std::iter::once("body").chain(field).map(Step::from), invalid)
        };
        (defaults, problems.0.into_iter().map(place).collect())
    }
}

/// Validates the candles of a batch one after the other, as they are read.
#[derive(Debug)]
pub(super) struct Validator<'a> {
    now: Timestamp,
    /// Made when the first candle comes, of what stands before it.
    reader: Option<CandleReader<'a>>,
    taken: usize,
    accepted: BatchBuilder,
    rejected: Rejected,
}

impl<'a> Validator<'a> {
    /// Has no candle yet; tells by the clock `now` which are from the future and which are closed.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, reader: None, taken: 0, accepted: BatchBuilder::default(), rejected: Rejected::default() }
    }

    /// Validates the next candle. The defaults are those in the `batch` of the first one.
    pub(super) fn take(&mut self, batch: &BatchFields<'a>, candle: &Shape<CandleFields<'a>>) {
        let reader = self.reader.get_or_insert_with(|| CandleReader::new(batch, self.now));
        let mut problems = Problems::default();
        let accepted = match candle {
            Shape::Right(fields) => reader.candle(fields, &mut problems),
            Shape::Absent | Shape::Wrong => {
                problems.note(None, Invalid::new(Rule::WrongType, "is not an object; send a candle's fields"));
                None
            }
        };
        match accepted {
            Some((candle, phases)) => self.accepted.push(self.taken, candle, phases),
            None => self.rejected.note(self.taken, problems),
        }
        self.taken += 1;
    }

    /// Whether candles were validated without a default that `batch` has.
    pub(super) fn lack_defaults_of(&self, batch: &BatchFields<'a>) -> bool {
        let known = |defaults: [Raw<'a>; 3]| defaults.map(|default| default.is_some());
        self.reader.as_ref().is_some_and(|reader| known(reader.known) != known(batch.defaults()))
    }

    /// What the candles came to.
    ///
    /// # Errors
    /// What is wrong with the batch as a whole, so that no candle of it can be stored.
    pub(super) fn finish(self, batch: Shape<BatchFields<'_>>) -> Result<Checked, Vec<Violation>> {
        let whole = |field: Option<&str>, rule, message: &str| {
            let loc = std::iter::once("body").chain(field).map(Step::from);
            vec![Violation::new(loc, Invalid::new(rule, message))]
        };
        let Shape::Right(fields) = batch else {
            return Err(whole(None, Rule::WrongType, "is not an object; send {\"candles\":[…]}"));
        };
        let (_, mut violations) = Defaults::read(&fields);
        let missing = match fields.candles {
            Shape::Right(0) => Some((Rule::Empty, "is empty; send at least one candle")),
            Shape::Right(_) => None,
            Shape::Wrong => Some((Rule::WrongType, "is not a list; send a list of candles")),
            Shape::Absent => Some((Rule::Missing, "is missing; send a list of candles")),
        };
        if let Some((rule, message)) = missing {
            violations.extend(whole(Some("candles"), rule, message));
        }
        if violations.is_empty() {
            return Ok(Checked { sorted: self.accepted.build(), received: self.taken, rejected: self.rejected });
        }
        violations.extend(self.rejected.listed.into_iter().map(|(_, violation)| violation));
        Err(violations)
    }
}

impl Rejected {
    fn note(&mut self, index: usize, problems: Problems) {
        self.candles += 1;
        if let Some((_, first)) = problems.0.first() {
            *self.reasons.entry(first.rule).or_default() += 1;
        }
        let room = MAX_LISTED - self.listed.len();
        self.listed.extend(problems.0.into_iter().take(room).map(|(field, invalid)| {
            let loc = ["body".into(), "candles".into(), index.into()];
            (index, Violation::new(loc.into_iter().chain(field.map(Step::from)), invalid))
        }));
    }
}

/// Reads the fields of candles by the defaults that stand before them.
#[derive(Debug)]
struct CandleReader<'a> {
    now: Timestamp,
    defaults: Defaults,
    /// The text of the defaults.
    known: [Raw<'a>; 3],
    /// What was read last: nearly every batch holds one series, and equal text need not be read and stored again.
    last_symbol: Option<(&'a str, Symbol)>,
    last_timeframe: Option<(&'a str, Timeframe)>,
}

impl<'a> CandleReader<'a> {
    fn new(batch: &BatchFields<'a>, now: Timestamp) -> Self {
        let (defaults, _) = Defaults::read(batch);
        Self { now, defaults, known: batch.defaults(), last_symbol: None, last_timeframe: None }
    }

    /// The candle and its phase, or `None` when `problems` were found in it or in a default that it relies on.
    fn candle(&mut self, fields: &CandleFields<'a>, problems: &mut Problems) -> Option<(Candle, Phases)> {
        let symbol = match (fields.symbol, &self.defaults.symbol) {
            (None, Shape::Right(symbol)) => Some(symbol.clone()),
            (None, Shape::Wrong) => None,
            (raw, _) => problems.required("symbol", raw, |raw| read_once(&mut self.last_symbol, raw, Symbol::parse)),
        };
        let timeframe = match (fields.timeframe, self.defaults.timeframe) {
            (None, Shape::Right(timeframe)) => Some(timeframe),
            (None, Shape::Wrong) => None,
            (raw, _) => {
                problems.required("timeframe", raw, |raw| read_once(&mut self.last_timeframe, raw, Timeframe::parse))
            }
        };
        let utc_offset = match problems.optional("utc_offset", fields.utc_offset, |raw| UtcOffset::parse(&scalar(raw)?))
        {
            Shape::Absent => self.defaults.utc_offset,
            own => own,
        };
        let time = self.opening_time(fields.timestamp, timeframe, utc_offset, problems);
        let prices = [fields.open, fields.high, fields.low, fields.close];
        let prices = std::array::from_fn(|i| {
            problems.required(Side::ALL[i].name(), prices[i], |raw| Price::parse(&scalar(raw)?))
        });
        let ohlc = match prices {
            [Some(open), Some(high), Some(low), Some(close)] => Ohlc::new([open, high, low, close]),
            _ => Err(Ohlc::contradictions(prices)),
        };
        let note_all = |contradictions: Vec<(Side, Invalid)>| {
            for (side, invalid) in contradictions {
                problems.note(Some(side.name()), invalid);
            }
        };
        let ohlc = ohlc.map_err(note_all).ok();
        let volume = problems.required("volume", fields.volume, |raw| Volume::parse(&scalar(raw)?));
        let complete = problems.optional("complete", fields.complete, boolean).right();
        if !problems.0.is_empty() {
            return None;
        }
        let candle = Candle { key: Key::new(symbol?, timeframe?, time?).ok()?, ohlc: ohlc?, volume: volume? };
        let phases = self.phases(&candle.key, utc_offset.right(), complete);
        Some((candle, problems.check("complete", phases)?))
    }

    /// Decides whether the candle's period is over, by its sender's word and the clock.
    ///
    /// The clock may be wrong by the same tolerance in both directions. So it closes a candle only that long after the
    /// latest possible end, and believes a sender from that long before the nominal one. A closed candle never changes,
    /// so one that is called complete even earlier is kept as forming until its end has passed.
    fn phases(&self, key: &Key, utc_offset: Option<UtcOffset>, complete: Option<bool>) -> Result<Phases, Invalid> {
        let (timeframe, open, now) = (key.timeframe(), key.time(), self.now);
        let end = timeframe.nominal_end(open, utc_offset);
        let tolerance = if timeframe == Timeframe::M1 { M1_CLAIM_TOLERANCE } else { CLOCK_TOLERANCE };
        let claimed = if end <= now.plus_seconds(tolerance) {
            Phase::Closed
        } else {
            Phase::Forming(Closing::Early(end.plus_seconds(CLOCK_TOLERANCE)))
        };
        let settled = timeframe.latest_end(open, utc_offset).plus_seconds(CLOCK_TOLERANCE);
        match complete {
            Some(true) if now < open => Err(Invalid::new(
                Rule::NotBegun,
                format!(
                    "is true, but the candle opens at {open} and it is {now} by the server's clock; send it when its                      period is over, and check the terminal's time"
                ),
            )),
            Some(true) => Ok(claimed.into()),
            Some(false) => Ok(Phase::Forming(Closing::Never).into()),
            None if settled <= now => Ok(Phase::Closed.into()),
            None => {
                let closing = if end <= now { Closing::Ended(settled) } else { Closing::Undecided };
                Ok(Phases { newest: Phase::Forming(closing), followed: claimed })
            }
        }
    }

    fn opening_time(
        &self,
        raw: Raw<'a>,
        timeframe: Option<Timeframe>,
        utc_offset: Shape<UtcOffset>,
        problems: &mut Problems,
    ) -> Option<Timestamp> {
        let shift = utc_offset.right().unwrap_or(UtcOffset::ZERO);
        let time = problems.required("timestamp", raw, |raw| Timestamp::parse(&scalar(raw)?, shift))?;
        if let Some(timeframe) = timeframe {
            problems.check("timestamp", timeframe.check_opening(time));
        }
        // By an offset that is wrong nobody can tell.
        if !matches!(utc_offset, Shape::Wrong) {
            let names_zone = || raw.is_some_and(|raw| raw.get().contains('-') && raw.get().contains(':'));
            problems.check("timestamp", not_in_the_future(time, timeframe, shift, names_zone, self.now));
        }
        Some(time)
    }
}

/// What `parse` makes of a string, or what it made of the `last` one if that was the same.
fn read_once<'a, T: Clone>(
    last: &mut Option<(&'a str, T)>,
    raw: &'a RawValue,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    if let Some((text, value)) = last
        && *text == raw.get()
    {
        return Ok(value.clone());
    }
    let value = parse(&string(raw)?)?;
    *last = Some((raw.get(), value.clone()));
    Ok(value)
}

/// What is wrong with one candle, or with the batch around the candles: a field's name and why.
#[derive(Debug, Default)]
struct Problems(Vec<(Option<&'static str>, Invalid)>);

impl Problems {
    fn note(&mut self, field: Option<&'static str>, invalid: Invalid) {
        self.0.push((field, invalid));
    }

    fn check<T>(&mut self, field: &'static str, result: Result<T, Invalid>) -> Option<T> {
        result.map_err(|invalid| self.note(Some(field), invalid)).ok()
    }

    fn optional<'a, T>(
        &mut self,
        field: &'static str,
        raw: Raw<'a>,
        parse: impl FnOnce(&'a RawValue) -> Result<T, Invalid>,
    ) -> Shape<T> {
        match raw {
            None => Shape::Absent,
            Some(raw) => self.check(field, parse(raw)).map_or(Shape::Wrong, Shape::Right),
        }
    }

    fn required<'a, T>(
        &mut self,
        field: &'static str,
        raw: Raw<'a>,
        parse: impl FnOnce(&'a RawValue) -> Result<T, Invalid>,
    ) -> Option<T> {
        let parsed = raw.ok_or_else(|| Invalid::new(Rule::Missing, "is missing")).and_then(parse);
        self.check(field, parsed)
    }
}

/// The text of a number, or of a string that may hold one.
fn scalar(raw: &RawValue) -> Result<Cow<'_, str>, Invalid> {
    match raw.get().as_bytes() {
        [b'-' | b'0'..=b'9', ..] => Ok(Cow::Borrowed(raw.get())),
        [b'"', ..] => string(raw),
        _ => Err(wrong_type(raw, "a number or a string")),
    }
}

fn string(raw: &RawValue) -> Result<Cow<'_, str>, Invalid> {
    let text = raw.get();
    if !text.starts_with('"') {
        return Err(wrong_type(raw, "a string"));
    }
    // It is known to be JSON: without an escape, what stands between its quotes is what it means.
    if !text.as_bytes().contains(&b'\\')
        && let Some(plain) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
    {
        return Ok(Cow::Borrowed(plain));
    }
    serde_json::from_str(text)
        .map(Cow::Owned)
        .map_err(|_| Invalid::new(Rule::NotText, "holds an escape that is no character; send it as plain UTF-8"))
}

fn boolean(raw: &RawValue) -> Result<bool, Invalid> {
    match raw.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong_type(raw, "true or false")),
    }
}

fn wrong_type(raw: &RawValue, wanted: &str) -> Invalid {
    let found = match raw.get().as_bytes() {
        [b'n', ..] => "null",
        [b't' | b'f', ..] => "true or false",
        [b'"', ..] => "a string",
        [b'[', ..] => "a list",
        [b'{', ..] => "an object",
        _ => "a number",
    };
    Invalid::new(Rule::WrongType, format!("is {found}; send {wanted}"))
}

/// Refuses a candle that opens after `now`, naming the broker's offset that would explain it.
fn not_in_the_future(
    time: Timestamp,
    timeframe: Option<Timeframe>,
    shift: UtcOffset,
    names_zone: impl FnOnce() -> bool,
    now: Timestamp,
) -> Result<(), Invalid> {
    let ahead = time.seconds() - now.seconds();
    if ahead <= CLOCK_TOLERANCE {
        return Ok(());
    }
    let advice = match explaining_offset(ahead, timeframe).map(|offset| offset + shift.seconds()) {
        Some(offset) if offset <= UtcOffset::MAX_SECONDS => {
            // Terminals append a Z to broker time; the offset is refused beside it.
            let without_zone = if names_zone() { ", with the time as 2025.08.03 13:00 and no zone" } else { "" };
            format!("this looks like broker time; send UTC, or set utc_offset to {offset}{without_zone}")
        }
        _ => "no broker's clock explains that; check the terminal's time and send seconds or milliseconds".to_owned(),
    };
    Err(Invalid::new(Rule::Future, format!("is {ahead} s ahead of UTC: {advice}")))
}

/// The offset under which the candle would be the one that is forming now. Brokers keep whole hours, rarely half or
/// quarter ones.
fn explaining_offset(ahead: i64, timeframe: Option<Timeframe>) -> Option<i64> {
    const LONGEST_MONTH: i64 = 31 * 24 * 3600;
    let length = timeframe.map_or(Some(0), Timeframe::length).unwrap_or(LONGEST_MONTH);
    let latest = ahead + length + CLOCK_TOLERANCE;
    [3600, 1800, 900]
        .into_iter()
        .map(|step| (ahead - CLOCK_TOLERANCE + step - 1).div_euclid(step) * step)
        .find(|&offset| offset < latest && offset <= UtcOffset::MAX_SECONDS)
}
