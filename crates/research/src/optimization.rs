//! Strategies as searches see them: a space of parameters, and signals from a point's values.

use crate::{
    Bars, Cache, ParameterError, ParameterRange, Signals, Strategy,
    search::{Parameter, Space, SpaceError},
};

/// The values that a search may try for one parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// From `min` to at most `max`.
    Steps {
        /// The lowest value.
        min: f64,
        /// A bound for the highest value.
        max: f64,
        /// The distance of values.
        step: f64,
    },
    /// These values.
    List(Vec<f64>),
}

/// The space of a strategy. The parameters that `ranges` names vary, and the others keep their defaults. Without ranges, all
/// parameters vary over their whole ranges, except the brackets that every strategy can have. The points are those that the strategy
/// accepts, and the values of a point come in the order of its parameters.
///
/// # Errors
/// Every name that is not a parameter, and every range that has no values or goes beyond those of its parameter.
pub fn space_of<'a>(strategy: &'a Strategy, ranges: &[(String, Range)]) -> Result<Space<'a>, Vec<ParameterError>> {
    let mut errors: Vec<ParameterError> = Vec::new();
    for (place, (name, _)) in ranges.iter().enumerate() {
        let is_known = strategy.parameters().iter().any(|parameter| parameter.name == *name);
        let is_twice = ranges[..place].iter().any(|(known, _)| known == name);
        let message = match (is_known, is_twice) {
            (false, _) => format!("{} has no such parameter", strategy.id()),
            (true, true) => "this parameter has two ranges; leave one out".to_owned(),
            (true, false) => continue,
        };
        errors.push(ParameterError { name: name.clone(), message });
    }
    let mut parameters = Vec::new();
    for parameter in strategy.parameters() {
        let given = ranges.iter().find(|(name, _)| *name == parameter.name).map(|(_, range)| range);
        match dimension(parameter, given, ranges.is_empty()) {
            Ok(dimension) => parameters.push(dimension),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let accepts = |values: &[f64]| strategy.parameters_from(values).is_ok_and(|values| strategy.bind(&values).is_ok());
    Ok(Space::new(parameters, accepts))
}

/// The function that makes signals over all of `bars` from the values of a point of [`space_of`]. Threads may share
/// it, and the cache changes its duration and nothing else.
///
/// # Panics
/// The function does, when it gets values that the strategy does not accept.
pub fn signals_of<'a>(
    strategy: &'a Strategy,
    bars: &'a Bars,
    cache: &'a Cache,
) -> impl Fn(&[f64]) -> Signals + Sync + 'a {
    move |values| {
        let parameters = strategy.parameters_from(values);
        let bound = parameters.ok().and_then(|parameters| strategy.bind(&parameters).ok());
        let Some(bound) = bound else { panic!("{} does not accept {values:?}", strategy.id()) };
        bound.evaluate(bars, cache)
    }
}

fn dimension(
    parameter: &crate::Parameter,
    given: Option<&Range>,
    varies_all: bool,
) -> Result<Parameter, ParameterError> {
    let name = parameter.name.clone();
    let values = match (given, &parameter.range) {
        (Some(Range::List(values)), _) => Parameter::list(name, values.clone()),
        (Some(Range::Steps { min, max, step }), _) => Parameter::range(name, *min, *max, *step),
        (None, range) if varies_all && !parameter.optional => whole_range(name, range),
        (None, _) => Parameter::list(name, vec![parameter.default()]),
    };
    let refused = |error: SpaceError| ParameterError { name: parameter.name.clone(), message: error.to_string() };
    let values = values.map_err(refused)?;
    for value in [values.first(), values.last()] {
        parameter.check(value)?;
    }
    // Of a range, only the ends and the second value are checked, because a range may have a million values. The ends
    // may be whole although the step is not; the second value shows that.
    let checked = if matches!(given, Some(Range::List(_))) { usize::MAX } else { 2 };
    if let Some(value) = values.values().take(checked).find(|value| parameter.check(*value).is_err()) {
        parameter.check(value)?;
    }
    Ok(values)
}

fn whole_range(name: String, range: &ParameterRange) -> Result<Parameter, SpaceError> {
    match range {
        ParameterRange::Int { min, max, step, .. } => {
            #[expect(clippy::cast_precision_loss, reason = "bounds of parameters are below 2^53")]
            let [min, max, step] = [*min, *max, *step].map(|number| number as f64);
            Parameter::range(name, min, max, step)
        }
        ParameterRange::Float { min, max, step, .. } => Parameter::range(name, *min, *max, *step),
        ParameterRange::Choice { options, .. } => {
            #[expect(clippy::cast_precision_loss, reason = "there are few options")]
            let places = (0..options.len()).map(|place| place as f64);
            Parameter::list(name, places.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Columns, Market, Objective, Settings, TickGrid, catalogue,
        metrics::Metrics,
        run::Backtest,
        search::{Item, Method, Options, OutOfSample, Seed, StopFlag, Threads, optimize},
    };

    fn bars() -> Bars {
        let mut state = 5_u64;
        let mut price = 10_000_i64;
        let mut columns = Columns::default();
        for bar in 0..1_500_i64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let open = price;
            price += i64::try_from(state >> 58).unwrap() - 31;
            let [open, close] = [open, price].map(|price| f64::from(i32::try_from(price).unwrap()) / 100.0);
            columns.time.push(bar * 14_400_000);
            columns.open.push(open);
            columns.high.push(open.max(close) + 0.1);
            columns.low.push(open.min(close) - 0.1);
            columns.close.push(close);
            columns.volume.push(1.0);
        }
        Bars::new(columns, TickGrid::of_digits(2).unwrap(), Some(14_400_000)).unwrap()
    }

    #[test]
    fn every_strategy_has_a_space_in_which_only_its_brackets_are_fixed() {
        for strategy in catalogue::all() {
            let space = space_of(strategy, &[]).unwrap();
            assert_eq!(space.parameters().len(), strategy.parameters().len());
            for (parameter, dimension) in strategy.parameters().iter().zip(space.parameters()) {
                assert_eq!(dimension.count() > 1, !parameter.optional, "{} of {}", parameter.name, strategy.id());
                let default = dimension.values().any(|value| value.to_bits() == parameter.default().to_bits());
                assert!(default || !parameter.optional, "{} of {}", parameter.name, strategy.id());
            }
        }
    }

    #[test]
    fn ranges_beyond_their_parameters_are_refused_all_at_once() {
        let strategy = catalogue::find("sma-cross").unwrap();
        let steps = |min, max, step| Range::Steps { min, max, step };
        let ranges = [
            ("fast".to_owned(), steps(1.0, 50.0, 1.0)),
            ("slow".to_owned(), steps(10.0, 11.0, 0.5)),
            ("quick".to_owned(), Range::List(vec![1.0])),
        ];
        let errors = space_of(strategy, &ranges).unwrap_err();
        let names: Vec<&str> = errors.iter().map(|error| error.name.as_str()).collect();
        assert_eq!(names, ["quick", "fast", "slow"]);
        let twice = [("fast".to_owned(), Range::List(vec![5.0])), ("fast".to_owned(), Range::List(vec![6.0]))];
        assert_eq!(space_of(strategy, &twice).unwrap_err().len(), 1);
    }

    #[test]
    fn a_winner_of_a_search_shows_the_same_figures_in_a_backtest() {
        let bars = bars();
        let market = Market::new(bars.clone(), None);
        let (settings, cache) = (Settings::default(), Cache::new(1 << 24));
        for id in ["donchian", "macd-signal", "chandelier"] {
            let strategy = catalogue::find(id).unwrap();
            let space = space_of(strategy, &[]).unwrap();
            let item = Item {
                market: &market,
                settings: &settings,
                space: &space,
                signals: signals_of(strategy, &bars, &cache),
                bars: 500..1_400,
                objective: Objective::NetProfit,
                options: Options {
                    method: Method::Sobol,
                    max_evaluations: 40,
                    min_trades: 1,
                    seed: Seed::default(),
                    keep: 3,
                },
                out_of_sample: OutOfSample::Forward { from: 1_200 },
            };
            let result = optimize(&item, Threads::Caller, &StopFlag::default(), &mut |_| {}).unwrap();
            for best in &result.best {
                let parameters = strategy.parameters_from(&best.values).unwrap();
                let backtest = Backtest {
                    strategy,
                    parameters: &parameters,
                    market: &market,
                    bars: 500..1_200,
                    settings: &settings,
                };
                let metrics: Metrics = backtest.run(&Cache::new(0)).unwrap().metrics;
                assert_eq!(metrics, best.in_sample, "{id} {:?}", best.values);
            }
        }
    }
}
