//! A slow model of resampling: it looks at a clock every minute, and adds candles up one by one. The clocks are written
//! out here, so that the model does not share the service's zones.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

pub const MINUTE: i64 = 60;
pub const DAY: i64 = 86_400;

/// A clock around some instants at which it changed.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The value of `align`.
    pub align: &'static str,
    /// Seconds of the day at which a day begins.
    pub day_start: i64,
    /// Seconds ahead of UTC, from each instant on. The first holds before that, too.
    pub offsets: &'static [(i64, i64)],
}

const HOUR: i64 = 3600;

/// When the clocks of New York changed, from 2024-11-03T06:00:00Z to 2026-03-08T07:00:00Z.
const NEW_YORK: &[(i64, i64)] = &[
    (0, -14_400),
    (1_730_613_600, -18_000),
    (1_741_503_600, -14_400),
    (1_762_063_200, -18_000),
    (1_772_953_200, -14_400),
];
/// When those of Athens did, from 2024-10-27T01:00:00Z to 2026-03-29T01:00:00Z.
const ATHENS: &[(i64, i64)] =
    &[(0, 10_800), (1_729_990_800, 7_200), (1_743_296_400, 10_800), (1_761_440_400, 7_200), (1_774_746_000, 10_800)];
/// When those of Lord Howe did, by half an hour, from 2024-10-05T15:30:00Z to 2026-04-04T15:00:00Z.
const LORD_HOWE: &[(i64, i64)] =
    &[(0, 37_800), (1_728_142_200, 39_600), (1_743_865_200, 37_800), (1_759_591_800, 39_600), (1_775_314_800, 37_800)];
/// When those of Apia did. From 2011-12-30T10:00:00Z on, they skipped a whole day.
const APIA: &[(i64, i64)] = &[(0, -39_600), (1_316_872_800, -36_000), (1_325_239_200, 50_400), (1_333_202_400, 46_800)];

/// Clocks, each with instants around which tests look at it.
pub const CLOCKS: [(Clock, &[i64]); 8] = [
    (Clock { align: "utc", day_start: 0, offsets: &[(0, 0)] }, &[1_741_503_600]),
    (Clock { align: "%2B05:30", day_start: 0, offsets: &[(0, 19_800)] }, &[1_741_503_600]),
    (Clock { align: "-14:00", day_start: 0, offsets: &[(0, -14 * HOUR)] }, &[1_741_503_600]),
    (Clock { align: "ny17", day_start: 17 * HOUR, offsets: NEW_YORK }, &[1_741_503_600, 1_762_063_200]),
    (Clock { align: "Europe/Athens", day_start: 0, offsets: ATHENS }, &[1_743_296_400, 1_761_440_400]),
    (
        // The day begins within the hour that is skipped, and within the one that comes twice.
        Clock { align: "Europe/Athens@03:30", day_start: 3 * HOUR + 30 * MINUTE, offsets: ATHENS },
        &[1_743_296_400, 1_761_440_400],
    ),
    (Clock { align: "Australia/Lord_Howe", day_start: 0, offsets: LORD_HOWE }, &[1_743_865_200, 1_759_591_800]),
    (Clock { align: "Pacific/Apia", day_start: 0, offsets: APIA }, &[1_325_239_200]),
];

impl Clock {
    fn shows(&self, second: i64) -> i64 {
        let offset = self.offsets.iter().rev().find(|(from, _)| *from <= second).unwrap_or(&self.offsets[0]).1;
        second + offset
    }

    /// The days between two instants: start, end and trading date in days since 1970.
    fn days(&self, from: i64, to: i64) -> Vec<(i64, i64, i64)> {
        let mut next = (self.shows(from).div_euclid(DAY) + 1) * DAY + self.day_start;
        let mut starts = Vec::new();
        let mut minute = from.div_euclid(MINUTE) * MINUTE;
        while minute < to {
            if self.shows(minute) >= next {
                starts.push(minute);
                while next <= self.shows(minute) {
                    next += DAY;
                }
            }
            minute += MINUTE;
        }
        starts.windows(2).map(|pair| (pair[0], pair[1], self.shows(pair[1] - 1).div_euclid(DAY))).collect()
    }
}

/// A stored candle of the model.
#[derive(Debug, Clone)]
pub struct Row {
    pub prices: [String; 4],
    pub volume: i64,
    pub closed: bool,
}

/// A built candle: the object that the service answers, by the start of its bucket.
pub type Candles = BTreeMap<i64, String>;

/// The length of a timeframe in seconds; 0 for a month.
pub fn length(timeframe: &str) -> i64 {
    match timeframe.split_at(1) {
        ("M", "N1") => 0,
        ("M", minutes) => minutes.parse::<i64>().unwrap() * MINUTE,
        ("H", hours) => hours.parse::<i64>().unwrap() * HOUR,
        ("D", _) => DAY,
        _ => 7 * DAY,
    }
}

/// Days since 1970 of the first day of the month of a day, and of the next month.
fn month(day: i64) -> i64 {
    let date = chrono::DateTime::from_timestamp(day * DAY, 0).unwrap().date_naive();
    let text = date.format("%Y %m").to_string();
    let (year, month) = text.split_once(' ').unwrap();
    year.parse::<i64>().unwrap() * 12 + month.parse::<i64>().unwrap()
}

/// Builds candles of `timeframe` from all `rows` of `source`.
pub fn build(
    clock: &Clock,
    monday_based_week: i64,
    source: &str,
    timeframe: &str,
    rows: &BTreeMap<i64, Row>,
) -> Candles {
    let (Some((&first, _)), Some((&newest, _))) = (rows.first_key_value(), rows.last_key_value()) else {
        return Candles::new();
    };
    let days = clock.days(first - 45 * DAY, newest + 45 * DAY);
    let day_of = |second: i64| *days.iter().find(|(start, end, _)| *start <= second && second < *end).unwrap();
    let run = |second: i64, key: &dyn Fn(i64) -> i64| {
        let wanted = key(day_of(second).2);
        let same: Vec<_> = days.iter().filter(|(_, _, date)| key(*date) == wanted).collect();
        (same[0].0, same[same.len() - 1].1)
    };
    // 1970-01-01 was a Thursday.
    let week = |date: i64| (date + 3 - monday_based_week).div_euclid(7);
    let bucket_of = |second: i64| match timeframe {
        "D1" => (day_of(second).0, day_of(second).1),
        "W1" => run(second, &week),
        "MN1" => run(second, &month),
        _ => {
            let (day, end, _) = day_of(second);
            let mut start = day;
            while start + length(timeframe) <= second {
                start += length(timeframe);
            }
            (start, end.min(start + length(timeframe)))
        }
    };
    let mut buckets: BTreeMap<(i64, i64), Vec<(i64, &Row)>> = BTreeMap::new();
    for (&second, row) in rows {
        buckets.entry(bucket_of(second)).or_default().push((second, row));
    }
    let mut candles = Candles::new();
    for ((start, end), held) in buckets {
        let number = |text: &String| text.parse::<Decimal>().unwrap().normalize();
        let open = number(&held[0].1.prices[0]);
        let high = held.iter().map(|(_, row)| number(&row.prices[1])).max().unwrap();
        let low = held.iter().map(|(_, row)| number(&row.prices[2])).min().unwrap();
        let (last, row) = held[held.len() - 1];
        let close = number(&row.prices[3]);
        let volume: i64 = held.iter().map(|(_, row)| row.volume).sum();
        let ends = if source == "D1" { day_of(last).1.max(last + DAY) } else { last + length(source) };
        let closed = newest >= end || (row.closed && ends >= end);
        let complete = if closed { "" } else { r#","complete":false"# };
        let text = format!(
            r#"{{"timestamp":{},"open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}{complete}}}"#,
            start * 1000
        );
        candles.insert(start * 1000, text);
    }
    candles
}

/// The answer that holds these candles.
pub fn body<'a>(candles: impl IntoIterator<Item = &'a String>) -> String {
    format!("[{}]", candles.into_iter().cloned().collect::<Vec<_>>().join(","))
}

/// A closed candle as it is posted.
pub fn posted(symbol: &str, timeframe: &str, second: i64, row: &Row) -> Value {
    let [open, high, low, close] = &row.prices;
    serde_json::json!({"symbol": symbol, "timeframe": timeframe, "timestamp": second, "open": open, "high": high, "low": low,
                       "close": close, "volume": row.volume, "complete": row.closed})
}
