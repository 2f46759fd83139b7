//! Signals of today: what is asked, the votes of the strategies on each symbol, and the answer as JSON and as CSV.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use research::signal::{DEFAULT_STRATEGIES, HISTORY_BARS, TodaysSignal, Vote, todays_signal};
use research::{Cache, Parameters, Settings, Side, Strategy};
use serde::{Serialize, Serializer};
use url::form_urlencoded;

use super::body::{self, Faults, Object};
use super::columns::{Columns, ColumnsRequest, Loaded};
use super::numbers::{Number, Price, significant};
use super::requests::{self, SeriesRequest};
use super::{ResearchError, Strategies, Threads};
use crate::query::{END_MILLISECOND, Parameters as QueryParameters};
use crate::store::{SeriesKey, SeriesSelection, Store};
use candle::{Rule, Symbol, Timeframe, ValueError};

/// The maximum number of symbols of an answer.
pub(crate) const MAX_SYMBOLS: usize = 200;
/// The maximum number of strategies that are asked.
pub(crate) const MAX_STRATEGIES: usize = 100;
/// The number of candles from which a timeframe below a day is chosen.
const MIN_CANDLES: usize = 300;
/// The periods after which a newest candle is stale, and the milliseconds for days, which have weekends, and for months.
const STALE_PERIODS: i64 = 3;
const DAY_MS: i64 = 86_400_000;
const STALE_DAY_MS: i64 = 5 * DAY_MS;
const STALE_MONTH_MS: i64 = STALE_PERIODS * 31 * DAY_MS;
/// The names of the columns of the CSV.
const COLUMNS: &str = "symbol,timeframe,candle,close,signal,score,strategies_long,strategies_short,stale\r\n";

/// Signals that are asked for.
#[derive(Debug, Clone)]
pub(crate) struct SignalsRequest {
    /// The symbols, each once; `None` for all that are stored.
    symbols: Option<Vec<Symbol>>,
    /// `None` to choose one for each symbol.
    timeframe: Option<Timeframe>,
    strategies: Arc<[(&'static Strategy, Parameters)]>,
    settings: Settings,
}

impl SignalsRequest {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// When it is not JSON, or a strategy is unknown, or else with everything that is wrong with it.
    pub(crate) fn parse(body: &[u8], known: &Strategies) -> Result<Self, ResearchError> {
        let value = body::parse(body)?;
        let mut faults = Faults::default();
        let fields = ["symbols", "timeframe", "strategies", "settings"];
        let object = Object::of(&value, vec!["body".into()], &fields, &mut faults);
        let object = object.ok_or_else(|| std::mem::take(&mut faults).refusal())?;
        if object.get("symbols").is_none() {
            faults.add(object.place("symbols"), Rule::Missing.name(), "is missing; send the symbols to ask about");
        }
        let mut seen = BTreeSet::new();
        let symbols = object
            .list("symbols", 1..=MAX_SYMBOLS, &mut faults, |value| once(&mut seen, Symbol::parse(body::text(value)?)?));
        let timeframe = object.optional("timeframe", &mut faults, requests::timeframe);
        let mut seen = BTreeSet::new();
        let ids = object.list("strategies", 1..=MAX_STRATEGIES, &mut faults, |value| {
            once(&mut seen, body::text(value)?.to_owned())
        });
        let settings = requests::settings(&object, &mut faults);
        let strategies = strategies(ids.as_deref(), known)?;
        if !faults.is_empty() {
            return Err(faults.refusal());
        }
        Self { symbols, timeframe, strategies, settings }.checked()
    }

    /// Parses a query string: `symbols` and `strategies`, each separated by commas or repeated, and `timeframe`.
    ///
    /// # Errors
    /// When a strategy is unknown, or else with everything that is wrong with it.
    pub(crate) fn parse_query(query: &str, known: &Strategies) -> Result<Self, ResearchError> {
        let names = ["symbols", "timeframe", "strategies"];
        let mut parameters = QueryParameters::read_with(query, &names, &["symbols", "strategies"]);
        let mut seen = BTreeSet::new();
        let mut split = |name: &str, max: usize| {
            let texts = parameters.all(name, |text| Ok(text.to_owned()));
            let all: Vec<String> = texts.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect();
            if all.len() > max {
                let message = format!("names {}, and at most {max} are taken; ask in parts", all.len());
                parameters.refuse(name, Rule::OutOfRange.name(), message);
            }
            all
        };
        let (symbols, ids) = (split("symbols", MAX_SYMBOLS), split("strategies", MAX_STRATEGIES));
        let mut parsed = Vec::new();
        for text in &symbols {
            match Symbol::parse(text).and_then(|symbol| once(&mut seen, symbol)) {
                Ok(symbol) => parsed.push(symbol),
                Err(error) => {
                    parameters.refuse("symbols", error.rule.name(), format!("holds one that {}", error.message));
                }
            }
        }
        let mut seen = BTreeSet::new();
        for id in &ids {
            if let Err(error) = once(&mut seen, id.clone()) {
                parameters.refuse("strategies", error.rule.name(), format!("holds {id}, which {}", error.message));
            }
        }
        let timeframe = parameters.optional("timeframe", Timeframe::parse);
        let symbols = parameters.has("symbols").then_some(parsed);
        let ids = parameters.has("strategies").then_some(ids);
        parameters.valid(()).map_err(ResearchError::Fields)?;
        let strategies = strategies(ids.as_deref(), known)?;
        Self { symbols, timeframe, strategies, settings: Settings::default() }.checked()
    }

    /// Parses the setting of the signals that are watched, which is a query string that names symbols.
    ///
    /// # Errors
    /// When it is not one, or names an unknown strategy.
    pub(super) fn parse_setting(setting: &str, known: &Strategies) -> Result<Self, ResearchError> {
        let names = ["symbols", "timeframe", "strategies"];
        if let Some((name, _)) = form_urlencoded::parse(setting.as_bytes()).find(|(name, _)| !names.contains(&&**name))
        {
            let message = format!("{} is none of {}", name.escape_debug(), names.join(", "));
            return Err(ResearchError::Invalid(message));
        }
        let request = Self::parse_query(setting, known)?;
        if request.symbols().is_empty() {
            return Err(ResearchError::Invalid("symbols is missing, which names the symbols to watch".to_owned()));
        }
        Ok(request)
    }

    /// The same request about some of its symbols.
    pub(super) fn about(&self, symbols: Vec<Symbol>) -> Self {
        Self { symbols: Some(symbols), ..self.clone() }
    }

    /// The ids of its strategies.
    pub(super) fn strategy_ids(&self) -> impl Iterator<Item = &'static str> {
        self.strategies.iter().map(|(strategy, _)| strategy.id())
    }

    /// Refuses session rules on a timeframe of a day or longer.
    fn checked(self) -> Result<Self, ResearchError> {
        if let Some(timeframe) = self.timeframe {
            for (strategy, _) in &*self.strategies {
                requests::check_timeframe(strategy, timeframe)?;
            }
        }
        Ok(self)
    }

    /// The symbols that it names.
    pub(super) fn symbols(&self) -> &[Symbol] {
        self.symbols.as_deref().unwrap_or_default()
    }

    pub(super) fn timeframe(&self) -> Option<Timeframe> {
        self.timeframe
    }

    /// A text that differs between requests with different answers.
    pub(super) fn canonical(&self) -> String {
        let ids: Vec<_> = self.strategy_ids().collect();
        format!("{:?} {:?} {ids:?} {:?}", self.symbols, self.timeframe, self.settings)
    }

    /// The number of candles that the strategies look at.
    fn candles(&self) -> Result<usize, ResearchError> {
        let mut most = 0;
        for (strategy, parameters) in &*self.strategies {
            most = most.max(strategy.warm_up(parameters)?);
        }
        Ok(HISTORY_BARS + most)
    }

    /// The number of candles without which no strategy says anything.
    fn needed(&self) -> Result<usize, ResearchError> {
        let mut least = usize::MAX;
        for (strategy, parameters) in &*self.strategies {
            least = least.min(strategy.bind(parameters)?.first() + 1);
        }
        Ok(least.max(1))
    }
}

/// The value, unless its list has it already.
fn once<T: Ord + Clone>(seen: &mut BTreeSet<T>, value: T) -> Result<T, ValueError> {
    if seen.insert(value.clone()) {
        return Ok(value);
    }
    Err(ValueError::new(Rule::Inconsistent, "is there more than once; send it once"))
}

fn strategies(
    ids: Option<&[String]>,
    known: &Strategies,
) -> Result<Arc<[(&'static Strategy, Parameters)]>, ResearchError> {
    let with_defaults = |strategy: &'static Strategy| (strategy, strategy.defaults());
    match ids {
        Some(ids) => ids.iter().map(|id| known.find(id).map(with_defaults)).collect(),
        None => DEFAULT_STRATEGIES.iter().map(|id| known.find(id).map(with_defaults)).collect(),
    }
}

/// The signals of all symbols. It serializes as the answer.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the answer")]
pub(crate) struct Signals {
    as_of: i64,
    signals: Vec<SymbolSignal>,
    errors: Vec<SymbolError>,
}

/// The signal of a symbol.
#[derive(Debug, Serialize)]
pub(super) struct SymbolSignal {
    pub(super) symbol: String,
    #[serde(serialize_with = "timeframe_name")]
    pub(super) timeframe: Timeframe,
    pub(super) candle: i64,
    pub(super) close: Price,
    pub(super) signal: &'static str,
    pub(super) score: Number,
    stale: bool,
    pub(super) votes: Vec<VoteAnswer>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn timeframe_name<S: Serializer>(timeframe: &Timeframe, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(timeframe.name())
}

#[derive(Debug, Serialize)]
pub(super) struct VoteAnswer {
    strategy: String,
    position: &'static str,
    order: Option<&'static str>,
    bars_in_position: usize,
    since: Option<i64>,
    /// Only where candles are missing of those that the indicators should see.
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup_missing: Option<usize>,
}

/// A symbol without a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SymbolError {
    pub(crate) symbol: String,
    pub(crate) code: &'static str,
}

impl Signals {
    /// Asks the strategies about each symbol at `now`, in epoch milliseconds.
    ///
    /// # Errors
    /// [`ResearchError::UnknownSeries`] if no symbol has a signal, and when the store cannot be read.
    pub(super) async fn ask(
        request: &SignalsRequest,
        parts: (&Store, &Columns, &Threads),
        now: i64,
    ) -> Result<Self, ResearchError> {
        let (signals, errors) = outcomes(request, parts, now).await?;
        if signals.is_empty() && !errors.is_empty() {
            return Err(ResearchError::NoSignals(errors));
        }
        Ok(Self { as_of: now, signals, errors })
    }

    /// The symbols that have no signal.
    pub(crate) fn errors(&self) -> &[SymbolError] {
        &self.errors
    }

    /// Lines of values separated by commas (RFC 4180), after a line of names.
    pub(crate) fn csv(&self) -> String {
        let mut text = COLUMNS.to_owned();
        for signal in &self.signals {
            let held = |side: &str| {
                let votes = signal.votes.iter().filter(|vote| vote.position == side);
                votes.map(|vote| vote.strategy.as_str()).collect::<Vec<_>>().join(";")
            };
            let cells = [
                cell(&signal.symbol),
                signal.timeframe.name().into(),
                signal.candle.to_string().into(),
                signal.close.text().into(),
                signal.signal.into(),
                significant(signal.score.0).to_string().into(),
                held("long").into(),
                held("short").into(),
                signal.stale.to_string().into(),
            ];
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// Asks the strategies about each symbol at `now`, in epoch milliseconds. Returns the signals, and the symbols that have none.
pub(super) async fn outcomes(
    request: &SignalsRequest,
    (store, columns, threads): (&Store, &Columns, &Threads),
    now: i64,
) -> Result<(Vec<SymbolSignal>, Vec<SymbolError>), ResearchError> {
    let series = series_of(request, store).await?;
    let (candles, needed) = (request.candles()?, request.needed()?);
    let at_once = threads.count().max(2);
    let asker = Asker { request, columns, threads, candles, needed, now };
    let outcomes = stream::iter(series).map(|asked| asker.ask(asked)).buffered(at_once);
    let outcomes: Vec<Result<SymbolSignal, SymbolError>> = outcomes.try_collect().await?;
    let (mut signals, mut errors) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(signal) => signals.push(signal),
            Err(error) => errors.push(error),
        }
    }
    Ok((signals, errors))
}

/// Asks about one symbol after the other.
struct Asker<'a> {
    request: &'a SignalsRequest,
    columns: &'a Columns,
    threads: &'a Threads,
    /// The number of candles to read.
    candles: usize,
    /// The number without which no strategy says anything.
    needed: usize,
    now: i64,
}

impl Asker<'_> {
    async fn ask(&self, asked: Asked) -> Result<Result<SymbolSignal, SymbolError>, ResearchError> {
        let symbol = asked.symbol.to_string();
        let refused = |code| Ok(Err(SymbolError { symbol: symbol.clone(), code }));
        let (timeframe, loaded) = match newest(&asked, self.columns, self.candles).await {
            Ok(Some(newest)) => newest,
            Ok(None) => return refused(if asked.is_known { TOO_FEW } else { UNKNOWN }),
            Err(ResearchError::UnusableCandle { .. }) => return refused(INVALID_CANDLE),
            Err(error) => return Err(error),
        };
        if loaded.market.len() < self.needed {
            return refused(TOO_FEW);
        }
        if !self.request.strategies.iter().all(|(strategy, _)| requests::suits(strategy, timeframe)) {
            return refused(INTRADAY_ONLY);
        }
        let (strategies, settings) = (Arc::clone(&self.request.strategies), self.request.settings);
        let market = Arc::clone(&loaded.market);
        let voted = self.threads.run(move || todays_signal(&market, &strategies, &settings, &Cache::new(0))).await??;
        let Some(signal) = voted else { return refused(TOO_FEW) };
        let digits = loaded.market.bars().digits();
        Ok(Ok(SymbolSignal::of((symbol, timeframe), signal, digits, self.now)))
    }
}

const UNKNOWN: &str = "unknown_series";
const TOO_FEW: &str = "too_few_candles";
const INTRADAY_ONLY: &str = "intraday_only";
const INVALID_CANDLE: &str = "invalid_candle";

impl SymbolSignal {
    fn of((symbol, timeframe): (String, Timeframe), signal: TodaysSignal, digits: u8, now: i64) -> Self {
        Self {
            symbol,
            timeframe,
            candle: signal.candle,
            close: Price(signal.close, digits),
            signal: signal.advice.name(),
            score: Number(signal.score),
            stale: is_stale(timeframe, signal.candle, now),
            votes: signal.votes.into_iter().map(VoteAnswer::of).collect(),
        }
    }
}

impl VoteAnswer {
    fn of(vote: Vote) -> Self {
        Self {
            strategy: vote.strategy,
            position: vote.position.map_or("flat", Side::name),
            order: vote.order.map(research::broker::NextOrder::name),
            bars_in_position: vote.bars_in_position,
            since: vote.since,
            warmup_missing: Some(vote.warmup_missing).filter(|missing| *missing > 0),
        }
    }
}

/// True if the newest closed candle is too old to say anything of today.
fn is_stale(timeframe: Timeframe, candle: i64, now: i64) -> bool {
    let most = match timeframe {
        Timeframe::D1 => STALE_DAY_MS,
        _ => timeframe.length().map_or(STALE_MONTH_MS, |seconds| STALE_PERIODS * seconds * 1000),
    };
    now - candle > most
}

/// A symbol, and the timeframes to try in turn.
#[derive(Debug)]
struct Asked {
    symbol: Symbol,
    timeframes: Vec<Timeframe>,
    /// True if the last timeframe to try is taken however few candles it has.
    takes_any: bool,
    /// True if candles of the symbol are stored.
    is_known: bool,
}

/// The newest candles of the first timeframe that has enough.
async fn newest(
    asked: &Asked,
    columns: &Columns,
    candles: usize,
) -> Result<Option<(Timeframe, Loaded)>, ResearchError> {
    for timeframe in &asked.timeframes {
        let key = SeriesKey { symbol: asked.symbol.clone(), timeframe: *timeframe };
        let request = ColumnsRequest {
            series: SeriesRequest { key, resampling: None },
            span: (END_MILLISECOND, END_MILLISECOND),
            warm_up: candles,
            max_bars: candles,
        };
        match columns.load(request).await {
            Ok(loaded) if asked.takes_any || loaded.market.len() >= MIN_CANDLES => {
                return Ok(Some((*timeframe, loaded)));
            }
            Ok(_) | Err(ResearchError::UnknownSeries(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The symbols to ask about, in the order of the request, or of their bytes if it names none.
async fn series_of(request: &SignalsRequest, store: &Store) -> Result<Vec<Asked>, ResearchError> {
    if let (Some(timeframe), Some(symbols)) = (request.timeframe, &request.symbols) {
        let asked = |symbol: &Symbol| Asked {
            symbol: symbol.clone(),
            timeframes: vec![timeframe],
            takes_any: true,
            is_known: false,
        };
        return Ok(symbols.iter().map(asked).collect());
    }
    let stored = stored(request, store).await?;
    let asked = |symbol: &Symbol| {
        let (timeframes, is_known) = match stored.get(symbol) {
            Some(stored) => (choose(stored, request.timeframe), true),
            None => (Vec::new(), false),
        };
        let takes_any = request.timeframe.is_some() || timeframes == [Timeframe::D1];
        Asked { symbol: symbol.clone(), timeframes, takes_any, is_known }
    };
    Ok(match &request.symbols {
        Some(symbols) => symbols.iter().map(asked).collect(),
        None => stored.keys().map(asked).collect(),
    })
}

/// The timeframes to try: the one that was asked for, or the day, or what is stored below it from the longest on.
fn choose(stored: &[Timeframe], asked: Option<Timeframe>) -> Vec<Timeframe> {
    if let Some(timeframe) = asked {
        return vec![timeframe];
    }
    if stored.contains(&Timeframe::D1) {
        return vec![Timeframe::D1];
    }
    let below = Timeframe::ALL.into_iter().take_while(|timeframe| *timeframe != Timeframe::D1);
    let mut below: Vec<_> = below.filter(|timeframe| stored.contains(timeframe)).collect();
    below.reverse();
    below
}

/// The timeframes that are stored of each symbol.
pub(super) async fn stored(
    request: &SignalsRequest,
    store: &Store,
) -> Result<BTreeMap<Symbol, Vec<Timeframe>>, ResearchError> {
    let mut symbols = request.symbols().to_vec();
    symbols.sort();
    let limit = crate::query::MAX_SERIES;
    let mut selection = SeriesSelection { symbols, timeframe: request.timeframe, after: None, limit };
    let mut found: BTreeMap<Symbol, Vec<Timeframe>> = BTreeMap::new();
    loop {
        let reading = store.reading_of(&selection.symbols, selection.timeframe);
        let page = store.series_from(reading, &selection).await?;
        for series in page.series {
            found.entry(series.key.symbol).or_default().push(series.key.timeframe);
        }
        if found.len() > MAX_SYMBOLS {
            return Err(ResearchError::TooManySymbols(MAX_SYMBOLS));
        }
        match page.next {
            Some(next) => selection.after = Some(next),
            None => return Ok(found),
        }
    }
}

/// A cell of text (RFC 4180). One that a spreadsheet would take for a formula begins with an apostrophe.
fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@']);
    let guarded = if is_formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) };
    if guarded.contains(['"', ',', '\r', '\n']) {
        return Cow::Owned(format!("\"{}\"", guarded.replace('"', "\"\"")));
    }
    guarded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (text, written) in [
            ("EURUSD", "EURUSD"),
            ("=1+1", "'=1+1"),
            ("-EUR", "'-EUR"),
            ("@x", "'@x"),
            ("+1,2", "\"'+1,2\""),
            ("a\"b", "\"a\"\"b\""),
            ("US.500", "US.500"),
        ] {
            assert_eq!(cell(text), written);
        }
    }

    #[test]
    fn a_day_is_stale_after_five_days_and_others_after_three_periods() {
        const HOUR_MS: i64 = 3_600_000;
        assert!(!is_stale(Timeframe::D1, 0, 5 * DAY_MS) && is_stale(Timeframe::D1, 0, 5 * DAY_MS + 1));
        assert!(!is_stale(Timeframe::H1, 0, 3 * HOUR_MS) && is_stale(Timeframe::H1, 0, 3 * HOUR_MS + 1));
        assert!(!is_stale(Timeframe::MN1, 0, 93 * DAY_MS) && is_stale(Timeframe::MN1, 0, 94 * DAY_MS));
    }

    #[test]
    fn the_day_comes_first_and_then_the_longest_below() {
        use Timeframe::{D1, H1, H4, M1, W1};
        assert_eq!(choose(&[M1, D1, H4], None), [D1]);
        assert_eq!(choose(&[M1, W1, H4, H1], None), [H4, H1, M1]);
        assert_eq!(choose(&[M1, D1], Some(H1)), [H1]);
    }
}
