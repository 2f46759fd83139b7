//! Candles from the future: nearly always they carry the time of a broker whose clock is ahead of UTC.

use crate::candle::{SentTime, Timeframe, Timestamp, UtcOffset};

/// Seconds that a candle may open ahead of the server's clock, because clocks differ.
pub(super) const CLOCK_TOLERANCE: i64 = 60;

/// The candles of one batch that open in the future, as far as they tell the broker's clock.
#[derive(Debug, Default)]
pub(super) struct FutureCandles {
    newest: Option<Newest>,
    /// True if any names its zone, beside which an offset is refused.
    names_zone: bool,
}

/// The one whose clock showed the latest time.
#[derive(Debug, Clone, Copy)]
struct Newest {
    reading: i64,
    /// Seconds that it lasts at most; `None` if its timeframe is not known.
    length: Option<i64>,
}

impl FutureCandles {
    /// Takes in a candle that opens in the future.
    pub(super) fn note(&mut self, sent: SentTime, timeframe: Option<Timeframe>) {
        const LONGEST_MONTH: i64 = 31 * 24 * 3600;
        let length = timeframe.map(|timeframe| timeframe.length().unwrap_or(LONGEST_MONTH));
        let newest = self.newest.get_or_insert(Newest { reading: sent.reading, length });
        if sent.reading > newest.reading {
            *newest = Newest { reading: sent.reading, length };
        } else if sent.reading == newest.reading {
            newest.length = [newest.length, length].into_iter().flatten().min();
        }
        self.names_zone |= sent.names_zone;
    }

    /// Advice about all of them: the offsets that would explain them, of which only the sender knows the right one.
    pub(super) fn advice(&self, now: Timestamp) -> Option<String> {
        let newest = self.newest?;
        let ahead = newest.reading - now.seconds();
        let lower_bound = ahead - CLOCK_TOLERANCE;
        let offsets = newest.length.map(|length| explaining_offsets(ahead, length));
        let fitting = match offsets.as_deref() {
            None if lower_bound <= UtcOffset::MAX_SECONDS => String::new(),
            None | Some([]) => {
                const UNEXPLAINED: &str =
                    "no broker's clock explains that; check the clocks of terminal and server and the unit of the time";
                return Some(UNEXPLAINED.to_owned());
            }
            Some([only]) => format!(" and {only} would fit"),
            Some([others @ .., last]) => {
                let others = others.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                format!(" and {others} or {last} would fit")
            }
        };
        // Terminals append a Z to broker time; the offset is refused beside it.
        let without_zone = if self.names_zone { " with times as 2025.08.03 13:00, without a zone" } else { "" };
        Some(format!(
            "this looks like broker time, whose utc_offset is {lower_bound} or more{fitting}; send \
             TimeTradeServer()-TimeGMT() of MQL5, rounded to 900, as utc_offset{without_zone}, or send UTC"
        ))
    }
}

/// The offsets under which a candle whose clock showed a time `ahead` of now would have begun and not ended. Brokers keep whole
/// hours, rarely half or quarter ones, so finer ones count only where no coarser one fits.
fn explaining_offsets(ahead: i64, length: i64) -> Vec<i64> {
    let fitting = |step: i64, tolerance: i64| -> Vec<i64> {
        let first = (ahead - CLOCK_TOLERANCE + step - 1).div_euclid(step);
        let multiples = (first..).map(|n| n * step);
        let end = (ahead + length + tolerance).min(UtcOffset::MAX_SECONDS + 1);
        multiples.take_while(|&offset| offset < end).collect()
    };
    let tries = [3600, 1800, 900].into_iter().flat_map(|step| [(step, 0), (step, CLOCK_TOLERANCE)]);
    tries.map(|(step, tolerance)| fitting(step, tolerance)).find(|offsets| !offsets.is_empty()).unwrap_or_default()
}
