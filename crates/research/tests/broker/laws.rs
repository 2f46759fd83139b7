//! Laws that hold for every run, whatever the signals.

use proptest::prelude::*;
use research::{
    Commission, Settings, Sides, Signals, Size,
    broker::{self, Account, Window},
    metrics::Full,
    trade::{ExitReason, Side, Trade},
};

use crate::case::{Case, Ticks, cases};

fn run(case: &Case) -> (Account, Vec<Trade>, Vec<f64>) {
    let market = case.market();
    let mut full = Full::new(&market, case.settings.capital(), case.window.bars.start);
    let account = broker::run(&market, &case.signals, &case.settings, &case.window, &mut full).unwrap();
    let (trades, equity) = (full.trades().to_vec(), full.equity().to_vec());
    (account, trades, equity)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn free_of_costs(settings: Settings) -> Settings {
    settings.with_commission(Commission::Percent(0.0)).unwrap().with_slippage_ticks(0).unwrap()
}

/// The same case seen in a mirror: prices fall where they rose, and long is short.
fn mirrored(case: &Case) -> Case {
    let top = case.bars.iter().map(|bar| bar.high).max().unwrap_or(0) + 100;
    let mirror =
        |bar: &Ticks| Ticks { open: top - bar.open, high: top - bar.low, low: top - bar.high, close: top - bar.close };
    let level = |column: &Option<std::sync::Arc<[f64]>>| {
        column.as_ref().map(|column| column.iter().map(|level| case.tick.price(top) - level).collect())
    };
    let Signals { enter_long, exit_long, enter_short, exit_short, .. } = case.signals.clone();
    let signals = Signals {
        enter_long: enter_short,
        exit_long: exit_short,
        enter_short: enter_long,
        exit_short: exit_long,
        stop_level_long: level(&case.signals.stop_level_short),
        stop_level_short: level(&case.signals.stop_level_long),
        ..case.signals.clone()
    };
    let sides = match case.settings.sides() {
        Sides::Both => Sides::Both,
        Sides::Long => Sides::Short,
        Sides::Short => Sides::Long,
    };
    let bars = case.bars.iter().map(mirror).collect();
    Case { bars, signals, settings: case.settings.with_sides(sides), ..case.clone() }
}

proptest! {
    #[test]
    fn equity_is_capital_and_profits_and_what_is_open(case in cases()) {
        let (account, trades, equity) = run(&case);
        let profits: f64 = trades.iter().map(|trade| trade.profit).sum();
        let open = account.open.map_or(0.0, |open| open.profit);
        prop_assert!(near(account.equity, account.capital + profits + open));
        prop_assert_eq!(equity.last().copied(), Some(account.equity));
        let commissions: f64 = trades.iter().map(|trade| trade.commission).sum();
        prop_assert!(account.commission >= commissions * (1.0 - 1e-9));
    }

    #[test]
    fn without_slippage_no_fill_lies_outside_its_candle(case in cases()) {
        let case = Case { settings: case.settings.with_slippage_ticks(0).unwrap(), ..case };
        let market = case.market();
        for trade in run(&case).1 {
            for (bar, price) in [(trade.entry_bar, trade.entry_price), (trade.exit_bar, trade.exit_price)] {
                prop_assert!(market.low()[bar] <= price && price <= market.high()[bar], "{:?}", trade);
            }
        }
    }

    #[test]
    fn trades_follow_each_other_within_the_window(case in cases()) {
        let (_, trades, _) = run(&case);
        for trade in &trades {
            prop_assert!(trade.entry_bar > case.window.bars.start && trade.exit_bar < case.window.bars.end);
            prop_assert!(trade.entry_bar > case.signals.first && trade.entry_bar <= trade.exit_bar);
            prop_assert!(trade.quantity > 0.0);
            let is_allowed = match case.settings.sides() {
                Sides::Both => true,
                Sides::Long => trade.side == Side::Long,
                Sides::Short => trade.side == Side::Short,
            };
            prop_assert!(is_allowed);
        }
        for pair in trades.windows(2) {
            let is_reversal = pair[0].exit == ExitReason::Reversal && pair[1].entry_bar == pair[0].exit_bar;
            prop_assert!(pair[1].entry_bar > pair[0].exit_bar || is_reversal, "{:?}", pair);
        }
    }

    #[test]
    fn what_comes_later_changes_nothing_before_it(case in cases(), share in 0.1..0.9_f64) {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let kept = (share * case.bars.len() as f64) as usize;
        let (_, whole, equity) = run(&Case { window: Window::all(case.bars.len()), ..case.clone() });
        // Another future: all prices a hundred ticks higher from here on.
        let mut bars = case.bars.clone();
        for bar in &mut bars[kept..] {
            *bar = Ticks { open: bar.open + 100, high: bar.high + 100, low: bar.low + 100, close: bar.close + 100 };
        }
        let (_, other, other_equity) = run(&Case { bars, window: Window::all(case.bars.len()), ..case.clone() });
        let before = |trades: &[Trade]| trades.iter().filter(|trade| trade.exit_bar < kept).copied().collect::<Vec<_>>();
        prop_assert_eq!(before(&whole), before(&other));
        prop_assert_eq!(&equity[..kept], &other_equity[..kept]);
        // No future at all.
        let (_, cut, cut_equity) = run(&Case { window: Window::all(kept), ..case.clone() });
        prop_assert_eq!(before(&whole), before(&cut));
        prop_assert_eq!(&equity[..kept], &cut_equity[..]);
    }

    #[test]
    fn prices_and_money_scaled_by_a_power_of_two_scale_profits(case in cases(), power in -6_i32..=6, quantity in 1_u32..50) {
        let scale = 2_f64.powi(power);
        let fixed = case.settings.with_size(Size::Fixed(f64::from(quantity))).unwrap();
        let fixed = fixed.with_commission(Commission::Percent(0.5)).unwrap();
        let case = Case { settings: fixed, ..case };
        let (account, trades, _) = run(&case);
        let market = case.market();
        let bars = market.bars();
        let scaled = |column: &[f64]| column.iter().map(|price| price * scale).collect::<Vec<_>>();
        let columns = research::Columns {
            time: bars.time().to_vec(), open: scaled(bars.open()), high: scaled(bars.high()), low: scaled(bars.low()),
            close: scaled(bars.close()), volume: bars.volume().to_vec(),
        };
        let grid = research::TickGrid::new(bars.tick() * scale, 15).unwrap();
        let market = research::Market::new(research::Bars::new(columns, grid, None).unwrap(), None);
        let column = |column: &Option<std::sync::Arc<[f64]>>| column.as_ref().map(|column| scaled(column).into());
        let signals = Signals {
            stop: column(&case.signals.stop), target: column(&case.signals.target),
            stop_level_long: column(&case.signals.stop_level_long),
            stop_level_short: column(&case.signals.stop_level_short),
            ..case.signals.clone()
        };
        let settings = fixed.with_capital(fixed.capital() * scale).unwrap();
        let mut full = Full::new(&market, settings.capital(), case.window.bars.start);
        let other = broker::run(&market, &signals, &settings, &case.window, &mut full).unwrap();
        prop_assert_eq!(full.trades().len(), trades.len());
        prop_assert!(near(other.equity, account.equity * scale));
        for (trade, scaled) in trades.iter().zip(full.trades()) {
            prop_assert!(near(scaled.profit, trade.profit * scale));
            prop_assert_eq!((scaled.entry_bar, scaled.exit_bar, scaled.exit), (trade.entry_bar, trade.exit_bar, trade.exit));
        }
    }

    #[test]
    fn commission_never_helps(case in cases(), quantity in 1_u32..5, percent in 0.01..2.0_f64) {
        // Enough money that commission ruins nobody, and a size that does not depend on it.
        let settings = case.settings.with_capital(1e9).unwrap().with_size(Size::Fixed(f64::from(quantity))).unwrap();
        let free = settings.with_commission(Commission::Percent(0.0)).unwrap();
        let (without, ..) = run(&Case { settings: free, ..case.clone() });
        let paid = settings.with_commission(Commission::Percent(percent)).unwrap();
        let (with, ..) = run(&Case { settings: paid, ..case.clone() });
        prop_assert!(with.equity <= without.equity);
        prop_assert!(near(with.equity + with.commission, without.equity));
    }

    #[test]
    fn mirrored_prices_swap_the_sides(case in cases(), quantity in 1_u32..5) {
        let settings = free_of_costs(case.settings).with_size(Size::Fixed(f64::from(quantity))).unwrap();
        let mut case = Case { settings, ..case };
        // At equal distances the low comes first, in the mirror too: such bars are made uneven.
        for bar in &mut case.bars {
            bar.high += i64::from(bar.high - bar.open == bar.open - bar.low);
        }
        // Levels lie in the middle between two ticks at most; a mirror rounds a level on the edge of the tolerance the other way.
        let (account, trades, _) = run(&case);
        let (other, swapped, _) = run(&mirrored(&case));
        prop_assert!(near(account.equity, other.equity), "{} and {}", account.equity, other.equity);
        prop_assert_eq!(trades.len(), swapped.len());
        for (trade, swapped) in trades.iter().zip(&swapped) {
            prop_assert_ne!(trade.side, swapped.side);
            prop_assert_eq!((trade.entry_bar, trade.exit_bar, trade.exit), (swapped.entry_bar, swapped.exit_bar, swapped.exit));
        }
    }
}
