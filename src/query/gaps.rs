//! Reports on the gaps of a series: their parameters, and the week in which candles are expected ([`sessions`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use calendar::{Alignment, LocalClock};
use serde::Serialize;
use sessions::{Gap, GapKind, Gaps, Grid, Hours, LEARNED_WEEKS, MIN_LEARNED_WEEKS, Presence, Week};
use tokio::time::Instant;

use super::QueryError;
use super::selection::{END_MILLISECOND, FIRST_MILLISECOND, Parameters, parse_limit};
use crate::store::{Direction, Range, SeriesKey, SeriesVersion, Store, StoreError};
use crate::telemetry::spans::spawn_blocking;
use crate::validation::FieldError;
use candle::{EpochUnit, Rule, Symbol, Timeframe, ValueError, parse_bound};

/// The maximum number of periods of a report: more than a year of M1.
const MAX_PERIODS: i64 = 600_000;
/// The maximum number of gaps in a report, and the number if none is given.
const MAX_GAPS: usize = 10_000;
const DEFAULT_GAPS: usize = 1000;
/// The clock by which weeks are learned unless another is named: that of Forex and of American exchanges.
pub(super) const DEFAULT_ZONE: &str = "America/New_York";

/// The time for which a learned week is kept, and the maximum number of kept ones. Each takes some 30 KiB.
const LEARNED_WEEK_TTL: Duration = Duration::from_hours(1);
const MAX_LEARNED_WEEKS_KEPT: usize = 64;
/// The time for which it is kept that a series has too little history, unless this process writes to the series. It is shorter,
/// because an import by another process changes that at once.
const TOO_LITTLE_TTL: Duration = Duration::from_mins(10);

/// The periods in which candles are expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Session {
    /// Those that the weeks before have.
    Learned,
    /// All of them; of days, weekdays.
    Always,
    /// Those of given hours, with the text that gave them.
    Given(Hours, String),
}

/// A valid request for a report.
#[derive(Debug, Clone)]
pub(super) struct GapSelection {
    key: SeriesKey,
    from: i64,
    to: i64,
    session: Session,
    zone: Alignment,
    min: u64,
    limit: usize,
}

impl GapSelection {
    /// Parses a query string. `symbol`, `timeframe`, `from` and `to` are required; both bounds are inclusive.
    ///
    /// # Errors
    /// All errors of the query.
    pub(super) fn parse(query: &str) -> Result<Self, Vec<FieldError>> {
        let known = ["symbol", "timeframe", "from", "to", "unit", "session", "tz", "min", "limit"];
        let mut parameters = Parameters::read(query, &known);
        let symbol = parameters.required("symbol", Symbol::parse);
        let timeframe = parameters.required("timeframe", parse_timeframe);
        let unit = parameters.optional("unit", EpochUnit::parse);
        let [from, to] = ["from", "to"].map(|name| parameters.required(name, |text| parse_bound(text, unit)));
        let session = parameters.optional("session", parse_session).unwrap_or(Session::Learned);
        let zone = parameters.optional("tz", parse_zone).or_else(|| parse_zone(DEFAULT_ZONE).ok());
        let min =
            parameters.optional("min", |text| parse_limit(text, usize::try_from(MAX_PERIODS).unwrap_or(usize::MAX)));
        let limit = parameters.optional("limit", |text| parse_limit(text, MAX_GAPS));
        if let (Some(from), Some(to), Some(length)) = (from, to, timeframe.and_then(Timeframe::length)) {
            let periods = (to - from) / (length * 1000);
            if from > to {
                parameters.refuse("to", "empty_range", "is before from; move one of them");
            } else if periods > MAX_PERIODS {
                let message =
                    format!("leaves {periods} periods, and at most {MAX_PERIODS} are looked at; ask in parts");
                parameters.refuse("to", Rule::OutOfRange.name(), message);
            }
        }
        match (symbol, timeframe, from, to, zone) {
            (Some(symbol), Some(timeframe), Some(from), Some(to), Some(zone)) if parameters.is_valid() => {
                let min = min.and_then(|min| u64::try_from(min).ok()).unwrap_or(1);
                let limit = limit.unwrap_or(DEFAULT_GAPS);
                Ok(Self { key: SeriesKey { symbol, timeframe }, from, to, session, zone, min, limit })
            }
            _ => Err(parameters.refusal()),
        }
    }
}

/// A timeframe whose periods have a place in the week.
pub(super) fn parse_timeframe(text: &str) -> Result<Timeframe, ValueError> {
    let timeframe = Timeframe::parse(text)?;
    if timeframe.length().is_none() {
        let message = "cannot be MN1 here, because months have no place in the week; send W1 or a shorter one";
        return Err(ValueError::new(Rule::OutOfRange, message));
    }
    Ok(timeframe)
}

fn parse_session(text: &str) -> Result<Session, ValueError> {
    match text {
        "learned" => Ok(Session::Learned),
        "24x7" => Ok(Session::Always),
        hours => Hours::parse(hours)
            .map(|parsed| Session::Given(parsed, hours.to_owned()))
            .map_err(|error| ValueError::new(Rule::WrongType, format!("{error}; or send learned or 24x7"))),
    }
}

/// A zone or an offset.
pub(super) fn parse_zone(text: &str) -> Result<Alignment, ValueError> {
    let zone = Alignment::parse(text).map_err(|error| ValueError::new(Rule::WrongType, error.to_string()))?;
    if !zone.begins_at_midnight() {
        let message =
            "is a zone alone here, such as America/New_York, Europe/Athens or +03:00; leave out when days begin";
        return Err(ValueError::new(Rule::WrongType, message));
    }
    Ok(zone)
}

/// A report on the gaps of a series.
#[derive(Debug, Serialize)]
pub struct GapsAnswer {
    symbol: String,
    timeframe: &'static str,
    from: i64,
    to: i64,
    session: SessionAnswer,
    expected: u64,
    stored: u64,
    /// Null if nothing is expected.
    coverage: Option<f64>,
    gaps: Vec<GapAnswer>,
    more: bool,
}

/// The periods in which candles are expected.
#[derive(Debug, Serialize)]
struct SessionAnswer {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<String>,
    timezone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weeks: Option<u32>,
    expected_per_week: usize,
}

#[derive(Debug, Serialize)]
struct GapAnswer {
    from: i64,
    to: i64,
    missing: u64,
    kind: &'static str,
}

impl From<Gap> for GapAnswer {
    fn from(Gap { from, to, missing, kind }: Gap) -> Self {
        let kind = match kind {
            GapKind::Closure => "closure",
            GapKind::Hole => "hole",
        };
        Self { from, to, missing, kind }
    }
}

/// Reads the opening times of candles, closed or forming, from the first to the last instant.
pub(super) async fn openings(
    store: &Store,
    key: &SeriesKey,
    (from, to): (i64, i64),
    page_candles: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut range = Range {
        symbol: key.symbol.clone(),
        timeframe: key.timeframe,
        start: from.max(FIRST_MILLISECOND),
        end: to.saturating_add(1).min(END_MILLISECOND),
        direction: Direction::Ascending,
        limit: page_candles,
    };
    let mut openings = Vec::new();
    loop {
        let reading = store.reading(&key.symbol, key.timeframe);
        let page = store.range_from(reading, range.clone()).await?;
        openings.extend(page.range(0..page.len()).map(|candle| candle.time));
        match page.time(page.len().wrapping_sub(1)) {
            Some(last) if page.len() == range.limit => range.start = last + 1,
            _ => return Ok(openings),
        }
    }
}

/// Makes the report that `selection` asks for.
pub(super) async fn report(
    store: &Store,
    selection: GapSelection,
    page_candles: usize,
) -> Result<GapsAnswer, QueryError> {
    let since = match selection.session {
        Session::Learned => selection.from.min(learned_since(selection.to)),
        Session::Always | Session::Given(..) => selection.from,
    };
    let openings = openings(store, &selection.key, (since, selection.to), page_candles).await?;
    spawn_blocking(move || examine(selection, &openings)).await.map_err(StoreError::internal)?
}

/// The first instant of the weeks from which the week before `to` is learned.
fn learned_since(to: i64) -> i64 {
    const WEEK_MILLISECONDS: i64 = 7 * 24 * 3_600_000;
    to - LEARNED_WEEKS * WEEK_MILLISECONDS
}

fn examine(selection: GapSelection, openings: &[i64]) -> Result<GapsAnswer, QueryError> {
    let GapSelection { key, from, to, session, zone, min, limit } = selection;
    let months = || QueryError::Store(StoreError::internal("months have no place in the week"));
    let series = SeriesPeriods::new(key.timeframe, &zone, openings).ok_or_else(months)?;
    let (source, hours, weeks, week) = match session {
        Session::Learned => {
            let learned = series.learn(to, openings)?;
            ("learned", None, Some(learned.weeks), learned.week)
        }
        Session::Always => ("24x7", None, None, Week::always(key.timeframe, series.phase).ok_or_else(months)?),
        Session::Given(hours, text) => {
            ("given", Some(text), None, Week::given(&hours, key.timeframe, series.phase).ok_or_else(months)?)
        }
    };
    let session =
        SessionAnswer { source, hours, timezone: zone.to_string(), weeks, expected_per_week: week.expected_per_week() };
    let mut gaps = Gaps::new(&week, series.grid(), (from, to), min, limit);
    for opened in openings.iter().filter(|opened| **opened >= from) {
        gaps.add(*opened);
    }
    let report = gaps.finish();
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 periods")]
    let share = || (report.stored as f64 / report.expected as f64 * 100_000.0).round() / 100_000.0;
    Ok(GapsAnswer {
        symbol: key.symbol.as_str().to_owned(),
        timeframe: key.timeframe.name(),
        from,
        to,
        session,
        expected: report.expected,
        stored: report.stored,
        coverage: (report.expected > 0).then(share),
        gaps: report.gaps.into_iter().map(GapAnswer::from).collect(),
        more: report.more,
    })
}

/// The periods of a series by a local clock.
#[derive(Debug, Clone)]
struct SeriesPeriods {
    timeframe: Timeframe,
    phase: i64,
    clock: LocalClock,
}

impl SeriesPeriods {
    /// `None` for months.
    fn new(timeframe: Timeframe, zone: &Alignment, openings: &[i64]) -> Option<Self> {
        let clock = zone.clock();
        let mut at = clock.clone();
        let mut grid = Grid::new(timeframe, 0, |time| at.ahead_of_utc(time))?;
        // Shorter periods have no phase.
        let phase = if grid.length() > 3_600_000 { Week::phase(openings.iter().copied(), &mut grid) } else { 0 };
        Some(Self { timeframe, phase, clock })
    }

    fn grid(&self) -> Grid<impl FnMut(i64) -> i64> {
        let mut clock = self.clock.clone();
        Grid::new(self.timeframe, self.phase, move |time| clock.ahead_of_utc(time)).expect("it is not a month")
    }

    /// Learns the week from the openings until `to`.
    fn learn(&self, to: i64, openings: &[i64]) -> Result<sessions::LearnedWeek, QueryError> {
        let mut grid = self.grid();
        let mut presence = Presence::before(to + 1, &grid);
        for opened in openings {
            presence.add(*opened, &mut grid);
        }
        presence.learned().map_err(too_little)
    }
}

/// A learned week of a series, for questions about the present.
#[derive(Debug)]
pub(super) struct LearnedSession {
    week: Week,
    periods: SeriesPeriods,
}

impl LearnedSession {
    /// True if the period that holds `now` is expected.
    pub(super) fn is_open(&self, now: i64) -> bool {
        self.week.expects(now, &mut self.periods.grid())
    }

    /// The milliseconds of expected periods between two instants. Stops to count beyond `enough`.
    pub(super) fn expected_time(&self, since: i64, until: i64, enough: i64) -> i64 {
        self.week.expected_time((since, until), enough, &mut self.periods.grid())
    }
}

/// A series, and the zone of its week.
type SessionKey = (SeriesKey, String);
/// A learned week, or the number of weeks with candles if it is too small.
type Learned = Result<Arc<LearnedSession>, u32>;

/// Something that was learned.
#[derive(Debug, Clone)]
struct KeptSession {
    /// The time at which it was learned.
    at: Instant,
    /// The version of the series before it was.
    version: SeriesVersion,
    learned: Learned,
}

impl KeptSession {
    fn ttl(&self) -> Duration {
        if self.learned.is_ok() { LEARNED_WEEK_TTL } else { TOO_LITTLE_TTL }
    }

    /// True if it still counts for a series with this version. A week stays what it was for an hour, whatever is written.
    fn counts(&self, version: SeriesVersion) -> bool {
        self.at.elapsed() < self.ttl() && (self.learned.is_ok() || self.version == version)
    }
}

/// The learned weeks of the last hour. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct LearnedSessions {
    kept: Arc<Mutex<HashMap<SessionKey, KeptSession>>>,
    /// One week is learned at a time, because that takes a second of the database's time.
    learning: Arc<tokio::sync::Mutex<()>>,
}

impl LearnedSessions {
    /// The week of a series before `now`, which is kept for [`LEARNED_WEEK_TTL`].
    pub(super) async fn of(
        &self,
        store: &Store,
        (key, zone): (&SeriesKey, &Alignment),
        now: i64,
        page_candles: usize,
    ) -> Result<Arc<LearnedSession>, QueryError> {
        let name = (key.clone(), zone.to_string());
        let version = store.series_version(&key.symbol, key.timeframe);
        if let Some(kept) = self.kept(&name, version) {
            return outcome(kept);
        }
        let _learning = self.learning.lock().await;
        if let Some(kept) = self.kept(&name, version) {
            return outcome(kept);
        }
        let openings = openings(store, key, (learned_since(now), now), page_candles).await?;
        let (timeframe, zone) = (key.timeframe, zone.clone());
        let learn = move || {
            let months = || StoreError::internal("months have no place in the week");
            let periods = SeriesPeriods::new(timeframe, &zone, &openings).ok_or_else(months)?;
            match periods.learn(now, &openings) {
                Ok(learned) => Ok(Ok(Arc::new(LearnedSession { week: learned.week, periods }))),
                Err(QueryError::TooLittleHistory { weeks, .. }) => Ok(Err(weeks)),
                Err(error) => Err(error),
            }
        };
        let learned: Learned = spawn_blocking(learn).await.map_err(StoreError::internal)??;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| kept.at.elapsed() < kept.ttl());
        if kept.len() < MAX_LEARNED_WEEKS_KEPT {
            kept.insert(name, KeptSession { at: Instant::now(), version, learned: learned.clone() });
        }
        drop(kept);
        outcome(learned)
    }

    fn kept(&self, name: &SessionKey, version: SeriesVersion) -> Option<Learned> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let session = kept.get(name).filter(|session| session.counts(version))?;
        Some(session.learned.clone())
    }
}

fn outcome(learned: Learned) -> Result<Arc<LearnedSession>, QueryError> {
    learned.map_err(too_little)
}

fn too_little(weeks: u32) -> QueryError {
    QueryError::TooLittleHistory { weeks, needed: MIN_LEARNED_WEEKS }
}
