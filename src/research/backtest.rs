//! One backtest: what is asked, the run, and the bytes of the answer. The command and the service answer alike.

use std::sync::Arc;

use research::run::{Backtest, BacktestResult};
use research::{BindError, Cache, Market, Parameter, ParameterRange, Parameters, Settings, Strategy, Trade};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::body::{self, Faults, Object};
use super::columns::{ColumnsRequest, Loaded};
use super::numbers::{Number, Price};
use super::requests::{self, SERIES_FIELDS, SeriesRequest, Span};
use super::{ResearchError, Strategies};
use candle::{Rule, ValueError};

/// The maximum number of candles of a backtest that is answered at once, its warm-up included.
pub(crate) const MAX_CANDLES: usize = 200_000;
/// The maximum number of trades in an answer.
pub(crate) const MAX_TRADES: usize = 10_000;
/// The bytes that an answer, a trade and a point of equity seldom exceed, so that an answer is not copied while it grows.
const ANSWER_BYTES: usize = 8 << 10;
const TRADE_BYTES: usize = 224;
const POINT_BYTES: usize = 32;

/// A backtest that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BacktestRequest {
    pub(crate) run: StrategyRun,
    pub(crate) series: SeriesRequest,
    pub(crate) span: Span,
    pub(crate) include: Include,
}

/// A strategy with values for its parameters, and settings.
#[derive(Debug, Clone)]
pub(crate) struct StrategyRun {
    pub(crate) strategy: &'static Strategy,
    pub(crate) parameters: Parameters,
    pub(crate) settings: Settings,
}

impl PartialEq for StrategyRun {
    fn eq(&self, other: &Self) -> bool {
        // Ids are unique.
        self.strategy.id() == other.strategy.id()
            && self.parameters == other.parameters
            && self.settings == other.settings
    }
}

/// The parts of an answer that are left out unless they are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Include {
    pub(crate) trades: bool,
    pub(crate) equity: bool,
}

impl BacktestRequest {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// When it is not JSON, or its strategy is unknown, or else with everything that is wrong with it.
    pub(crate) fn parse(body: &[u8], known: &Strategies) -> Result<Self, ResearchError> {
        let value = body::parse(body)?;
        let mut faults = Faults::default();
        let fields = [&["strategy", "parameters", "from", "to", "settings", "include"], &SERIES_FIELDS[..]].concat();
        let object = Object::of(&value, vec!["body".into()], &fields, &mut faults);
        let object = object.ok_or_else(|| std::mem::take(&mut faults).refusal())?;
        let strategy = requests::strategy(&object, known, &mut faults)?;
        let parameters = strategy.and_then(|strategy| requests::parameters(&object, strategy, &mut faults));
        let series = requests::series(&object, &mut faults);
        let span = requests::span(&object, &mut faults);
        let settings = requests::settings(&object, &mut faults);
        let include = include(&object, &mut faults);
        match (strategy, parameters, series) {
            (Some(strategy), Some(parameters), Some(series)) if faults.is_empty() => {
                requests::check_timeframe(strategy, series.key.timeframe)?;
                Ok(Self { run: StrategyRun { strategy, parameters, settings }, series, span, include })
            }
            _ => Err(faults.refusal()),
        }
    }

    /// A text that differs between requests with different answers.
    pub(super) fn canonical(&self) -> String {
        let StrategyRun { strategy, parameters, settings } = &self.run;
        let (series, span, include) = (&self.series, self.span, self.include);
        format!("{} {:?} {settings:?} {series:?} {span:?} {include:?}", strategy.id(), parameters.values())
    }

    /// The candles that it reads.
    ///
    /// # Errors
    /// When the parameters cannot be bound.
    pub(crate) fn columns(&self) -> Result<ColumnsRequest, BindError> {
        let warm_up = if self.span.from.is_some() { self.run.strategy.warm_up(&self.run.parameters)? } else { 0 };
        let series = self.series.clone();
        Ok(ColumnsRequest { series, span: self.span.bounds(), warm_up, max_bars: MAX_CANDLES })
    }

    /// Runs it on its candles.
    ///
    /// # Errors
    /// [`ResearchError::TooFewCandles`], and when the parameters cannot be bound.
    pub(crate) fn test(self, loaded: &Loaded) -> Result<Tested, ResearchError> {
        let StrategyRun { strategy, parameters, settings } = &self.run;
        let bars = loaded.market.len();
        let needed = strategy.bind(parameters)?.first() + 2;
        if bars < needed || bars < loaded.first + 2 {
            return Err(ResearchError::TooFewCandles(self.too_few(loaded, needed)));
        }
        let market = match settings.tick() {
            None => Arc::clone(&loaded.market),
            Some(tick) => Arc::new(Market::new(loaded.market.bars().clone(), Some(tick))),
        };
        let run = Backtest { strategy, parameters, market: &market, bars: loaded.first..bars, settings };
        // Nothing is kept, because equal parts of one run are computed once anyway.
        let result = run.run(&Cache::new(0))?;
        Ok(Tested { request: self, market, result })
    }

    fn too_few(&self, loaded: &Loaded, needed: usize) -> String {
        let key = &self.series.key;
        let traded = loaded.market.len() - loaded.first;
        if loaded.first == 0 {
            return format!(
                "{} {} has {traded} closed candles in that span, and {} with these parameters needs at least {needed}; choose \
                 an earlier from, or shorter parameters",
                key.symbol,
                key.timeframe,
                self.run.strategy.id()
            );
        }
        format!(
            "{} {} has {traded} closed candles in that span and {} before it, and {} with these parameters needs at least 2 in \
             the span and {needed} in all; choose a longer span, or shorter parameters",
            key.symbol,
            key.timeframe,
            loaded.first,
            self.run.strategy.id()
        )
    }
}

impl From<BindError> for ResearchError {
    fn from(error: BindError) -> Self {
        Self::Invalid(error.to_string())
    }
}

fn include(object: &Object<'_>, faults: &mut Faults) -> Include {
    let parts = object.list("include", 0..=2, faults, |value| match body::text(value)? {
        part @ ("trades" | "equity") => Ok(part == "trades"),
        _ => Err(ValueError::new(Rule::WrongType, "must be one of trades, equity")),
    });
    let parts = parts.unwrap_or_default();
    Include { trades: parts.contains(&true), equity: parts.contains(&false) }
}

/// A backtest that was run. It serializes as the answer.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) request: BacktestRequest,
    pub(crate) market: Arc<Market>,
    pub(crate) result: BacktestResult,
}

impl Tested {
    /// The opening times of the first and the last candle that was traded.
    pub(crate) fn span(&self) -> (i64, i64) {
        let times = &self.market.bars().time()[self.result.bars.clone()];
        (times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default())
    }

    /// The digits behind the point of fills: those of the series, or of a finer tick.
    fn digits(&self) -> u8 {
        let of_tick = self.request.run.settings.tick().map(|tick| format!("{tick}"));
        let of_tick = of_tick.and_then(|tick| u8::try_from(tick.split_once('.')?.1.len()).ok());
        self.market.bars().digits().max(of_tick.unwrap_or(0))
    }

    /// The bytes of the answer.
    ///
    /// # Errors
    /// Never, because all of it is text and numbers.
    pub(crate) fn json(&self) -> serde_json::Result<Vec<u8>> {
        let (trades, points) = (self.result.trades.len().min(MAX_TRADES), self.result.equity.points.len());
        let expected = ANSWER_BYTES
            + if self.request.include.trades { trades * TRADE_BYTES } else { 0 }
            + if self.request.include.equity { points * POINT_BYTES } else { 0 };
        let mut bytes = Vec::with_capacity(expected);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }
}

impl Serialize for Tested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (result, request) = (&self.result, &self.request);
        let (first, last) = self.span();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("strategy", request.run.strategy.id())?;
        map.serialize_entry("parameters", &Values(request.run.strategy.parameters(), &request.run.parameters))?;
        map.serialize_entry("symbol", request.series.key.symbol.as_str())?;
        map.serialize_entry("timeframe", request.series.key.timeframe.name())?;
        map.serialize_entry("bars", &result.bars.len())?;
        map.serialize_entry("warmup_bars", &result.warmup_bars)?;
        map.serialize_entry("warmup_missing", &result.warmup_missing)?;
        map.serialize_entry("from", &request.span.from.unwrap_or(first))?;
        map.serialize_entry("to", &request.span.to.unwrap_or(last))?;
        map.serialize_entry("as_of", &last)?;
        map.serialize_entry("fingerprint", &format_args!("{:016x}", result.fingerprint))?;
        map.serialize_entry("gaps", &result.gaps)?;
        map.serialize_entry("metrics", &Figures(&result.metrics.named()))?;
        map.serialize_entry("conflicts", &result.account.conflicts)?;
        map.serialize_entry("dropped", &result.account.dropped)?;
        map.serialize_entry("ruined", &result.account.ruined.is_some())?;
        map.serialize_entry("assumptions", &result.assumptions)?;
        if request.include.trades {
            map.serialize_entry("trades", &Trades(self))?;
            map.serialize_entry("trades_omitted", &result.trades.len().saturating_sub(MAX_TRADES))?;
        }
        if request.include.equity {
            let points: Vec<_> = result.equity.points.iter().map(|(time, equity)| (time, Number(*equity))).collect();
            map.serialize_entry("equity", &points)?;
            map.serialize_entry("equity_every", &result.equity.every)?;
        }
        map.end()
    }
}

/// Values of parameters by their names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a>(pub(crate) &'a [Parameter], pub(crate) &'a Parameters);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (parameter, value) in self.0.iter().zip(self.1.values()) {
            match parameter.range {
                ParameterRange::Choice { .. } => map.serialize_entry(&parameter.name, &parameter.print(*value))?,
                ParameterRange::Int { .. } | ParameterRange::Float { .. } => {
                    map.serialize_entry(&parameter.name, &Number(*value))?;
                }
            }
        }
        map.end()
    }
}

/// Figures by their names; one that is not defined is null.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures<'a>(pub(crate) &'a [(&'static str, Option<f64>)]);

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, &value.map(Number))?;
        }
        map.end()
    }
}

struct Trades<'a>(&'a Tested);

impl Serialize for Trades<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trades = self.0.result.trades.iter().take(MAX_TRADES);
        let digits = self.0.digits();
        let mut list = serializer.serialize_seq(Some(trades.len()))?;
        for trade in trades {
            list.serialize_element(&TradeAnswer::of(trade, &self.0.market, digits))?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct TradeAnswer {
    side: &'static str,
    entry_time: Option<i64>,
    entry_price: Price,
    exit_time: Option<i64>,
    exit_price: Price,
    quantity: Number,
    profit: Number,
    exit: &'static str,
    bars: usize,
}

impl TradeAnswer {
    fn of(trade: &Trade, market: &Market, digits: u8) -> Self {
        let time = |bar: usize| market.bars().time().get(bar).copied();
        Self {
            side: trade.side.name(),
            entry_time: time(trade.entry_bar),
            entry_price: Price(trade.entry_price, digits),
            exit_time: time(trade.exit_bar),
            exit_price: Price(trade.exit_price, digits),
            quantity: Number(trade.quantity),
            profit: Number(trade.profit),
            exit: trade.exit.name(),
            bars: trade.bars(),
        }
    }
}
