/// A candle as it is stored; text and numbers go out as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCandle<'a> {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// Open, high, low and close in plain decimal form, which is also a JSON number.
    pub prices: [&'a str; 4],
    /// Ticks in the period.
    pub volume: i64,
    /// Whether the period is over.
    pub closed: bool,
}

/// Candles as they are stored, ascending by time. Packed: a page has four prices for each of thousands of candles.
#[derive(Debug, Clone, Default)]
pub struct StoredCandles {
    /// The prices of all candles, one behind the other.
    digits: String,
    candles: Vec<Packed>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    time: i64,
    volume: i64,
    /// Where the first price begins and each of them ends.
    bounds: [u32; 5],
    closed: bool,
}

impl StoredCandles {
    /// Room for so many candles.
    pub(super) fn with_capacity(candles: usize) -> Self {
        const USUAL_DIGITS: usize = 4 * 8;
        Self { digits: String::with_capacity(candles * USUAL_DIGITS), candles: Vec::with_capacity(candles) }
    }

    /// Appends a candle whose prices `write` appends to the text one after the other, by their position.
    pub(super) fn push<E>(
        &mut self,
        time: i64,
        volume: i64,
        closed: bool,
        mut write: impl FnMut(usize, &mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut bounds = [length(&self.digits); 5];
        for price in 0..4 {
            write(price, &mut self.digits)?;
            bounds[price + 1] = length(&self.digits);
        }
        self.candles.push(Packed { time, volume, bounds, closed });
        Ok(())
    }

    /// Turns candles that were appended from the newest down.
    pub(super) fn reverse(&mut self) {
        self.candles.reverse();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candles.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candles.is_empty()
    }

    /// The candle at a position, counted from the oldest.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<StoredCandle<'_>> {
        self.candles.get(position).map(|candle| self.unpacked(candle))
    }

    /// The candles at these positions, from the oldest on.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn range(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = StoredCandle<'_>> {
        self.candles[positions].iter().map(|candle| self.unpacked(candle))
    }

    fn unpacked(&self, &Packed { time, volume, bounds, closed }: &Packed) -> StoredCandle<'_> {
        let price = |n: usize| &self.digits[bounds[n] as usize..bounds[n + 1] as usize];
        StoredCandle { time, prices: [price(0), price(1), price(2), price(3)], volume, closed }
    }
}

/// A page is far from 4 GiB: one that is not would have no room to be answered in.
fn length(digits: &str) -> u32 {
    u32::try_from(digits.len()).unwrap_or(u32::MAX)
}
