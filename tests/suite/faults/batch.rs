//! The posted batches: each has a symbol of its own, and each value follows from its worker, batch and index.

use rust_decimal::Decimal;

use super::{Random, mix};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Batch {
    pub worker: usize,
    pub sequence: usize,
    pub size: usize,
}

/// 2020-09-13T12:27:00Z, a whole minute.
const START: usize = 1_600_000_020;

impl Batch {
    /// Up to 500 candles and usually few, because the number of batches decides how often a fault hits one.
    pub fn random(worker: usize, sequence: usize, random: &mut Random) -> Self {
        let most = [5, 10, 20, 50, 100, 500][random.below(6)];
        Self { worker, sequence, size: 1 + random.below(most) }
    }

    pub fn symbol(&self) -> String {
        format!("W{}.{}", self.worker, self.sequence)
    }

    /// Its rows in the spelling and order of [`crate::harness::Database::closed`].
    pub fn rows(&self) -> Vec<String> {
        let symbol = self.symbol();
        self.candles()
            .map(|(time, [open, high, low, close], volume)| {
                format!("{symbol} M1 {time} {open} {high} {low} {close} {volume}")
            })
            .collect()
    }

    pub fn body(&self) -> String {
        let candles: Vec<String> = self
            .candles()
            .map(|(time, [open, high, low, close], volume)| {
                format!(
                    r#"{{"timestamp":{time},"open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}}}"#
                )
            })
            .collect();
        format!(r#"{{"symbol":"{}","timeframe":"M1","candles":[{}]}}"#, self.symbol(), candles.join(","))
    }

    fn candles(self) -> impl Iterator<Item = (usize, [Decimal; 4], u64)> {
        (0..self.size).map(move |index| {
            let who_and_where = [self.worker, self.sequence, index];
            let mut values =
                Random(who_and_where.iter().fold(0, |bits, part| mix(bits ^ *part as u64).wrapping_add(1)));
            // Up to 13 digits, up to 9 of them after the point.
            let scale = values.below(10) as u32;
            let mut part = |end| values.below(end) as i64;
            let low = part(10_i64.pow(12) as usize) - 1000;
            let (open, close) = (low + part(100_000), low + part(100_000));
            let high = open.max(close) + part(1000);
            let prices = [open, high, low, close].map(|price| Decimal::new(price, scale));
            (START + index * 60, prices, values.next() >> 1)
        })
    }
}
