//! The parameters of a stream.

use live::{Position, Start};

use crate::query::{Parameters, parse_series};
use crate::store::SeriesKey;
use crate::validation::FieldError;
use candle::{Rule, ValueError};

/// The maximum number of series of one stream.
pub const MAX_SERIES: usize = 32;

/// A question for a stream.
#[derive(Debug)]
pub(super) struct Request {
    /// The series and where each begins.
    pub(super) series: Vec<(SeriesKey, Start)>,
    /// The time up to which the client knows the record of changes, in epoch milliseconds, if it comes back.
    pub(super) record: Option<i64>,
}

impl Request {
    /// Reads a query string. A position outranks the times beside the series; one of another shape counts as none.
    ///
    /// # Errors
    /// Every error in it.
    pub(super) fn parse(query: &str, last_event_id: Option<&str>) -> Result<Self, Vec<FieldError>> {
        let mut parameters = Parameters::read_with(query, &["series", "last_event_id"], &["series"]);
        if !parameters.has("series") {
            parameters.refuse(
                "series",
                Rule::Missing.name(),
                "is missing; send a timeframe and a symbol, as in M1:EURUSD",
            );
        }
        let mut series = parameters.all("series", parse_start);
        if series.len() > MAX_SERIES {
            let message = format!(
                "is given {} times, and a stream carries at most {MAX_SERIES} series; open a second one for the others",
                series.len()
            );
            parameters.refuse("series", Rule::OutOfRange.name(), message);
        }
        let twice =
            series.iter().enumerate().find(|(index, (key, _))| series[..*index].iter().any(|(it, _)| it == key));
        if let Some((_, (key, _))) = twice {
            let message = format!("names {}:{} twice; name each series once", key.timeframe, key.symbol);
            parameters.refuse("series", "duplicate", message);
        }
        let from_query = parameters.optional("last_event_id", |text| Ok::<_, ValueError>(text.to_owned()));
        let position = last_event_id.or(from_query.as_deref()).and_then(|text| Position::parse(text, series.len()));
        if let Some(position) = &position {
            for ((_, start), newest) in series.iter_mut().zip(&position.newest) {
                *start = Start::From(newest.unwrap_or(i64::MIN));
            }
        }
        parameters.valid(Self { series, record: position.map(|position| position.record) })
    }
}

/// `TIMEFRAME:SYMBOL` or `TIMEFRAME@TIME:SYMBOL`.
fn parse_start(text: &str) -> Result<(SeriesKey, Start), ValueError> {
    let Some((timeframe, rest)) = text.split_once('@').filter(|(timeframe, _)| !timeframe.contains(':')) else {
        return Ok((parse_series(text)?, Start::Newest));
    };
    let not_a_time = || {
        let message = "must have an opening time in epoch milliseconds after the @, as in M1@1754265660000:EURUSD";
        ValueError::new(Rule::NotATime, message)
    };
    let (time, symbol) = rest.split_once(':').ok_or_else(not_a_time)?;
    let time = time.parse().map_err(|_| not_a_time())?;
    Ok((parse_series(&format!("{timeframe}:{symbol}"))?, Start::From(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(query: &str, id: Option<&str>) -> Vec<Start> {
        Request::parse(query, id).unwrap().series.into_iter().map(|(_, start)| start).collect()
    }

    #[test]
    fn a_position_outranks_the_times_beside_the_series() {
        let query = "series=M1@60000:EURUSD&series=H1:A@B:C";
        assert_eq!(starts(query, None), [Start::From(60_000), Start::Newest]);
        assert_eq!(starts(query, Some("1.2.-~1")), [Start::From(2_000), Start::From(i64::MIN)]);
        assert_eq!(starts(&format!("{query}&last_event_id=1.2.3~1"), None), [Start::From(2_000), Start::From(3_000)]);
        for other in ["", "1.2~1", "2.2.3~1", "1.2.3.4~1", "1.2.x y~1", "nonsense"] {
            assert_eq!(starts(query, Some(other)), [Start::From(60_000), Start::Newest], "{other}");
        }
    }

    #[test]
    fn wrong_series_are_refused() {
        let many = (0..33).map(|n| format!("series=M1:S{n}")).collect::<Vec<_>>().join("&");
        for (query, kind) in [
            ("", "missing"),
            ("series=EURUSD", "wrong_type"),
            ("series=M1@x:EURUSD", "not_a_time"),
            ("series=M1@5", "not_a_time"),
            ("series=M1:A&series=M1@5:A", "duplicate"),
            (&many, "out_of_range"),
        ] {
            assert_eq!(Request::parse(query, None).unwrap_err()[0].kind, kind, "{query}");
        }
    }
}
