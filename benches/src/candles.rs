//! Candles to post, which are the same in every run: minutes of made-up symbols whose prices move like a currency's.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

pub const TIMEFRAME: &str = "M1";

/// An endless series of a symbol's candles, one for each minute.
pub struct Series {
    symbol: String,
    next: DateTime<Utc>,
    /// In points of 1/100,000.
    price: i64,
    random: Random,
}

#[derive(Clone)]
pub struct Candle {
    pub symbol: String,
    pub time: DateTime<Utc>,
    /// Open, high, low, close.
    pub prices: [String; 4],
    pub volume: i64,
}

impl Series {
    pub fn new(number: usize) -> Self {
        let seed = number as u64 + 1;
        Self { symbol: symbol(number), next: beginning(), price: 100_000, random: Random::new(seed) }
    }

    /// A series that begins `minute` minutes after the beginning.
    pub fn from_minute(number: usize, minute: usize) -> Self {
        let mut series = Self::new(number);
        series.next += TimeDelta::minutes(i64::try_from(minute).unwrap());
        series
    }
}

/// The name of a series' symbol.
pub fn symbol(number: usize) -> String {
    format!("BENCH{number:03}")
}

/// The time at which every series begins.
pub fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp_secs(946_857_600).unwrap()
}

impl Iterator for Series {
    type Item = Candle;

    fn next(&mut self) -> Option<Candle> {
        let open = self.price;
        let close = (open + self.random.below(101) - 50).clamp(80_000, 150_000);
        let high = open.max(close) + self.random.below(20);
        let low = open.min(close) - self.random.below(20);
        let time = self.next;
        self.price = close;
        self.next += TimeDelta::minutes(1);
        Some(Candle {
            symbol: self.symbol.clone(),
            time,
            prices: [open, high, low, close].map(|points| format!("{}.{:05}", points / 100_000, points % 100_000)),
            volume: 50 + self.random.below(2_000),
        })
    }
}

/// The JSON of a batch, as terminals post it.
pub fn body(candles: &[Candle]) -> String {
    let mut json = String::from(r#"{"candles":["#);
    for (position, Candle { symbol, time, prices: [open, high, low, close], volume }) in candles.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let time = time.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(
            json,
            r#"{comma}{{"symbol":"{symbol}","timeframe":"{TIMEFRAME}","timestamp":"{time}","open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}}}"#
        )
        .unwrap();
    }
    json.push_str("]}");
    json
}

/// Pseudo-random numbers, the same for the same seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        i64::try_from((mixed ^ (mixed >> 31)) % limit.unsigned_abs()).unwrap()
    }
}
