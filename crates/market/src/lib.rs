//! An invented market: candles of six symbols for any minute since 2000, always the same ones.
//!
//! A price is a sum of smooth noise over spans from two years down to 25 seconds ([`noise`]), each with a height in
//! proportion to the square root of its span, as in a random walk. Any instant is therefore computed by itself,
//! history and live candles fit together, and two programs invent the same market. Forex rests from Friday to Sunday
//! 17:00 in New York, and its volume follows the hours of London and New York.
//!
//! ```
//! let mut market = market::Market::new();
//! let eurusd = &market::INSTRUMENTS[0];
//! let noon = 1_754_395_200_000;
//! let candle = market.candle(eurusd, noon).expect("it trades on a Tuesday at noon");
//! assert_eq!(market.candle(eurusd, noon), Some(candle));
//! let saturday = noon + 4 * 86_400_000;
//! assert_eq!(market.candle(eurusd, saturday), None);
//! ```

mod noise;

use calendar::{Alignment, LocalClock};
use candle::{Candle, Key, Ohlc, Price, Symbol, Timeframe, Timestamp, Volume};
use sessions::Hours;

use noise::Octave;

/// The milliseconds of a minute.
const MINUTE: i64 = 60_000;
/// The milliseconds between two prices of a minute.
const STEP: i64 = 5_000;
const HOUR: f64 = 3_600_000.0;
const YEAR: f64 = 365.25 * 24.0 * HOUR;

/// An instrument of the market.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Instrument {
    /// Its name.
    pub symbol: &'static str,
    /// The number of digits after the point.
    pub digits: u32,
    /// The price around which it moves.
    level: f64,
    /// The size of its moves in a year, as a part of the level.
    volatility: f64,
    /// The number of ticks in a minute of a busy hour.
    ticks: f64,
    /// Its trading hours, in TradingView's notation and New York's time; `None` if it always trades.
    session: Option<&'static str>,
    seed: u64,
}

/// The instruments: three currency pairs, gold, an index and a cryptocurrency.
pub const INSTRUMENTS: [Instrument; 6] = [
    forex("EURUSD", 5, 1.09, 0.05, 1),
    forex("GBPUSD", 5, 1.27, 0.06, 2),
    forex("USDJPY", 3, 149.5, 0.07, 3),
    Instrument { session: Some("1800-1700:23456"), ..forex("XAUUSD", 2, 2350.0, 0.10, 4) },
    Instrument { session: Some("1800-1700:23456"), ..forex("US500", 1, 5200.0, 0.11, 5) },
    Instrument { session: None, ticks: 160.0, ..forex("BTCUSD", 2, 64_000.0, 0.35, 6) },
];

const fn forex(symbol: &'static str, digits: u32, level: f64, volatility: f64, seed: u64) -> Instrument {
    Instrument { symbol, digits, level, volatility, ticks: 110.0, session: Some("1700-1700:23456"), seed }
}

/// The spans of the noise, in milliseconds. Each is about a third of the one before it.
const SPANS: [f64; 12] = [
    2.0 * YEAR,
    0.7 * YEAR,
    0.23 * YEAR,
    680.0 * HOUR,
    230.0 * HOUR,
    76.0 * HOUR,
    25.0 * HOUR,
    8.3 * HOUR,
    2.8 * HOUR,
    0.93 * HOUR,
    0.25 * HOUR,
    0.03 * HOUR,
];
/// The number of long spans. Their noise changes so little within a minute that it is interpolated.
const LONG_SPANS: usize = 8;

/// Invents candles. It keeps New York's offset of the last minute, so minutes near it cost less.
#[derive(Debug, Clone)]
pub struct Market {
    new_york: LocalClock,
    sessions: Vec<Option<Hours>>,
}

impl Default for Market {
    fn default() -> Self {
        Self::new()
    }
}

impl Market {
    /// The market.
    ///
    /// # Panics
    /// Never: the sessions of [`INSTRUMENTS`] are valid, as a test shows.
    #[must_use]
    pub fn new() -> Self {
        let hours =
            |instrument: &Instrument| Some(Hours::parse(instrument.session?).unwrap_or_else(|_| unreachable!()));
        let new_york = Alignment::parse("America/New_York").unwrap_or(Alignment::UTC).clock();
        Self { new_york, sessions: INSTRUMENTS.iter().map(hours).collect() }
    }

    /// True if an instrument trades in the minute that holds an instant, in epoch milliseconds.
    pub fn is_open(&mut self, instrument: &Instrument, time: i64) -> bool {
        let position = INSTRUMENTS.iter().position(|other| other.symbol == instrument.symbol);
        let Some(Some(hours)) = position.and_then(|position| self.sessions.get(position)) else { return true };
        hours.hold(week_minute(time + self.new_york.ahead_of_utc(time)))
    }

    /// The M1 candle of the minute that begins at `opened`, in epoch milliseconds; `None` where the instrument does not
    /// trade.
    pub fn candle(&mut self, instrument: &Instrument, opened: i64) -> Option<Candle> {
        self.forming(instrument, opened, opened + MINUTE)
    }

    /// The same candle as it is at `now`, before the minute has ended.
    pub fn forming(&mut self, instrument: &Instrument, opened: i64, now: i64) -> Option<Candle> {
        if now < opened || !self.is_open(instrument, opened) {
            return None;
        }
        let activity = activity(opened + self.new_york.ahead_of_utc(opened));
        let path = Path::new(instrument, opened, activity);
        let last = ((now - opened - 1).clamp(0, MINUTE - 1)) / STEP;
        let prices = (0..=last).map(|step| path.ticks_at(step * STEP));
        let (mut open, mut high, mut low, mut close) = (0, i64::MIN, i64::MAX, 0);
        for (step, price) in prices.enumerate() {
            if step == 0 {
                open = price;
            }
            (high, low, close) = (high.max(price), low.min(price), price);
        }
        let busy = 0.5 + noise::fraction(instrument.seed, opened / MINUTE);
        let share = f64::from(u32::try_from(last + 1).unwrap_or(1)) * whole(STEP) / whole(MINUTE);
        let volume = 1 + to_whole(instrument.ticks * activity * busy * share);
        let key = Key::new(Symbol::parse(instrument.symbol).ok()?, Timeframe::M1, seconds(opened)?).ok()?;
        let price = |ticks| Price::parse(&decimal(ticks, instrument.digits)).ok();
        let ohlc = Ohlc::new([price(open)?, price(high)?, price(low)?, price(close)?]).ok()?;
        Some(Candle { key, ohlc, volume: Volume::parse(&volume.to_string()).ok()? })
    }
}

/// The prices of one minute.
struct Path<'i> {
    instrument: &'i Instrument,
    opened: i64,
    activity: f64,
    /// The sums of the long spans at the minute's start and at its end.
    long: (f64, f64),
}

impl<'i> Path<'i> {
    fn new(instrument: &'i Instrument, opened: i64, activity: f64) -> Self {
        let sum =
            |time| SPANS[..LONG_SPANS].iter().enumerate().map(|(n, span)| octave(instrument, n, *span).at(time)).sum();
        Self { instrument, opened, activity, long: (sum(opened), sum(opened + MINUTE)) }
    }

    /// The price in units of the last digit, `offset` milliseconds after the minute's start.
    fn ticks_at(&self, offset: i64) -> i64 {
        let within = whole(offset) / whole(MINUTE);
        let long = self.long.0 + (self.long.1 - self.long.0) * within;
        let spans = SPANS.iter().enumerate().skip(LONG_SPANS);
        let short: f64 = spans.map(|(n, span)| octave(self.instrument, n, *span).at(self.opened + offset)).sum();
        let price = self.instrument.level * (1.0 + long + short * self.activity);
        let unit = (0..self.instrument.digits).fold(1.0, |unit, _| unit * 10.0);
        to_whole(price * unit).max(1)
    }
}

fn octave(instrument: &Instrument, number: usize, span: f64) -> Octave {
    // The square root of a number below 4 by Newton's method, because the last digit of a library's root differs
    // between platforms.
    let share = span / YEAR;
    let mut root = 1.0;
    for _ in 0..24 {
        root = 0.5 * (root + share / root);
    }
    Octave { seed: instrument.seed * 64 + number as u64, span, height: instrument.volatility * root }
}

/// The activity of a minute by New York's clock: 1 while London and New York overlap, a fifth at night.
fn activity(local: i64) -> f64 {
    /// Hours of New York's day and their activity, which is interpolated between them.
    const DAY: [(f64, f64); 8] =
        [(0.0, 0.35), (3.0, 0.8), (5.0, 0.7), (8.5, 1.0), (11.0, 0.95), (16.0, 0.4), (18.0, 0.2), (24.0, 0.35)];
    let hour = whole(local.rem_euclid(24 * 60 * MINUTE)) / HOUR;
    let after = DAY.iter().position(|(start, _)| *start > hour).unwrap_or(DAY.len() - 1).max(1);
    let ((start, from), (end, to)) = (DAY[after - 1], DAY[after]);
    from + (to - from) * (hour - start) / (end - start)
}

/// The minute of the week, counted from Monday 00:00. The epoch began on a Thursday.
fn week_minute(local: i64) -> i64 {
    (local.div_euclid(MINUTE) + 3 * 24 * 60).rem_euclid(7 * 24 * 60)
}

fn seconds(millis: i64) -> Option<Timestamp> {
    Timestamp::from_seconds(millis.div_euclid(1000)).ok()
}

/// Writes `ticks` with `digits` digits after the point.
fn decimal(ticks: i64, digits: u32) -> String {
    let unit = 10_i64.pow(digits);
    format!("{}.{:0width$}", ticks / unit, ticks % unit, width = digits as usize)
}

#[expect(clippy::cast_precision_loss, reason = "times and counts are far below 2^53")]
fn whole(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "prices and volumes are far below 2^63")]
fn to_whole(number: f64) -> i64 {
    number.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-08-04T00:00:00Z, a Monday.
    const MONDAY: i64 = 1_754_265_600_000;
    const DAY: i64 = 1440 * MINUTE;

    #[test]
    fn candles_are_valid_and_always_the_same() {
        let (mut market, mut again) = (Market::new(), Market::new());
        for instrument in &INSTRUMENTS {
            for minute in (0..20_000).step_by(7) {
                let opened = MONDAY + minute * MINUTE;
                let candle = market.candle(instrument, opened);
                assert_eq!(candle, again.candle(instrument, opened), "{} {opened}", instrument.symbol);
                assert_eq!(candle.is_some(), market.is_open(instrument, opened));
            }
        }
        // These candles are fixed, so that a change of the code cannot change the market unnoticed.
        let known = |symbol: &str, opened| {
            let instrument = INSTRUMENTS.iter().find(|instrument| instrument.symbol == symbol).unwrap();
            let candle = Market::new().candle(instrument, opened).unwrap();
            let values = candle::OhlcField::ALL.map(|field| candle.ohlc.get(field).to_string()).join(" ");
            format!("{values} {}", candle.volume.get())
        };
        assert_eq!(known("EURUSD", MONDAY + 840 * MINUTE), EURUSD_AT_14);
        assert_eq!(known("BTCUSD", MONDAY), BTCUSD_AT_0);
    }

    const EURUSD_AT_14: &str = "1.00239 1.00239 1.00238 1.00238 146";
    const BTCUSD_AT_0: &str = "44453.03 44462.82 44453.03 44462.82 52";

    #[test]
    fn forex_rests_at_weekends_and_the_index_each_evening() {
        let mut market = Market::new();
        let mut open = |symbol: &str, minutes: i64| {
            let instrument = INSTRUMENTS.iter().find(|instrument| instrument.symbol == symbol).unwrap();
            market.is_open(instrument, MONDAY + minutes * MINUTE)
        };
        let friday_evening = 4 * 1440 + 21 * 60;
        assert!(open("EURUSD", friday_evening - 1) && !open("EURUSD", friday_evening));
        let sunday_evening = 6 * 1440 + 21 * 60;
        assert!(!open("EURUSD", sunday_evening - 1) && open("EURUSD", sunday_evening));
        assert!(open("BTCUSD", friday_evening + 600));
        assert!(!open("US500", 1440 + 21 * 60) && open("US500", 1440 + 22 * 60));
    }

    #[test]
    fn a_forming_candle_grows_into_the_closed_one() {
        let mut market = Market::new();
        for instrument in &INSTRUMENTS {
            let opened = MONDAY + 800 * MINUTE;
            let closed = market.candle(instrument, opened).unwrap();
            let mut before: Option<Candle> = None;
            for now in (opened..=opened + MINUTE).step_by(1000) {
                let forming = market.forming(instrument, opened, now).unwrap();
                assert_eq!(forming.ohlc.get(candle::OhlcField::Open), closed.ohlc.get(candle::OhlcField::Open));
                if let Some(before) = before {
                    assert!(forming.volume.get() >= before.volume.get());
                    assert!(forming.ohlc.get(candle::OhlcField::High) >= before.ohlc.get(candle::OhlcField::High));
                }
                before = Some(forming);
            }
            assert_eq!(before.unwrap(), closed);
            assert_eq!(market.forming(instrument, opened, opened - 1), None);
        }
    }

    /// A day's range and a minute's are of the size that real ones have.
    #[test]
    fn ranges_are_lifelike() {
        let mut market = Market::new();
        let mut range = |minutes: i64| {
            let candles = (0..minutes).filter_map(|minute| market.candle(&INSTRUMENTS[0], MONDAY + minute * MINUTE));
            let prices =
                candles.flat_map(|candle| candle::OhlcField::ALL.map(|field| candle.ohlc.get(field).coefficient()));
            let (mut low, mut high) = (i128::MAX, 0);
            for price in prices {
                (low, high) = (low.min(price), high.max(price));
            }
            high - low
        };
        assert!((200..2000).contains(&range(DAY / MINUTE)), "points of EURUSD in a day");
    }
}
