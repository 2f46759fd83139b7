//! Prints how many bars a sweep over parameters evaluates per second: crosses of two averages, 1,000 pairs of lengths on 20,000
//! bars, with all figures. A bare loop over the same cached columns is the measure.
//!
//! ```text
//! cargo run --release -p candlewick-research --example sweep
//! ```
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a program that prints a table")]

use std::{hint::black_box, sync::Arc, time::Instant};

use research::{
    Bars, Bits, Cache, Columns, Commission, Market, Objective, Settings, Signals, TickGrid,
    broker::{self, Window},
    catalogue,
    metrics::Summary,
    optimization,
    search::{Item, Method, Options, OutOfSample, Seed, StopFlag, Threads, optimize},
};

const BARS: usize = 20_000;
const ROUNDS: usize = 7;

fn main() {
    let market = market(BARS);
    let close = market.close();
    let fast: Vec<usize> = (5..=24).collect();
    let slow: Vec<usize> = (1..=50).map(|step| 25 + 5 * step).collect();
    let averages: Vec<Arc<[f64]>> = (0..300).map(|length| sma(close, length.max(1)).into()).collect();
    let pairs: Vec<(usize, usize)> = fast.iter().flat_map(|&fast| slow.iter().map(move |&slow| (fast, slow))).collect();
    let settings = Settings::default().with_commission(Commission::Percent(0.02)).expect("a valid commission");
    let signals: Vec<Signals> = pairs.iter().map(|&(f, s)| crosses(&averages[f], &averages[s], s)).collect();
    let stops: Arc<[f64]> = vec![0.004; BARS].into();
    let stopped: Vec<Signals> = signals
        .iter()
        .map(|signals| Signals { stop: Some(stops.clone()), target: Some(stops.clone()), ..signals.clone() })
        .collect();
    let evaluations = pairs.len() * BARS;
    println!("{} sets x {BARS} bars, millions of bars per second (best of {ROUNDS})", pairs.len());

    let bare_rate =
        measure(evaluations, || pairs.iter().map(|&(f, s)| bare_loop(close, &averages[f], &averages[s], s)).sum());
    let crossing = measure(evaluations, || {
        pairs
            .iter()
            .map(|&(f, s)| crosses(&averages[f], &averages[s], s).enter_long.map_or(0, |set| set.len()) as f64)
            .sum()
    });
    let run = |signals: &[Signals]| {
        let mut summary = Summary::new(&market);
        measure(evaluations, || signals.iter().map(|signals| evaluate(&market, signals, &settings, &mut summary)).sum())
    };
    let broker = run(&signals);
    let bracketed = run(&stopped);
    let mut summary = Summary::new(&market);
    let both = measure(evaluations, || {
        let evaluate = |&(f, s): &(usize, usize)| {
            evaluate(&market, &crosses(&averages[f], &averages[s], s), &settings, &mut summary)
        };
        pairs.iter().map(evaluate).sum()
    });
    let searched = measure(evaluations, || search(&market, &settings));
    for (what, rate) in [
        ("bare loop over cached averages", bare_rate),
        ("signals from cached averages", crossing),
        ("broker and all figures", broker),
        ("broker with stop and target", bracketed),
        ("signals, broker and all figures", both),
        ("a grid search of sma-cross", searched),
    ] {
        println!("{what:34} {:8.1}   {:5.2} x the bare loop", rate / 1e6, rate / bare_rate);
    }
}

fn evaluate(market: &Market, signals: &Signals, settings: &Settings, summary: &mut Summary<'_>) -> f64 {
    summary.begin(settings.capital(), 0);
    let account = broker::run(market, signals, settings, &Window::all(market.len()), summary).expect("fitting signals");
    Objective::Sharpe.of(&summary.metrics(&account)).unwrap_or(0.0)
}

/// The same pairs as a grid over the catalogue's strategy, with what its winner is worth.
fn search(market: &Market, settings: &Settings) -> f64 {
    let strategy = catalogue::find("sma-cross").expect("a strategy of the catalogue");
    let steps = |min, max, step| optimization::Range::Steps { min, max, step };
    let ranges = [("fast".to_owned(), steps(5.0, 24.0, 1.0)), ("slow".to_owned(), steps(30.0, 275.0, 5.0))];
    let (space, cache) = (optimization::space_of(strategy, &ranges).expect("sound ranges"), Cache::new(256 << 20));
    let seed = Seed::default();
    let item = Item {
        market,
        settings,
        space: &space,
        signals: optimization::signals_of(strategy, market.bars(), &cache),
        bars: 0..market.len(),
        objective: Objective::Sharpe,
        options: Options { method: Method::Grid, max_evaluations: 1_000, min_trades: 30, seed, keep: 25 },
        out_of_sample: OutOfSample::None,
    };
    let result = optimize(&item, Threads::Caller, &StopFlag::default(), &mut |_| {}).expect("a grid of 1,000");
    result.best.first().and_then(|best| best.score.objective).unwrap_or(0.0)
}

/// Bars per second, of the fastest round.
fn measure(bars: usize, mut work: impl FnMut() -> f64) -> f64 {
    let seconds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    });
    bars as f64 / seconds.fold(f64::INFINITY, f64::min)
}

/// The least that a loop can do: reversals with commission, drawdown, and moments of the returns of bars.
fn bare_loop(close: &[f64], fast: &[f64], slow: &[f64], first: usize) -> f64 {
    let (mut equity, mut peak, mut deepest, mut sum, mut squares) = (10_000.0_f64, 10_000.0_f64, 0.0_f64, 0.0, 0.0);
    let mut position = 0.0;
    let mut was_above = false;
    let columns = close.windows(2).zip(&fast[1..]).zip(&slow[1..]).skip(first);
    for ((closes, fast), slow) in columns {
        let gain = position * (closes[1] - closes[0]);
        equity += gain;
        sum += gain;
        squares += gain * gain;
        peak = peak.max(equity);
        deepest = deepest.max((peak - equity) / peak);
        let is_above = fast > slow;
        if is_above != was_above {
            let size = 0.1 * equity / closes[1];
            equity -= 0.0004 * size * closes[1];
            position = if is_above { size } else { -size };
            was_above = is_above;
        }
    }
    equity + deepest + sum + squares
}

fn crosses(fast: &Arc<[f64]>, slow: &Arc<[f64]>, length: usize) -> Signals {
    let above = Bits::from_pairs(fast, slow, |fast, slow| fast > slow);
    let below = Bits::from_pairs(fast, slow, |fast, slow| fast < slow);
    let not_above_before = above.not().shifted(1);
    let not_below_before = below.not().shifted(1);
    let up = above.and(&not_above_before);
    let down = below.and(&not_below_before);
    let (enter_long, enter_short) = (Some(Arc::new(up)), Some(Arc::new(down)));
    Signals { first: length, enter_long, enter_short, ..Signals::none(fast.len()) }
}

fn sma(close: &[f64], length: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let average = |(bar, price): (usize, &f64)| {
        sum += price;
        if bar >= length {
            sum -= close[bar - length];
        }
        if bar + 1 >= length { sum / length as f64 } else { f64::NAN }
    };
    close.iter().enumerate().map(average).collect()
}

/// A random walk of hours with five digits.
fn market(bars: usize) -> Market {
    let mut state = 88_172_645_463_325_252_u64;
    let mut step = |width: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % (2 * width + 1)) as f64 - width as f64
    };
    let mut columns = Columns::default();
    let mut price = 110_000.0_f64;
    for bar in 0..bars {
        let open = price;
        price = (price + step(120)).max(50_000.0);
        columns.time.push(1_500_000_000_000 + i64::try_from(bar).unwrap_or(0) * 3_600_000);
        columns.open.push(open / 1e5);
        columns.high.push((open.max(price) + step(20).abs()) / 1e5);
        columns.low.push((open.min(price) - step(20).abs()) / 1e5);
        columns.close.push(price / 1e5);
        columns.volume.push(1.0);
    }
    let grid = TickGrid::of_digits(5).expect("five digits");
    Market::new(Bars::new(columns, grid, Some(3_600_000)).expect("sound bars"), None)
}
