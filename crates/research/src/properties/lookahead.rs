//! No function and no strategy reads the future.

use proptest::prelude::*;

use super::{
    CALLS, evaluate, patterns,
    walks::{Walk, of_columns, walks},
    with_lengths,
};
use crate::{Bars, Cache, Signals, Value, catalogue};

/// Bars that are equal before `bar` and different from there on.
fn with_another_future(walk: Walk, bar: usize) -> Bars {
    let mut columns = walk.columns();
    let other = Walk { seed: !walk.seed, step: 0.03, flat: 0.1, ..walk }.columns();
    columns.open[bar..].copy_from_slice(&other.open[bar..]);
    columns.high[bar..].copy_from_slice(&other.high[bar..]);
    columns.low[bar..].copy_from_slice(&other.low[bar..]);
    columns.close[bar..].copy_from_slice(&other.close[bar..]);
    columns.volume[bar..].copy_from_slice(&other.volume[bar..]);
    of_columns(columns)
}

/// The first bar before `until` on which the two differ.
fn differ(a: &[Value], b: &[Value], until: usize) -> Option<usize> {
    let pairs = a.iter().zip(b).map(|(a, b)| (patterns(a), patterns(b)));
    pairs.filter_map(|(a, b)| (0..until).find(|&bar| a[bar] != b[bar])).min()
}

/// The first bar before `until` whose past was changed by the future.
fn changed_by_future(text: &str, walk: Walk, until: usize) -> Option<usize> {
    let whole = evaluate(text, &walk.bars());
    let cut = differ(&whole, &evaluate(text, &walk.bars().slice(0..until)), until);
    let changed = differ(&whole, &evaluate(text, &with_another_future(walk, until)), until);
    cut.or(changed)
}

/// All parts of signals as values.
fn parts(signals: &Signals) -> Vec<Option<Value>> {
    let sets = [&signals.enter_long, &signals.exit_long, &signals.enter_short, &signals.exit_short];
    let columns = [&signals.stop, &signals.target, &signals.stop_level_long, &signals.stop_level_short];
    let sets = sets.into_iter().map(|set| set.clone().map(Value::Flags));
    sets.chain(columns.into_iter().map(|column| column.clone().map(Value::Numbers))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_function_reads_the_future(walk in walks(160), n in 1_usize..40, m in 1_usize..12, cut in 0.0..1.0_f64) {
        let until = crate::number::whole(crate::number::real(walk.len) * cut);
        for (_, text) in CALLS {
            let text = with_lengths(text, n, m);
            prop_assert_eq!(changed_by_future(&text, walk, until), None, "{}", text);
        }
    }

    #[test]
    fn no_strategy_reads_the_future(walk in walks(400), cut in 0.0..1.0_f64) {
        let until = crate::number::whole(crate::number::real(walk.len) * cut);
        let (whole, cut, changed) = (walk.bars(), walk.bars().slice(0..until), with_another_future(walk, until));
        for strategy in catalogue::all() {
            let bound = strategy.bind(&strategy.defaults()).unwrap();
            let [whole, cut, changed] = [&whole, &cut, &changed].map(|bars| bound.evaluate(bars, &Cache::new(0)));
            for other in [&cut, &changed] {
                prop_assert_eq!((whole.first, whole.max_bars), (other.first, other.max_bars));
                for (a, b) in parts(&whole).iter().zip(parts(other)) {
                    prop_assert_eq!(a.is_some(), b.is_some());
                    if let (Some(a), Some(b)) = (a, b) {
                        prop_assert_eq!(differ(std::slice::from_ref(a), &[b], until), None, "{}", strategy.id());
                    }
                }
            }
        }
    }
}

#[test]
fn a_function_that_reads_the_future_is_found() {
    let walk = Walk { seed: 1, len: 50, price: 1.0, step: 0.01, flat: 0.0, minutes: 60 };
    assert_eq!(changed_by_future("peek(close)", walk, 20), Some(19));
    assert_eq!(changed_by_future("ta.sma(peek(close), 5)", walk, 20), Some(19));
}
