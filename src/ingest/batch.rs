//! Validates the fields of a batch: every candle becomes a [`Candle`] or a list of what is wrong with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::body::{BatchFields, CandleFields, Candles, Raw, Shape};
use crate::candle::{
    Batch, Candle, Invalid, Key, Ohlc, Phase, Price, Rule, Side, Symbol, Timeframe, Timestamp, UtcOffset, Volume,
};
use crate::violation::{MAX_LISTED, Step, Violation};

/// How far a candle may open ahead of the server's clock before it is taken for broker time, in seconds.
const CLOCK_TOLERANCE: i64 = 60;

/// What a batch came to.
#[derive(Debug)]
pub struct Checked {
    /// The candles that may be stored.
    pub batch: Batch,
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

/// Validates every candle of a batch by the clock `now`.
///
/// # Errors
/// What is wrong with the batch as a whole, so that no candle of it can be.
pub(super) fn validate(fields: Shape<BatchFields<'_>>, now: Timestamp) -> Result<Checked, Vec<Violation>> {
    let whole = |field: Option<&str>, rule, message: &str| {
        let loc = std::iter::once("body").chain(field).map(Step::from);
        vec![Violation::new(loc, Invalid::new(rule, message))]
    };
    let Shape::Right(fields) = fields else {
        return Err(whole(None, Rule::WrongType, "is not an object; send {\"candles\":[…]}"));
    };
    let (defaults, mut violations) = Defaults::read(&fields);
    let missing = match &fields.candles {
        Shape::Right(candles) if !candles.kept.is_empty() => None,
        Shape::Right(_) => Some((Rule::Empty, "is empty; send at least one candle")),
        Shape::Wrong => Some((Rule::WrongType, "is not a list; send a list of candles")),
        Shape::Absent => Some((Rule::Missing, "is missing; send a list of candles")),
    };
    if let Some((rule, message)) = missing {
        violations.extend(whole(Some("candles"), rule, message));
    }
    let validated = validate_candles(&fields.candles.right().unwrap_or_default(), defaults, now);
    if violations.is_empty() {
        return Ok(validated);
    }
    violations.extend(validated.rejected.listed.into_iter().map(|(_, violation)| violation));
    Err(violations)
}

fn validate_candles(candles: &Candles<'_>, defaults: Defaults, now: Timestamp) -> Checked {
    let mut validator = Validator { defaults, now, last_symbol: None };
    let mut rejected = Rejected::default();
    let mut accepted = Vec::with_capacity(candles.kept.len());
    for (index, fields) in candles.kept.iter().enumerate() {
        let mut problems = Problems::default();
        let candle = match fields {
            Shape::Right(fields) => validator.candle(fields, &mut problems),
            Shape::Absent | Shape::Wrong => {
                problems.note(None, Invalid::new(Rule::WrongType, "is not an object; send a candle's fields"));
                None
            }
        };
        if let Some(candle) = candle {
            accepted.push(candle);
        } else {
            rejected.candles += 1;
            if let Some((_, first)) = problems.0.first() {
                *rejected.reasons.entry(first.rule).or_default() += 1;
            }
            let room = MAX_LISTED - rejected.listed.len();
            rejected.listed.extend(problems.0.into_iter().take(room).map(|(field, invalid)| {
                let loc = ["body".into(), "candles".into(), index.into()];
                (index, Violation::new(loc.into_iter().chain(field.map(Step::from)), invalid))
            }));
        }
    }
    Checked { batch: close_and_sort(accepted, now), received: candles.count, rejected }
}

/// A valid candle and what decides its phase.
struct Accepted {
    candle: Candle,
    complete: Option<bool>,
    utc_offset: Option<UtcOffset>,
}

/// Decides the phase of each candle: as its sender says, or else closed if the batch holds a newer one of its series or
/// its period is over.
fn close_and_sort(accepted: Vec<Accepted>, now: Timestamp) -> Batch {
    let mut newest: HashMap<(Symbol, Timeframe), Timestamp> = HashMap::new();
    for Accepted { candle: Candle { key, .. }, .. } in &accepted {
        let time = newest.entry((key.symbol().clone(), key.timeframe())).or_insert(key.time());
        *time = key.time().max(*time);
    }
    let with_phase = |Accepted { candle, complete, utc_offset }: Accepted| {
        let key = &candle.key;
        let closed = complete.unwrap_or_else(|| {
            newest.get(&(key.symbol().clone(), key.timeframe())).is_some_and(|&newest| key.time() < newest)
                || key.timeframe().certainly_closed_at(key.time(), utc_offset) <= now
        });
        (candle, if closed { Phase::Closed } else { Phase::Forming })
    };
    Batch::new(accepted.into_iter().map(with_phase).collect())
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

struct Validator<'a> {
    defaults: Defaults,
    now: Timestamp,
    /// The symbol read last: nearly every batch holds one, and equal text need not be parsed and stored again.
    last_symbol: Option<(&'a str, Symbol)>,
}

impl<'a> Validator<'a> {
    /// The candle, or `None` when `problems` were found in it or in a default that it relies on.
    fn candle(&mut self, fields: &CandleFields<'a>, problems: &mut Problems) -> Option<Accepted> {
        let symbol = match (fields.symbol, &self.defaults.symbol) {
            (None, Shape::Right(symbol)) => Some(symbol.clone()),
            (None, Shape::Wrong) => None,
            (raw, _) => problems.required("symbol", raw, |raw| self.symbol(raw)),
        };
        let timeframe = match (fields.timeframe, self.defaults.timeframe) {
            (None, Shape::Right(timeframe)) => Some(timeframe),
            (None, Shape::Wrong) => None,
            (raw, _) => problems.required("timeframe", raw, |raw| Timeframe::parse(&string(raw)?)),
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
        for (side, invalid) in Ohlc::contradictions(prices) {
            problems.note(Some(side.name()), invalid);
        }
        let volume = problems.required("volume", fields.volume, |raw| Volume::parse(&scalar(raw)?));
        let complete = problems.optional("complete", fields.complete, boolean).right();
        if !problems.0.is_empty() {
            return None;
        }
        let [Some(open), Some(high), Some(low), Some(close)] = prices else { return None };
        let candle = Candle {
            key: Key::new(symbol?, timeframe?, time?).ok()?,
            ohlc: Ohlc::new([open, high, low, close]).ok()?,
            volume: volume?,
        };
        Some(Accepted { candle, complete, utc_offset: utc_offset.right() })
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
            let names_zone = raw.is_some_and(|raw| raw.get().contains('-') && raw.get().contains(':'));
            problems.check("timestamp", not_in_the_future(time, timeframe, shift, names_zone, self.now));
        }
        Some(time)
    }

    fn symbol(&mut self, raw: &'a RawValue) -> Result<Symbol, Invalid> {
        if let Some((text, symbol)) = &self.last_symbol
            && *text == raw.get()
        {
            return Ok(symbol.clone());
        }
        let symbol = Symbol::parse(&string(raw)?)?;
        self.last_symbol = Some((raw.get(), symbol.clone()));
        Ok(symbol)
    }
}

/// What is wrong with one candle, or with the batch around the candles: a field's name and why.
#[derive(Default)]
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
    if let Ok(borrowed) = serde_json::from_str::<&str>(text) {
        return Ok(Cow::Borrowed(borrowed));
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
    names_zone: bool,
    now: Timestamp,
) -> Result<(), Invalid> {
    let ahead = time.seconds() - now.seconds();
    if ahead <= CLOCK_TOLERANCE {
        return Ok(());
    }
    let advice = match explaining_offset(ahead, timeframe).map(|offset| offset + shift.seconds()) {
        Some(offset) if offset <= UtcOffset::MAX_SECONDS => {
            // Terminals append a Z to broker time; the offset is refused beside it.
            let without_zone = if names_zone { ", with the time as 2025.08.03 13:00 and no zone" } else { "" };
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
