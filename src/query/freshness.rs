//! Judges the age of the newest candles of series, for monitors.

use serde::Serialize;

use super::gaps::{DEFAULT_ZONE, parse_timeframe, parse_zone};
use super::selection::Parameters;
use super::series::{MAX_SERIES, MAX_SYMBOLS};
use crate::store::{LatestCandle, SeriesKey, SeriesSelection};
use crate::validation::FieldError;
use calendar::Alignment;
use candle::{Rule, Symbol, Timeframe, Timestamp, ValueError};

/// The maximum of `max_age`: a year, because a larger number probably counts milliseconds.
const MAX_AGE_LIMIT_SECONDS: i64 = 366 * 24 * 3600;

/// A monitor's question.
#[derive(Debug)]
pub(super) struct FreshnessSelection {
    /// The series that have to be fresh.
    pub(super) selection: SeriesSelection,
    /// The maximum age of a fresh one, in seconds.
    pub(super) max_age: i64,
    /// The series whose learned week decides which time counts, and the zone of that week.
    pub(super) of_session: Option<(SeriesKey, Alignment)>,
}

/// The answer to a monitor's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Freshness {
    /// Every series received something within the time.
    Fresh {
        /// Seconds since the series that has waited longest received something.
        age: i64,
        /// The number of series.
        series: usize,
    },
    /// The series received something within the time for which its learned week expects candles, and the week expects
    /// none now.
    Closed {
        /// Seconds of expected periods since the series received something.
        age: i64,
        /// The number of series: 1.
        series: usize,
    },
    /// A series did not receive anything within the time.
    Stale {
        /// Seconds since it received something.
        age: i64,
        /// The series that has waited longest.
        worst: Worst,
    },
    /// No series was selected.
    Empty {},
}

/// The state of a series' feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The time at which the newest candle was stored, in epoch milliseconds; `None` if there is no candle.
    pub(crate) received: Option<i64>,
    /// True if it should have received another one since.
    pub(crate) is_stale: bool,
}

/// The series that has waited longest for a candle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Worst {
    /// The instrument.
    pub symbol: String,
    /// The length of its period.
    pub timeframe: &'static str,
}

/// Reads a query string in which `max_age` is required and the filters are optional.
///
/// # Errors
/// Every error in it.
pub(super) fn parse(query: &str) -> Result<FreshnessSelection, Vec<FieldError>> {
    let mut parameters =
        Parameters::read_with(query, &["max_age", "symbol", "timeframe", "session", "tz"], &["symbol"]);
    let max_age = parameters.required("max_age", parse_max_age);
    let mut symbols = parameters.all("symbol", Symbol::parse);
    if symbols.len() > MAX_SYMBOLS {
        let message = format!("is given {} times, and at most {MAX_SYMBOLS} are accepted; ask in parts", symbols.len());
        parameters.refuse("symbol", Rule::OutOfRange.name(), message);
    }
    let timeframe = parameters.optional("timeframe", Timeframe::parse);
    symbols.sort_unstable();
    symbols.dedup();
    let learned = parameters.optional("session", |text| {
        if text == "learned" { Ok(()) } else { Err(ValueError::new(Rule::WrongType, "must be learned")) }
    });
    let zone = parameters.optional("tz", parse_zone);
    let mut of_session = None;
    if learned.is_some() {
        if let ([symbol], Some(timeframe)) = (&*symbols, timeframe) {
            // Refuses months.
            parameters.optional("timeframe", parse_timeframe);
            let zone = zone.or_else(|| parse_zone(DEFAULT_ZONE).ok());
            of_session = zone.map(|zone| (SeriesKey { symbol: symbol.clone(), timeframe }, zone));
        } else {
            let message = "is about one series; send its symbol and its timeframe, too";
            parameters.refuse("session", Rule::Missing.name(), message);
        }
    } else if zone.is_some() {
        parameters.refuse("tz", "conflict", "is the zone of a learned week; send session=learned, too");
    }
    let selection = SeriesSelection { symbols, timeframe, after: None, limit: MAX_SERIES };
    parameters.valid(FreshnessSelection { selection, max_age: max_age.unwrap_or_default(), of_session })
}

fn parse_max_age(text: &str) -> Result<i64, ValueError> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_AGE_LIMIT_SECONDS).contains(seconds));
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    seconds.filter(|_| all_digits).ok_or_else(|| {
        let message = format!("must be a whole number of seconds from 1 to {MAX_AGE_LIMIT_SECONDS}");
        ValueError::new(Rule::OutOfRange, message)
    })
}

/// The number of series, and the greatest of their ages.
#[derive(Debug, Default)]
pub(super) struct Ages {
    series: usize,
    worst: Option<(i64, SeriesKey)>,
}

/// The time at which a series received its newest candle, in epoch milliseconds. If the database does not keep it,
/// the end of the candle's period takes its place.
pub(super) fn received(latest: &LatestCandle) -> i64 {
    let opened = latest.opened();
    let end = || {
        Timestamp::from_seconds(opened.div_euclid(1000))
            .map_or(opened, |opened| latest.key.timeframe.nominal_end(opened, None).millis())
    };
    latest.received.unwrap_or_else(end)
}

/// The verdict on one series. `age` counts the seconds in which its learned week expected candles.
pub(super) fn judge_session(key: &SeriesKey, age: i64, max_age: i64, is_open: bool) -> Freshness {
    match (age <= max_age, is_open) {
        (true, true) => Freshness::Fresh { age, series: 1 },
        (true, false) => Freshness::Closed { age, series: 1 },
        (false, _) => Freshness::Stale { age, worst: Worst::of(key) },
    }
}

impl Worst {
    fn of(SeriesKey { symbol, timeframe }: &SeriesKey) -> Self {
        Self { symbol: symbol.as_str().to_owned(), timeframe: timeframe.name() }
    }
}

impl Ages {
    /// Adds a series by its newest candle.
    pub(super) fn add(&mut self, latest: &LatestCandle, now: Timestamp) {
        // The clocks of the database and of this machine may differ.
        let age = (now.seconds() - received(latest).div_euclid(1000)).max(0);
        self.series += 1;
        if self.worst.as_ref().is_none_or(|(worst, _)| age > *worst) {
            self.worst = Some((age, latest.key.clone()));
        }
    }

    pub(super) fn judge(self, max_age: i64) -> Freshness {
        match self.worst {
            None => Freshness::Empty {},
            Some((age, _)) if age <= max_age => Freshness::Fresh { age, series: self.series },
            Some((age, key)) => Freshness::Stale { age, worst: Worst::of(&key) },
        }
    }
}
