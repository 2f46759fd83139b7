//! Items: backtests, bars kept from the search, windows, and what is said of the winner.

use std::sync::Arc;

use research::{
    Bars, Bits, Columns, Market, Objective, Settings, Signals, TickGrid,
    broker::{self, Window},
    metrics::Summary,
    search::{
        Item, ItemResult, Method, Options, OutOfSample, Parameter, Progress, Seed, Space, StopFlag, StopReason,
        Threads, WalkForward, optimize,
    },
};

/// A market that swings with a period of 40 bars, with some noise: a cycle that parameters can find.
fn market(bars: usize) -> Market {
    let mut state = 7_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
        unit - 0.5
    };
    let mut columns = Columns::default();
    let mut last = 100.0;
    for bar in 0..bars {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let close =
            ((100.0 + 5.0 * (bar as f64 * std::f64::consts::TAU / 40.0).sin() + 3.0 * noise()) * 100.0).round() / 100.0;
        columns.time.push(i64::try_from(bar).unwrap() * 6 * 3_600_000);
        columns.open.push(last);
        columns.high.push(f64::max(last, close));
        columns.low.push(f64::min(last, close));
        columns.close.push(close);
        columns.volume.push(1.0);
        last = close;
    }
    Market::new(Bars::new(columns, TickGrid::of_digits(2).unwrap(), None).unwrap(), None)
}

/// Goes with the change over `values[0]` bars when it is beyond `values[1]`.
fn signals(market: &Market) -> impl Fn(&[f64]) -> Signals + Sync {
    let close = market.bars().close().to_vec();
    move |values| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
        let length = values[0] as usize;
        let change = |bar: usize| if bar < length { 0.0 } else { close[bar] - close[bar - length] };
        Signals {
            first: length,
            enter_long: Some(Arc::new(Bits::from_fn(close.len(), |bar| change(bar) > values[1]))),
            enter_short: Some(Arc::new(Bits::from_fn(close.len(), |bar| change(bar) < -values[1]))),
            ..Signals::none(close.len())
        }
    }
}

fn space() -> Space<'static> {
    let parameters =
        vec![Parameter::range("length", 1.0, 40.0, 1.0).unwrap(), Parameter::range("beyond", 0.0, 4.0, 0.5).unwrap()];
    Space::new(parameters, |_| true)
}

struct Request {
    method: Method,
    out_of_sample: OutOfSample,
    trials: usize,
}

fn optimized(market: &Market, request: &Request, threads: Threads<'_>, stop: &StopFlag) -> ItemResult {
    let settings = Settings::default();
    let item = Item {
        market,
        settings: &settings,
        space: &space(),
        signals: signals(market),
        bars: 50..market.len(),
        objective: Objective::Sharpe,
        options: Options {
            method: request.method,
            max_evaluations: request.trials,
            min_trades: 10,
            seed: Seed { seed: 1, item: 4, window: 0 },
            keep: 30,
        },
        out_of_sample: request.out_of_sample,
    };
    optimize(&item, threads, stop, &mut |_: &Progress<'_>| {}).unwrap()
}

const WALK: WalkForward = WalkForward { in_bars: 400, out_bars: 150, anchored: false };

#[test]
fn the_best_25_run_on_the_bars_that_were_kept_from_the_search() {
    let market = market(1_200);
    let forward = OutOfSample::Forward { from: 900 };
    let request = Request { method: Method::Grid, out_of_sample: forward, trials: 1_000 };
    let result = optimized(&market, &request, Threads::Caller, &StopFlag::default());
    assert_eq!((result.trials, result.evaluations, result.best.len()), (360, 360, 30));
    assert!(result.best[..25].iter().all(|best| best.out_of_sample.is_some()));
    assert!(result.best[25..].iter().all(|best| best.out_of_sample.is_none()));
    assert!(result.best.windows(2).all(|pair| pair[0].score >= pair[1].score));
    // Each part is a run of its own on its own bars.
    let winner = &result.best[0];
    let signals = signals(&market)(&winner.values);
    let settings = Settings::default();
    let mut summary = Summary::new(&market);
    for (bars, closes_at_end, metrics) in
        [(50..900, false, &winner.in_sample), (900..1_200, true, winner.out_of_sample.as_ref().unwrap())]
    {
        summary.begin(settings.capital(), bars.start);
        let account = broker::run(&market, &signals, &settings, &Window { bars, closes_at_end }, &mut summary).unwrap();
        assert_eq!(&summary.metrics(&account), metrics);
    }
    // The cycle is there to be found, and goes on.
    assert!(winner.score.objective.unwrap() > 2.0 && winner.out_of_sample.as_ref().unwrap().sharpe.unwrap() > 1.0);
    assert!(result.pbo.unwrap() < 0.2, "{:?}", result.pbo);
    assert!(result.stability.is_some());
}

#[test]
fn what_lies_out_of_sample_does_not_change_the_choice() {
    let market = market(1_200);
    let shorter = Market::new(market.bars().slice(0..901), None);
    let request = |from| Request { method: Method::Tpe, out_of_sample: OutOfSample::Forward { from }, trials: 100 };
    let whole = optimized(&market, &request(900), Threads::Caller, &StopFlag::default());
    let cut = optimized(&shorter, &request(900), Threads::Caller, &StopFlag::default());
    let chosen = |result: &ItemResult| {
        result.best.iter().map(|best| (best.values.clone(), best.in_sample.clone())).collect::<Vec<_>>()
    };
    assert_eq!(chosen(&whole), chosen(&cut));
    assert_eq!((whole.pbo, whole.deflated_sharpe, whole.stability), (cut.pbo, cut.deflated_sharpe, cut.stability));
    // One bar is too few to trade.
    assert!(cut.best[0].out_of_sample.is_none());
}

#[test]
fn windows_are_searched_alone_and_their_winners_trade_one_account() {
    let market = market(1_200);
    let request = Request { method: Method::Sobol, out_of_sample: OutOfSample::WalkForward(WALK), trials: 60 };
    let result = optimized(&market, &request, Threads::Caller, &StopFlag::default());
    let walk = result.walk_forward.as_ref().unwrap();
    assert_eq!(walk.windows.len(), 5);
    assert_eq!(result.trials, 5 * 60);
    let first = walk.windows[0].window.out_of_sample.start;
    assert_eq!((first, walk.equity.len()), (450, 1_200 - 450));
    // The account goes on from window to window.
    let settings = Settings::default();
    let mut equity = settings.capital();
    let mut trades = 0;
    for window in &walk.windows {
        let bars = window.window.out_of_sample.clone();
        let mut summary = Summary::new(&market);
        summary.begin(equity, bars.start);
        let settings = settings.with_capital(equity).unwrap();
        let signals = signals(&market)(&window.values);
        let window_of_run = Window { bars: bars.clone(), closes_at_end: true };
        let account = broker::run(&market, &signals, &settings, &window_of_run, &mut summary).unwrap();
        trades += summary.metrics(&account).trades.trades;
        equity = account.equity;
        assert_eq!(walk.equity[bars.end - 1 - first], equity);
    }
    assert_eq!((walk.metrics.equity, walk.metrics.trades.trades), (equity, trades));
    assert!(walk.efficiency.unwrap() > 0.3, "{:?}", walk.efficiency);
    assert_eq!(result.best[0].values, walk.windows[4].values);
}

#[test]
fn a_later_window_does_not_change_an_earlier_one() {
    let market = market(1_200);
    let shorter = Market::new(market.bars().slice(0..900), None);
    let request = Request { method: Method::Genetic, out_of_sample: OutOfSample::WalkForward(WALK), trials: 150 };
    let whole = optimized(&market, &request, Threads::Caller, &StopFlag::default()).walk_forward.unwrap();
    let cut = optimized(&shorter, &request, Threads::Caller, &StopFlag::default()).walk_forward.unwrap();
    assert_eq!(cut.windows.len(), 3);
    assert_eq!(whole.windows[..3], cut.windows[..]);
    assert_eq!(whole.equity[..450], cut.equity[..]);
}

#[test]
fn threads_do_not_change_an_item() {
    let market = market(700);
    for out_of_sample in [OutOfSample::None, OutOfSample::Forward { from: 500 }, OutOfSample::WalkForward(WALK)] {
        let request = Request { method: Method::Tpe, out_of_sample, trials: 80 };
        let alone = format!("{:?}", optimized(&market, &request, Threads::Caller, &StopFlag::default()));
        for threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let result = optimized(&market, &request, Threads::Pool(&pool), &StopFlag::default());
            assert_eq!(format!("{result:?}"), alone, "{threads} threads");
        }
    }
}

#[test]
fn a_stopped_item_says_so() {
    let market = market(400);
    let stopped = StopFlag::default();
    stopped.stop(StopReason::Cancelled);
    let request = Request { method: Method::Random, out_of_sample: OutOfSample::None, trials: 50 };
    let result = optimized(&market, &request, Threads::Caller, &stopped);
    assert_eq!((result.best.len(), result.trials, result.stopped), (0, 0, Some(StopReason::Cancelled)));
    // A search whose time is up after one chunk is judged all the same.
    let late = StopFlag::default();
    let space = space();
    let settings = Settings::default();
    let item = Item {
        market: &market,
        settings: &settings,
        space: &space,
        signals: signals(&market),
        bars: 0..400,
        objective: Objective::NetProfit,
        options: Options { method: Method::Tpe, max_evaluations: 300, min_trades: 5, seed: Seed::default(), keep: 5 },
        out_of_sample: OutOfSample::Forward { from: 300 },
    };
    let result = optimize(&item, Threads::Caller, &late, &mut |_| late.stop(StopReason::OutOfTime)).unwrap();
    assert_eq!((result.trials, result.stopped), (10, Some(StopReason::OutOfTime)));
    assert!(result.best[0].out_of_sample.is_some() && result.stability.is_some());
    assert!(result.warnings[0].starts_with("The search was stopped when its time was up"), "{:?}", result.warnings);
}

#[test]
fn a_winner_by_chance_is_called_one() {
    // Prices without any pattern: whatever wins, wins by luck.
    let mut state = 3_u64;
    let mut columns = Columns::default();
    let mut last = 500.0;
    for bar in 0..1_200_i64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let close = last + ((state >> 60) as f64 - 7.5);
        columns.time.push(bar * 6 * 3_600_000);
        columns.open.push(last);
        columns.high.push(f64::max(last, close));
        columns.low.push(f64::min(last, close));
        columns.close.push(close);
        columns.volume.push(1.0);
        last = close;
    }
    let market = Market::new(Bars::new(columns, TickGrid::of_digits(1).unwrap(), None).unwrap(), None);
    let request = Request { method: Method::Grid, out_of_sample: OutOfSample::Forward { from: 900 }, trials: 1_000 };
    let result = optimized(&market, &request, Threads::Caller, &StopFlag::default());
    assert!(result.deflated_sharpe.unwrap() < 0.95);
    let luck =
        result.warnings.iter().find(|warning| warning.contains("what the best of 360 random strategies would show"));
    assert!(luck.is_some(), "{:?}", result.warnings);
}
