//! The fields that requests of research have in common: a strategy with parameters, a series, a span of time, and settings.
//!
//! Each function reads some fields of an [`Object`] and adds what is wrong with them to the [`Faults`], so that a refusal lists
//! everything at once.

use research::{BindError, Commission, Parameters, Settings, SettingsError, Sides, Size, Strategy, Timeframes};
use serde_json::Value;

use super::body::{self, Faults, Object};
use super::{ResearchError, Strategies};
use crate::query::{END_MILLISECOND, FIRST_MILLISECOND, Refusal as _, Resampling};
use crate::store::SeriesKey;
use crate::validation::PathSegment;
use calendar::{Alignment, AlignmentError, parse_weekday};
use candle::{Rule, Symbol, Timeframe, ValueError, parse_bound};

/// The length from which session rules make no sense.
const DAY_SECONDS: i64 = 86_400;
/// The fields of a series.
pub(crate) const SERIES_FIELDS: [&str; 5] = ["symbol", "timeframe", "source", "align", "week"];
/// The fields of settings.
const SETTINGS_FIELDS: [&str; 8] =
    ["capital", "size", "commission", "slippage_ticks", "tick_size", "lot_step", "point_value", "sides"];

/// A series, stored or built from a shorter one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SeriesRequest {
    /// The series of the answer.
    pub(crate) key: SeriesKey,
    /// The source of built candles; `None` if they are stored.
    pub(crate) resampling: Option<Resampling>,
}

impl SeriesRequest {
    /// The timeframe of the candles that are read.
    pub(crate) fn stored(&self) -> Timeframe {
        self.resampling.as_ref().map_or(self.key.timeframe, |resampling| resampling.source)
    }
}

/// The span of opening times to trade, in epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// The first millisecond; `None` from the first candle that is stored.
    pub(crate) from: Option<i64>,
    /// The last millisecond; `None` to the last candle that is stored.
    pub(crate) to: Option<i64>,
}

impl Span {
    /// The first millisecond, and the one after the last.
    pub(crate) fn bounds(self) -> (i64, i64) {
        (self.from.unwrap_or(FIRST_MILLISECOND), self.to.map_or(END_MILLISECOND, |to| to + 1))
    }
}

/// Reads the field `strategy`.
///
/// # Errors
/// [`ResearchError::UnknownStrategy`], which is answered before other faults.
pub(crate) fn strategy(
    object: &Object<'_>,
    known: &Strategies,
    faults: &mut Faults,
) -> Result<Option<&'static Strategy>, ResearchError> {
    let id = object.required("strategy", faults, body::text);
    id.map(|id| known.find(id)).transpose()
}

/// Reads the object `parameters`: values by the names of the strategy's parameters. The others have their defaults.
pub(crate) fn parameters(object: &Object<'_>, strategy: &Strategy, faults: &mut Faults) -> Option<Parameters> {
    let place = object.place("parameters");
    let Some(value) = object.get("parameters") else {
        return bindable(strategy, strategy.defaults(), &place, faults);
    };
    let given = Object::open(value, place.clone(), faults)?;
    let mut pairs = Vec::new();
    let before = faults.len();
    for (name, value) in given.fields() {
        match body::scalar(value) {
            Ok(text) => pairs.push((name, text)),
            Err(error) => faults.add(given.place(name), error.rule.name(), error.message),
        }
    }
    let parameters = parameters_of(strategy, &pairs, &place, faults)?;
    if faults.len() > before { None } else { bindable(strategy, parameters, &place, faults) }
}

/// Parameters from texts. `place` is the place of all of them.
pub(crate) fn parameters_of(
    strategy: &Strategy,
    pairs: &[(&str, String)],
    place: &[PathSegment],
    faults: &mut Faults,
) -> Option<Parameters> {
    let parsed = strategy.parameters_of(pairs.iter().map(|(name, text)| (*name, text.as_str())));
    let refuse = |errors: Vec<research::ParameterError>| {
        for error in errors {
            let is_known = strategy.parameters().iter().any(|parameter| parameter.name == error.name);
            let kind = if is_known { Rule::OutOfRange.name() } else { "unknown_parameter" };
            let loc = place.iter().cloned().chain([error.name.as_str().into()]).collect();
            faults.add(loc, kind, format!("is refused: {}", error.message));
        }
    };
    parsed.map_err(refuse).ok()
}

/// The parameters, if they fulfil the strategy's constraints.
pub(crate) fn bindable(
    strategy: &Strategy,
    parameters: Parameters,
    place: &[PathSegment],
    faults: &mut Faults,
) -> Option<Parameters> {
    match strategy.bind(&parameters) {
        Ok(_) => return Some(parameters),
        Err(BindError::Constraints(broken)) => {
            for constraint in broken {
                faults.add(place.to_vec(), "constraint", format!("must fulfil {constraint}"));
            }
        }
        Err(error @ BindError::Expression { .. }) => {
            faults.add(place.to_vec(), Rule::Inconsistent.name(), format!("cannot be used: {error}"));
        }
    }
    None
}

/// Reads `symbol` and `timeframe`, and `source`, `align` and `week` of candles that are built.
pub(crate) fn series(object: &Object<'_>, faults: &mut Faults) -> Option<SeriesRequest> {
    let symbol = object.required("symbol", faults, |value| Symbol::parse(body::text(value)?));
    let timeframe = object.required("timeframe", faults, timeframe);
    let source = object.optional("source", faults, self::timeframe);
    let before = faults.len();
    let alignment = object.optional("align", faults, |value| {
        Alignment::parse(body::text(value)?).map_err(|error| alignment_error(&error))
    });
    let week = object
        .optional("week", faults, |value| parse_weekday(body::text(value)?).map_err(|error| alignment_error(&error)));
    if object.get("source").is_none() {
        for name in ["align", "week"].into_iter().filter(|name| object.get(name).is_some()) {
            let message =
                format!("is missing beside {name}; send the timeframe to build from, such as M1, or drop {name}");
            faults.add(object.place("source"), Rule::Missing.name(), message);
        }
    }
    let key = SeriesKey { symbol: symbol?, timeframe: timeframe? };
    let Some(source) = source else {
        return (object.get("source").is_none() && faults.len() == before)
            .then_some(SeriesRequest { key, resampling: None });
    };
    match Resampling::of(key.timeframe, source, alignment, week) {
        Ok(resampling) => Some(SeriesRequest { key, resampling: Some(resampling) }),
        Err(unbuildable) => {
            faults.add(object.place("source"), unbuildable.kind(), unbuildable.message());
            None
        }
    }
}

fn alignment_error(error: &AlignmentError) -> ValueError {
    ValueError::new(Rule::WrongType, error.to_string())
}

/// A timeframe.
pub(crate) fn timeframe(value: &Value) -> Result<Timeframe, ValueError> {
    Timeframe::parse(body::text(value)?)
}

/// Reads `from` and `to`, both inclusive.
pub(crate) fn span(object: &Object<'_>, faults: &mut Faults) -> Span {
    let mut bound = |name| object.optional(name, faults, |value| parse_bound(&body::scalar(value)?, None));
    let span = Span { from: bound("from"), to: bound("to") };
    if let (Some(from), Some(to)) = (span.from, span.to)
        && from > to
    {
        faults.add(object.place("to"), "empty_range", "is before from; move one of them");
    }
    span
}

/// Refuses rules of sessions on candles of a day and longer.
///
/// # Errors
/// [`ResearchError::IntradayOnly`].
pub(crate) fn check_timeframe(strategy: &Strategy, timeframe: Timeframe) -> Result<(), ResearchError> {
    if suits(strategy, timeframe) {
        return Ok(());
    }
    Err(ResearchError::IntradayOnly(strategy.id().to_owned(), timeframe))
}

/// True if the strategy makes sense on candles of this length.
pub(crate) fn suits(strategy: &Strategy, timeframe: Timeframe) -> bool {
    strategy.timeframes() == Timeframes::Any || timeframe.length().is_some_and(|length| length < DAY_SECONDS)
}

/// Reads the object `settings`. What is absent has its default.
pub(crate) fn settings(object: &Object<'_>, faults: &mut Faults) -> Settings {
    let Some(given) = object.object("settings", &SETTINGS_FIELDS, faults) else { return Settings::default() };
    let size = one_of(&given, "size", ["percent_of_equity", "fixed", "cash"], faults);
    let commission = one_of(&given, "commission", ["percent", "per_contract", "per_order"], faults);
    let mut number = |name| given.optional(name, faults, body::number);
    let values = SettingsValues {
        capital: number("capital"),
        tick_size: number("tick_size"),
        lot_step: number("lot_step"),
        point_value: number("point_value"),
        size: size.map(|(way, amount)| way_of_size(way, amount)),
        commission: commission.map(|(way, amount)| way_of_commission(way, amount)),
        slippage_ticks: given.optional("slippage_ticks", faults, slippage_ticks),
        sides: given.optional("sides", faults, |value| sides(body::text(value)?)),
    };
    values.settings(|name| given.place(name), faults)
}

/// The settings among the parameters of a query, where each is one text: `size=fixed:1`, `commission=0.02`.
pub(crate) fn settings_of_query<'q>(value_of: impl Fn(&str) -> Option<&'q str>, faults: &mut Faults) -> Settings {
    let mut read = QuerySettings { value_of, faults };
    let values = SettingsValues {
        capital: read.value("capital", body::parse_number),
        tick_size: read.value("tick_size", body::parse_number),
        lot_step: read.value("lot_step", body::parse_number),
        point_value: read.value("point_value", body::parse_number),
        size: read.value("size", |text| {
            let (way, amount) = way_and_amount(text, ["percent_of_equity", "fixed", "cash"])?;
            Ok(way_of_size(way, amount))
        }),
        commission: read.value("commission", |text| {
            let (way, amount) = way_and_amount(text, ["percent", "per_contract", "per_order"])?;
            Ok(way_of_commission(way, amount))
        }),
        slippage_ticks: read.value("slippage_ticks", |text| slippage_ticks(&Value::from(text))),
        sides: read.value("sides", sides),
    };
    values.settings(|name| vec!["query".into(), name.into()], faults)
}

/// The names of the settings.
pub(crate) fn setting_names() -> impl Iterator<Item = &'static str> {
    SETTINGS_FIELDS.into_iter()
}

struct QuerySettings<'f, F> {
    value_of: F,
    faults: &'f mut Faults,
}

impl<'q, F: Fn(&str) -> Option<&'q str>> QuerySettings<'_, F> {
    fn value<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, ValueError>) -> Option<T> {
        let parsed = parse((self.value_of)(name)?);
        let refuse = |error: ValueError| {
            self.faults.add(vec!["query".into(), name.into()], error.rule.name(), error.message);
        };
        parsed.map_err(refuse).ok()
    }
}

/// The settings of a request; what is `None` has its default.
struct SettingsValues {
    capital: Option<f64>,
    size: Option<Size>,
    commission: Option<Commission>,
    slippage_ticks: Option<u32>,
    tick_size: Option<f64>,
    lot_step: Option<f64>,
    point_value: Option<f64>,
    sides: Option<Sides>,
}

impl SettingsValues {
    /// Checks each value. One that is refused leaves its default.
    fn settings(self, place: impl Fn(&str) -> Vec<PathSegment>, faults: &mut Faults) -> Settings {
        let mut settings = Settings::default();
        let mut set =
            |name: &str, change: &dyn Fn(Settings) -> Option<Result<Settings, SettingsError>>| match change(settings) {
                Some(Ok(changed)) => settings = changed,
                Some(Err(error)) => faults.add(place(name), Rule::OutOfRange.name(), error.rule),
                None => {}
            };
        set("capital", &|settings| self.capital.map(|capital| settings.with_capital(capital)));
        set("size", &|settings| self.size.map(|size| settings.with_size(size)));
        set("commission", &|settings| self.commission.map(|commission| settings.with_commission(commission)));
        set("slippage_ticks", &|settings| self.slippage_ticks.map(|ticks| settings.with_slippage_ticks(ticks)));
        set("tick_size", &|settings| self.tick_size.map(|tick| settings.with_tick(tick)));
        set("lot_step", &|settings| self.lot_step.map(|step| settings.with_lot_step(step)));
        set("point_value", &|settings| self.point_value.map(|value| settings.with_point_value(value)));
        set("sides", &|settings| self.sides.map(|sides| Ok(settings.with_sides(sides))));
        settings
    }
}

fn way_of_size(way: usize, amount: f64) -> Size {
    [Size::PercentOfEquity, Size::Fixed, Size::Cash][way](amount)
}

fn way_of_commission(way: usize, amount: f64) -> Commission {
    [Commission::Percent, Commission::PerContract, Commission::PerOrder][way](amount)
}

fn slippage_ticks(value: &Value) -> Result<u32, ValueError> {
    let ticks = body::whole(value, 0..=u64::from(Settings::MAX_SLIPPAGE_TICKS))?;
    Ok(u32::try_from(ticks).unwrap_or(Settings::MAX_SLIPPAGE_TICKS))
}

fn sides(text: &str) -> Result<Sides, ValueError> {
    match text {
        "both" => Ok(Sides::Both),
        "long" => Ok(Sides::Long),
        "short" => Ok(Sides::Short),
        _ => Err(ValueError::new(Rule::WrongType, "must be one of both, long, short")),
    }
}

/// Reads an object with exactly one of three fields: its place among `ways`, and its number.
fn one_of(object: &Object<'_>, name: &str, ways: [&str; 3], faults: &mut Faults) -> Option<(usize, f64)> {
    let given = object.object(name, &ways, faults)?;
    let mut present = ways.into_iter().enumerate().filter(|(_, way)| given.get(way).is_some());
    let (Some((place, way)), None) = (present.next(), present.next()) else {
        let message = format!("must have exactly one of {}", ways.join(", "));
        faults.add(object.place(name), Rule::Inconsistent.name(), message);
        return None;
    };
    Some((place, given.optional(way, faults, body::number)?))
}

/// Reads `fixed:1`, or the number of the first way alone.
fn way_and_amount(text: &str, ways: [&str; 3]) -> Result<(usize, f64), ValueError> {
    let (way, amount) = text.split_once(':').unwrap_or((ways[0], text));
    let place = ways.iter().position(|known| *known == way).ok_or_else(|| {
        let message = format!("must be a number, or one of {} with a colon and a number behind it", ways.join(", "));
        ValueError::new(Rule::WrongType, message)
    })?;
    Ok((place, body::parse_number(amount)?))
}
