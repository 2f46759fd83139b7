//! Candles as columns, which is how the protocol answers bars.

use serde::Serialize;

use super::resolution::Resolution;
use crate::store::StoredCandle;

/// The answer where there are no bars.
#[derive(Serialize)]
struct NoData {
    s: &'static str,
    /// The time of the nearest earlier bar in seconds, under both names that clients read.
    #[serde(rename = "nextTime", skip_serializing_if = "Option::is_none")]
    next_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nb: Option<i64>,
}

/// Encodes the absence of bars, with the time of the nearest earlier one if there is any.
pub(super) fn no_data(earlier: Option<i64>) -> Vec<u8> {
    serde_json::to_vec(&NoData { s: "no_data", next_time: earlier, nb: earlier }).unwrap_or_default()
}

/// Encodes candles, oldest first, as bars with the digits that are stored. Charts take one bar for each time, so of two candles
/// whose bars would have the same time the later one is encoded, and the openings of the others are returned as well.
pub(super) fn bars<'a>(resolution: Resolution, candles: impl Iterator<Item = StoredCandle<'a>>) -> (Vec<u8>, Vec<i64>) {
    let mut bars: Vec<(i64, StoredCandle<'a>)> = Vec::new();
    let mut left_out = Vec::new();
    for candle in candles {
        let time = resolution.bar_time(candle.time);
        if let Some((_, earlier)) = bars.pop_if(|(last, _)| *last == time) {
            left_out.push(earlier.time);
        }
        bars.push((time, candle));
    }
    let mut json = Vec::with_capacity(bars.len() * MAX_COMMON_BYTES_A_BAR + 64);
    json.extend_from_slice(br#"{"s":"ok""#);
    let mut number = itoa::Buffer::new();
    column(&mut json, "t", &bars, |json, (time, _)| json.extend_from_slice(number.format(*time).as_bytes()));
    for (position, name) in ["o", "h", "l", "c"].into_iter().enumerate() {
        column(&mut json, name, &bars, |json, (_, candle)| json.extend_from_slice(candle.prices[position].as_bytes()));
    }
    let mut number = itoa::Buffer::new();
    column(&mut json, "v", &bars, |json, (_, candle)| {
        json.extend_from_slice(number.format(candle.volume).as_bytes());
    });
    json.push(b'}');
    json.shrink_to_fit();
    (json, left_out)
}

/// The number of bytes that a bar takes unless its prices or its volume are long.
const MAX_COMMON_BYTES_A_BAR: usize = 64;

fn column<'a>(
    json: &mut Vec<u8>,
    name: &str,
    bars: &[(i64, StoredCandle<'a>)],
    mut write: impl FnMut(&mut Vec<u8>, &(i64, StoredCandle<'a>)),
) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":[");
    for (position, bar) in bars.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        write(json, bar);
    }
    json.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn candle(time: i64) -> StoredCandle<'static> {
        StoredCandle { time, prices: ["1.10", "1.20", "-0.5", "1.1500"], volume: 7, closed: false }
    }

    #[test]
    fn bars_keep_their_digits() {
        let minute = Resolution::parse("1").unwrap();
        let (json, left_out) = bars(minute, [candle(60_000), candle(120_000)].into_iter());
        let expected =
            r#"{"s":"ok","t":[60,120],"o":[1.10,1.10],"h":[1.20,1.20],"l":[-0.5,-0.5],"c":[1.1500,1.1500],"v":[7,7]}"#;
        assert_eq!((String::from_utf8(json).unwrap().as_str(), left_out.len()), (expected, 0));
    }

    #[test]
    fn of_two_days_with_one_date_the_later_is_encoded() {
        let days = [candle(-11 * HOUR), candle(0), candle(11 * HOUR), candle(24 * HOUR)];
        let (json, left_out) = bars(Resolution::Day, days.into_iter());
        assert!(String::from_utf8(json).unwrap().starts_with(r#"{"s":"ok","t":[0,86400],"#));
        assert_eq!(left_out, [-11 * HOUR, 0]);
    }

    #[test]
    fn the_absence_of_bars_names_the_nearest_earlier_one() {
        assert_eq!(no_data(None), br#"{"s":"no_data"}"#);
        assert_eq!(no_data(Some(60)), br#"{"s":"no_data","nextTime":60,"nb":60}"#);
    }
}
