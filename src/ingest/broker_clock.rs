//! Candles in the future. Nearly always they carry the time of a broker whose clock is ahead of UTC.

use candle::{SentTime, Timeframe, Timestamp, UtcOffset};

/// A candle may open this many seconds ahead of the server's clock, because clocks differ.
pub(super) const CLOCK_TOLERANCE_SECONDS: i64 = 60;

/// The candles of one batch that open in the future, as evidence of the broker's offset.
#[derive(Debug, Default)]
pub(super) struct FutureCandles {
    newest: Option<LatestReading>,
    /// True if one of them names its zone. An offset beside a zone is refused.
    names_zone: bool,
}

/// The candle with the latest reading of the broker's clock.
#[derive(Debug, Clone, Copy)]
struct LatestReading {
    reading: i64,
    /// The maximum length of its period in seconds; `None` if its timeframe is unknown.
    length: Option<i64>,
}

impl FutureCandles {
    /// Notes a candle that opens in the future.
    pub(super) fn note(&mut self, sent: SentTime, timeframe: Option<Timeframe>) {
        const LONGEST_MONTH_SECONDS: i64 = 31 * 24 * 3600;
        let length = timeframe.map(|timeframe| timeframe.length().unwrap_or(LONGEST_MONTH_SECONDS));
        let newest = self.newest.get_or_insert(LatestReading { reading: sent.reading, length });
        if sent.reading > newest.reading {
            *newest = LatestReading { reading: sent.reading, length };
        } else if sent.reading == newest.reading {
            newest.length = [newest.length, length].into_iter().flatten().min();
        }
        self.names_zone |= sent.names_zone;
    }

    /// Advice that holds for all of them: the offsets that would explain them. Only the sender knows which one is right.
    pub(super) fn advice(&self, now: Timestamp) -> Option<String> {
        let newest = self.newest?;
        let ahead = newest.reading - now.seconds();
        let lower_bound = ahead - CLOCK_TOLERANCE_SECONDS;
        // Without a timeframe only a lower bound is known.
        let of_running = newest.length.map(|length| offsets_of_a_running_candle(ahead, length)).unwrap_or_default();
        let least_of_older = of_running.last().map_or(lower_bound, |last| last + 1);
        let of_older = newest.length.and_then(|_| whole_hour_from(least_of_older));
        if of_running.is_empty()
            && of_older.is_none()
            && (newest.length.is_some() || lower_bound > UtcOffset::MAX_SECONDS)
        {
            return Some(
                "no broker's clock explains that; check the clocks of terminal and server and the unit of the time"
                    .to_owned(),
            );
        }
        let candidates = match (listed(&of_running), of_older) {
            (None, None) => String::new(),
            (None, Some(first)) => format!(": {first} or a greater whole hour would fit"),
            (Some(running), None) => format!(": {running} would fit"),
            (Some(running), Some(_)) => format!(
                ": {running} would fit if the candle is the one that is forming, or a greater whole hour if it is older"
            ),
        };
        // Some terminals append a Z to broker time, beside which an offset is refused.
        let without_zone = if self.names_zone { " with times as 2025.08.03 13:00, without a zone" } else { "" };
        Some(format!(
            "this looks like broker time, whose utc_offset is {lower_bound} or more{candidates}; send \
             TimeTradeServer()-TimeGMT() of MQL5, rounded to 900, as utc_offset{without_zone}, or send UTC"
        ))
    }
}

/// The offsets in use that are not whole hours (IANA time zone database).
const FRACTIONAL_OFFSETS_SECONDS: [i64; 10] =
    [-12_600, 12_600, 16_200, 19_800, 20_700, 23_400, 31_500, 34_200, 37_800, 45_900];

/// The offsets by which a candle `ahead` of now, of this `length`, has begun and not ended. Most brokers' offsets are whole hours,
/// so that others count only where no whole hour fits.
fn offsets_of_a_running_candle(ahead: i64, length: i64) -> Vec<i64> {
    let fitting = |offsets: &mut dyn Iterator<Item = i64>, tolerance: i64| -> Vec<i64> {
        let end = ahead + length + tolerance;
        offsets.filter(|offset| (ahead - CLOCK_TOLERANCE_SECONDS..end).contains(offset)).collect()
    };
    let whole_hours = || (1..=UtcOffset::MAX_SECONDS / 3600).map(|hours| hours * 3600);
    let tries = [0, CLOCK_TOLERANCE_SECONDS].map(|tolerance| fitting(&mut whole_hours(), tolerance));
    let fractional =
        [0, CLOCK_TOLERANCE_SECONDS].map(|tolerance| fitting(&mut FRACTIONAL_OFFSETS_SECONDS.into_iter(), tolerance));
    tries.into_iter().chain(fractional).find(|offsets| !offsets.is_empty()).unwrap_or_default()
}

/// The first whole hour from `least` on that is a valid offset.
fn whole_hour_from(least: i64) -> Option<i64> {
    let offset = least.max(1).div_euclid(3600) * 3600;
    let offset = if offset < least { offset + 3600 } else { offset };
    Some(offset).filter(|offset| (1..=UtcOffset::MAX_SECONDS).contains(offset))
}

/// Formats numbers as a list in a sentence.
fn listed(numbers: &[i64]) -> Option<String> {
    let (last, others) = numbers.split_last()?;
    if others.is_empty() {
        return Some(last.to_string());
    }
    let others = others.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    Some(format!("{others} or {last}"))
}
