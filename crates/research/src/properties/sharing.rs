//! A cache changes the duration of an evaluation and nothing else, and no two strategies have the same signals.

use proptest::prelude::*;

use super::{
    patterns,
    walks::{Walk, walks},
};
use crate::{Bars, Cache, Signals, Value, catalogue};

/// All parts of signals as bits, for comparisons.
fn bits(signals: &Signals) -> Vec<Vec<u64>> {
    let sets = [&signals.enter_long, &signals.exit_long, &signals.enter_short, &signals.exit_short];
    let columns = [&signals.stop, &signals.target, &signals.stop_level_long, &signals.stop_level_short];
    let sets = sets.map(|set| set.clone().map_or_else(Vec::new, |set| patterns(&Value::Flags(set))));
    let columns =
        columns.map(|column| column.clone().map_or_else(Vec::new, |column| patterns(&Value::Numbers(column))));
    sets.into_iter()
        .chain(columns)
        .chain([vec![signals.first as u64, u64::from(signals.max_bars.unwrap_or(0))]])
        .collect()
}

fn all_signals(bars: &Bars, cache: &Cache) -> Vec<Vec<Vec<u64>>> {
    let signals = catalogue::all().iter().map(|strategy| {
        let signals = strategy.bind(&strategy.defaults()).unwrap().evaluate(bars, cache);
        signals.check().unwrap();
        bits(&signals)
    });
    signals.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn signals_do_not_depend_on_the_cache(walk in walks(600)) {
        let bars = walk.bars();
        let alone = all_signals(&bars, &Cache::new(0));
        let (roomy, narrow) = (Cache::new(64 << 20), Cache::new(20_000));
        for cache in [&roomy, &narrow] {
            // Other bars of the same length are in the cache first.
            all_signals(&Walk { seed: walk.seed ^ 1, ..walk }.bars(), cache);
            prop_assert_eq!(&all_signals(&bars, cache), &alone);
            prop_assert_eq!(&all_signals(&bars, cache), &alone);
        }
        prop_assert!(narrow.bytes() <= 20_000);
        let tail = bars.slice(bars.len() / 2..bars.len());
        prop_assert_eq!(all_signals(&tail, &roomy), all_signals(&tail, &Cache::new(0)));
    }
}

#[test]
fn no_two_strategies_are_one() {
    let bars = Walk { seed: 7, len: 20_000, price: 1.1, step: 0.004, flat: 0.02, minutes: 60 }.bars();
    let signals = all_signals(&bars, &Cache::new(256 << 20));
    for (place, strategy) in catalogue::all().iter().enumerate() {
        let enters = |part: usize| signals[place][part].contains(&1);
        assert!(enters(0), "{} never goes long", strategy.id());
        assert_eq!(enters(2), strategy.goes_short(), "{} never goes short", strategy.id());
        for (other, twin) in catalogue::all()[..place].iter().enumerate() {
            assert!(signals[place][..4] != signals[other][..4], "{} is {}", strategy.id(), twin.id());
        }
    }
}
