//! Validates the fields of a batch. Every candle becomes a [`Candle`] or a list of errors.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::broker_clock::{CLOCK_TOLERANCE_SECONDS, FutureCandles};
use super::malformed::{self, Malformed};
use super::parse::{BatchFields, CandleFields, Raw, Shape};
use super::scalar::{boolean, parse_scalar, parse_string};
use crate::validation::{FieldError, MAX_REPORTED_ERRORS, PathSegment};
use candle::{
    BatchBuilder, Candle, Closing, EpochUnit, Key, Ohlc, OhlcField, Phase, Phases, Price, Rule, SentTime, Sorted,
    Symbol, Timeframe, Timestamp, UtcOffset, ValueError, Volume,
};

/// A sender may call an M1 candle complete this many seconds before its end. With more, the first half of a candle could pass
/// for the whole.
const M1_CLAIM_TOLERANCE_SECONDS: i64 = 30;

/// A batch after validation.
#[derive(Debug)]
pub struct ValidatedBatch {
    /// The valid candles.
    pub sorted: Sorted,
    /// The number of candles in the body.
    pub received: usize,
    /// The invalid candles.
    pub rejected: Rejected,
}

/// The candles that broke a rule.
#[derive(Debug, Default)]
pub struct Rejected {
    /// Their number.
    pub candles: usize,
    /// The index of a candle and one of its errors: the first [`MAX_REPORTED_ERRORS`] in the order of the batch.
    pub listed: Vec<(usize, FieldError)>,
    /// The number of candles by the first rule that each broke.
    pub reasons: BTreeMap<Rule, u64>,
}

/// The fields beside `candles`, for candles without their own.
#[derive(Debug)]
struct Defaults {
    symbol: Shape<Symbol>,
    timeframe: Shape<Timeframe>,
    unit: Shape<EpochUnit>,
    utc_offset: Shape<UtcOffset>,
}

impl Defaults {
    fn read(fields: &BatchFields<'_>) -> (Self, Vec<FieldError>) {
        let mut problems = FieldErrors::default();
        let defaults = Self {
            symbol: problems.optional("symbol", fields.symbol, |raw| parse_string(raw, Symbol::parse)),
            timeframe: problems.optional("timeframe", fields.timeframe, |raw| parse_string(raw, Timeframe::parse)),
            unit: problems.optional("unit", fields.unit, |raw| parse_string(raw, EpochUnit::parse)),
            utc_offset: problems.optional("utc_offset", fields.utc_offset, |raw| parse_scalar(raw, UtcOffset::parse)),
        };
        let place = |(field, invalid): (Option<&'static str>, ValueError)| {
            FieldError::new(std::iter::once("body").chain(field).map(PathSegment::from), invalid)
        };
        (defaults, problems.0.into_iter().map(place).collect())
    }
}

/// Validates the candles of a batch one after the other while the body is parsed.
#[derive(Debug)]
pub(super) struct Validator<'a> {
    now: Timestamp,
    /// Made at the first candle, from the fields before it.
    reader: Option<CandleReader<'a>>,
    taken: usize,
    accepted: BatchBuilder,
    rejected: Rejected,
    /// The first candle with a field under both its names with different values.
    contradiction: Option<Malformed>,
}

impl<'a> Validator<'a> {
    /// Judges by the clock `now` which candles lie in the future and which are closed.
    pub(super) fn new(now: Timestamp) -> Self {
        let (accepted, rejected) = (BatchBuilder::default(), Rejected::default());
        Self { now, reader: None, taken: 0, accepted, rejected, contradiction: None }
    }

    /// Validates the next candle. The defaults are the fields of `batch` at the first one.
    pub(super) fn take(&mut self, batch: &BatchFields<'a>, candle: &Shape<CandleFields<'a>>) {
        let reader = self.reader.get_or_insert_with(|| CandleReader::new(batch, self.now));
        let mut problems = FieldErrors::default();
        let accepted = match candle {
            Shape::Right(fields) => {
                if let Some(names) = reader.contradiction(fields) {
                    self.contradiction.get_or_insert_with(|| malformed::contradiction(self.taken, names));
                }
                reader.candle(fields, &mut problems)
            }
            Shape::Absent | Shape::Wrong => {
                problems.note(None, ValueError::new(Rule::WrongType, "is not an object; send a candle's fields"));
                None
            }
        };
        match accepted {
            Some((candle, phases)) => self.accepted.push(self.taken, candle, phases),
            None => self.rejected.note(self.taken, problems),
        }
        self.taken += 1;
    }

    /// True if candles were validated without a default that `batch` has, because the default came after them.
    pub(super) fn lack_defaults_of(&self, batch: &BatchFields<'a>) -> bool {
        let known = |defaults: [Raw<'a>; 4]| defaults.map(|default| default.is_some());
        self.reader.as_ref().is_some_and(|reader| known(reader.known) != known(batch.defaults()))
    }

    /// The contradiction that makes the batch malformed although it is JSON, if there is one.
    pub(super) fn contradiction(&mut self) -> Option<Malformed> {
        self.contradiction.take()
    }

    /// Ends the validation of the batch in `text`.
    ///
    /// # Errors
    /// Errors of the batch as a whole, so that none of its candles can be stored.
    pub(super) fn finish(
        mut self,
        batch: Shape<BatchFields<'_>>,
        text: &str,
    ) -> Result<ValidatedBatch, Vec<FieldError>> {
        let whole = |field: Option<&str>, rule, message: &str| {
            let loc = std::iter::once("body").chain(field).map(PathSegment::from);
            vec![FieldError::new(loc, ValueError::new(rule, message))]
        };
        let Shape::Right(fields) = batch else {
            return Err(whole(None, Rule::WrongType, not_an_object(text)));
        };
        if let Some(advice) = self.reader.as_ref().and_then(|reader| reader.future.advice(self.now)) {
            self.rejected.advise(Rule::Future, &advice);
        }
        let (_, mut field_errors) = Defaults::read(&fields);
        let missing = match fields.candles {
            Shape::Right(0) => Some((Rule::Empty, "is empty; send at least one candle")),
            Shape::Right(_) => None,
            Shape::Wrong => Some((Rule::WrongType, "is not a list; send a list of candles")),
            Shape::Absent => Some((Rule::Missing, "is missing; send a list of candles")),
        };
        if let Some((rule, message)) = missing {
            field_errors.extend(whole(Some("candles"), rule, message));
        }
        if field_errors.is_empty() {
            return Ok(ValidatedBatch { sorted: self.accepted.build(), received: self.taken, rejected: self.rejected });
        }
        field_errors.extend(self.rejected.listed.into_iter().map(|(_, field_error)| field_error));
        Err(field_errors)
    }
}

fn not_an_object(text: &str) -> &'static str {
    match text.trim_start().as_bytes() {
        [b'[', ..] => "is a list; send {\"candles\":[…]} with the list in it",
        [b'"', ..] => "is a string; send the object {\"candles\":[…]} itself, without quotes around it",
        _ => "is not an object; send {\"candles\":[…]}",
    }
}

impl Rejected {
    /// Appends advice to the first error of `rule`, which holds for all of them.
    fn advise(&mut self, rule: Rule, advice: &str) {
        if let Some((_, first)) = self.listed.iter_mut().find(|(_, field_error)| field_error.kind == rule.name()) {
            first.msg = format!("{}: {advice}", first.msg);
        }
    }

    fn note(&mut self, index: usize, problems: FieldErrors) {
        self.candles += 1;
        if let Some((_, first)) = problems.0.first() {
            *self.reasons.entry(first.rule).or_default() += 1;
        }
        let room = MAX_REPORTED_ERRORS - self.listed.len();
        self.listed.extend(problems.0.into_iter().take(room).map(|(field, invalid)| {
            let loc = ["body".into(), "candles".into(), index.into()];
            (index, FieldError::new(loc.into_iter().chain(field.map(PathSegment::from)), invalid))
        }));
    }
}

/// Parses the fields of candles, with the defaults that stood before them.
#[derive(Debug)]
struct CandleReader<'a> {
    now: Timestamp,
    defaults: Defaults,
    /// The raw text of the defaults.
    known: [Raw<'a>; 4],
    future: FutureCandles,
    /// The last parsed values. Nearly every batch holds one series, so that equal text is parsed and allocated once.
    last_symbol: Option<(&'a str, Symbol)>,
    last_timeframe: Option<(&'a str, Timeframe)>,
}

impl<'a> CandleReader<'a> {
    fn new(batch: &BatchFields<'a>, now: Timestamp) -> Self {
        let (defaults, _) = Defaults::read(batch);
        let (known, future) = (batch.defaults(), FutureCandles::default());
        Self { now, defaults, known, future, last_symbol: None, last_timeframe: None }
    }

    /// The candle and its phases; `None` if it, or a default that it relies on, has errors.
    fn candle(&mut self, fields: &CandleFields<'a>, problems: &mut FieldErrors) -> Option<(Candle, Phases)> {
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
        let (unit, utc_offset) = self.unit_and_offset(fields, problems);
        let sent = self.opening_time(fields.timestamp.or(fields.time), timeframe, unit, utc_offset, problems);
        let prices = [fields.open, fields.high, fields.low, fields.close];
        let prices = std::array::from_fn(|i| {
            problems.required(OhlcField::ALL[i].name(), prices[i], |raw| parse_scalar(raw, Price::parse))
        });
        let ohlc = match prices {
            [Some(open), Some(high), Some(low), Some(close)] => Ohlc::new([open, high, low, close]),
            _ => Err(Ohlc::contradictions(prices)),
        };
        let note_all = |contradictions: Vec<(OhlcField, ValueError)>| {
            for (field, invalid) in contradictions {
                problems.note(Some(field.name()), invalid);
            }
        };
        let ohlc = ohlc.map_err(note_all).ok();
        if let Some(sent) = sent {
            problems.check("timestamp", not_unfilled(sent, timeframe, ohlc));
        }
        let volume =
            problems.required("volume", fields.volume.or(fields.tick_volume), |raw| parse_scalar(raw, Volume::parse));
        let complete = problems.optional("complete", fields.complete, boolean).right();
        if !problems.0.is_empty() {
            return None;
        }
        let time = sent.map(|sent| sent.time);
        let candle = Candle { key: Key::new(symbol?, timeframe?, time?).ok()?, ohlc: ohlc?, volume: volume? };
        let phases = self.phases(&candle.key, utc_offset.right(), complete);
        Some((candle, problems.check("complete", phases)?))
    }

    fn unit_and_offset(
        &self,
        fields: &CandleFields<'_>,
        problems: &mut FieldErrors,
    ) -> (Shape<EpochUnit>, Shape<UtcOffset>) {
        let unit = problems.optional("unit", fields.unit, |raw| parse_string(raw, EpochUnit::parse));
        let utc_offset = problems.optional("utc_offset", fields.utc_offset, |raw| parse_scalar(raw, UtcOffset::parse));
        (unit.or(self.defaults.unit), utc_offset.or(self.defaults.utc_offset))
    }

    /// Both names of a field that the candle has twice with different values: under its own name and under that of `MqlRates`.
    fn contradiction(&self, fields: &CandleFields<'_>) -> Option<[&'static str; 2]> {
        let times_differ = || {
            let (unit, utc_offset) = self.unit_and_offset(fields, &mut FieldErrors::default());
            // A wrong offset or unit makes the times incomparable, and the candle is refused for it anyway.
            if matches!((utc_offset, unit), (Shape::Wrong, _) | (_, Shape::Wrong)) {
                return false;
            }
            let parse = |text: &str| Timestamp::parse(text, unit.right(), utc_offset.right()).map(|sent| sent.time);
            differ(fields.timestamp, fields.time, |raw| parse_scalar(raw, parse))
        };
        if fields.timestamp.is_some() && fields.time.is_some() && times_differ() {
            return Some(["timestamp", "time"]);
        }
        let volumes_differ = differ(fields.volume, fields.tick_volume, |raw| parse_scalar(raw, Volume::parse));
        volumes_differ.then_some(["volume", "tick_volume"])
    }

    /// Decides whether a candle is closed, by `complete` and the clock.
    ///
    /// The clock may be wrong by the tolerance in both directions. So the clock closes a candle only that long after its
    /// latest possible end, and a sender may call it complete that long before its nominal end. A candle that is called
    /// complete even earlier is kept as forming until its end has passed, because a closed candle never changes.
    fn phases(&self, key: &Key, utc_offset: Option<UtcOffset>, complete: Option<bool>) -> Result<Phases, ValueError> {
        let (timeframe, open, now) = (key.timeframe(), key.time(), self.now);
        let end = timeframe.nominal_end(open, utc_offset);
        let tolerance = if timeframe == Timeframe::M1 { M1_CLAIM_TOLERANCE_SECONDS } else { CLOCK_TOLERANCE_SECONDS };
        let settled = timeframe.latest_end(open, utc_offset).plus_seconds(CLOCK_TOLERANCE_SECONDS);
        let claimed =
            if end <= now.plus_seconds(tolerance) { Phase::Closed } else { Phase::Forming(Closing::Early(settled)) };
        match complete {
            Some(true) if now < open => Err(ValueError::new(
                Rule::NotBegun,
                format!(
                    "is true, but the candle opens at {open} and it is {now} by the server's clock; send it when its period is \
                     over, and check the terminal's time"
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
        &mut self,
        raw: Raw<'a>,
        timeframe: Option<Timeframe>,
        unit: Shape<EpochUnit>,
        utc_offset: Shape<UtcOffset>,
        problems: &mut FieldErrors,
    ) -> Option<SentTime> {
        let offset = match utc_offset {
            Shape::Absent => None,
            // The offset is refused already, so the time must not be refused for the lack of one.
            Shape::Wrong => Some(UtcOffset::ZERO),
            Shape::Right(offset) => Some(offset),
        };
        let parse = |text: &str| Timestamp::parse(text, unit.right(), offset);
        let sent = problems.required("timestamp", raw, |raw| parse_scalar(raw, parse))?;
        problems.check("timestamp", opens_a_candle(sent, timeframe));
        // With a wrong offset or unit the time cannot be compared with the clock.
        if matches!((utc_offset, unit), (Shape::Wrong, _) | (_, Shape::Wrong)) {
            return Some(sent);
        }
        let ahead = sent.time.seconds() - self.now.seconds();
        if ahead > CLOCK_TOLERANCE_SECONDS {
            self.future.note(sent, timeframe);
            problems.note(Some("timestamp"), ValueError::new(Rule::Future, format!("is {ahead} s ahead of UTC")));
        }
        Some(sent)
    }
}

/// Checks that a candle of `timeframe` can open at the time that was sent.
fn opens_a_candle(sent: SentTime, timeframe: Option<Timeframe>) -> Result<(), ValueError> {
    match timeframe {
        None => sent.time.check_not_before_markets(),
        Some(timeframe) if sent.is_date && !timeframe.opens_with_a_day() => Err(ValueError::new(
            Rule::NotATime,
            format!("is a date, and candles of {timeframe} open at a time of day; send it too, as in 2025.08.03 13:00"),
        )),
        Some(timeframe) => timeframe.check_opening(sent.time),
    }
}

/// Refuses a record that the terminal has not filled in: all its values are 0. Its time may be 0 before or after an offset was
/// subtracted, by the service or by the sender. Below D1 a time of exactly 0 is refused even beside real prices, because `iTime`
/// returns 0 on failure and no such candle is that old.
fn not_unfilled(sent: SentTime, timeframe: Option<Timeframe>, ohlc: Option<Ohlc>) -> Result<(), ValueError> {
    let is_zero = |seconds: i64| seconds.abs() <= UtcOffset::MAX_SECONDS && seconds % UtcOffset::STEP_SECONDS == 0;
    let times = [sent.reading, sent.time.seconds()];
    let has_no_prices = ohlc.is_some_and(|ohlc| OhlcField::ALL.into_iter().all(|field| ohlc.get(field).is_zero()));
    if has_no_prices && times.into_iter().any(is_zero) {
        const MESSAGE: &str = "is 0 and so are all four prices, as in an MqlRates that nobody filled in; \
                               send only as many records as CopyRates returned";
        return Err(ValueError::new(Rule::Unfilled, MESSAGE));
    }
    if times.contains(&0) && timeframe.is_some_and(|timeframe| !timeframe.opens_with_a_day()) {
        const MESSAGE: &str =
            "is 0, which iTime returns where it has no such candle; send the time at which the candle opened";
        return Err(ValueError::new(Rule::Unfilled, MESSAGE));
    }
    Ok(())
}

/// True if both values are present and differ. Values that cannot be parsed are compared by their text.
fn differ<'a, T: PartialEq>(
    value: Raw<'a>,
    aliased: Raw<'a>,
    parse: impl Fn(&'a RawValue) -> Result<T, ValueError>,
) -> bool {
    let (Some(value), Some(aliased)) = (value, aliased) else { return false };
    value.get() != aliased.get()
        && match (parse(value), parse(aliased)) {
            (Ok(value), Ok(aliased)) => value != aliased,
            _ => true,
        }
}

/// Parses a string, or returns the `last` result if the text is the same.
fn read_once<'a, T: Clone>(
    last: &mut Option<(&'a str, T)>,
    raw: &'a RawValue,
    parse: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Result<T, ValueError> {
    if let Some((text, value)) = last
        && *text == raw.get()
    {
        return Ok(value.clone());
    }
    let value = parse_string(raw, parse)?;
    *last = Some((raw.get(), value.clone()));
    Ok(value)
}

/// The errors of one candle, or of the fields beside `candles`: the field's name and the error.
#[derive(Debug, Default)]
struct FieldErrors(Vec<(Option<&'static str>, ValueError)>);

impl FieldErrors {
    fn note(&mut self, field: Option<&'static str>, invalid: ValueError) {
        self.0.push((field, invalid));
    }

    fn check<T>(&mut self, field: &'static str, result: Result<T, ValueError>) -> Option<T> {
        result.map_err(|invalid| self.note(Some(field), invalid)).ok()
    }

    fn optional<'a, T>(
        &mut self,
        field: &'static str,
        raw: Raw<'a>,
        parse: impl FnOnce(&'a RawValue) -> Result<T, ValueError>,
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
        parse: impl FnOnce(&'a RawValue) -> Result<T, ValueError>,
    ) -> Option<T> {
        let parsed = raw.ok_or_else(|| ValueError::new(Rule::Missing, "is missing")).and_then(parse);
        self.check(field, parsed)
    }
}
