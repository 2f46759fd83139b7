//! The bench's work on strategies, by the crates `research` and `report`, and by bare loops over columns that are there already.
//!
//! It runs as a process of its own (see [`crate::worker`]) and understands the commands of `benches/vectorbt/measure.py`, and:
//!
//! - `threads COUNT FAST SLOW`: `cross` on a pool of threads;
//! - `judged FAST SLOW`: `cross`, and what is said of its winner;
//! - `bare-cross` and `bare-stops`: the same sets as loops over columns;
//! - `pdf FAST SLOW`: the report on the winner of `judged`, of which only the PDF is on the clock.

use std::hint::black_box;
use std::io::BufRead as _;
use std::path::Path;
use std::time::Instant;

use report::Report;
use research::broker::Window;
use research::metrics::Metrics;
use research::optimization::{Range, signals_of, space_of};
use research::run::Backtest;
use research::search::{
    Backtests, Found, Item, ItemResult, Method, Options, OutOfSample, Seed, StopFlag, Threads, optimize, search,
};
use research::{
    Bars, Cache, Column, Columns, Commission, Formula, Market, Objective, Settings, Size, Strategy, TickGrid, Value,
    catalogue, pine,
};

use crate::worker::Work;

const HOUR_MS: i64 = 3_600_000;
/// The memory for indicators, which is what the service has for those of jobs by default.
const CACHE_BYTES: u64 = 128 << 20;
const MIN_TRADES: usize = 30;
/// The lengths and levels of the strategy with stops, as `measure.py` has them.
const RANGE_LENGTH: usize = 14;
const LOW_LEVEL: f64 = 35.0;
const HIGH_LEVEL: f64 = 65.0;
/// Costs of a fill, of its value.
const FEES: f64 = 0.000_2;
const CAPITAL: f64 = 10_000.0;

/// The ranges of parameters, by their names.
type Ranges<'a> = [(&'a str, &'a [f64])];

/// Reads the candles, and carries out commands until the standard input ends.
pub fn serve(candles: &Path) {
    let market = market(candles);
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let lists: Vec<Vec<f64>> = words.map(numbers).collect();
        let Work { seconds, trades } = match (name, &lists[..]) {
            ("cross", [fast, slow]) => grid(&market, "sma-cross", &crossing(fast, slow), Threads::Caller),
            ("threads", [count, fast, slow]) => on_threads(&market, count[0] as usize, &crossing(fast, slow)),
            ("judged", [fast, slow]) => judged(&market, &crossing(fast, slow)),
            ("bare-cross", [fast, slow]) => bare_crossings(&market, fast, slow),
            ("stops", [lengths, multiples, rsi_lengths, stops]) => {
                let ranges =
                    [("length", lengths), ("multiple", multiples), ("rsi_length", rsi_lengths), ("stop_atr", stops)];
                grid(&market, "bollinger-rsi", &ranges.map(|(name, values)| (name, &values[..])), Threads::Caller)
            }
            ("bare-stops", [lengths, multiples, rsi_lengths, stops]) => {
                bare_stops(&market, [lengths, multiples, rsi_lengths, stops])
            }
            ("single", [fast, slow]) => single(&market, fast[0], slow[0]),
            ("pdf", [fast, slow]) => pdf(&market, &crossing(fast, slow)),
            _ => panic!("there is no command {line}"),
        };
        println!("{seconds} {trades}");
    }
}

fn numbers(list: &str) -> Vec<f64> {
    list.split(',').map(|number| number.parse().unwrap()).collect()
}

fn crossing<'a>(fast: &'a [f64], slow: &'a [f64]) -> [(&'static str, &'a [f64]); 2] {
    [("fast", fast), ("slow", slow)]
}

fn market(candles: &Path) -> Market {
    let mut columns = Columns::default();
    for line in std::fs::read_to_string(candles).unwrap().lines().skip(1) {
        let mut cells = line.split(',');
        columns.time.push(cells.next().unwrap().parse().unwrap());
        let mut price = || cells.next().unwrap().parse::<f64>().unwrap();
        columns.open.push(price());
        columns.high.push(price());
        columns.low.push(price());
        columns.close.push(price());
        columns.volume.push(price());
    }
    let grid = TickGrid::of_digits(5).unwrap();
    Market::new(Bars::new(columns, grid, Some(HOUR_MS)).unwrap(), None)
}

fn settings() -> Settings {
    let settings = Settings::default().with_capital(CAPITAL).unwrap().with_size(Size::Cash(CAPITAL / 10.0)).unwrap();
    settings.with_commission(Commission::Percent(100.0 * FEES)).unwrap()
}

fn strategy(id: &str) -> &'static Strategy {
    catalogue::find(id).unwrap()
}

fn lists(ranges: &Ranges<'_>) -> Vec<(String, Range)> {
    ranges.iter().map(|(name, values)| ((*name).to_owned(), Range::List(values.to_vec()))).collect()
}

fn options(sets: usize) -> Options {
    // All of them are kept, with all figures.
    Options { method: Method::Grid, max_evaluations: sets, min_trades: MIN_TRADES, seed: Seed::default(), keep: sets }
}

fn count(ranges: &Ranges<'_>) -> usize {
    ranges.iter().map(|(_, values)| values.len()).product()
}

/// All combinations, with all figures of each, from the candles on: nothing is in the cache before.
fn grid(market: &Market, id: &str, ranges: &Ranges<'_>, threads: Threads<'_>) -> Work {
    let (settings, stop) = (settings(), StopFlag::default());
    let began = Instant::now();
    let cache = Cache::new(CACHE_BYTES);
    let space = space_of(strategy(id), &lists(ranges)).unwrap();
    let signals = signals_of(strategy(id), market.bars(), &cache);
    let backtests = Backtests::new(market, &settings, Objective::Sharpe, &signals, &Window::all(market.len()));
    let found: Found<Metrics> =
        search(&space, &backtests, &options(count(ranges)), threads, &stop, &mut |_| {}).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(found.best.len(), count(ranges));
    Work { seconds, trades: found.best.iter().map(|set| set.detail.trades.trades).sum() }
}

fn on_threads(market: &Market, count: usize, ranges: &Ranges<'_>) -> Work {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
    grid(market, "sma-cross", ranges, Threads::Pool(&pool))
}

/// The search of an item as a job does it: the last quarter of the candles is kept from it, and its winner is judged. Returns the
/// seconds that it took as well.
fn optimized(market: &Market, settings: &Settings, ranges: &Ranges<'_>) -> (f64, ItemResult, report::Search) {
    let strategy = strategy("sma-cross");
    let began = Instant::now();
    let cache = Cache::new(CACHE_BYTES);
    let space = space_of(strategy, &lists(ranges)).unwrap();
    let item = Item {
        market,
        settings,
        space: &space,
        signals: signals_of(strategy, market.bars(), &cache),
        bars: 0..market.len(),
        objective: Objective::Sharpe,
        options: options(count(ranges)),
        out_of_sample: OutOfSample::Forward { from: market.len() - market.len() / 4 },
    };
    let result = optimize(&item, Threads::Caller, &StopFlag::default(), &mut |_| {}).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let search = report::Search::of(&item, &result, 1).unwrap();
    (seconds, result, search)
}

fn judged(market: &Market, ranges: &Ranges<'_>) -> Work {
    let (seconds, result, _) = optimized(market, &settings(), ranges);
    Work { seconds, trades: result.best[0].in_sample.trades.trades }
}

/// One run with all trades and the equity, as an answer has them. As in the service, nothing is in a cache.
fn single(market: &Market, fast: f64, slow: f64) -> Work {
    let (strategy, settings) = (strategy("sma-cross"), settings());
    let [fast, slow] = [fast, slow].map(|length| length.to_string());
    let began = Instant::now();
    let parameters = strategy.parameters_of([("fast", &*fast), ("slow", &*slow)]).unwrap();
    let test = Backtest { strategy, parameters: &parameters, market, bars: 0..market.len(), settings: &settings };
    let result = black_box(test.run(&Cache::new(0)).unwrap());
    Work { seconds: began.elapsed().as_secs_f64(), trades: result.trades.len() }
}

/// The report on the winner of a search, of which only the PDF is on the clock.
fn pdf(market: &Market, ranges: &Ranges<'_>) -> Work {
    let (strategy, settings) = (strategy("sma-cross"), settings());
    let (_, found, search) = optimized(market, &settings, ranges);
    let parameters = strategy.parameters_from(&found.best[0].values).unwrap();
    let test = Backtest { strategy, parameters: &parameters, market, bars: 0..market.len(), settings: &settings };
    let (backtest, equity) = test.run_with_equity(&Cache::new(CACHE_BYTES)).unwrap();
    let script = pine::script(strategy, &parameters, &settings, &[]).unwrap();
    let report = Report {
        name: "bench",
        symbol: "BENCH000",
        timeframe: "H1",
        strategy,
        parameters: &parameters,
        settings: &settings,
        market,
        backtest: &backtest,
        equity: &equity,
        search: Some(&search),
        warnings: &found.warnings,
        script: &script,
    };
    let began = Instant::now();
    black_box(report::pdf(&report));
    Work { seconds: began.elapsed().as_secs_f64(), trades: backtest.trades.len() }
}

/// The results of an expression.
fn columns<const N: usize>(market: &Market, expression: &str) -> [Column; N] {
    let values = Formula::parse(expression).unwrap().evaluate(market.bars(), &Cache::new(0));
    let columns: Vec<Column> = values
        .into_iter()
        .map(|value| match value {
            Value::Numbers(numbers) => numbers,
            Value::Flags(_) => panic!("{expression} is a condition"),
        })
        .collect();
    columns.try_into().unwrap()
}

/// The columns of an expression for each of some lengths.
fn of_lengths(market: &Market, lengths: &[f64], expression: impl Fn(f64) -> String) -> Vec<Column> {
    lengths.iter().map(|length| columns::<1>(market, &expression(*length))).map(|[column]| column).collect()
}

/// The least that a loop can do: reversals with commission, drawdown, and moments of the returns of bars.
struct Account {
    equity: f64,
    peak: f64,
    deepest: f64,
    sum: f64,
    squares: f64,
    trades: usize,
}

impl Account {
    fn new() -> Self {
        Self { equity: CAPITAL, peak: CAPITAL, deepest: 0.0, sum: 0.0, squares: 0.0, trades: 0 }
    }

    #[inline]
    fn mark(&mut self, gain: f64) {
        self.equity += gain;
        self.sum += gain;
        self.squares += gain * gain;
        self.peak = self.peak.max(self.equity);
        self.deepest = self.deepest.max((self.peak - self.equity) / self.peak);
    }
}

fn bare_crossings(market: &Market, fast: &[f64], slow: &[f64]) -> Work {
    let average = |length: f64| format!("ta.sma(close, {length})");
    let (fast, slow) = (of_lengths(market, fast, average), of_lengths(market, slow, average));
    let began = Instant::now();
    let pairs = fast.iter().flat_map(|fast| slow.iter().map(move |slow| (fast, slow)));
    let trades = pairs.map(|(fast, slow)| black_box(bare_crossing(market.close(), fast, slow)).trades).sum();
    Work { seconds: began.elapsed().as_secs_f64(), trades }
}

fn bare_crossing(close: &[f64], fast: &[f64], slow: &[f64]) -> Account {
    let mut account = Account::new();
    let (mut position, mut was_above) = (0.0, false);
    for ((closes, fast), slow) in close.windows(2).zip(&fast[1..]).zip(&slow[1..]) {
        let mut gain = position * (closes[1] - closes[0]);
        // Comparisons with the missing numbers of the beginning are false.
        let is_above = fast > slow;
        if is_above != was_above {
            let size = CAPITAL / 10.0 / closes[1];
            gain -= 2.0 * FEES * size * closes[1];
            position = if is_above { size } else { -size };
            was_above = is_above;
            account.trades += 1;
        }
        account.mark(gain);
    }
    account
}

fn bare_stops(market: &Market, [lengths, multiples, rsi_lengths, stops]: [&[f64]; 4]) -> Work {
    let bands: Vec<[Column; 3]> = lengths
        .iter()
        .flat_map(|length| multiples.iter().map(move |multiple| format!("ta.bb(close, {length}, {multiple:?})")))
        .map(|expression| columns(market, &expression))
        .collect();
    let indices = of_lengths(market, rsi_lengths, |length| format!("ta.rsi(close, {length})"));
    let [range] = columns(market, &format!("ta.atr({RANGE_LENGTH})"));
    let began = Instant::now();
    let mut trades = 0;
    for bands in &bands {
        for index in &indices {
            for stop in stops {
                trades += black_box(bare_stop(market, bands, index, &range, *stop)).trades;
            }
        }
    }
    Work { seconds: began.elapsed().as_secs_f64(), trades }
}

/// Entries outside the bands, exits in the middle or at the stop, all at the next open or at the price of the stop.
fn bare_stop(
    market: &Market,
    [middle, upper, lower]: &[Column; 3],
    index: &[f64],
    range: &[f64],
    stop: f64,
) -> Account {
    let mut account = Account::new();
    // The position in units of the price, the price of its stop, and the value that the last bar ended with.
    let (mut position, mut stop_price, mut last) = (0.0, 0.0, 0.0);
    // The order of the last close: a side, or 0 to leave, and the distance of the stop.
    let mut order: Option<(f64, f64)> = None;
    let prices = market.open().iter().zip(market.high()).zip(market.low()).zip(market.close());
    let bands = middle.iter().zip(upper.iter()).zip(lower.iter()).zip(index.iter().zip(range));
    for ((((open, high), low), close), (((middle, upper), lower), (index, range))) in prices.zip(bands) {
        let mut gain = 0.0;
        if let Some((side, distance)) = order.take() {
            gain += position * (open - last) - FEES * (position * open).abs();
            account.trades += usize::from(position != 0.0);
            position = side * CAPITAL / 10.0 / open;
            gain -= FEES * (position * open).abs();
            (stop_price, last) = (open - side * distance, *open);
        }
        let is_stopped = if position > 0.0 { *low <= stop_price } else { position < 0.0 && *high >= stop_price };
        if is_stopped {
            let price = if position > 0.0 { stop_price.min(*open) } else { stop_price.max(*open) };
            gain += position * (price - last) - FEES * (position * price).abs();
            account.trades += 1;
            position = 0.0;
        }
        gain += position * (close - last);
        last = *close;
        account.mark(gain);
        if close < lower && *index < LOW_LEVEL && position <= 0.0 {
            order = Some((1.0, stop * range));
        } else if close > upper && *index > HIGH_LEVEL && position >= 0.0 {
            order = Some((-1.0, stop * range));
        } else if (position > 0.0 && close >= middle) || (position < 0.0 && close <= middle) {
            order = Some((0.0, 0.0));
        }
    }
    account
}
