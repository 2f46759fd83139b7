//! Every function against a slow model, which knows only the bars up to one and computes each window and each recursion anew.

use proptest::prelude::*;

use super::{
    CALLS, evaluate,
    models::{NA, Past, defined, ema, highest, last, model, rsi, sma, variance},
    walks::{Walk, walks},
    with_lengths,
};
use crate::{Value, number::real};

/// The size of a function's inputs. The tolerance depends on it as well, because a result near 0 may be the
/// difference of large numbers.
fn scale(name: &str, past: &Past<'_>) -> f64 {
    let price = past.close.iter().chain(past.open).copied().fold(0.0, f64::max);
    match name {
        "ta.variance" => price * price * 1e-3,
        "ta.obv" | "ta.accdist" | "ta.pvt" | "ta.cum" | "running_sum" => past.volume.iter().sum(),
        "math.sum" => price * real(past.bars()),
        _ if name.starts_with("math.") || name == "nz" => price,
        "ta.sma" | "ta.ema" | "ta.rma" | "ta.wma" | "ta.hma" | "ta.vwma" | "ta.alma" | "dema" | "tema" | "kama"
        | "ta.change" | "ta.mom" | "ta.macd" | "ta.atr" | "ta.stdev" | "ta.bb" | "ta.kc" | "ta.supertrend"
        | "ta.sar" | "ta.linreg" | "ha_open" => price,
        // Percentages and ratios.
        _ => 100.0,
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Numbers(numbers) => numbers.to_vec(),
        Value::Flags(flags) => (0..flags.len()).map(|bar| f64::from(u8::from(flags.get(bar)))).collect(),
    }
}

fn compare(walk: Walk, n: usize, m: usize) -> Result<(), TestCaseError> {
    let columns = walk.columns();
    let bars = walk.bars();
    for (name, text) in CALLS {
        let text = with_lengths(text, n, m);
        let ours: Vec<Vec<f64>> = evaluate(&text, &bars).iter().map(numbers).collect();
        for bar in 0..walk.len {
            let past = Past::of(&columns, bar + 1);
            let scale = scale(name, &past);
            let found = ours.iter().map(|result| result[bar]);
            for (place, (found, expected)) in found.zip(model(name, &past, n, m)).enumerate() {
                let is_close = (found - expected).abs() <= 1e-9 * expected.abs().max(scale);
                prop_assert!(
                    is_close || found.is_nan() && !expected.is_finite(),
                    "{text}, result {place}, bar {bar}: {found} instead of {expected}"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn functions_equal_slow_models(walk in walks(90), n in 1_usize..30, m in 1_usize..9) {
        compare(walk, n, m)?;
    }
}

#[test]
fn a_spike_leaves_nothing_behind() {
    let mut columns = Walk { seed: 3, len: 60, price: 1.0, step: 1e-4, flat: 0.0, minutes: 60 }.columns();
    columns.high[20] = 1e12;
    columns.close[20] = 1e12;
    let bars = super::walks::of_columns(columns.clone());
    for (name, text) in
        [("ta.sma", "ta.sma(close, 10)"), ("ta.stdev", "ta.stdev(close, 10)"), ("math.sum", "math.sum(close, 10)")]
    {
        let ours = numbers(&evaluate(text, &bars)[0]);
        for (bar, found) in ours.iter().enumerate().skip(30) {
            let expected = model(name, &Past::of(&columns, bar + 1), 10, 1)[0];
            assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{text}, bar {bar}: {found} {expected}");
        }
    }
}

#[test]
fn a_gap_inside_is_passed_over() {
    let walk = Walk { seed: 9, len: 120, price: 1.0, step: 0.01, flat: 0.0, minutes: 60 };
    // The root is `na` where a bar falls.
    let x = numbers(&evaluate("math.sqrt(close - open)", &walk.bars())[0]);
    for (text, of) in [
        ("ta.sma(SOURCE, 5)", &(|x: &[f64]| sma(x, 5)) as &dyn Fn(&[f64]) -> f64),
        ("ta.ema(SOURCE, 5)", &|x| ema(x, 5)),
        ("ta.stdev(SOURCE, 5)", &|x| variance(x, 5).sqrt()),
        ("ta.highest(SOURCE, 5)", &|x| highest(x, 5)),
        ("ta.rsi(SOURCE, 5)", &|x| if last(x).is_nan() { NA } else { rsi(&defined(x), 5) }),
    ] {
        let ours = numbers(&evaluate(&text.replace("SOURCE", "math.sqrt(close - open)"), &walk.bars())[0]);
        for (bar, found) in ours.iter().enumerate() {
            let expected = of(&x[..=bar]);
            assert_eq!(found.is_nan(), expected.is_nan(), "{text}, bar {bar}");
            assert!(expected.is_nan() || (found - expected).abs() < 1e-9, "{text}, bar {bar}");
        }
    }
}

#[test]
fn functions_are_defined_from_the_bar_that_is_told() {
    let walk = Walk { seed: 5, len: 200, price: 1.0, step: 0.01, flat: 0.0, minutes: 5 };
    for (name, text) in CALLS {
        let text = with_lengths(text, 14, 5);
        let formula = crate::Formula::parse(&text).unwrap();
        let waits_for_events =
            ["running", "ta.value", "ta.bars", "ta.pivot", "math.sqrt"].iter().any(|event| name.starts_with(event));
        for (first, value) in formula.first().into_iter().zip(evaluate(&text, &walk.bars())) {
            let Value::Numbers(numbers) = value else { continue };
            if *name == "nz" || waits_for_events {
                continue;
            }
            assert_eq!(numbers.iter().position(|number| !number.is_nan()), Some(first), "{text}");
        }
    }
}
