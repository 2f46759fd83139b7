use super::StoreError;
use super::error::unreadable;

/// A candle as it is stored. Its text and numbers are answered unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCandle<'a> {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// Open, high, low and close in plain decimal form, which is also a JSON number.
    pub prices: [&'a str; 4],
    /// Ticks in the period.
    pub volume: i64,
    /// True if the period is over.
    pub closed: bool,
}

/// Stored rows of candles, ascending by time. Their prices stay in the one text that came from the database, because a
/// page has four prices for each of thousands of candles.
///
/// A table that other programs write to may hold rows that are not candles. They keep their positions here, because
/// pages are counted in rows, and a page of only such rows must not end the history.
#[derive(Debug, Clone, Default)]
pub struct StoredCandles {
    text: String,
    rows: Vec<TextRow>,
    unreadable: Vec<UnreadableRow>,
}

#[derive(Debug, Clone, Copy)]
struct TextRow {
    time: i64,
    /// `None` for a row that is not a candle.
    candle: Option<Packed>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    volume: i64,
    /// The start in the text of each price, and of the value after the last one. One blank separates them.
    bounds: [u32; 5],
    closed: bool,
}

/// A row that is not a candle and cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Its opening time, in epoch milliseconds.
    pub time: i64,
    /// The first column that is invalid.
    pub field: &'static str,
    /// The value of that column, truncated for the log.
    pub value: String,
}

/// Text from the database that does not have the requested form.
#[derive(Debug, thiserror::Error)]
#[error("a page from the database does not have the requested form")]
pub(super) struct Misshapen;

/// The maximum length of a price's text. Posted prices have at most 28 digits, a sign, a point and a leading zero. A
/// longer number from another program is not taken for a price, because a client would read it as infinity.
const MAX_PRICE_BYTES: usize = 64;
/// The maximum number of bytes of an invalid value that are logged.
const MAX_QUOTED_BYTES: usize = 64;

const PRICE_COLUMNS: [&str; 4] = ["open", "high", "low", "close"];

impl StoredCandles {
    /// Parses the rows with the opening times `times`. `text` has one line for each: open, high, low, close, volume,
    /// and 1 if the candle is closed or else 0, separated by one blank. No value holds a line break, so an invalid
    /// value cannot shift those of another row.
    pub(super) fn parse(times: impl ExactSizeIterator<Item = i64>, text: String) -> Result<Self, Misshapen> {
        let mut rows = Vec::with_capacity(times.len());
        let mut unreadable = Vec::new();
        let mut at = 0;
        for time in times {
            let line = text.get(at..).ok_or(Misshapen)?;
            let start = u32::try_from(at).map_err(|_| Misshapen)?;
            let candle = match packed(line.as_bytes(), start) {
                Ok((candle, length)) => {
                    at += length + 1;
                    Some(candle)
                }
                Err(column) => {
                    let line = line.split('\n').next().unwrap_or_default();
                    at += line.len() + 1;
                    unreadable.push(UnreadableRow::new(time, line, column));
                    None
                }
            };
            rows.push(TextRow { time, candle });
        }
        if at != text.len() + usize::from(!rows.is_empty()) {
            return Err(Misshapen);
        }
        Ok(Self { text, rows, unreadable })
    }

    /// Rows with the opening times `times` and the lines of `text`, each of which is open, high, low, close, volume,
    /// and 1 or 0, separated by one blank.
    ///
    /// # Errors
    /// When there are more or fewer lines than times.
    pub fn of_lines(times: impl ExactSizeIterator<Item = i64>, text: String) -> Result<Self, StoreError> {
        Self::parse(times, text).map_err(unreadable)
    }

    /// Reverses rows that were read in descending order.
    pub(super) fn reversed(mut self) -> Self {
        self.rows.reverse();
        self.unreadable.reverse();
        self
    }

    /// The number of rows, including those that are not candles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The opening time, in epoch milliseconds, of the row at a position, counted from the oldest.
    #[must_use]
    pub fn time(&self, position: usize) -> Option<i64> {
        self.rows.get(position).map(|row| row.time)
    }

    /// The candles among the rows at these positions, oldest first.
    ///
    /// # Panics
    /// When a position is out of range.
    pub fn range(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = StoredCandle<'_>> {
        self.rows[positions].iter().filter_map(|row| row.candle.map(|candle| self.unpacked(row.time, candle)))
    }

    /// The opening times of those rows at these positions that are not candles.
    ///
    /// # Panics
    /// When a position is out of range.
    pub fn unreadable_times(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = i64> {
        let rows = if self.unreadable.is_empty() { &[] } else { &self.rows[positions] };
        rows.iter().filter(|row| row.candle.is_none()).map(|row| row.time)
    }

    /// The rows that are not candles, oldest first.
    #[must_use]
    pub fn unreadable(&self) -> &[UnreadableRow] {
        &self.unreadable
    }

    fn unpacked(&self, time: i64, Packed { volume, bounds, closed }: Packed) -> StoredCandle<'_> {
        let price = |n: usize| &self.text[bounds[n] as usize..bounds[n + 1] as usize - 1];
        StoredCandle { time, prices: [price(0), price(1), price(2), price(3)], volume, closed }
    }
}

/// Parses the values of one row.
pub(super) fn parse_columns(
    time: i64,
    prices: [&[u8]; 4],
    volume: i64,
    closed: bool,
) -> Result<StoredCandle<'_>, UnreadableRow> {
    let text = prices.map(|price| std::str::from_utf8(price).ok().filter(|price| is_price(price)));
    if let [Some(open), Some(high), Some(low), Some(close)] = text {
        return Ok(StoredCandle { time, prices: [open, high, low, close], volume, closed });
    }
    let column = text.iter().position(Option::is_none).unwrap_or_default();
    Err(UnreadableRow::of(time, PRICE_COLUMNS[column], &String::from_utf8_lossy(prices[column])))
}

/// Parses one line of the text that [`StoredCandles::parse`] takes.
pub(super) fn parse_line(time: i64, line: &str) -> Result<StoredCandle<'_>, UnreadableRow> {
    let (Packed { volume, bounds, closed }, _) =
        packed(line.as_bytes(), 0).map_err(|column| UnreadableRow::new(time, line, column))?;
    let price = |n: usize| &line[bounds[n] as usize..bounds[n + 1] as usize - 1];
    Ok(StoredCandle { time, prices: [price(0), price(1), price(2), price(3)], volume, closed })
}

impl UnreadableRow {
    fn new(time: i64, line: &str, column: MisshapenColumn) -> Self {
        let (field, value) = match column {
            MisshapenColumn::Price(n) => (PRICE_COLUMNS[n], line.split(' ').nth(n)),
            MisshapenColumn::Other => ("row", Some(line)),
        };
        Self::of(time, field, value.unwrap_or_default())
    }

    fn of(time: i64, field: &'static str, mut value: &str) -> Self {
        if let Some(end) = (0..=MAX_QUOTED_BYTES).rev().find(|&end| value.is_char_boundary(end))
            && value.len() > MAX_QUOTED_BYTES
        {
            value = &value[..end];
        }
        Self { time, field, value: value.to_owned() }
    }
}

/// The column at which a line does not have the form of a candle.
#[derive(Debug, Clone, Copy)]
enum MisshapenColumn {
    Price(usize),
    /// A volume that is not a number, or more or fewer values than there are columns.
    Other,
}

/// Parses the candle at the beginning of `text`, which begins at byte `start` of the page. Also returns the length of
/// its line.
fn packed(text: &[u8], start: u32) -> Result<(Packed, usize), MisshapenColumn> {
    let mut bounds = [start; 5];
    let mut at = 0;
    for n in 0..4 {
        let length = plain_decimal(&text[at..]);
        if !(1..=MAX_PRICE_BYTES).contains(&length) || text.get(at + length) != Some(&b' ') {
            return Err(MisshapenColumn::Price(n));
        }
        at += length + 1;
        bounds[n + 1] = u32::try_from(at).ok().and_then(|at| start.checked_add(at)).ok_or(MisshapenColumn::Other)?;
    }
    let length = text[at..].iter().position(|&byte| byte == b' ').ok_or(MisshapenColumn::Other)?;
    let volume = std::str::from_utf8(&text[at..at + length]).ok().and_then(|volume| volume.parse().ok());
    let volume = volume.ok_or(MisshapenColumn::Other)?;
    at += length + 1;
    let closed = match text.get(at) {
        Some(b'1') => true,
        Some(b'0') => false,
        _ => return Err(MisshapenColumn::Other),
    };
    at += 1;
    if !matches!(text.get(at), None | Some(b'\n')) {
        return Err(MisshapenColumn::Other);
    }
    Ok((Packed { volume, bounds, closed }, at))
}

/// The length of the JSON number without an exponent at the beginning of `text`; 0 if there is none.
fn plain_decimal(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(text.first() == Some(&b'-'));
    let whole = digits(sign);
    if whole == 0 || (whole > 1 && text[sign] == b'0') {
        return 0;
    }
    let mut end = sign + whole;
    if text.get(end) == Some(&b'.') {
        match digits(end + 1) {
            0 => return 0,
            fraction => end += 1 + fraction,
        }
    }
    end
}

/// True for the text of a price that pages answer.
pub(super) fn is_price(text: &str) -> bool {
    is_price_text(text.as_bytes())
}

fn is_price_text(text: &[u8]) -> bool {
    plain_decimal(text) == text.len() && (1..=MAX_PRICE_BYTES).contains(&text.len())
}

/// The number of digits after the point of a stored price; `None` if it is not a price, so that pages leave out its
/// row.
pub(super) fn fraction_digits(price: &[u8]) -> Option<u32> {
    let point = price.iter().position(|&byte| byte == b'.');
    if is_price_text(price) { u32::try_from(point.map_or(0, |point| price.len() - point - 1)).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "1.08500 1.08650 -0.5 0 1200 1";

    fn parse(lines: &[&str]) -> StoredCandles {
        let times: Vec<i64> = (0..).take(lines.len()).collect();
        StoredCandles::parse(times.into_iter(), lines.join("\n")).unwrap()
    }

    #[test]
    fn an_invalid_row_is_reported_and_does_not_shift_others() {
        let long = format!("1.{} 1 1 1 1 1", "0".repeat(MAX_PRICE_BYTES));
        for (line, field, value) in [
            ("NaN 1 1 1 1 1", "open", "NaN"),
            ("1 Infinity 1 1 1 1", "high", "Infinity"),
            ("1 1 -Infinity 1 1 1", "low", "-Infinity"),
            ("1 1 1 1e5 1 1", "close", "1e5"),
            ("1 1 1  1 1", "close", ""),
            (" 1 1 1 1 1", "open", ""),
            ("1 1 1 abc 1 1", "close", "abc"),
            ("01 1 1 1 1 1", "open", "01"),
            (".5 1 1 1 1 1", "open", ".5"),
            ("5. 1 1 1 1 1", "open", "5."),
            ("+5 1 1 1 1 1", "open", "+5"),
            ("- 1 1 1 1 1", "open", "-"),
            ("1 0 1 1 1 1 1", "row", "1 0 1 1 1 1 1"),
            ("1 1 1 1 1", "row", "1 1 1 1 1"),
            ("1 1 1 1 x 1", "row", "1 1 1 1 x 1"),
            ("", "open", ""),
            (&long, "open", &long[..MAX_QUOTED_BYTES]),
        ] {
            let candles = parse(&[GOOD, line, GOOD]);
            assert_eq!(candles.len(), 3);
            let expected = UnreadableRow { time: 1, field, value: value.to_owned() };
            assert_eq!(candles.unreadable(), [expected], "{line}");
            assert_eq!(candles.unreadable_times(0..3).collect::<Vec<_>>(), [1]);
            let good: Vec<_> = candles.range(0..3).collect();
            assert_eq!(good.iter().map(|candle| candle.time).collect::<Vec<_>>(), [0, 2]);
            for candle in good {
                assert_eq!(candle.prices, ["1.08500", "1.08650", "-0.5", "0"]);
                assert_eq!((candle.volume, candle.closed), (1200, true));
            }
        }
    }

    #[test]
    fn a_wrong_number_of_lines_is_an_error() {
        for text in ["", GOOD, &format!("{GOOD}\n{GOOD}\n{GOOD}")] {
            assert!(StoredCandles::parse([0, 1].into_iter(), text.to_owned()).is_err(), "{text:?}");
        }
        assert!(StoredCandles::parse([].into_iter(), String::new()).unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn accepted_prices_are_json_numbers(text in r"[-+0-9.eE]{0,8}|[^ \n]{0,6}|-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?") {
            let line = format!("{text} 1 1 1 1 1");
            let candles = parse(&[&line]);
            let is_plain = text.parse::<f64>().is_ok()
                && serde_json::from_str::<serde_json::Number>(&text).is_ok()
                && !text.contains(['e', 'E']);
            prop_assert_eq!(candles.unreadable().is_empty(), is_plain, "{}", line);
        }
    }
}
