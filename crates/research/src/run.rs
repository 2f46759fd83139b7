//! One backtest: a strategy with its parameters on the bars of a series, and everything that its answer says.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use crate::{
    BindError, Cache, Commission, Market, Metrics, Parameters, Settings, Sides, Size, Strategy, Trade,
    broker::{self, Account, Window},
    metrics::Full,
};

/// The maximum number of points of an equity curve.
pub const MAX_EQUITY_POINTS: usize = 2_000;

/// A backtest before it runs.
#[derive(Debug, Clone)]
pub struct Backtest<'a> {
    /// The strategy.
    pub strategy: &'a Strategy,
    /// Values of its parameters.
    pub parameters: &'a Parameters,
    /// The bars, on their tick grid. The first one should lie [`Bound::warm_up`](crate::Bound::warm_up) bars before those that are
    /// traded. Results are the same only for the same bars, because recursive averages differ a little if more bars precede.
    pub market: &'a Market,
    /// The bars to trade. Those after them have no influence.
    pub bars: Range<usize>,
    /// Capital, sizes and costs.
    pub settings: &'a Settings,
}

/// The result of a backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct BacktestResult {
    /// The figures.
    pub metrics: Metrics,
    /// The account at the end.
    pub account: Account,
    /// The closed trades in turn. Their bars are counted from the first bar of the market.
    pub trades: Vec<Trade>,
    /// The equity, thinned out to [`MAX_EQUITY_POINTS`].
    pub equity: EquityCurve,
    /// The bars that were traded.
    pub bars: Range<usize>,
    /// The number of bars before them that the indicators should see.
    pub warmup_bars: usize,
    /// The number of those that are not there.
    pub warmup_missing: usize,
    /// The number of traded bars after which the next one does not begin a period later; `None` if periods differ in
    /// length.
    pub gaps: Option<usize>,
    /// The XXH3 hash of the columns that were read, which changes if they do.
    pub fingerprint: u64,
    /// The assumptions, one sentence each.
    pub assumptions: Vec<String>,
}

/// Equity at some of the closes.
#[derive(Debug, Clone, PartialEq)]
pub struct EquityCurve {
    /// Times of bars in epoch milliseconds, and the equity at their closes.
    pub points: Vec<(i64, f64)>,
    /// The number of closes of which the lowest and the highest were kept; 1 if all closes were.
    pub every: usize,
}

impl EquityCurve {
    /// At most `max_points`, and at least 4, of the equity at the closes of bars that begin at `times`: the first and the last
    /// close, and the lowest and the highest of each stretch between, so that no drawdown disappears.
    #[must_use]
    pub fn thinned(times: &[i64], equity: &[f64], max_points: usize) -> Self {
        let count = times.len().min(equity.len());
        thinned(&times[..count], &equity[..count], max_points.max(4))
    }
}

impl Backtest<'_> {
    /// Runs the backtest. The cache changes the duration and nothing else.
    ///
    /// # Errors
    /// When the strategy does not accept the values.
    pub fn run(&self, cache: &Cache) -> Result<BacktestResult, BindError> {
        self.run_with_equity(cache).map(|(result, _)| result)
    }

    /// Runs the backtest as [`Self::run`] does. The second part is the equity at each close of its bars, of which the result
    /// keeps only some.
    ///
    /// # Errors
    /// When the strategy does not accept the values.
    pub fn run_with_equity(&self, cache: &Cache) -> Result<(BacktestResult, Vec<f64>), BindError> {
        let bound = self.strategy.bind(self.parameters)?;
        let bars = self.market.bars();
        let end = self.bars.end.min(bars.len());
        let range = self.bars.start.min(end)..end;
        let warmup_bars = bound.warm_up();
        let signals = bound.evaluate(bars, cache);
        let mut full = Full::new(self.market, self.settings.capital(), range.start);
        let window = Window { bars: range.clone(), closes_at_end: false };
        let account = broker::run_fitting(self.market, &signals, self.settings, &window, &mut full);
        let times = &bars.time()[range.clone()];
        let metrics = full.metrics(&account);
        let (trades, equity) = full.into_parts();
        let result = BacktestResult {
            metrics,
            trades,
            equity: thinned(times, &equity, MAX_EQUITY_POINTS),
            warmup_bars,
            warmup_missing: warmup_bars.saturating_sub(range.start),
            gaps: bars.period().map(|period| times.windows(2).filter(|pair| pair[1] - pair[0] != period).count()),
            fingerprint: fingerprint(&bars.slice(0..end)),
            assumptions: assumptions(self.settings, bars.tick()),
            account,
            bars: range,
        };
        Ok((result, equity))
    }
}

/// The hash of the columns: times, then open, high, low, close and volume, each number as 8 bytes with the lowest first.
#[must_use]
pub fn fingerprint(bars: &crate::Bars) -> u64 {
    let mut hash = Xxh3::new();
    update(&mut hash, bars.time(), i64::to_le_bytes);
    for column in [bars.open(), bars.high(), bars.low(), bars.close(), bars.volume()] {
        update(&mut hash, column, f64::to_le_bytes);
    }
    hash.digest()
}

/// Adds numbers to a hash, many at a time, because each call costs more than hashing 8 bytes.
fn update<T: Copy>(hash: &mut Xxh3, numbers: &[T], bytes: impl Fn(T) -> [u8; 8]) {
    let mut block = [[0; 8]; 512];
    for numbers in numbers.chunks(block.len()) {
        for (place, number) in block.iter_mut().zip(numbers) {
            *place = bytes(*number);
        }
        hash.update(block[..numbers.len()].as_flattened());
    }
}

/// At most `max_points` of a curve: the first and the last close, and the lowest and the highest of each stretch between, so that no
/// drawdown disappears.
fn thinned(times: &[i64], equity: &[f64], max_points: usize) -> EquityCurve {
    if equity.len() <= max_points {
        return EquityCurve { points: times.iter().copied().zip(equity.iter().copied()).collect(), every: 1 };
    }
    let last = equity.len() - 1;
    let stretches = (max_points - 2) / 2;
    let every = (last - 1).div_ceil(stretches);
    let mut places = vec![0];
    for start in (1..last).step_by(every) {
        let stretch = start..(start + every).min(last);
        let lowest = stretch.clone().min_by(|a, b| equity[*a].total_cmp(&equity[*b]));
        let highest = stretch.max_by(|a, b| equity[*a].total_cmp(&equity[*b]));
        let mut both: Vec<usize> = [lowest, highest].into_iter().flatten().collect();
        both.sort_unstable();
        both.dedup();
        places.extend(both);
    }
    places.push(last);
    EquityCurve { points: places.into_iter().map(|place| (times[place], equity[place])).collect(), every }
}

/// The assumptions of a run, one sentence each. `tick` is that of the bars.
#[must_use]
pub fn assumptions(settings: &Settings, tick: f64) -> Vec<String> {
    let tick = settings.tick().unwrap_or(tick);
    vec![
        "Orders are placed at the close of a candle and fill at the next open; nothing is ordered at the last candle.".into(),
        "Within a candle the price runs from the open to the nearer of high and low, then to the other one, then to the close; at \
         equal distances it runs to the low first."
            .into(),
        "A stop or target that an open has passed fills at that open, and otherwise at its own price.".into(),
        slippage(settings.slippage_ticks(), tick),
        format!("Prices lie on multiples of {tick}; distances of stops and targets are rounded up to whole ticks."),
        size(settings),
        commission(settings.commission()),
        sides(settings.sides()),
        "There is no margin, interest, swap or dividend; an equity of 0 at a close ends the run.".into(),
        "Equity is marked at every close, so that drawdowns within candles do not show.".into(),
        "A position that is open at the last close is marked and not closed; figures of trades leave it out.".into(),
        "Sharpe and Sortino ratios are those of daily returns, against a rate of 0 and annualised by the days of this series.".into(),
    ]
}

fn slippage(ticks: u32, tick: f64) -> String {
    match ticks {
        0 => "Market and stop orders fill without slippage, which is better than real ones do.".into(),
        _ => format!(
            "Market and stop orders fill {ticks} {} of {tick} worse than their price, also outside the candle; targets do not.",
            if ticks == 1 { "tick" } else { "ticks" }
        ),
    }
}

fn size(settings: &Settings) -> String {
    let lots = settings.lot_step();
    let size = match settings.size() {
        Size::PercentOfEquity(percent) => {
            format!("An entry is {percent} % of the equity at the close that orders it, its commission included")
        }
        Size::Fixed(quantity) => format!("An entry is a quantity of {quantity}"),
        Size::Cash(money) => format!("An entry is {money} in money at the close that orders it"),
    };
    let point_value = match settings.point_value() {
        1.0 => String::new(),
        value => format!(" A price that moves by 1 gains {value} for each unit."),
    };
    format!("{size}, rounded down to a multiple of {lots}; an order of less than that is dropped.{point_value}")
}

fn commission(commission: Commission) -> String {
    match commission {
        Commission::Percent(0.0) | Commission::PerContract(0.0) | Commission::PerOrder(0.0) => {
            "No commission is paid, which is better than real terms.".into()
        }
        Commission::Percent(percent) => format!("Commission is {percent} % of the traded value, at entry and at exit."),
        Commission::PerContract(money) => format!("Commission is {money} for each unit, at entry and at exit."),
        Commission::PerOrder(money) => {
            format!("Commission is {money} for each order; an order that closes and opens pays once.")
        }
    }
}

fn sides(sides: Sides) -> String {
    match sides {
        Sides::Both => {
            "One position is open at a time; an entry on the other side closes it and opens its own by one order."
                .into()
        }
        Sides::Long => "One position is open at a time, long only; a short entry closes it and opens nothing.".into(),
        Sides::Short => "One position is open at a time, short only; a long entry closes it and opens nothing.".into(),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the cases are chosen so that no number is rounded")]
mod tests {
    use super::*;
    use crate::{Bars, Columns, TickGrid, catalogue};

    fn bars(count: u32) -> Bars {
        let close: Vec<f64> = (0..count)
            .map(|bar| {
                ((100.0 + 5.0 * (f64::from(bar) / 9.0).sin() + f64::from(bar % 7) * 0.3) * 100.0).round() / 100.0
            })
            .collect();
        let mut open = close.clone();
        open.rotate_right(1);
        open[0] = close[0];
        let columns = Columns {
            time: (0..i64::from(count)).map(|bar| bar * 3_600_000 + i64::from(bar > 300) * 7_200_000).collect(),
            high: open.iter().zip(&close).map(|(open, close)| open.max(*close) + 0.2).collect(),
            low: open.iter().zip(&close).map(|(open, close)| open.min(*close) - 0.2).collect(),
            volume: vec![1.0; close.len()],
            open,
            close,
        };
        Bars::new(columns, TickGrid::of_digits(2).unwrap(), Some(3_600_000)).unwrap()
    }

    fn run(bars: &Bars, range: Range<usize>) -> BacktestResult {
        let strategy = catalogue::find("donchian").unwrap();
        let parameters = strategy.defaults();
        let market = Market::new(bars.clone(), None);
        let settings = Settings::default().with_commission(Commission::Percent(0.02)).unwrap();
        let backtest =
            Backtest { strategy, parameters: &parameters, market: &market, bars: range, settings: &settings };
        backtest.run(&Cache::new(1 << 20)).unwrap()
    }

    #[test]
    fn a_backtest_trades_its_bars_after_a_warm_up() {
        let bars = bars(1_000);
        let result = run(&bars, 400..900);
        assert_eq!((result.bars.clone(), result.warmup_missing, result.gaps), (400..900, 0, Some(0)));
        assert!(result.warmup_bars >= 200, "ten times the average range over 20 bars");
        assert!(result.trades.len() > 5);
        assert!(result.trades.iter().all(|trade| trade.entry_bar > 400 && trade.exit_bar < 900));
        assert_eq!(result.trades.len(), result.metrics.trades.trades);
        assert_eq!((result.equity.points.len(), result.equity.every), (500, 1));
        assert_eq!(result.equity.points[0], (bars.time()[400], 10_000.0));
        assert_eq!(result.equity.points[499].1, result.account.equity);
        let short = run(&bars, 50..900);
        assert_eq!((short.warmup_missing, short.gaps), (short.warmup_bars - 50, Some(1)));
    }

    #[test]
    fn later_bars_change_nothing_and_earlier_ones_the_fingerprint() {
        let all = bars(1_000);
        let result = run(&all, 400..900);
        assert_eq!(run(&all.slice(0..900), 400..900), result);
        assert_ne!(run(&all.slice(1..900), 399..899).fingerprint, result.fingerprint);
    }

    #[test]
    fn fingerprints_are_the_hash_of_all_bytes_in_turn() {
        for count in [0, 1, 511, 512, 513, 1_500] {
            let bars = bars(1_500).slice(0..count);
            let times = bars.time().iter().flat_map(|time| time.to_le_bytes());
            let columns = [bars.open(), bars.high(), bars.low(), bars.close(), bars.volume()];
            let bytes: Vec<u8> = times.chain(columns.concat().into_iter().flat_map(f64::to_le_bytes)).collect();
            assert_eq!(fingerprint(&bars), xxhash_rust::xxh3::xxh3_64(&bytes), "{count} bars");
        }
    }

    #[test]
    fn curves_keep_their_extremes_and_their_ends() {
        let times: Vec<i64> = (0..10_000).collect();
        let mut equity: Vec<f64> = (0..10_000_i32).map(|bar| 1_000.0 + f64::from(bar % 613)).collect();
        equity[4_321] = 1.0;
        equity[7_654] = 9_999.0;
        let curve = thinned(&times, &equity, 2_000);
        assert!(curve.points.len() <= 2_000 && curve.points.len() > 1_500, "{}", curve.points.len());
        assert!(curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for place in [0, 4_321, 7_654, 9_999] {
            assert!(curve.points.contains(&(times[place], equity[place])), "{place}");
        }
        for length in [0, 1, 1_999, 2_000] {
            assert_eq!(thinned(&times[..length], &equity[..length], 2_000).points.len(), length);
        }
        for length in 2_001..2_020 {
            assert!(thinned(&times[..length], &equity[..length], 2_000).points.len() <= 2_000);
        }
    }

    #[test]
    fn assumptions_name_the_settings() {
        let settings = Settings::default().with_slippage_ticks(2).unwrap().with_sides(Sides::Long);
        let settings = settings.with_commission(Commission::PerOrder(1.5)).unwrap().with_point_value(5.0).unwrap();
        let text = assumptions(&settings, 0.000_01).join("\n");
        for part in [
            "2 ticks of 0.00001 worse",
            "10 % of the equity",
            "multiple of 0.000001",
            "1.5 for each order",
            "long only",
            "gains 5",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(assumptions(&Settings::default(), 0.5).join("\n").contains("No commission is paid"));
    }
}
