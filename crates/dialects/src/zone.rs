//! Evidence about a file's zone from its weekends. Foreign exchange trades from Sunday 17:00 to Friday 17:00 in New York, so that
//! under the right zone the last candle of each week ends then. This is evidence for people, and chooses nothing.

use std::fmt::Write as _;

use calendar::{AlignmentError, ClockReading, WallClock};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// Friday 17:00 in seconds of a week that begins on Thursday, as 1970 did.
const FRIDAY_17: i64 = DAY + 17 * HOUR;
/// The maximum distance from 17:00 at which the last candle may end, because brokers close some minutes earlier and quiet minutes have no candle.
const TOLERANCE: i64 = 15 * 60;
/// The shortest and the longest gap that may be a weekend of foreign exchange, which has 48 hours. That of shares is longer.
const WEEKEND: std::ops::RangeInclusive<i64> = 44 * HOUR..=54 * HOUR;
/// The maximum number of weekends that are kept: 80 years of them.
const MAX_WEEKENDS: usize = 4096;
/// The zones that files of candles usually have.
const USUAL: [&str; 9] =
    ["ny+7", "Europe/Athens", "UTC", "-05:00", "America/New_York", "Europe/London", "+01:00", "+02:00", "+03:00"];
/// The share of weekends from which on a file is taken to have those of foreign exchange.
const MIN_SHARE_PERCENT: usize = 80;

/// Parses the name of a zone as `--tz` takes it.
///
/// # Errors
/// When there is no such zone. The message is a clause whose subject is the text.
pub fn parse_zone(text: &str) -> Result<WallClock, String> {
    WallClock::parse(text).map_err(|error| match error {
        AlignmentError::UnknownZone(_, Some(_)) | AlignmentError::NotAnOffset => {
            error.to_string().replace("; send one", "; give one")
        }
        _ => "is not a known time zone; give UTC, ny+7 (New York + 7 h, as most brokers have it), a zone such as \
              Europe/Athens, or an offset such as +03:00"
            .to_owned(),
    })
}

/// A zone for people: `New York + 7 h` for `ny+7`, and otherwise the name itself.
#[must_use]
pub fn zone_title(clock: &WallClock) -> String {
    match clock.to_string().as_str() {
        "ny+7" => "New York + 7 h".to_owned(),
        name => name.to_owned(),
    }
}

/// The zone that a header names, as in `Gmt time` and `Time (EET)`.
pub(crate) fn named_in_header(header: &str) -> Option<&'static str> {
    let lower = header.to_lowercase();
    if lower.contains("gmt") || lower.contains("utc") {
        return Some("UTC");
    }
    // Dukascopy's EET has the summer time of the European Union.
    lower.contains("eet").then_some("Europe/Athens")
}

/// The weekends of a file: for each the reading at which its last candle ends and that at which the next one opens.
#[derive(Debug, Default, Clone)]
pub struct Weekends(Vec<(i64, i64)>);

/// The evidence of the weekends about a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The number of weekends.
    pub weekends: usize,
    /// Those that begin at 17:00 in New York under the zone, if one is given.
    pub fit: Option<usize>,
    /// The usual zones under which at least one weekend does, and their numbers of weekends, highest first.
    pub usual: Vec<(&'static str, usize)>,
}

impl Weekends {
    /// Adds the gap between two candles, if it may be a weekend.
    pub(crate) fn add(&mut self, end: i64, next: i64) {
        if WEEKEND.contains(&(next - end)) && self.0.len() < MAX_WEEKENDS {
            self.0.push((end, next));
        }
    }

    /// Counts the weekends that begin at 17:00 in New York under `clock`, and under the usual zones. Returns `None`
    /// if four of five do under none of them, as in files of shares or of assets that always trade.
    #[must_use]
    pub fn evidence(&self, clock: Option<&WallClock>) -> Option<Evidence> {
        let fit = clock.map(|clock| self.fit(clock));
        let mut usual: Vec<_> = USUAL
            .iter()
            .filter_map(|&name| Some((name, self.fit(&WallClock::parse(name).ok()?))))
            .filter(|&(_, count)| count > 0)
            .collect();
        usual.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let best = usual.first().map_or(0, |&(_, count)| count).max(fit.unwrap_or(0));
        (best > 0 && best * 100 >= self.0.len() * MIN_SHARE_PERCENT).then_some(Evidence {
            weekends: self.0.len(),
            fit,
            usual,
        })
    }

    fn fit(&self, clock: &WallClock) -> usize {
        let Ok(new_york) = WallClock::parse("America/New_York") else { return 0 };
        let mut clock = clock.clone();
        let mut begins_at_17 = |end: i64| {
            let ClockReading::Once(instant) = clock.instant(end) else { return false };
            (new_york.reading(instant).rem_euclid(WEEK) - FRIDAY_17).abs() <= TOLERANCE
        };
        self.0.iter().filter(|&&(end, _)| begins_at_17(end)).count()
    }
}

impl Evidence {
    /// The best of the usual zones, if it fits better than the given one by two weekends or more.
    #[must_use]
    pub fn better(&self) -> Option<(&'static str, usize)> {
        let fit = self.fit?;
        self.usual.first().copied().filter(|&(_, count)| count >= fit + 2 || (fit == 0 && count > 0))
    }

    /// The zones as a part of a sentence: `with New York + 7 h, 363 of 364 weekends begin at 17:00 in New York; …`.
    /// It names three zones, even if no weekend fits them.
    #[must_use]
    pub fn comparison(&self) -> String {
        let mut zones: Vec<(&str, usize)> = self.usual.iter().take(3).copied().collect();
        for name in &USUAL[..3] {
            if zones.len() < 3 && !zones.iter().any(|(other, _)| other == name) {
                zones.push((name, 0));
            }
        }
        let title = |name: &str| WallClock::parse(name).map_or_else(|_| name.to_owned(), |clock| zone_title(&clock));
        let mut text = String::new();
        for (place, (name, count)) in zones.iter().enumerate() {
            let title = title(name);
            let count = if *count == 0 { "none".to_owned() } else { count.to_string() };
            if place == 0 {
                text = format!("with {title}, {count} of {} begin at 17:00 in New York", weekends(self.weekends));
            } else {
                let _ = write!(text, "; with {title} {count}");
            }
        }
        text
    }
}

/// A number of weekends.
fn weekends(count: usize) -> String {
    if count == 1 { "1 weekend".to_owned() } else { format!("{count} weekends") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weekends of `years` of a broker in `zone`, on minutes.
    fn of(zone: &str, years: i64) -> Weekends {
        let clock = WallClock::parse(zone).unwrap();
        let mut new_york = WallClock::parse("America/New_York").unwrap();
        let mut found = Weekends::default();
        // 2019-01-04 was a Friday.
        let friday = candle::parse_bound("2019-01-04", None).unwrap() / 1000;
        for week in 0..years * 52 {
            let mut at = |day: i64| match new_york.instant(friday + week * WEEK + day * DAY + 17 * HOUR) {
                ClockReading::Once(instant) => clock.reading(instant),
                other => panic!("{other:?}"),
            };
            let (end, next) = (at(0), at(2));
            found.add(end - 60, next + 300);
        }
        found
    }

    #[test]
    fn every_wrong_zone_is_named() {
        let zones = ["ny+7", "Europe/Athens", "UTC", "-05:00"];
        for right in zones {
            let weekends = of(right, 7);
            for given in zones {
                let evidence = weekends.evidence(Some(&WallClock::parse(given).unwrap())).unwrap();
                let better = evidence.better();
                assert_eq!(evidence.weekends, 364);
                if given == right {
                    assert_eq!((evidence.fit, better), (Some(364), None), "{right}");
                } else {
                    assert_eq!(better, Some((right, 364)), "{given} in place of {right}");
                }
            }
        }
    }

    #[test]
    fn without_a_zone_the_candidates_are_compared() {
        let evidence = of("ny+7", 7).evidence(None).unwrap();
        let [athens, rest @ ..] = &evidence.usual[1..] else { panic!("{evidence:?}") };
        assert!(athens.0 == "Europe/Athens" && (330..345).contains(&athens.1), "{evidence:?}");
        assert!(rest.iter().all(|(name, _)| *name != "UTC"), "{evidence:?}");
        assert!(
            evidence.comparison().starts_with(
                "with New York + 7 h, 364 of 364 weekends begin at 17:00 in New York; with Europe/Athens 3"
            )
        );
    }

    #[test]
    fn markets_with_other_hours_are_no_evidence() {
        let (mut shares, mut others) = (Weekends::default(), Weekends::default());
        let friday = candle::parse_bound("2019-01-04T16:00:00Z", None).unwrap() / 1000;
        for week in 0..100 {
            let end = friday + week * WEEK;
            shares.add(end, end + 2 * DAY + 17 * HOUR + 1800);
            others.add(end + week * 7200, end + week * 7200 + 2 * DAY);
        }
        assert_eq!((shares.0.len(), shares.evidence(None)), (0, None));
        assert_eq!((others.0.len(), others.evidence(None)), (100, None));
        assert_eq!(Weekends::default().evidence(Some(&WallClock::utc())), None);
    }

    #[test]
    fn zones_have_names_and_mistakes_have_advice() {
        assert_eq!(zone_title(&parse_zone("NY+7").unwrap()), "New York + 7 h");
        assert_eq!(parse_zone("+03:00").unwrap().to_string(), "+03:00");
        for (text, said) in [
            ("Europe/Athen", "did you mean Europe/Athens?"),
            ("ny", "give UTC, ny+7"),
            ("+3", "give one such as +03:00"),
            ("", "give UTC"),
        ] {
            let error = parse_zone(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert_eq!(named_in_header("Time (EET)"), Some("Europe/Athens"));
        assert_eq!(named_in_header("Gmt time"), Some("UTC"));
        assert_eq!(named_in_header("Local time"), None);
    }
}
