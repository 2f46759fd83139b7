//! The lines of a file as candles: rows, in the order of their series, with symbol, timeframe and instant.

use std::collections::{BTreeMap, HashMap};

use calendar::WallClock;
use candle::{Candle, Key, Symbol, Timeframe, Timestamp};

use crate::fields::quoted;
use crate::order::{Ambiguous, Entry, Order, OrderRules, Placed};
use crate::rows::{Fault, FaultKind, LineContent, Row, RowReader};
use crate::steps::Steps;
use crate::zone::Weekends;

/// The maximum number of tickers that are listed as having no symbol.
const MAX_UNNAMED: usize = 20;

/// The names of the instruments of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbols {
    /// The whole file is of this instrument, and a column of tickers may hold only one ticker.
    One(Symbol),
    /// Its column of tickers names them.
    ByTicker {
        /// The symbols of tickers.
        named: BTreeMap<String, Symbol>,
        /// True if the other tickers are symbols themselves.
        all: bool,
    },
}

/// The options for making candles of rows.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The clock of the file; `None` if each line says its offset.
    pub clock: Option<WallClock>,
    /// The timeframe.
    pub timeframe: Timeframe,
    /// True if the newest candle comes first.
    pub falling: bool,
    /// True if times are those at which candles close.
    pub labels_close: bool,
    /// The meaning of a local time that comes twice in the zone and once in the file.
    pub ambiguous: Option<Ambiguous>,
    /// The instruments.
    pub symbols: Symbols,
    /// The time at which candles have to be over.
    pub now: Timestamp,
}

/// The numbers of lines by their content. `candles` is the sum of all below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines, without those before the first candle.
    pub lines: u64,
    /// Lines that are not blank.
    pub candles: u64,
    /// Candles that were handed on.
    pub read: u64,
    /// Candles that repeat the one before them.
    pub repeated: u64,
    /// Lines without prices.
    pub empty: u64,
    /// Flat candles without volume.
    pub flat: u64,
    /// Candles whose period has not ended.
    pub unfinished: u64,
    /// Lines with a fault.
    pub faults: u64,
}

/// Receives the candles and the faults of a file.
pub trait Output {
    /// A candle.
    fn candle(&mut self, candle: Candle);
    /// A line with a fault: its number from 1, its text if it is still known, and what is wrong.
    fn fault(&mut self, line: u64, text: Option<&[u8]>, fault: Fault);
}

/// Reads a file line by line.
#[derive(Debug, Clone)]
pub struct FileReader {
    rows: RowReader,
    options: ReadOptions,
    rules: OrderRules,
    series: Vec<(Symbol, Order)>,
    by_ticker: HashMap<Vec<u8>, usize>,
    /// The ticker of the line before, and its series.
    last: Option<(Vec<u8>, usize)>,
    unnamed: Vec<String>,
    found: (Steps, Weekends),
    counts: Counts,
    first: Option<Timestamp>,
    newest: Option<Timestamp>,
}

impl FileReader {
    /// A reader that reads lines with `rows` and makes candles of them as `options` says.
    #[must_use]
    pub fn new(rows: RowReader, options: ReadOptions) -> Self {
        // A month counts as 31 days, because its length only decides which gaps are weekends.
        let length = options.timeframe.length().unwrap_or(31 * 86_400);
        let rules = OrderRules { falling: options.falling, ambiguous: options.ambiguous, length };
        Self {
            rows,
            options,
            rules,
            series: Vec::new(),
            by_ticker: HashMap::new(),
            last: None,
            unnamed: Vec::new(),
            found: <(Steps, Weekends)>::default(),
            counts: Counts::default(),
            first: None,
            newest: None,
        }
    }

    /// The reader of rows.
    #[must_use]
    pub fn rows(&self) -> &RowReader {
        &self.rows
    }

    /// The options for making candles of rows.
    #[must_use]
    pub fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The steps between candles so far.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.found.0
    }

    /// The weekends so far.
    #[must_use]
    pub fn weekends(&self) -> &Weekends {
        &self.found.1
    }

    /// The symbols so far.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.series.iter().map(|(symbol, _)| symbol)
    }

    /// The first tickers that have no symbol.
    #[must_use]
    pub fn unnamed(&self) -> &[String] {
        &self.unnamed
    }

    /// The oldest and the newest opening time that were handed on.
    #[must_use]
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.first?, self.newest?))
    }

    /// Reads a line, given without its line ending. `number` counts the lines of the file from 1.
    pub fn line(&mut self, number: u64, line: &[u8], output: &mut impl Output) {
        self.counts.lines += 1;
        let content = match self.rows.read(line) {
            Ok(content) => content,
            Err(fault) => {
                self.counts.candles += 1;
                return self.wrong(number, Some(line), fault, output);
            }
        };
        match content {
            LineContent::Blank => {}
            LineContent::Empty => {
                self.counts.candles += 1;
                self.counts.empty += 1;
            }
            LineContent::Flat => {
                self.counts.candles += 1;
                self.counts.flat += 1;
            }
            LineContent::Row(row) => {
                self.counts.candles += 1;
                self.row(number, Some(line), &row, output);
            }
        }
    }

    /// Counts a line that could not be read from the file, such as one that is too long.
    pub fn unreadable(&mut self, number: u64, fault: Fault, output: &mut impl Output) {
        self.counts.lines += 1;
        self.counts.candles += 1;
        self.wrong(number, None, fault, output);
    }

    /// Takes a row of a binary file.
    pub fn binary_row(&mut self, number: u64, row: Result<Row<'_>, Fault>, output: &mut impl Output) {
        self.counts.lines += 1;
        self.counts.candles += 1;
        match row {
            Ok(row) => self.row(number, None, &row, output),
            Err(fault) => self.wrong(number, None, fault, output),
        }
    }

    /// Ends the file.
    pub fn finish(&mut self, output: &mut impl Output) {
        for at in 0..self.series.len() {
            self.with_series(at, None, output, |order, rules, found, place| order.settle(rules, found, place));
        }
    }

    fn wrong(&mut self, line: u64, text: Option<&[u8]>, fault: Fault, output: &mut impl Output) {
        self.counts.faults += 1;
        output.fault(line, text, fault);
    }

    fn row(&mut self, number: u64, text: Option<&[u8]>, row: &Row<'_>, output: &mut impl Output) {
        if let Some(timeframe) = row.timeframe.filter(|timeframe| *timeframe != self.options.timeframe) {
            let message = format!("its period is {timeframe}, and the file is read as {}", self.options.timeframe);
            return self.wrong(number, text, Fault::new(FaultKind::Timeframe, message), output);
        }
        let at = match self.series_of(row.ticker) {
            Ok(at) => at,
            Err(fault) => return self.wrong(number, text, fault, output),
        };
        let reading = if self.options.labels_close { row.reading - self.rules.length } else { row.reading };
        let entry = Entry { line: number, reading, ohlc: row.ohlc, volume: row.volume };
        let offset = row.offset;
        self.with_series(at, text, output, |order, rules, found, place| order.push(entry, offset, rules, found, place));
    }

    /// Calls `call` with the order of a series, and hands on the entries that it places.
    fn with_series<O: Output>(
        &mut self,
        at: usize,
        text: Option<&[u8]>,
        output: &mut O,
        call: impl FnOnce(&mut Order, &OrderRules, &mut (Steps, Weekends), &mut dyn FnMut(&Entry, Placed)),
    ) {
        let Self { series, rules, found, options, counts, first, newest, .. } = self;
        let Some((symbol, order)) = series.get_mut(at) else { return };
        let mut place = |entry: &Entry, placed: Placed| {
            let placed = match placed {
                Placed::Again => {
                    counts.repeated += 1;
                    return;
                }
                Placed::Wrong(fault) => Err(fault),
                Placed::At(instant) => candle(symbol, instant, entry, options),
            };
            match placed {
                Ok(Some(candle)) => {
                    counts.read += 1;
                    let time = candle.key.time();
                    *first = Some(first.map_or(time, |first| first.min(time)));
                    *newest = Some(newest.map_or(time, |newest| newest.max(time)));
                    output.candle(candle);
                }
                Ok(None) => counts.unfinished += 1,
                Err(fault) => {
                    counts.faults += 1;
                    output.fault(entry.line, text, fault);
                }
            }
        };
        call(order, rules, found, &mut place);
    }

    /// The series of a ticker.
    fn series_of(&mut self, ticker: &[u8]) -> Result<usize, Fault> {
        if let Some((last, at)) = &self.last
            && last == ticker
        {
            return Ok(*at);
        }
        let at = if let Some(&at) = self.by_ticker.get(ticker) {
            at
        } else {
            let symbol = self.symbol(ticker)?;
            let at = self.series.iter().position(|(known, _)| *known == symbol).unwrap_or(self.series.len());
            if at == self.series.len() {
                self.series.push((symbol, Order::new(self.options.clock.clone())));
            }
            self.by_ticker.insert(ticker.to_vec(), at);
            at
        };
        self.last = Some((ticker.to_vec(), at));
        Ok(at)
    }

    fn symbol(&mut self, ticker: &[u8]) -> Result<Symbol, Fault> {
        let wrong = |message: String| Fault::new(FaultKind::Symbol, message);
        match &self.options.symbols {
            Symbols::One(symbol) if self.by_ticker.is_empty() => Ok(symbol.clone()),
            Symbols::One(symbol) => Err(wrong(format!(
                "its ticker is {}, but all of the file is to be {symbol}; name tickers with --map",
                quoted(ticker)
            ))),
            Symbols::ByTicker { named, all } => {
                let Ok(name) = std::str::from_utf8(ticker) else {
                    return Err(wrong("its ticker is not readable; say the encoding with --encoding".to_owned()));
                };
                match named.get(name) {
                    Some(symbol) => Ok(symbol.clone()),
                    None if *all => Symbol::parse(name).map_err(|error| wrong(format!("its ticker {}", error.message))),
                    None => {
                        if self.unnamed.len() < MAX_UNNAMED && !self.unnamed.iter().any(|known| known == name) {
                            self.unnamed.push(name.to_owned());
                        }
                        Err(wrong(format!(
                            "its ticker {} has no symbol; name it with --map {0}=SYMBOL, or take all with --all-symbols",
                            quoted(ticker)
                        )))
                    }
                }
            }
        }
    }
}

/// The candle of an entry, or `None` if its period has not ended.
fn candle(symbol: &Symbol, instant: i64, entry: &Entry, options: &ReadOptions) -> Result<Option<Candle>, Fault> {
    let wrong = |kind, error: candle::ValueError| {
        let message = error.message.replace("; send the time at which the candle opened", "");
        Fault::new(kind, format!("its time, {}, {message}", candle::format_millis(instant * 1000).unwrap_or_default()))
    };
    let time = Timestamp::from_seconds(instant).map_err(|error| wrong(FaultKind::Time, error))?;
    let key = Key::new(symbol.clone(), options.timeframe, time).map_err(|error| {
        let mut fault = wrong(FaultKind::Opening, error);
        fault.message.push_str("; if the file stamps the end of candles, add --labels close");
        fault
    })?;
    if time > options.now {
        let message = format!("its time, {time}, lies in the future; is the zone right?");
        return Err(Fault::new(FaultKind::Future, message));
    }
    if options.timeframe.nominal_end(time, None) > options.now {
        return Ok(None);
    }
    Ok(Some(Candle { key, ohlc: entry.ohlc, volume: entry.volume }))
}
