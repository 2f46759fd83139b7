//! The search of the items of a job: method, objective, bounds, and the candles that are kept from the search.

use research::search::{Method, WalkForward};
use research::{Objective, Settings};

use crate::research::body::{self, Faults, Object};
use crate::research::requests::{self, Span};
use candle::{Rule, ValueError, parse_bound};

/// The maximum number of points of a Sobol sequence.
const MAX_SOBOL_POINTS: usize = 65_536;
/// The maximum number of bars of a walk-forward window.
const MAX_WINDOW_BARS: u64 = 100_000_000;
/// The evaluations of an item, the trades that a candidate needs, and the part kept out of the search, where a request names none.
const DEFAULT_EVALUATIONS: usize = 2_000;
const DEFAULT_MIN_TRADES: usize = 30;
pub(super) const DEFAULT_FORWARD: f64 = 0.25;

/// The search that all items have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchRequest {
    pub(crate) method: Method,
    pub(crate) objective: Objective,
    /// The maximum number of points that are tried for an item, in each window.
    pub(crate) max_evaluations: usize,
    pub(crate) min_trades: usize,
    pub(crate) seed: u64,
    pub(crate) out_of_sample: OutOfSampleRequest,
    pub(crate) settings: Settings,
    pub(crate) span: Span,
}

/// The candles that are kept from the search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OutOfSampleRequest {
    None,
    /// The newest part of them, above 0 and below 1.
    Forward(f64),
    /// Those from this opening time on, in epoch milliseconds.
    ForwardFrom(i64),
    WalkForward(WalkForward),
}

/// Reads the fields about the search. No item may make more than `max_evaluations`.
pub(super) fn search(object: &Object<'_>, max_evaluations: usize, faults: &mut Faults) -> SearchRequest {
    let method = object.optional("method", faults, |value| {
        let names = || Method::ALL.map(Method::name).join(", ");
        Method::from_name(body::text(value)?)
            .ok_or_else(|| ValueError::new(Rule::WrongType, format!("must be one of {}", names())))
    });
    let objective = object.optional("objective", faults, |value| {
        let names = || Objective::ALL.map(Objective::name).join(", ");
        Objective::from_name(body::text(value)?)
            .ok_or_else(|| ValueError::new(Rule::WrongType, format!("must be one of {}", names())))
    });
    let method = method.unwrap_or(Method::Genetic);
    let limit = if method == Method::Sobol { max_evaluations.min(MAX_SOBOL_POINTS) } else { max_evaluations };
    let asked = object.optional("max_evaluations", faults, |value| body::whole(value, 1..=limit as u64));
    let default = if method == Method::Grid { limit } else { DEFAULT_EVALUATIONS.min(limit) };
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let min_trades = object.optional("min_trades", faults, |value| body::whole(value, 0..=1_000_000));
    SearchRequest {
        method,
        objective: objective.unwrap_or(Objective::Sharpe),
        max_evaluations: asked.map_or(default, count),
        min_trades: min_trades.map_or(DEFAULT_MIN_TRADES, count),
        seed: object.optional("seed", faults, |value| body::whole(value, 0..=u64::MAX)).unwrap_or_default(),
        out_of_sample: out_of_sample(object, faults),
        settings: requests::settings(object, faults),
        span: requests::span(object, faults),
    }
}

fn out_of_sample(object: &Object<'_>, faults: &mut Faults) -> OutOfSampleRequest {
    const WAYS: [&str; 3] = ["forward", "forward_from", "walk_forward"];
    // Null means none here, and an absent field the default.
    if object.fields().any(|(name, value)| name == "out_of_sample" && value.is_null()) {
        return OutOfSampleRequest::None;
    }
    if object.get("out_of_sample").is_none() {
        return OutOfSampleRequest::Forward(DEFAULT_FORWARD);
    }
    let Some(given) = object.object("out_of_sample", &WAYS, faults) else { return OutOfSampleRequest::None };
    if WAYS.iter().filter(|way| given.get(way).is_some()).count() != 1 {
        let message = format!("must have exactly one of {}, or be null", WAYS.join(", "));
        faults.add(object.place("out_of_sample"), Rule::Inconsistent.name(), message);
        return OutOfSampleRequest::None;
    }
    let forward = given.optional("forward", faults, |value| {
        let part = body::number(value)?;
        let is_part = part > 0.0 && part < 1.0;
        is_part.then_some(part).ok_or_else(|| {
            ValueError::new(Rule::OutOfRange, "must be a part of the candles, above 0 and below 1, such as 0.25")
        })
    });
    let from = given.optional("forward_from", faults, |value| parse_bound(&body::scalar(value)?, None));
    let walk = walk_forward(&given, faults);
    let forward = forward.map(OutOfSampleRequest::Forward);
    let from = from.map(OutOfSampleRequest::ForwardFrom);
    forward.or(from).or(walk.map(OutOfSampleRequest::WalkForward)).unwrap_or(OutOfSampleRequest::None)
}

fn walk_forward(object: &Object<'_>, faults: &mut Faults) -> Option<WalkForward> {
    let given = object.object("walk_forward", &["in", "out", "anchored"], faults)?;
    let mut bars = |name| given.required(name, faults, |value| body::whole(value, 2..=MAX_WINDOW_BARS));
    let (inside, outside) = (bars("in"), bars("out"));
    let anchored = given
        .optional("anchored", faults, |value| value.as_bool().ok_or_else(|| body::wrong_type(value, "true or false")));
    let bars = |bars: u64| usize::try_from(bars).unwrap_or(usize::MAX);
    Some(WalkForward { in_bars: bars(inside?), out_bars: bars(outside?), anchored: anchored.unwrap_or_default() })
}
