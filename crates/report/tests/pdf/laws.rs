//! Reports on whatever a service could hand over.

use proptest::{collection::vec, prelude::*};
use report::{MAX_PAGES, Ranked, pdf};

use crate::{
    case::{Case, settings, walk},
    cases,
    reader::Pdf,
};

/// Numbers as results have them, and as they should not.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e6..1e6,
        1 => prop::num::f64::ANY,
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(1e15)],
    ]
}

fn objective() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![1 => Just(None), 4 => number().prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn texts_of_any_kind_give_valid_files(
        name in any::<String>(), symbol in any::<String>(), timeframe in any::<String>(),
        warnings in vec("\\PC{0,300}", 0..50), script in vec("\\PC{0,400}", 0..400), assumptions in vec("\\PC{0,200}", 0..60),
    ) {
        let mut case = Case::backtest(walk(1, 800), cases::strategy("sma-cross"), 300..800, settings());
        (case.name, case.symbol, case.timeframe, case.warnings) = (name, symbol, timeframe, warnings);
        case.script = script.join("\n");
        case.backtest.assumptions = assumptions;
        valid(&case);
    }

    #[test]
    fn numbers_of_any_kind_give_valid_files(
        seed in 0_u64..1_000, money in vec(number(), 12), equity in vec(number(), 0..700),
        checks in vec(objective(), 3), sets in vec((vec(number(), 4), objective(), objective(), 0_usize..2_000), 0..300),
    ) {
        let mut case = Case::optimized(&walk(seed, 1_500), cases::strategy("sma-cross"), &crate::case::SearchRequest {
            bars: 300..1_500,
            out_of_sample: research::search::OutOfSample::Forward { from: 1_200 },
            ..cases::request(8)
        });
        case.equity = equity;
        let search = case.search.as_mut().unwrap();
        (search.deflated_sharpe, search.pbo, search.stability) = (checks[0], checks[1], checks[2]);
        search.objectives = sets.iter().filter_map(|set| set.1).collect();
        search.ranked = sets
            .into_iter()
            .map(|(values, objective, out_of_sample, trades)| Ranked { values, objective, trades, out_of_sample })
            .collect();
        for metrics in [&mut search.in_sample, &mut case.backtest.metrics] {
            (metrics.equity, metrics.net_profit_percent, metrics.max_drawdown) = (money[0], money[1], money[2]);
            (metrics.max_drawdown_percent, metrics.exposure, metrics.ulcer_index) = (money[3], money[4], money[5]);
            (metrics.sharpe, metrics.cagr, metrics.sortino) = (Some(money[6]), Some(money[7]), Some(money[8]));
            metrics.trades.net_profit = money[9];
            metrics.max_drawdown_ms = seed.cast_signed().wrapping_mul(i64::MAX / 7);
        }
        for trade in &mut case.backtest.trades {
            (trade.profit, trade.quantity, trade.entry_price) = (money[10], money[11], money[0]);
        }
        valid(&case);
    }

    #[test]
    fn every_strategy_on_any_walk_gives_a_valid_file(seed in any::<u64>(), place in 0_usize..100, start in 0_usize..1_200) {
        let all = research::catalogue::all();
        let strategy = &all[place % all.len()];
        valid(&Case::backtest(walk(seed, 1_200), strategy, start..1_200, settings()));
    }
}

fn valid(case: &Case) {
    let file = pdf(&case.report());
    let read = Pdf::read(&file);
    read.check();
    assert!(read.pages() <= MAX_PAGES, "{}", read.pages());
}
