//! Candles that follow from their time, for the commands to a terminal and for the rows that the service must store.

use std::collections::BTreeMap;

/// One symbol in one timeframe at a broker. Times are the broker's.
pub struct Market {
    pub symbol: String,
    /// The service's name for the symbol.
    pub name: String,
    pub timeframe: &'static str,
    digits: usize,
    bars: BTreeMap<i64, Bar>,
}

#[derive(Clone)]
pub struct Bar {
    /// Open, high, low and close in the last digit's unit.
    pub prices: [i64; 4],
    pub volume: i64,
}

impl Market {
    pub fn new(symbol: &str, timeframe: &'static str, digits: usize) -> Self {
        let (symbol, name) = symbol.split_once('=').unwrap_or((symbol, symbol));
        Self { symbol: symbol.to_owned(), name: name.to_owned(), timeframe, digits, bars: BTreeMap::new() }
    }

    /// A market that opened a bar every `seconds`, `count` times, the last one at `last`.
    pub fn with_bars(mut self, count: i64, seconds: i64, last: i64) -> Self {
        for back in 0..count {
            self.open(last - back * seconds);
        }
        self
    }

    /// Adds a bar.
    pub fn open(&mut self, time: i64) {
        let number = (time / 60 + self.symbol.len() as i64 * 131) % 997;
        let open = 108_500 + number;
        self.bars.insert(time, Bar { prices: [open, open + 20, open - 10, open + number % 7], volume: 100 + number });
    }

    pub fn change(&mut self, time: i64, change: impl FnOnce(&mut Bar)) {
        change(self.bars.get_mut(&time).expect("a bar of that time"));
    }

    pub fn remove(&mut self, time: i64) {
        self.bars.remove(&time);
    }

    pub fn times(&self) -> Vec<i64> {
        self.bars.keys().copied().collect()
    }

    fn price(&self, units: i64) -> String {
        let scale = 10_i64.pow(self.digits as u32);
        if self.digits == 0 {
            return units.to_string();
        }
        format!("{}.{:0width$}", units / scale, units % scale, width = self.digits)
    }

    fn values(&self, bar: &Bar) -> String {
        let [open, high, low, close] = bar.prices.map(|price| self.price(price));
        format!("{open} {high} {low} {close} {}", bar.volume)
    }

    /// The command that adds the symbol to a terminal.
    pub fn symbol_command(&self) -> String {
        format!("symbol {} {}", self.symbol, self.digits)
    }

    /// The command that gives a terminal one bar.
    pub fn bar_command(&self, time: i64) -> String {
        format!("bar {} {} {time} {}", self.symbol, self.timeframe, self.values(&self.bars[&time]))
    }

    /// A row of the database, for a broker's clock that is `offset` seconds ahead of UTC.
    pub fn row(&self, time: i64, offset: i64) -> String {
        format!("{} {} {} {}", self.name, self.timeframe, time - offset, self.values(&self.bars[&time]))
    }
}
