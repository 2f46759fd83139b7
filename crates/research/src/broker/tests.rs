#![expect(clippy::float_cmp, reason = "the cases are chosen so that no number is rounded")]

use std::sync::Arc;

use super::*;
use crate::{Bars, Bits, Columns, Commission, Sides, Size, TickGrid, metrics::Full};

const HOUR: i64 = 3_600_000;

/// Bars of an hour with a tick of 0.5, as open, high, low, close.
fn market(bars: &[[f64; 4]]) -> Market {
    let column = |place: usize| bars.iter().map(|bar| bar[place]).collect();
    let columns = Columns {
        time: (0..).map(|hour| hour * HOUR).take(bars.len()).collect(),
        open: column(0),
        high: column(1),
        low: column(2),
        close: column(3),
        volume: vec![1.0; bars.len()],
    };
    Market::new(Bars::new(columns, TickGrid::new(0.5, 1).unwrap(), Some(HOUR)).unwrap(), None)
}

/// Bars that open, trade and close at one price.
fn still(prices: &[f64]) -> Market {
    market(&prices.iter().map(|&price| [price; 4]).collect::<Vec<_>>())
}

#[expect(clippy::unnecessary_wraps, reason = "fields of signals are options")]
fn at(len: usize, bars: &[usize]) -> Option<Arc<Bits>> {
    let mut bits = Bits::new(len);
    for &bar in bars {
        bits.set(bar);
    }
    Some(Arc::new(bits))
}

#[expect(clippy::unnecessary_wraps, reason = "fields of signals are options")]
fn everywhere(len: usize, value: f64) -> Option<Arc<[f64]>> {
    Some(vec![value; len].into())
}

fn units(quantity: f64) -> Settings {
    Settings::default().with_size(Size::Fixed(quantity)).unwrap()
}

struct Ran {
    account: Account,
    trades: Vec<Trade>,
    equity: Vec<f64>,
}

impl Ran {
    /// Bars and prices of entries and exits, and why they were made.
    fn fills(&self) -> Vec<(Side, usize, f64, usize, f64, ExitReason)> {
        let fill = |trade: &Trade| {
            (trade.side, trade.entry_bar, trade.entry_price, trade.exit_bar, trade.exit_price, trade.exit)
        };
        self.trades.iter().map(fill).collect()
    }
}

fn run_in(market: &Market, signals: &Signals, settings: &Settings, window: &Window) -> Ran {
    let mut full = Full::new(market, settings.capital(), window.bars.start);
    let account = run(market, signals, settings, window, &mut full).unwrap();
    Ran { account, trades: full.trades().to_vec(), equity: full.equity().to_vec() }
}

fn run_all(market: &Market, signals: &Signals, settings: &Settings) -> Ran {
    run_in(market, signals, settings, &Window::all(market.len()))
}

use ExitReason::{End, MaxBars, Reversal, Ruin, Signal, Stop, Target};
use Side::{Long, Short};

#[test]
fn orders_fill_at_the_next_open_and_equity_is_marked_at_closes() {
    let market = market(&[
        [10.0, 10.0, 10.0, 10.0],
        [11.0, 14.0, 11.0, 13.0],
        [13.0, 15.0, 12.0, 12.0],
        [14.0, 16.0, 14.0, 16.0],
    ]);
    let signals = Signals { enter_long: at(4, &[0]), exit_long: at(4, &[2]), ..Signals::none(4) };
    let ran = run_all(&market, &signals, &units(2.0));
    assert_eq!(ran.fills(), [(Long, 1, 11.0, 3, 14.0, Signal)]);
    assert_eq!(ran.equity, [10_000.0, 10_004.0, 10_002.0, 10_006.0]);
    assert_eq!((ran.trades[0].profit, ran.trades[0].bars(), ran.account.equity), (6.0, 2, 10_006.0));
}

#[test]
fn one_order_reverses_and_pays_percent_on_both_parts() {
    let market = still(&[10.0, 10.0, 12.0, 12.0, 12.0]);
    let signals = Signals { enter_long: at(5, &[0]), enter_short: at(5, &[2]), ..Signals::none(5) };
    let settings = units(3.0).with_commission(Commission::Percent(1.0)).unwrap();
    let ran = run_all(&market, &signals, &settings);
    assert_eq!(ran.fills(), [(Long, 1, 10.0, 3, 12.0, Reversal)]);
    assert_eq!(ran.trades[0].commission, 0.3 + 0.36);
    assert_eq!(ran.trades[0].profit, 6.0 - 0.3 - 0.36);
    let open = ran.account.open.unwrap();
    assert_eq!((open.side, open.entry_bar, open.entry_price, open.profit), (Short, 3, 12.0, -0.36));
    assert!((ran.account.commission - 1.02).abs() < 1e-12);
}

#[test]
fn a_commission_per_order_is_paid_once_for_a_reversal_and_shared_by_quantity() {
    let market = still(&[10.0, 10.0, 10.0, 20.0, 20.0]);
    let signals =
        Signals { enter_long: at(5, &[0]), enter_short: at(5, &[2]), exit_short: at(5, &[3]), ..Signals::none(5) };
    let settings = Settings::default().with_size(Size::Cash(30.0)).unwrap();
    let settings = settings.with_commission(Commission::PerOrder(4.0)).unwrap();
    let ran = run_all(&market, &signals, &settings);
    assert_eq!(ran.fills(), [(Long, 1, 10.0, 3, 20.0, Reversal), (Short, 3, 20.0, 4, 20.0, Signal)]);
    // Three units are closed and three opened, since cash is divided by the signal's close of 10.
    assert_eq!((ran.trades[0].commission, ran.trades[1].commission, ran.account.commission), (6.0, 6.0, 12.0));
}

#[test]
fn a_stop_that_the_open_has_passed_fills_at_the_open() {
    let market = market(&[[10.0; 4], [10.0; 4], [7.0, 9.5, 6.0, 9.0], [9.0; 4]]);
    let signals = Signals { enter_long: at(4, &[0]), stop: everywhere(4, 2.0), ..Signals::none(4) };
    assert_eq!(run_all(&market, &signals, &units(1.0)).fills(), [(Long, 1, 10.0, 2, 7.0, Stop)]);
    let short =
        Signals { enter_long: None, enter_short: at(4, &[0]), target: everywhere(4, 2.0), stop: None, ..signals };
    assert_eq!(run_all(&market, &short, &units(1.0)).fills(), [(Short, 1, 10.0, 2, 7.0, Target)]);
}

#[test]
fn the_nearer_extreme_of_a_bar_comes_first_and_the_low_at_equal_distances() {
    // Stop at 8, target at 12; both lie within the last bar.
    for (open, first) in [(10.5, 12.0), (9.5, 8.0), (10.0, 8.0)] {
        let market = market(&[[10.0; 4], [10.0; 4], [open, 13.0, 7.0, 10.0]]);
        let long = Signals {
            enter_long: at(3, &[0]),
            stop: everywhere(3, 2.0),
            target: everywhere(3, 2.0),
            ..Signals::none(3)
        };
        let short = Signals { enter_long: None, enter_short: at(3, &[0]), ..long.clone() };
        let reason = |is_good: bool| if is_good { Target } else { Stop };
        assert_eq!(run_all(&market, &long, &units(1.0)).fills(), [(Long, 1, 10.0, 2, first, reason(first == 12.0))]);
        assert_eq!(run_all(&market, &short, &units(1.0)).fills(), [(Short, 1, 10.0, 2, first, reason(first == 8.0))]);
    }
}

#[test]
fn equal_distances_are_equal_in_decimals_too() {
    let costs = Costs::new(&Settings::default(), crate::ticks::Steps::new(0.01));
    // 9.04 - 8.99 is less than 8.99 - 8.94 in doubles.
    assert!(!costs.is_high_first(8.99, 9.04, 8.94));
    assert!(costs.is_high_first(8.99, 9.03, 8.94) && !costs.is_high_first(8.99, 9.05, 8.94));
}

#[test]
fn a_price_that_is_touched_fills() {
    let market = market(&[[10.0; 4], [10.0; 4], [10.0, 10.0, 8.0, 10.0]]);
    let stop = Signals { enter_long: at(3, &[0]), stop: everywhere(3, 2.0), ..Signals::none(3) };
    assert_eq!(run_all(&market, &stop, &units(1.0)).fills(), [(Long, 1, 10.0, 2, 8.0, Stop)]);
    let target = Signals { enter_long: None, enter_short: at(3, &[0]), stop: None, target: everywhere(3, 2.0), ..stop };
    assert_eq!(run_all(&market, &target, &units(1.0)).fills(), [(Short, 1, 10.0, 2, 8.0, Target)]);
}

#[test]
fn market_orders_and_stops_slip_even_outside_the_candle_and_targets_never_do() {
    let market = market(&[[10.0; 4], [10.0; 4], [10.0, 10.0, 8.0, 8.0], [8.0; 4]]);
    let settings = units(1.0).with_slippage_ticks(3).unwrap();
    // The entry fills at 11.5, and the stop 3.5 below it.
    let stopped = Signals { enter_long: at(4, &[0]), stop: everywhere(4, 3.5), ..Signals::none(4) };
    assert_eq!(run_all(&market, &stopped, &settings).fills(), [(Long, 1, 11.5, 2, 6.5, Stop)]);
    let sold = Signals { enter_long: at(4, &[0]), exit_long: at(4, &[2]), ..Signals::none(4) };
    assert_eq!(run_all(&market, &sold, &settings).fills(), [(Long, 1, 11.5, 3, 6.5, Signal)]);
    // The short fills at 8.5, and its target 0.5 below it is reached at the low.
    let target = Signals { enter_short: at(4, &[0]), target: everywhere(4, 0.5), ..Signals::none(4) };
    assert_eq!(run_all(&market, &target, &settings).fills(), [(Short, 1, 8.5, 2, 8.0, Target)]);
}

#[test]
fn a_target_that_the_open_has_passed_fills_at_the_better_open_without_slippage() {
    let market = market(&[[10.0; 4], [10.0; 4], [15.0; 4]]);
    let settings = units(1.0).with_slippage_ticks(2).unwrap();
    let signals = Signals { enter_long: at(3, &[0]), target: everywhere(3, 1.0), ..Signals::none(3) };
    assert_eq!(run_all(&market, &signals, &settings).fills(), [(Long, 1, 11.0, 2, 15.0, Target)]);
}

#[test]
fn a_bracket_lives_in_the_bar_of_its_entry() {
    let market = market(&[[10.0; 4], [10.0, 10.5, 7.5, 9.0], [9.0; 4]]);
    let signals = Signals { enter_long: at(3, &[0]), stop: everywhere(3, 2.0), ..Signals::none(3) };
    let ran = run_all(&market, &signals, &units(1.0));
    assert_eq!(ran.fills(), [(Long, 1, 10.0, 1, 8.0, Stop)]);
    assert_eq!(ran.trades[0].bars(), 0);
    assert_eq!(ran.equity, [10_000.0, 9_998.0, 9_998.0]);
}

#[test]
fn a_stop_nearer_than_the_slippage_of_its_entry_fills_at_the_same_open() {
    let market = still(&[10.0, 10.0, 10.0]);
    let settings = units(1.0).with_slippage_ticks(2).unwrap();
    let signals = Signals { enter_long: at(3, &[0]), stop: everywhere(3, 0.5), ..Signals::none(3) };
    // In at 11, stop at 10.5, which the open of 10 has passed already.
    assert_eq!(run_all(&market, &signals, &settings).fills(), [(Long, 1, 11.0, 1, 9.0, Stop)]);
}

#[test]
fn a_position_that_left_in_a_bar_may_enter_again_at_its_close() {
    let market = market(&[[10.0; 4], [10.0, 10.0, 7.0, 9.0], [9.0, 9.0, 6.0, 9.0], [9.0; 4]]);
    let signals = Signals { enter_long: at(4, &[0, 1, 2]), stop: everywhere(4, 2.0), ..Signals::none(4) };
    let ran = run_all(&market, &signals, &units(1.0));
    assert_eq!(ran.fills(), [(Long, 1, 10.0, 1, 8.0, Stop), (Long, 2, 9.0, 2, 7.0, Stop)]);
    assert_eq!(ran.account.open.map(|open| open.entry_bar), Some(3));
}

#[test]
fn distances_are_whole_ticks_rounded_up_and_counted_from_the_fill() {
    let market = market(&[[10.0; 4], [11.0; 4], [11.0, 13.0, 9.0, 11.0]]);
    let stop = Signals { enter_long: at(3, &[0]), stop: everywhere(3, 1.1), ..Signals::none(3) };
    assert_eq!(run_all(&market, &stop, &units(1.0)).fills(), [(Long, 1, 11.0, 2, 9.5, Stop)]);
    let target = Signals { stop: None, target: everywhere(3, 1.0 + 1e-9), ..stop };
    assert_eq!(run_all(&market, &target, &units(1.0)).fills(), [(Long, 1, 11.0, 2, 12.5, Target)]);
}

#[test]
fn an_entry_without_a_distance_above_0_is_not_made() {
    let market = still(&[10.0; 5]);
    let mut distances = [2.0; 5];
    distances[..3].copy_from_slice(&[f64::NAN, 0.0, -1.0]);
    let entries = Signals { enter_long: at(5, &[0, 1, 2, 3]), ..Signals::none(5) };
    for signals in [
        Signals { stop: Some(distances.to_vec().into()), ..entries.clone() },
        Signals { target: Some(distances.to_vec().into()), ..entries.clone() },
    ] {
        let ran = run_all(&market, &signals, &units(1.0));
        assert_eq!((ran.account.open.map(|open| open.entry_bar), ran.account.dropped), (Some(4), 0));
    }
}

#[test]
fn a_stop_level_is_issued_at_each_close_and_good_for_the_next_bar() {
    let market = market(&[[10.0; 4], [10.0; 4], [12.0, 12.0, 9.0, 12.0], [12.0, 12.0, 11.0, 12.0], [12.0; 4]]);
    let levels = vec![8.0, 8.0, 11.3, 11.3, 11.3];
    let signals = Signals { enter_long: at(5, &[0]), stop_level_long: Some(levels.into()), ..Signals::none(5) };
    // The low of 9 in bar 2 meets the level of bar 1; the level of bar 2, rounded down, is met in bar 3.
    assert_eq!(run_all(&market, &signals, &units(1.0)).fills(), [(Long, 1, 10.0, 3, 11.0, Stop)]);
    let nowhere = Signals { stop_level_long: everywhere(5, f64::NAN), ..signals.clone() };
    assert_eq!(run_all(&market, &nowhere, &units(1.0)).fills(), []);
    // The nearer one of a bracket's stop and a stop level counts.
    let both = Signals { stop: everywhere(5, 1.0), ..signals };
    assert_eq!(run_all(&market, &both, &units(1.0)).fills(), [(Long, 1, 10.0, 2, 9.0, Stop)]);
}

#[test]
fn a_level_that_the_open_has_passed_fills_there_also_in_the_bar_of_the_entry() {
    let market = still(&[10.0, 10.0, 10.0]);
    let signals = Signals { enter_short: at(3, &[0]), stop_level_short: everywhere(3, 9.3), ..Signals::none(3) };
    assert_eq!(run_all(&market, &signals, &units(1.0)).fills(), [(Short, 1, 10.0, 1, 10.0, Stop)]);
}

#[test]
fn sizes_are_fixed_at_the_close_of_the_signal() {
    let market = still(&[8.0, 16.0, 16.0]);
    let signals = Signals { enter_long: at(3, &[0]), ..Signals::none(3) };
    let quantity = |settings: Settings| run_all(&market, &signals, &settings).account.open.unwrap().quantity;
    let percent = Settings::default().with_size(Size::PercentOfEquity(50.0)).unwrap();
    assert_eq!(quantity(percent), 625.0);
    assert_eq!(quantity(percent.with_slippage_ticks(4).unwrap()), 500.0);
    assert_eq!(quantity(percent.with_commission(Commission::Percent(25.0)).unwrap()), 500.0);
    assert_eq!(quantity(percent.with_commission(Commission::PerContract(2.0)).unwrap()), 500.0);
    assert_eq!(quantity(percent.with_commission(Commission::PerOrder(1_000.0)).unwrap()), 500.0);
    assert_eq!(quantity(percent.with_point_value(5.0).unwrap()), 125.0);
    assert_eq!(quantity(percent.with_lot_step(100.0).unwrap()), 600.0);
    let cash = Settings::default().with_size(Size::Cash(100.0)).unwrap();
    assert_eq!(quantity(cash), 12.5);
    assert_eq!(quantity(cash.with_lot_step(5.0).unwrap()), 10.0);
    assert_eq!(quantity(units(0.3).with_lot_step(0.1).unwrap()), 0.3);
}

#[test]
fn sizes_of_a_reversal_count_the_open_profit() {
    let market = still(&[10.0, 10.0, 20.0, 20.0]);
    let signals = Signals { enter_long: at(4, &[0]), enter_short: at(4, &[2]), ..Signals::none(4) };
    let settings = Settings::default().with_size(Size::PercentOfEquity(100.0)).unwrap();
    let open = run_all(&market, &signals, &settings).account.open.unwrap();
    assert_eq!((open.side, open.quantity), (Short, 1_000.0));
}

#[test]
fn an_order_of_0_lots_is_dropped_and_counted_but_still_closes_the_opposite_position() {
    let market = still(&[10.0, 10.0, 40.0, 40.0, 40.0]);
    let settings = Settings::default().with_size(Size::Cash(30.0)).unwrap().with_lot_step(1.0).unwrap();
    let flat = Signals { enter_long: at(5, &[2]), ..Signals::none(5) };
    let ran = run_all(&market, &flat, &settings);
    assert_eq!((ran.account.dropped, ran.account.open, ran.trades.len()), (1, None, 0));
    let reversal = Signals { enter_long: at(5, &[0]), enter_short: at(5, &[2]), ..Signals::none(5) };
    let ran = run_all(&market, &reversal, &settings);
    assert_eq!(ran.fills(), [(Long, 1, 10.0, 3, 40.0, Reversal)]);
    assert_eq!((ran.account.dropped, ran.account.open), (1, None));
}

#[test]
fn closes_that_ask_for_both_sides_order_nothing_and_are_counted() {
    let market = still(&[10.0; 6]);
    let signals = Signals { enter_long: at(6, &[0, 1, 5]), enter_short: at(6, &[1, 2, 5]), ..Signals::none(6) };
    let ran = run_all(&market, &signals, &units(1.0));
    // The last close is not read.
    assert_eq!((ran.account.conflicts, ran.fills()), (1, vec![(Long, 1, 10.0, 3, 10.0, Reversal)]));
}

#[test]
fn an_exit_forbids_an_entry_on_its_side_and_yields_to_a_reversal() {
    let market = still(&[10.0; 5]);
    let forbidden = Signals { enter_long: at(5, &[0, 2]), exit_long: at(5, &[0]), ..Signals::none(5) };
    assert_eq!(run_all(&market, &forbidden, &units(1.0)).account.open.map(|open| open.entry_bar), Some(3));
    let reversed =
        Signals { enter_long: at(5, &[0]), exit_long: at(5, &[1]), enter_short: at(5, &[1]), ..Signals::none(5) };
    assert_eq!(run_all(&market, &reversed, &units(1.0)).fills(), [(Long, 1, 10.0, 2, 10.0, Reversal)]);
    // A reversal without a valid stop is not made, so the exit takes place.
    let mut stops = vec![1.0; 5];
    stops[1] = f64::NAN;
    let exited = Signals { stop: Some(stops.into()), ..reversed };
    assert_eq!(run_all(&market, &exited, &units(1.0)).fills(), [(Long, 1, 10.0, 2, 10.0, Signal)]);
}

#[test]
fn an_entry_while_its_side_is_held_is_ignored() {
    let market = still(&[10.0, 10.0, 12.0, 12.0, 12.0]);
    let signals = Signals { enter_long: at(5, &[0, 1, 2, 3]), ..Signals::none(5) };
    let open = run_all(&market, &signals, &units(1.0)).account.open.unwrap();
    assert_eq!((open.entry_bar, open.quantity), (1, 1.0));
}

#[test]
fn max_bars_closes_after_that_many_bars_the_first_included() {
    let market = still(&[10.0; 8]);
    for (max_bars, exit_bar) in [(1, 2), (2, 3), (5, 6)] {
        let signals = Signals { enter_long: at(8, &[0]), max_bars: Some(max_bars), ..Signals::none(8) };
        assert_eq!(run_all(&market, &signals, &units(1.0)).fills(), [(Long, 1, 10.0, exit_bar, 10.0, MaxBars)]);
    }
    let reversed = Signals { enter_long: at(8, &[0]), enter_short: at(8, &[2]), max_bars: Some(2), ..Signals::none(8) };
    assert_eq!(
        run_all(&market, &reversed, &units(1.0)).fills(),
        [(Long, 1, 10.0, 3, 10.0, Reversal), (Short, 3, 10.0, 5, 10.0, MaxBars)]
    );
}

#[test]
fn nothing_is_ordered_at_the_last_bar_and_the_last_position_is_marked() {
    let market = still(&[10.0, 10.0, 15.0]);
    let last = Signals { enter_long: at(3, &[2]), ..Signals::none(3) };
    assert_eq!(run_all(&market, &last, &units(1.0)).account.open, None);
    let held = Signals { enter_long: at(3, &[0]), exit_long: at(3, &[2]), ..Signals::none(3) };
    let ran = run_all(&market, &held, &units(2.0).with_commission(Commission::PerContract(1.0)).unwrap());
    assert_eq!((ran.trades.len(), ran.account.equity), (0, 10_008.0));
    let open = OpenPosition { side: Long, entry_bar: 1, entry_price: 10.0, quantity: 2.0, profit: 8.0 };
    assert_eq!(ran.account.open, Some(open));
}

#[test]
fn what_the_last_close_asks_for_is_told() {
    let market = still(&[10.0; 4]);
    let next = |signals: Signals| run_all(&market, &signals, &units(1.0)).account.next_order;
    let none = Signals::none(4);
    assert_eq!(next(none.clone()), None);
    let last = Signals { enter_long: at(4, &[3]), ..none.clone() };
    assert_eq!(next(last.clone()), Some(NextOrder::EnterLong));
    assert_eq!(next(Signals { first: 4, ..last }), None);
    let held = Signals { enter_short: at(4, &[0]), ..none };
    assert_eq!(next(held.clone()), None);
    assert_eq!(next(Signals { exit_short: at(4, &[3]), ..held.clone() }), Some(NextOrder::ExitShort));
    assert_eq!(next(Signals { max_bars: Some(3), ..held.clone() }), Some(NextOrder::ExitShort));
    assert_eq!(next(Signals { enter_long: at(4, &[3]), ..held.clone() }), Some(NextOrder::EnterLong));
    let closed = Signals { exit_short: at(4, &[3]), ..held };
    let window = Window { bars: 0..4, closes_at_end: true };
    assert_eq!(run_in(&market, &closed, &units(1.0), &window).account.next_order, None);
}

#[test]
fn a_window_that_says_so_closes_its_last_position_at_the_last_close() {
    let market = market(&[[10.0; 4], [10.0; 4], [10.0, 13.0, 9.0, 12.0]]);
    let signals = Signals { enter_long: at(3, &[0]), ..Signals::none(3) };
    let settings = units(1.0).with_slippage_ticks(1).unwrap().with_commission(Commission::PerOrder(2.0)).unwrap();
    let window = Window { bars: 0..3, closes_at_end: true };
    let ran = run_in(&market, &signals, &settings, &window);
    assert_eq!(ran.fills(), [(Long, 1, 10.5, 2, 11.5, End)]);
    assert_eq!(ran.equity, [10_000.0, 9_997.5, 9_997.0]);
    assert_eq!((ran.account.open, ran.account.equity), (None, 9_997.0));
    // The bracket comes before the close.
    let stopped = Signals { stop: everywhere(3, 1.5), ..signals };
    assert_eq!(run_in(&market, &stopped, &settings, &window).fills(), [(Long, 1, 10.5, 2, 8.5, Stop)]);
}

#[test]
fn an_equity_of_0_or_less_closes_and_ends_the_run() {
    let market = still(&[100.0, 100.0, 50.0, 0.5, 100.0, 100.0]);
    let settings = units(100.0).with_capital(9_000.0).unwrap();
    let signals = Signals { enter_long: at(6, &[0, 3, 4]), ..Signals::none(6) };
    let ran = run_all(&market, &signals, &settings);
    assert_eq!(ran.fills(), [(Long, 1, 100.0, 3, 0.5, Ruin)]);
    assert_eq!((ran.account.ruined, ran.account.open), (Some(3), None));
    assert_eq!(ran.equity, [9_000.0, 9_000.0, 4_000.0, -950.0, -950.0, -950.0]);
    // A stop may use the equity up within a bar.
    let stopped = Signals { stop: everywhere(6, 95.0), ..signals };
    let ran = run_all(&market, &stopped, &settings);
    assert_eq!((ran.fills(), ran.account.ruined), (vec![(Long, 1, 100.0, 3, 0.5, Stop)], Some(3)));
}

#[test]
fn a_side_that_is_not_allowed_is_not_entered_but_closes_the_other() {
    let market = still(&[10.0; 7]);
    let signals = Signals { enter_long: at(7, &[0, 4]), enter_short: at(7, &[2]), ..Signals::none(7) };
    let long = run_all(&market, &signals, &units(1.0).with_sides(Sides::Long));
    assert_eq!(long.fills(), [(Long, 1, 10.0, 3, 10.0, Signal)]);
    assert_eq!(long.account.open.map(|open| (open.side, open.entry_bar)), Some((Long, 5)));
    let short = run_all(&market, &signals, &units(1.0).with_sides(Sides::Short));
    assert_eq!(short.fills(), [(Short, 3, 10.0, 5, 10.0, Signal)]);
    assert_eq!(short.account.open, None);
}

#[test]
fn nothing_is_ordered_before_the_first_defined_bar_or_outside_the_window() {
    let market = still(&[10.0; 8]);
    let signals = Signals { first: 3, enter_long: at(8, &[0, 1, 2, 3]), ..Signals::none(8) };
    assert_eq!(run_all(&market, &signals, &units(1.0)).account.open.map(|open| open.entry_bar), Some(4));
    let ran = run_in(&market, &signals, &units(1.0), &Window { bars: 4..8, closes_at_end: false });
    assert_eq!((ran.account.open, ran.equity.len()), (None, 4));
    let late = Signals { first: 100, ..signals };
    assert_eq!(run_all(&market, &late, &units(1.0)).account.open, None);
    for bars in [0..0, 3..3, 7..8, 20..30] {
        let ran = run_in(&market, &late, &units(1.0), &Window { bars: bars.clone(), closes_at_end: true });
        assert_eq!((ran.account.equity, ran.equity.len()), (10_000.0, bars.end.min(8).saturating_sub(bars.start)));
    }
}

#[test]
fn a_coarser_tick_rounds_every_price() {
    let bars = market(&[[10.0; 4], [10.5, 13.0, 9.5, 12.5], [12.5, 12.5, 11.5, 12.0]]).bars().clone();
    let market = Market::new(bars, Some(2.0));
    let signals = Signals { enter_long: at(3, &[0]), stop: everywhere(3, 0.5), ..Signals::none(3) };
    // The open of 10.5 is 10, the low of 9.5 is 10, and the stop lies one tick of 2 below the fill.
    let ran = run_all(&market, &signals, &units(1.0).with_tick(2.0).unwrap());
    assert_eq!(ran.fills(), []);
    assert_eq!(ran.equity, [10_000.0, 10_002.0, 10_002.0]);
}

#[test]
fn signals_that_do_not_fit_are_refused() {
    let market = still(&[10.0; 3]);
    let mut full = Full::new(&market, 1.0, 0);
    let mut refusal =
        |signals: &Signals| run(&market, signals, &Settings::default(), &Window::all(3), &mut full).unwrap_err();
    assert_eq!(refusal(&Signals::none(2)), SignalsError::Length { part: "signals", length: 2, expected: 3 });
    assert_eq!(refusal(&Signals { max_bars: Some(0), ..Signals::none(3) }), SignalsError::MaxBars);
}
