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

/// Candles as they are stored, ascending by time. Their prices stay the text that came from the database, in one piece: a
/// page has four for each of thousands of candles.
#[derive(Debug, Clone, Default)]
pub struct StoredCandles {
    text: String,
    candles: Vec<Packed>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    time: i64,
    volume: i64,
    /// Where each price begins in the text, and what follows the last one. One blank stands between them.
    bounds: [u32; 5],
    closed: bool,
}

/// Why text from a database is no candles.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// A table that others write too may hold NaN or Infinity, which no JSON number can say.
    #[error("a candle at {time} ms has the price {price}, which is no number")]
    Price { time: i64, price: String },
    #[error("a page is not in the form that it was asked for in")]
    Form,
}

impl StoredCandles {
    /// Takes candles apart that were opened at `times`. `text` holds open, high, low, close, volume and 1 if it is closed or 0
    /// of each, with one blank between all of them.
    pub(super) fn parse(times: impl ExactSizeIterator<Item = i64>, text: String) -> Result<Self, Unreadable> {
        let mut candles = Vec::with_capacity(times.len());
        let mut fields = Fields { text: &text, at: 0 };
        for time in times {
            let mut bounds = [0; 5];
            for bound in &mut bounds[..4] {
                *bound = fields.position()?;
                let price = fields.next().ok_or(Unreadable::Form)?;
                if !price.ends_with(|last: char| last.is_ascii_digit()) {
                    return Err(Unreadable::Price { time, price: price.to_owned() });
                }
            }
            bounds[4] = fields.position()?;
            let volume = fields.next().and_then(|volume| volume.parse().ok()).ok_or(Unreadable::Form)?;
            let closed = fields.next().ok_or(Unreadable::Form)? == "1";
            candles.push(Packed { time, volume, bounds, closed });
        }
        Ok(Self { text, candles })
    }

    /// Turns candles around that came from the newest down.
    pub(super) fn reversed(mut self) -> Self {
        self.candles.reverse();
        self
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
        let price = |n: usize| &self.text[bounds[n] as usize..bounds[n + 1] as usize - 1];
        StoredCandle { time, prices: [price(0), price(1), price(2), price(3)], volume, closed }
    }
}

/// What stands between the blanks of a text.
struct Fields<'a> {
    text: &'a str,
    at: usize,
}

impl Fields<'_> {
    fn position(&self) -> Result<u32, Unreadable> {
        u32::try_from(self.at).map_err(|_| Unreadable::Form)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        // Byte by byte, since fields are a few bytes long.
        let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        self.at += end + 1;
        Some(&rest[..end])
    }
}
