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

/// Rows of candles as they are stored, ascending by time. Their prices stay the text that came from the database, in one
/// piece: a page has four for each of thousands of candles.
///
/// A table that others write too may hold rows that no answer can show. They keep their place here, because a page is
/// counted in rows: a page of nothing but such rows must not end the history.
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
    /// Where each price begins in the text, and what follows the last one. One blank stands between them.
    bounds: [u32; 5],
    closed: bool,
}

/// A row that cannot be answered as a candle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Its opening time, in epoch milliseconds.
    pub time: i64,
    /// The first column that is to blame.
    pub field: &'static str,
    /// The value of that column, cut to a length fit for the log.
    pub value: String,
}

/// Text from a database that is not in the form that it was asked for in.
#[derive(Debug, thiserror::Error)]
#[error("a page is not in the form that it was asked for in")]
pub(super) struct Misshapen;

/// The longest text of a price. Those that are posted have at most 28 digits, a sign, a point and a leading zero; a longer number
/// in a table that others write is not a price, and makes a client's number infinite.
const MAX_PRICE_BYTES: usize = 64;
/// Bytes of a stranger's value that are shown.
const MAX_QUOTED_BYTES: usize = 64;

const PRICE_COLUMNS: [&str; 4] = ["open", "high", "low", "close"];

impl StoredCandles {
    /// Takes rows apart that were opened at `times`. `text` has a line for each, in which open, high, low, close, volume and 1
    /// if it is closed or 0 stand with one blank between them. No value holds a line break, so that whatever else stands in
    /// one cannot move the values of another row.
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

    /// Turns rows around that came from the newest down.
    pub(super) fn reversed(mut self) -> Self {
        self.rows.reverse();
        self.unreadable.reverse();
        self
    }

    /// The number of rows, those included that are not candles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The opening time of the row at a position, in epoch milliseconds, counted from the oldest.
    #[must_use]
    pub fn time(&self, position: usize) -> Option<i64> {
        self.rows.get(position).map(|row| row.time)
    }

    /// The candles among the rows at these positions, from the oldest on.
    ///
    /// # Panics
    /// When there are not so many rows.
    pub fn range(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = StoredCandle<'_>> {
        self.rows[positions].iter().filter_map(|row| row.candle.map(|candle| self.unpacked(row.time, candle)))
    }

    /// The opening times of the rows among those at these positions that are not candles.
    ///
    /// # Panics
    /// When there are not so many rows.
    pub fn unreadable_times(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = i64> {
        let rows = if self.unreadable.is_empty() { &[] } else { &self.rows[positions] };
        rows.iter().filter(|row| row.candle.is_none()).map(|row| row.time)
    }

    /// The rows that are not candles, from the oldest on.
    #[must_use]
    pub fn unreadable(&self) -> &[UnreadableRow] {
        &self.unreadable
    }

    fn unpacked(&self, time: i64, Packed { volume, bounds, closed }: Packed) -> StoredCandle<'_> {
        let price = |n: usize| &self.text[bounds[n] as usize..bounds[n + 1] as usize - 1];
        StoredCandle { time, prices: [price(0), price(1), price(2), price(3)], volume, closed }
    }
}

impl UnreadableRow {
    fn new(time: i64, line: &str, column: MisshapenColumn) -> Self {
        let (field, value) = match column {
            MisshapenColumn::Price(n) => (PRICE_COLUMNS[n], line.split(' ').nth(n)),
            MisshapenColumn::Other => ("row", Some(line)),
        };
        let mut value = value.unwrap_or_default();
        if let Some(end) = (0..=MAX_QUOTED_BYTES).rev().find(|&end| value.is_char_boundary(end))
            && value.len() > MAX_QUOTED_BYTES
        {
            value = &value[..end];
        }
        Self { time, field, value: value.to_owned() }
    }
}

/// The place at which a line breaks the form of a candle.
#[derive(Debug, Clone, Copy)]
enum MisshapenColumn {
    Price(usize),
    /// A volume that is not a number, or more or fewer values than there are columns.
    Other,
}

/// The candle at the beginning of `text`, which begins at `start` of the page, and the length of its line.
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

/// The number of bytes at the beginning of `text` that are a JSON number without an exponent; 0 if none are.
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

/// Digits behind the point of a price as it is stored; `None` if it is not a price, so that pages leave its row out.
pub(super) fn fraction_digits(price: &[u8]) -> Option<u32> {
    let is_price = plain_decimal(price) == price.len() && (1..=MAX_PRICE_BYTES).contains(&price.len());
    let point = price.iter().position(|&byte| byte == b'.');
    if is_price { u32::try_from(point.map_or(0, |point| price.len() - point - 1)).ok() } else { None }
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
    fn a_row_that_is_not_a_candle_is_named_and_moves_no_other() {
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
    fn rows_that_do_not_add_up_are_not_guessed_at() {
        for text in ["", GOOD, &format!("{GOOD}\n{GOOD}\n{GOOD}")] {
            assert!(StoredCandles::parse([0, 1].into_iter(), text.to_owned()).is_err(), "{text:?}");
        }
        assert!(StoredCandles::parse([].into_iter(), String::new()).unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn what_is_taken_for_a_price_is_a_json_number(text in r"[-+0-9.eE]{0,8}|[^ \n]{0,6}|-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?") {
            let line = format!("{text} 1 1 1 1 1");
            let candles = parse(&[&line]);
            let is_plain = text.parse::<f64>().is_ok()
                && serde_json::from_str::<serde_json::Number>(&text).is_ok()
                && !text.contains(['e', 'E']);
            prop_assert_eq!(candles.unreadable().is_empty(), is_plain, "{}", line);
        }
    }
}
