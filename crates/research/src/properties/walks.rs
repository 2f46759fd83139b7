//! Invented bars: random walks with flat runs, gaps, and prices of every size.

use proptest::prelude::*;

use crate::{Bars, Columns, TickGrid};

/// A counter whose values are scrambled (splitmix64), so that a test's bars depend on its seed alone.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    pub(super) seed: u64,
    pub(super) len: usize,
    /// The price at the start.
    pub(super) price: f64,
    /// A step's size, as a part of the price.
    pub(super) step: f64,
    /// The part of bars that do not move.
    pub(super) flat: f64,
    /// Minutes of a bar.
    pub(super) minutes: i64,
}

impl Walk {
    pub(super) fn columns(self) -> Columns {
        let mut random = Random::new(self.seed);
        let mut columns = Columns::default();
        let mut price = self.price;
        // 2024-01-01, a Monday.
        let mut time = 1_704_067_200_000;
        for _ in 0..self.len {
            // Sometimes nothing trades for some hours, and the price opens elsewhere.
            let is_gap = random.unit() < 0.03;
            time += self.minutes * 60_000 * if is_gap { 10 } else { 1 };
            if is_gap {
                price *= 1.0 + self.step * 4.0 * (random.unit() - 0.5);
            }
            let moves = if random.unit() < self.flat { 0.0 } else { 1.0 };
            let open = price;
            let close = open * (1.0 + moves * self.step * (random.unit() - 0.5));
            let high = open.max(close) * (1.0 + moves * self.step * 0.4 * random.unit());
            let low = open.min(close) * (1.0 - moves * self.step * 0.4 * random.unit());
            columns.time.push(time);
            columns.open.push(open);
            columns.high.push(high);
            columns.low.push(low);
            columns.close.push(close);
            columns.volume.push(moves * (1.0 + (random.unit() * 1000.0).floor()));
            price = close;
        }
        columns
    }

    pub(super) fn bars(self) -> Bars {
        of_columns(self.columns())
    }
}

pub(super) fn of_columns(columns: Columns) -> Bars {
    Bars::new(columns, TickGrid::of_digits(5).unwrap(), None).unwrap()
}

/// Any walk of at most `len` bars.
pub(super) fn walks(len: usize) -> impl Strategy<Value = Walk> {
    let prices = prop_oneof![Just(1.1), Just(150.0), Just(3e-4), Just(65_000.0), Just(2.5e8)];
    let steps = prop_oneof![Just(0.002), Just(0.05), Just(1e-5)];
    let flats = prop_oneof![Just(0.0), Just(0.3), Just(0.95), Just(1.0)];
    let minutes = prop_oneof![Just(5_i64), Just(60), Just(1440)];
    (any::<u64>(), 0..=len, prices, steps, flats, minutes).prop_map(|(seed, len, price, step, flat, minutes)| Walk {
        seed,
        len,
        price,
        step,
        flat,
        minutes,
    })
}
