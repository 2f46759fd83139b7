//! The bars of one series as columns, and the grid that its prices lie on.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The columns of one series before they are checked. All have one entry per bar, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// The opening time of each bar, in epoch milliseconds (UTC).
    pub time: Vec<i64>,
    /// First price of each bar.
    pub open: Vec<f64>,
    /// Highest price of each bar.
    pub high: Vec<f64>,
    /// Lowest price of each bar.
    pub low: Vec<f64>,
    /// Last price of each bar.
    pub close: Vec<f64>,
    /// Traded volume of each bar; in foreign exchange the number of ticks.
    pub volume: Vec<f64>,
}

/// The grid that the prices of a series lie on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TickGrid {
    tick: f64,
    digits: u8,
}

impl TickGrid {
    /// The maximum number of digits behind the point, because a double has only 15 significant digits that are
    /// reliable.
    pub const MAX_DIGITS: u8 = 15;

    /// A grid whose step is `tick`, printed with `digits` digits behind the point.
    ///
    /// # Errors
    /// When `tick` is not a finite number above 0, or `digits` is above [`Self::MAX_DIGITS`].
    pub fn new(tick: f64, digits: u8) -> Result<Self, BarsError> {
        if !(tick.is_finite() && tick > 0.0) {
            return Err(BarsError::Tick(tick));
        }
        if digits > Self::MAX_DIGITS {
            return Err(BarsError::Digits(digits));
        }
        Ok(Self { tick, digits })
    }

    /// The grid of all numbers with `digits` digits behind the point.
    ///
    /// # Errors
    /// When `digits` is above [`Self::MAX_DIGITS`].
    pub fn of_digits(digits: u8) -> Result<Self, BarsError> {
        // The step is parsed, because a product of 0.1 with itself is not always the double that is nearest to the
        // power of ten.
        let tick = format!("1e-{digits}").parse().map_err(|_| BarsError::Digits(digits))?;
        Self::new(tick, digits)
    }

    /// The distance of neighbouring prices.
    #[must_use]
    pub fn tick(self) -> f64 {
        self.tick
    }

    /// The number of digits behind the point with which a price is printed.
    #[must_use]
    pub fn digits(self) -> u8 {
        self.digits
    }
}

/// Checked bars of one series, oldest first. A clone or a slice shares the columns.
///
/// ```
/// use research::{Bars, Columns, TickGrid};
///
/// let columns = Columns {
///     time: vec![0, 60_000, 120_000],
///     open: vec![1.0, 1.1, 1.2],
///     high: vec![1.2, 1.3, 1.3],
///     low: vec![0.9, 1.1, 1.0],
///     close: vec![1.1, 1.2, 1.0],
///     volume: vec![10.0, 0.0, 7.0],
/// };
/// let bars = Bars::new(columns, TickGrid::of_digits(1)?, Some(60_000))?;
/// assert_eq!(bars.len(), 3);
/// assert_eq!(bars.slice(1..3).close(), [1.2, 1.0]);
/// # Ok::<(), research::BarsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bars {
    columns: Arc<Columns>,
    /// Identifies the columns in caches. Unlike an address, it is never reused.
    id: u64,
    range: Range<usize>,
    grid: TickGrid,
    period: Option<i64>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Bars {
    /// Checks and takes the columns of a series. `period` is the length of a bar in milliseconds; `None` if bars
    /// differ in length, as months do.
    ///
    /// # Errors
    /// When the columns differ in length, times do not ascend, a number is not finite, a high or low does not enclose its bar's
    /// other prices, a volume is negative, or the period is not above 0. The error names the first bar at fault.
    pub fn new(columns: Columns, grid: TickGrid, period: Option<i64>) -> Result<Self, BarsError> {
        check(&columns)?;
        if let Some(period) = period.filter(|&period| period <= 0) {
            return Err(BarsError::Period(period));
        }
        let range = 0..columns.time.len();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Self { columns: Arc::new(columns), id, range, grid, period })
    }

    /// The number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// True if there is no bar.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The bars of `range`, counted from the first bar of these. Bars outside of these are left out.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = self.range.end.min(self.range.start.saturating_add(range.end));
        let start = end.min(self.range.start.saturating_add(range.start));
        Self { range: start..end, ..self.clone() }
    }

    /// The opening time of each bar, in epoch milliseconds (UTC).
    #[must_use]
    pub fn time(&self) -> &[i64] {
        &self.columns.time[self.range.clone()]
    }

    /// First prices.
    #[must_use]
    pub fn open(&self) -> &[f64] {
        &self.columns.open[self.range.clone()]
    }

    /// Highest prices.
    #[must_use]
    pub fn high(&self) -> &[f64] {
        &self.columns.high[self.range.clone()]
    }

    /// Lowest prices.
    #[must_use]
    pub fn low(&self) -> &[f64] {
        &self.columns.low[self.range.clone()]
    }

    /// Last prices.
    #[must_use]
    pub fn close(&self) -> &[f64] {
        &self.columns.close[self.range.clone()]
    }

    /// Volumes.
    #[must_use]
    pub fn volume(&self) -> &[f64] {
        &self.columns.volume[self.range.clone()]
    }

    /// The grid that prices lie on.
    #[must_use]
    pub fn grid(&self) -> TickGrid {
        self.grid
    }

    /// The distance of neighbouring prices.
    #[must_use]
    pub fn tick(&self) -> f64 {
        self.grid.tick
    }

    /// The number of digits behind the point with which a price is printed.
    #[must_use]
    pub fn digits(&self) -> u8 {
        self.grid.digits
    }

    /// The length of a bar in milliseconds; `None` if bars differ in length.
    #[must_use]
    pub fn period(&self) -> Option<i64> {
        self.period
    }

    /// True if both are the same range of the same columns in memory. Equal copies are not the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.range == other.range
    }

    /// The name of these bars in a cache.
    pub(crate) fn identity(&self) -> (u64, Range<usize>) {
        (self.id, self.range.clone())
    }
}

/// A column, as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnName {
    /// [`Columns::time`].
    Time,
    /// [`Columns::open`].
    Open,
    /// [`Columns::high`].
    High,
    /// [`Columns::low`].
    Low,
    /// [`Columns::close`].
    Close,
    /// [`Columns::volume`].
    Volume,
}

impl fmt::Display for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
        })
    }
}

/// The reason for which columns or a grid were refused. Bars are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BarsError {
    /// A column has another length than the times.
    Length {
        /// The column.
        column: ColumnName,
        /// Its length.
        length: usize,
        /// The number of times.
        expected: usize,
    },
    /// A bar does not begin after the one before it.
    TimeNotAscending {
        /// The later of the two bars.
        bar: usize,
        /// Its time in epoch milliseconds.
        time: i64,
    },
    /// A price or volume is infinite or not a number.
    NotFinite {
        /// The bar.
        bar: usize,
        /// Its time in epoch milliseconds.
        time: i64,
        /// The column.
        column: ColumnName,
    },
    /// A price is above its bar's high.
    HighTooLow {
        /// The bar.
        bar: usize,
        /// Its time in epoch milliseconds.
        time: i64,
        /// The price above the high.
        column: ColumnName,
    },
    /// A price is below its bar's low.
    LowTooHigh {
        /// The bar.
        bar: usize,
        /// Its time in epoch milliseconds.
        time: i64,
        /// The price below the low.
        column: ColumnName,
    },
    /// A volume is below 0.
    NegativeVolume {
        /// The bar.
        bar: usize,
        /// Its time in epoch milliseconds.
        time: i64,
    },
    /// The tick is not a finite number above 0.
    Tick(f64),
    /// More digits than a double has.
    Digits(u8),
    /// The period is not above 0.
    Period(i64),
}

impl fmt::Display for BarsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { column, length, expected } => {
                write!(
                    f,
                    "column {column} has {length} entries, but there are {expected} times; give each bar one of each"
                )
            }
            Self::TimeNotAscending { bar, time } => {
                write!(
                    f,
                    "bar {bar} (time {time}) does not begin after the bar before it; sort the bars and drop duplicates"
                )
            }
            Self::NotFinite { bar, column, .. } => write!(f, "the {column} of bar {bar} is not a finite number"),
            Self::HighTooLow { bar, column, .. } => write!(f, "the {column} of bar {bar} is above its high"),
            Self::LowTooHigh { bar, column, .. } => write!(f, "the {column} of bar {bar} is below its low"),
            Self::NegativeVolume { bar, .. } => write!(f, "the volume of bar {bar} is below 0"),
            Self::Tick(tick) => write!(f, "a tick of {tick} is not a finite number above 0"),
            Self::Digits(digits) => {
                write!(
                    f,
                    "{digits} digits behind the point are more than {}, which a double can hold",
                    TickGrid::MAX_DIGITS
                )
            }
            Self::Period(period) => {
                write!(f, "a period of {period} ms is not above 0; leave it out if bars differ in length")
            }
        }
    }
}

impl std::error::Error for BarsError {}

impl BarsError {
    /// The time of the bar at fault in epoch milliseconds, and what is wrong with it, as in "its close is above its high". `None` if
    /// the fault is not that of a bar.
    #[must_use]
    pub fn fault(&self) -> Option<(i64, String)> {
        match self {
            Self::TimeNotAscending { time, .. } => {
                Some((*time, "it does not begin after the one before it".to_owned()))
            }
            Self::NotFinite { time, column, .. } => Some((*time, format!("its {column} is not a finite number"))),
            Self::HighTooLow { time, column, .. } => Some((*time, format!("its {column} is above its high"))),
            Self::LowTooHigh { time, column, .. } => Some((*time, format!("its {column} is below its low"))),
            Self::NegativeVolume { time, .. } => Some((*time, "its volume is below 0".to_owned())),
            Self::Length { .. } | Self::Tick(_) | Self::Digits(_) | Self::Period(_) => None,
        }
    }
}

fn check(columns: &Columns) -> Result<(), BarsError> {
    let prices = [
        (ColumnName::Open, &columns.open),
        (ColumnName::High, &columns.high),
        (ColumnName::Low, &columns.low),
        (ColumnName::Close, &columns.close),
        (ColumnName::Volume, &columns.volume),
    ];
    let expected = columns.time.len();
    if let Some((column, entries)) = prices.iter().find(|(_, entries)| entries.len() != expected) {
        return Err(BarsError::Length { column: *column, length: entries.len(), expected });
    }
    for bar in 0..expected {
        let time = columns.time[bar];
        if bar > 0 && time <= columns.time[bar - 1] {
            return Err(BarsError::TimeNotAscending { bar, time });
        }
        if let Some((column, _)) = prices.iter().find(|(_, entries)| !entries[bar].is_finite()) {
            return Err(BarsError::NotFinite { bar, time, column: *column });
        }
        let (high, low) = (columns.high[bar], columns.low[bar]);
        let inside =
            [(ColumnName::Low, low), (ColumnName::Open, columns.open[bar]), (ColumnName::Close, columns.close[bar])];
        for (column, price) in inside {
            if price > high {
                return Err(BarsError::HighTooLow { bar, time, column });
            }
            if price < low {
                return Err(BarsError::LowTooHigh { bar, time, column });
            }
        }
        if columns.volume[bar] < 0.0 {
            return Err(BarsError::NegativeVolume { bar, time });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns {
            time: vec![10, 20, 30],
            open: vec![1.0, 2.0, 3.0],
            high: vec![1.5, 2.5, 3.5],
            low: vec![0.5, 1.5, 2.5],
            close: vec![1.2, 2.2, 3.2],
            volume: vec![1.0, 0.0, 2.0],
        }
    }

    fn refusal(change: impl FnOnce(&mut Columns)) -> BarsError {
        let mut columns = columns();
        change(&mut columns);
        Bars::new(columns, TickGrid::of_digits(1).unwrap(), None).unwrap_err()
    }

    #[test]
    fn the_first_bar_at_fault_is_named() {
        use ColumnName::{Close, Low, Open, Volume};
        assert_eq!(refusal(|c| c.volume.truncate(2)), BarsError::Length { column: Volume, length: 2, expected: 3 });
        assert_eq!(refusal(|c| c.time[1] = 10), BarsError::TimeNotAscending { bar: 1, time: 10 });
        assert_eq!(refusal(|c| c.close[2] = f64::NAN), BarsError::NotFinite { bar: 2, time: 30, column: Close });
        assert_eq!(refusal(|c| c.volume[0] = f64::INFINITY), BarsError::NotFinite { bar: 0, time: 10, column: Volume });
        assert_eq!(refusal(|c| c.open[1] = 2.6), BarsError::HighTooLow { bar: 1, time: 20, column: Open });
        assert_eq!(refusal(|c| c.close[1] = 1.4), BarsError::LowTooHigh { bar: 1, time: 20, column: Close });
        assert_eq!(refusal(|c| c.low[0] = 1.6), BarsError::HighTooLow { bar: 0, time: 10, column: Low });
        assert_eq!(refusal(|c| c.volume[2] = -1.0), BarsError::NegativeVolume { bar: 2, time: 30 });
        let fault = refusal(|c| c.low[0] = 1.6).fault();
        assert_eq!(fault, Some((10, "its low is above its high".to_owned())));
        assert_eq!(refusal(|c| c.volume.truncate(2)).fault(), None);
    }

    #[test]
    fn grids_and_periods_are_checked() {
        for tick in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(TickGrid::new(tick, 2).is_err(), "{tick}");
        }
        assert!(TickGrid::of_digits(16).is_err());
        assert_eq!(TickGrid::of_digits(5).unwrap(), TickGrid::new(0.00001, 5).unwrap());
        assert_eq!(TickGrid::of_digits(0).unwrap(), TickGrid::new(1.0, 0).unwrap());
        assert_eq!(Bars::new(columns(), TickGrid::of_digits(1).unwrap(), Some(0)).unwrap_err(), BarsError::Period(0));
    }

    #[test]
    fn slices_share_columns_and_stay_inside() {
        let bars = Bars::new(columns(), TickGrid::of_digits(1).unwrap(), Some(10)).unwrap();
        let tail = bars.slice(1..9);
        assert_eq!((tail.time(), tail.high(), tail.volume()), (&[20, 30][..], &[2.5, 3.5][..], &[0.0, 2.0][..]));
        assert_eq!(tail.slice(1..2).close(), [3.2]);
        assert!(tail.slice(5..7).is_empty() && tail.slice(1..1).is_empty());
        assert!(tail.is_same(&bars.slice(1..3)) && !tail.is_same(&bars));
        let copy = Bars::new(columns(), TickGrid::of_digits(1).unwrap(), Some(10)).unwrap();
        assert!(!copy.is_same(&bars));
        assert!(Bars::new(Columns::default(), TickGrid::of_digits(1).unwrap(), None).unwrap().is_empty());
    }
}
