//! Random runs: bars, signals, settings and a window. Prices are whole numbers of ticks, so that the slow model can count in them.

use std::sync::Arc;

use proptest::prelude::*;
use research::{Bars, Bits, Columns, Commission, Market, Settings, Sides, Signals, Size, TickGrid, broker::Window};

/// A tick as `numerator / 10^digits`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) numerator: i64,
    pub(crate) digits: usize,
}

impl Tick {
    /// The price of a number of ticks, by way of its decimal text, as prices come from a store.
    pub(crate) fn price(self, ticks: i64) -> f64 {
        let digits = i32::try_from(self.digits).unwrap();
        format!("{}e-{digits}", ticks * self.numerator).parse().unwrap()
    }
}

/// One bar in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) tick: Tick,
    pub(crate) bars: Vec<Ticks>,
    pub(crate) times: Vec<i64>,
    pub(crate) signals: Signals,
    pub(crate) settings: Settings,
    pub(crate) window: Window,
}

impl Case {
    pub(crate) fn market(&self) -> Market {
        let column = |field: fn(&Ticks) -> i64| self.bars.iter().map(|bar| self.tick.price(field(bar))).collect();
        let columns = Columns {
            time: self.times.clone(),
            open: column(|bar| bar.open),
            high: column(|bar| bar.high),
            low: column(|bar| bar.low),
            close: column(|bar| bar.close),
            volume: vec![0.0; self.bars.len()],
        };
        let digits = u8::try_from(self.tick.digits).unwrap();
        let grid = TickGrid::new(self.tick.price(1), digits).unwrap();
        Market::new(Bars::new(columns, grid, None).unwrap(), self.settings.tick())
    }
}

/// The moves of a bar from the one before it, in ticks.
type Move = (i64, i64, i64, i64);

fn moves() -> impl Strategy<Value = Move> {
    let gap = prop_oneof![3 => Just(0_i64), 3 => -4_i64..=4, 1 => -30_i64..=30];
    (gap, -9_i64..=9, 0_i64..=6, 0_i64..=6)
}

fn bars(start: i64, moves: &[Move]) -> Vec<Ticks> {
    let mut close = start;
    let follow = |&(gap, body, above, below): &Move| {
        let open = (close + gap).max(8);
        close = (open + body).max(8);
        Ticks { open, high: open.max(close) + above, low: open.min(close) - below, close }
    };
    moves.iter().map(follow).collect()
}

/// The wishes of one bar: four flags, and stop and target distances and stop levels in ticks.
type Wish = ((u8, u8, u8, u8), (f64, f64), (f64, f64));

fn wishes() -> impl Strategy<Value = Wish> {
    let flag = 0_u8..10;
    let distance = || {
        prop_oneof![
            8 => 0.2..14.0_f64,
            4 => (1_i64..12).prop_map(|ticks| f64::from(i32::try_from(ticks).unwrap())),
            1 => Just(f64::NAN),
            1 => Just(0.0),
            1 => Just(-2.0),
        ]
    };
    let level = || prop_oneof![9 => -2.0..15.0_f64, 1 => Just(f64::NAN)];
    ((flag.clone(), flag.clone(), flag.clone(), flag), (distance(), distance()), (level(), level()))
}

/// The parts that a strategy has, and the rarity of its signals.
#[derive(Debug, Clone)]
struct Shape {
    parts: [bool; 6],
    rarity: u8,
    max_bars: Option<u32>,
    first: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
    let max_bars = prop_oneof![3 => Just(None), 1 => (1_u32..12).prop_map(Some)];
    (any::<[bool; 6]>(), 0_u8..10, max_bars, 0_usize..6).prop_map(|(parts, rarity, max_bars, first)| Shape {
        parts,
        rarity,
        max_bars,
        first,
    })
}

fn signals(shape: &Shape, wishes: &[Wish], bars: &[Ticks], tick: Tick) -> Signals {
    let len = wishes.len();
    let set = |flag: fn(&Wish) -> u8| Some(Arc::new(Bits::from_fn(len, |bar| flag(&wishes[bar]) >= shape.rarity)));
    let step = tick.price(1);
    let column = |has: bool, value: &dyn Fn(usize) -> f64| has.then(|| (0..len).map(value).collect::<Arc<[f64]>>());
    let close = |bar: usize| tick.price(bars[bar].close);
    Signals {
        len,
        first: shape.first,
        enter_long: set(|wish| wish.0.0),
        exit_long: set(|wish| wish.0.1).filter(|_| shape.parts[0]),
        enter_short: set(|wish| wish.0.2).filter(|_| shape.parts[1]),
        exit_short: set(|wish| wish.0.3).filter(|_| shape.parts[0]),
        stop: column(shape.parts[2], &|bar| wishes[bar].1.0 * step),
        target: column(shape.parts[3], &|bar| wishes[bar].1.1 * step),
        stop_level_long: column(shape.parts[4], &|bar| close(bar) - wishes[bar].2.0 * step),
        stop_level_short: column(shape.parts[5], &|bar| close(bar) + wishes[bar].2.1 * step),
        max_bars: shape.max_bars,
    }
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        (1.0..100.0_f64).prop_map(Size::PercentOfEquity),
        (0.01..500.0_f64).prop_map(Size::Fixed),
        (1.0..2_000.0_f64).prop_map(Size::Cash),
    ]
}

fn commission() -> impl Strategy<Value = Commission> {
    prop_oneof![
        2 => Just(Commission::Percent(0.0)),
        2 => (0.0..2.0_f64).prop_map(Commission::Percent),
        1 => (0.0..0.5_f64).prop_map(Commission::PerContract),
        1 => (0.0..20.0_f64).prop_map(Commission::PerOrder),
    ]
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let sides = prop_oneof![3 => Just(Sides::Both), 1 => Just(Sides::Long), 1 => Just(Sides::Short)];
    let lots = prop_oneof![Just(0.000_001), Just(0.1), Just(1.0)];
    let points = prop_oneof![3 => Just(1.0), 1 => 0.1..50.0_f64];
    (100.0..100_000.0_f64, size(), commission(), 0_u32..4, lots, points, sides).prop_map(
        |(capital, size, commission, slippage, lots, points, sides)| {
            let settings = Settings::default().with_capital(capital).and_then(|settings| settings.with_size(size));
            let settings = settings.and_then(|settings| settings.with_commission(commission));
            let settings = settings.and_then(|settings| settings.with_slippage_ticks(slippage));
            let settings = settings.and_then(|settings| settings.with_lot_step(lots));
            settings.and_then(|settings| settings.with_point_value(points)).unwrap().with_sides(sides)
        },
    )
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let tick = prop_oneof![
        Just(Tick { numerator: 1, digits: 2 }),
        Just(Tick { numerator: 1, digits: 5 }),
        Just(Tick { numerator: 25, digits: 2 }),
        Just(Tick { numerator: 3, digits: 1 }),
    ];
    let rows = prop::collection::vec((moves(), wishes(), 1_i64..40), 2..150);
    let window = (0.0..0.3_f64, 0.7..1.0_f64, any::<bool>(), any::<bool>());
    (tick, 20_i64..5_000, rows, shape(), settings(), window).prop_map(|(tick, start, rows, shape, settings, window)| {
        let moves: Vec<Move> = rows.iter().map(|row| row.0).collect();
        let wishes: Vec<Wish> = rows.iter().map(|row| row.1).collect();
        let times = rows.iter().scan(0_i64, |time, row| {
            *time += row.2 * 3_600_000;
            Some(*time)
        });
        let bars = bars(start, &moves);
        let signals = signals(&shape, &wishes, &bars, tick);
        let (from, until, is_whole, closes_at_end) = window;
        let place = |fraction: f64| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small"
            )]
            let place = (fraction * bars.len() as f64) as usize;
            place
        };
        let range = if is_whole { 0..bars.len() } else { place(from)..place(until).max(place(from) + 1) };
        let window = Window { bars: range, closes_at_end };
        Case { tick, times: times.collect(), signals, settings, window, bars }
    })
}
