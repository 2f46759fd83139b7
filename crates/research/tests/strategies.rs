//! Strategies from a definition to signals.

use research::{
    Bars, BindError, Cache, Columns, Definition, Parameter, ParameterRange, Strategy, TickGrid, catalogue,
    definition::{ParameterDefinition, RangeDefinition},
    describe,
};

fn bars(close: &[f64]) -> Bars {
    let columns = Columns {
        time: (0..).map(|bar| bar * 60_000).take(close.len()).collect(),
        open: close.to_vec(),
        high: close.to_vec(),
        low: close.to_vec(),
        close: close.to_vec(),
        volume: vec![1.0; close.len()],
    };
    let grid = TickGrid::of_digits(2).expect("2 digits are fewer than 15");
    Bars::new(columns, grid, Some(60_000)).expect("equal prices are a bar")
}

fn int(name: &str, default: i64) -> ParameterDefinition<'_> {
    ParameterDefinition { name, about: "bars", range: RangeDefinition::Int { default, min: 1, max: 50, step: 1 } }
}

#[test]
fn every_part_becomes_a_signal() {
    let definition = Definition {
        id: "all-parts",
        title: "All parts",
        about: "Has every part of a bracket.",
        source: "test",
        parameters: &[int("n", 2), int("hold", 3)],
        enter_long: Some("close > close[n]"),
        exit_long: Some("close < 3"),
        enter_short: Some("close < close[n]"),
        exit_short: Some("true"),
        stop: Some("close / n"),
        target: Some("2.5"),
        max_bars: Some("hold * 2"),
        ..Definition::EMPTY
    };
    let strategy = Strategy::parse(&definition).unwrap();
    assert_eq!(strategy.parameters().len(), 2, "a strategy with brackets of its own gets no others");
    let signals =
        strategy.bind(&strategy.defaults()).unwrap().evaluate(&bars(&[4.0, 3.0, 2.0, 5.0, 5.0]), &Cache::new(0));
    signals.check().unwrap();
    let ones = |set: &Option<std::sync::Arc<research::Bits>>| set.as_ref().unwrap().iter_ones().collect::<Vec<_>>();
    assert_eq!(ones(&signals.enter_long), [3, 4]);
    assert_eq!(ones(&signals.enter_short), [2]);
    assert_eq!(ones(&signals.exit_long), [2]);
    assert_eq!(ones(&signals.exit_short), [0, 1, 2, 3, 4]);
    assert_eq!(signals.stop.as_deref(), Some(&[2.0, 1.5, 1.0, 2.5, 2.5][..]));
    assert_eq!(signals.target.as_deref(), Some(&[2.5; 5][..]));
    assert_eq!((signals.max_bars, signals.first), (Some(6), 2));
    assert!(signals.stop_level_long.is_none() && signals.stop_level_short.is_none());
}

#[test]
fn brackets_are_parts_only_above_zero() {
    let strategy = catalogue::find("sma-cross").unwrap();
    let signals = |stop: &str| {
        let parameters = strategy.parameters_of([("stop_atr", stop)]).unwrap();
        strategy.bind(&parameters).unwrap().evaluate(&bars(&[1.0; 40]), &Cache::new(0))
    };
    assert!(signals("0").stop.is_none());
    let stop = signals("1.5").stop.unwrap();
    assert!(stop[12].is_nan());
    assert_eq!(stop[13..], [0.0; 27]);
}

#[test]
fn values_are_checked_by_name_and_range() {
    let strategy = catalogue::find("sma-cross").unwrap();
    let errors =
        strategy.parameters_of([("fst", "3"), ("slow", "401"), ("fast", "2.5"), ("stop_atr", "x")]).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "parameter fst: sma-cross has no such parameter; did you mean fast?",
            "parameter slow: 401 is not a whole number from 3 to 400",
            "parameter fast: 2.5 is not a whole number from 2 to 200",
            "parameter stop_atr: x is not a number from 0 to 10",
        ]
    );
    assert!(strategy.parameters_from(&[10.0, 30.0, 0.0]).is_err());
    assert!(strategy.parameters_from(&[10.0, f64::NAN, 0.0, 0.0]).is_err());
    assert_eq!(strategy.parameters_from(&[10.0, 30.0, 0.0, 0.0]).unwrap(), strategy.defaults());
    let gap = catalogue::find("day-gap").unwrap();
    let errors = gap.parameters_of([("mode", "ignore")]).unwrap_err();
    assert_eq!(errors[0].to_string(), "parameter mode: ignore is not one of fade, follow");
    assert_eq!(gap.parameters_of([("mode", "follow")]).unwrap().values()[0].to_bits(), 1.0_f64.to_bits());
}

#[test]
fn broken_constraints_are_named() {
    let strategy = catalogue::find("triple-ema").unwrap();
    let parameters = strategy.parameters_of([("fast", "20"), ("middle", "10")]).unwrap();
    assert!(!strategy.allows(&parameters));
    let error = strategy.bind(&parameters).unwrap_err();
    assert_eq!(error, BindError::Constraints(vec!["fast < middle".to_owned()]));
    assert_eq!(error.to_string(), "the parameters must fulfil fast < middle");
    assert!(strategy.allows(&strategy.defaults()));
}

#[test]
fn values_that_make_an_expression_impossible_are_refused() {
    let definition = Definition {
        id: "shrinking",
        title: "Shrinking",
        about: "A length that can be 0.",
        source: "test",
        parameters: &[int("n", 5)],
        lets: &["f = ta.sma(close, n - 3)"],
        enter_long: Some("close > f"),
        ..Definition::EMPTY
    };
    let strategy = Strategy::parse(&definition).unwrap();
    let error = strategy.bind(&strategy.parameters_of([("n", "3")]).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "lets[0], line 1, column 19: length of ta.sma is 0; it must be from 1 to 100000");
}

#[test]
fn warm_up_covers_what_averages_remember() {
    let warm_up = |id: &str| {
        let strategy = catalogue::find(id).unwrap();
        strategy.warm_up(&strategy.defaults()).unwrap()
    };
    assert_eq!(warm_up("sma-cross"), 30);
    assert_eq!(warm_up("ema-cross"), 4 * 26);
    assert_eq!(warm_up("rsi-reversal"), 10 * 14);
    assert_eq!(warm_up("donchian"), 10 * 20);
    assert_eq!(warm_up("macd-signal"), 4 * 26 + 4 * 9);
    for strategy in catalogue::all() {
        let bound = strategy.bind(&strategy.defaults()).unwrap();
        assert!(bound.warm_up() >= bound.first(), "{}", strategy.id());
    }
}

/// Ranges are part of the catalogue: every strategy can be bound at every corner that its constraints allow.
#[test]
fn every_strategy_can_be_bound_at_the_ends_of_its_ranges() {
    for strategy in catalogue::all() {
        let ends = |parameter: &Parameter| match &parameter.range {
            ParameterRange::Int { min, max, .. } => [min.to_string(), max.to_string()],
            ParameterRange::Float { min, max, .. } => [min.to_string(), max.to_string()],
            ParameterRange::Choice { options, .. } => [options[0].clone(), options[1].clone()],
        };
        for parameter in strategy.parameters() {
            for value in ends(parameter) {
                let parameters = strategy.parameters_of([(parameter.name.as_str(), value.as_str())]).unwrap();
                match strategy.bind(&parameters) {
                    Ok(_) => assert!(strategy.allows(&parameters)),
                    Err(BindError::Constraints(_)) => assert!(!strategy.allows(&parameters)),
                    Err(error) => panic!("{}, {} = {value}: {error}", strategy.id(), parameter.name),
                }
            }
        }
    }
}

#[test]
fn short_series_have_signals_too() {
    for len in [0, 1, 2, 63, 64, 65] {
        let bars = bars(&vec![1.0; len]);
        for strategy in catalogue::all() {
            let signals = strategy.bind(&strategy.defaults()).unwrap().evaluate(&bars, &Cache::new(1 << 16));
            assert_eq!(signals.check(), Ok(()), "{}", strategy.id());
            assert_eq!(signals.len, len);
        }
    }
}

#[test]
fn descriptions_are_sentences() {
    let text = describe(catalogue::find("donchian").unwrap()).to_string();
    let expected = "Enters long when the close is above upper.
Leaves a long position when the close is below xl.
Enters short when the close is below lower.
Leaves a short position when the close is above xu.
Sets a stop at this distance from the entry: stop_atr × n.
If target_atr is above 0, sets a target at this distance from the entry: target_atr × the average true range over 14 bars.
upper is the highest of the high over entry bars one bar before.
lower is the lowest of the low over entry bars one bar before.
xl is the lowest of the low over exit bars one bar before.
xu is the highest of the high over exit bars one bar before.
n is the average true range over atr_length bars.
";
    assert_eq!(text, expected);
    for strategy in catalogue::all() {
        let description = describe(strategy);
        for line in description.rules.iter().chain(&description.terms) {
            assert!(line.ends_with('.') && !line.contains(['{', '}', '|']), "{}: {line}", strategy.id());
        }
    }
}

#[test]
fn strategies_say_what_they_are() {
    let strategy = catalogue::find("macd-rsi").unwrap();
    assert_eq!(strategy.indicators(), ["ta.macd", "ta.rsi", "ta.crossover", "ta.crossunder"]);
    assert!(strategy.goes_long() && strategy.goes_short());
    assert!(!catalogue::find("rsi2").unwrap().goes_short());
    assert_eq!(strategy.constraints().collect::<Vec<_>>(), ["fast < slow"]);
    assert_eq!(strategy.lets().nth(1), Some("r = ta.rsi(close, rsi_length)"));
    let rules: Vec<_> = strategy.rules().collect();
    assert_eq!(rules[0], ("enter_long", "up and r > level"));
    assert_eq!(rules[2], ("stop", "stop_atr * ta.atr(14)"));
    let optional: Vec<&str> = strategy
        .parameters()
        .iter()
        .filter(|parameter| parameter.optional)
        .map(|parameter| parameter.name.as_str())
        .collect();
    assert_eq!(optional, ["stop_atr", "target_atr"]);
}
