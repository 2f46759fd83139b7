//! Parses a query string into the range of candles that it selects.

use std::borrow::Cow;

use url::form_urlencoded;

use super::resample::{self, Resampling};
use crate::store::{Direction, Range};
use crate::validation::{FieldError, MAX_REPORTED_ERRORS};
use calendar::{Alignment, AlignmentError, Weekday, parse_weekday};
use candle::{EpochUnit, Rule, Symbol, Timeframe, ValueError, format_bound, parse_bound};

/// The limit of a query that names none.
pub const DEFAULT_LIMIT: usize = 1000;

/// A valid query. It also builds the query strings of the neighbouring pages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The range of the candles. Its limit is that of the page.
    pub range: Range,
    /// The source of built candles; `None` if they are stored.
    pub resampling: Option<Resampling>,
    from: Option<i64>,
    to: Option<i64>,
}

/// The first milliseconds of the years 1 and 10000: the bounds of a query that names none.
pub(crate) const FIRST_MILLISECOND: i64 = -62_135_596_800_000;
pub(crate) const END_MILLISECOND: i64 = 253_402_300_800_000;

/// The parameters of a query for candles.
const PARAMETERS: [&str; 11] =
    ["symbol", "timeframe", "source", "align", "week", "from", "to", "before", "after", "unit", "limit"];

impl Selection {
    /// Parses a query string. `symbol` and `timeframe` are required, `from` and `to` are inclusive, `before` and
    /// `after` exclusive, `unit` says what their numbers count, and `limit` is at most `max_limit`. With `source`,
    /// candles are built from those of a shorter timeframe, and `align` and `week` say where their days and weeks
    /// begin.
    ///
    /// # Errors
    /// All errors of the query.
    pub fn parse(query: &str, max_limit: usize) -> Result<Self, Vec<FieldError>> {
        let mut parameters = Parameters::read(query, &PARAMETERS);
        let symbol = parameters.required("symbol", Symbol::parse);
        let timeframe = parameters.required("timeframe", Timeframe::parse);
        let resampling = parameters.resampling(timeframe);
        let unit = parameters.optional("unit", EpochUnit::parse);
        let [from, to, before, after] =
            ["from", "to", "before", "after"].map(|name| parameters.optional(name, |text| parse_bound(text, unit)));
        let builds = resampling.as_ref().zip(timeframe).map(|(resampling, timeframe)| (resampling.source, timeframe));
        let most =
            builds.map_or(max_limit, |(source, timeframe)| resample::max_candles(source, timeframe).min(max_limit));
        let limit = parameters.optional("limit", |text| {
            parse_limit(text, most).map_err(|refusal| match builds.filter(|_| most < max_limit) {
                Some((source, timeframe)) => too_many_to_build(text, most, source, timeframe),
                None => refusal,
            })
        });
        for (one, other) in [("from", "after"), ("to", "before"), ("before", "after")] {
            if parameters.has(one) && parameters.has(other) {
                let message = format!("cannot be combined with {other}; send one of the two");
                parameters.refuse(one, "conflict", message);
            }
        }
        let start = from.or(after.map(|after| after + 1)).unwrap_or(FIRST_MILLISECOND);
        let end = before.or(to.map(|to| to + 1)).unwrap_or(END_MILLISECOND);
        if start >= end && parameters.field_errors.is_empty() {
            let given = ["before", "to", "after", "from"].into_iter().find(|name| parameters.has(name)).unwrap_or("to");
            parameters.refuse(given, "empty_range", "leaves no time between the bounds; move one of them");
        }
        let direction = if before.is_none() && (from.is_some() || after.is_some()) {
            Direction::Ascending
        } else {
            Direction::Descending
        };
        let limit = limit.unwrap_or(if from.is_some() && to.is_some() { most } else { DEFAULT_LIMIT.min(most) });
        match (symbol, timeframe) {
            (Some(symbol), Some(timeframe)) if parameters.field_errors.is_empty() => {
                Ok(Self { range: Range { symbol, timeframe, start, end, direction, limit }, resampling, from, to })
            }
            _ => Err(parameters.refusal()),
        }
    }

    /// The query string for the candles before `first`, within this query.
    #[must_use]
    pub fn before(&self, first: i64) -> String {
        self.beyond("before", first, self.from.map(|from| ("from", from)))
    }

    /// The query string for the candles after `last`, within this query.
    #[must_use]
    pub fn after(&self, last: i64) -> String {
        self.beyond("after", last, self.to.map(|to| ("to", to)))
    }

    fn beyond(&self, name: &str, edge: i64, kept: Option<(&str, i64)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("symbol", self.range.symbol.as_str()).append_pair("timeframe", self.range.timeframe.name());
        if let Some(Resampling { source, calendar }) = &self.resampling {
            query.append_pair("source", source.name());
            if *calendar.alignment() != Alignment::UTC {
                query.append_pair("align", &calendar.alignment().to_string());
            }
            if calendar.week() != Weekday::Mon {
                query.append_pair("week", calendar::weekday_name(calendar.week()));
            }
        }
        query.append_pair(name, &format_bound(edge));
        if let Some((name, bound)) = kept {
            query.append_pair(name, &format_bound(bound));
        }
        query.append_pair("limit", &self.range.limit.to_string());
        query.finish()
    }
}

/// The refusal of a limit beyond which too many stored candles would be read.
fn too_many_to_build(text: &str, most: usize, source: Timeframe, timeframe: Timeframe) -> ValueError {
    let limit = text.parse().unwrap_or(usize::MAX);
    let advice = resample::better_source(source, timeframe, limit);
    let advice = advice.map(|better| format!(", or source={better} if that is stored")).unwrap_or_default();
    let message = format!(
        "must be a whole number from 1 to {most}, because one answer is built from at most {} candles; page through the \
         rest{advice}",
        resample::MAX_SOURCE_CANDLES
    );
    ValueError::new(Rule::OutOfRange, message)
}

/// Parses a whole number from 1 to `max_limit`.
pub(crate) fn parse_limit(text: &str, max_limit: usize) -> Result<usize, ValueError> {
    let invalid = || ValueError::new(Rule::OutOfRange, format!("must be a whole number from 1 to {max_limit}"));
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    text.parse().ok().filter(|limit| (1..=max_limit).contains(limit)).ok_or_else(invalid)
}

/// Parses one of several words.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, ValueError> {
    let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    chosen.ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        ValueError::new(Rule::WrongType, format!("must be one of {}", names.join(", ")))
    })
}

/// The refusal of a parameter's value.
pub(crate) trait Refusal {
    /// The stable name of the rule that was broken.
    fn kind(&self) -> &'static str;

    /// A clause whose subject is the value.
    fn message(self) -> String;
}

impl Refusal for ValueError {
    fn kind(&self) -> &'static str {
        self.rule.name()
    }

    fn message(self) -> String {
        self.message
    }
}

impl Refusal for AlignmentError {
    fn kind(&self) -> &'static str {
        self.rule()
    }

    fn message(self) -> String {
        self.to_string()
    }
}

/// The decoded parameters, and their errors so far.
pub(crate) struct Parameters<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    field_errors: Vec<FieldError>,
}

impl<'a> Parameters<'a> {
    /// Refuses parameters that are not `known` or occur twice.
    pub(crate) fn read(query: &'a str, known: &[&str]) -> Self {
        Self::read_with(query, known, &[])
    }

    /// As [`Self::read`], but `repeatable` parameters may occur several times.
    pub(crate) fn read_with(query: &'a str, known: &[&str], repeatable: &[&str]) -> Self {
        let mut parameters = Self { pairs: Vec::new(), field_errors: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                let message = format!("is not a parameter of this route, which takes {}", known.join(", "));
                parameters.refuse(&shortened(&name), "unknown_parameter", message);
            } else if parameters.has(&name) && !repeatable.contains(&&*name) {
                parameters.refuse(&name, "repeated_parameter", "occurs more than once; send it once");
            } else {
                parameters.pairs.push((name, value));
            }
        }
        parameters
    }

    /// `value`, if there are no errors.
    pub(crate) fn valid<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.field_errors.is_empty() { Ok(value) } else { Err(self.refusal()) }
    }

    /// The errors, up to the number that an answer lists.
    pub(crate) fn refusal(mut self) -> Vec<FieldError> {
        self.field_errors.truncate(MAX_REPORTED_ERRORS);
        self.field_errors
    }

    /// True if there are no errors so far.
    pub(crate) fn is_valid(&self) -> bool {
        self.field_errors.is_empty()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(present, _)| present == name)
    }

    pub(crate) fn refuse(&mut self, name: &str, kind: &'static str, msg: impl Into<String>) {
        self.field_errors.push(FieldError { loc: vec!["query".into(), name.into()], msg: msg.into(), kind });
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> Vec<T> {
        let values = self.pairs.iter().filter(|(present, _)| present == name);
        let (mut parsed, mut refused) = (Vec::new(), Vec::new());
        for (_, value) in values {
            match parse(value) {
                Ok(value) => parsed.push(value),
                Err(invalid) => refused.push(invalid),
            }
        }
        for invalid in refused {
            self.refuse(name, invalid.rule.name(), invalid.message);
        }
        parsed
    }

    pub(crate) fn optional<T, E: Refusal>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = parse(&self.pairs.iter().find(|(present, _)| present == name)?.1);
        parsed.map_err(|invalid| self.refuse(name, invalid.kind(), invalid.message())).ok()
    }

    /// The source of candles of `timeframe`, if `source` names one.
    pub(super) fn resampling(&mut self, timeframe: Option<Timeframe>) -> Option<Resampling> {
        let source = self.optional("source", Timeframe::parse);
        let alignment = self.optional("align", Alignment::parse);
        let week = self.optional("week", parse_weekday);
        if !self.has("source") {
            for name in ["align", "week"].into_iter().filter(|name| self.has(name)).collect::<Vec<_>>() {
                let message =
                    format!("is missing beside {name}; send the timeframe to build from, such as M1, or drop {name}");
                self.refuse("source", Rule::Missing.name(), message);
            }
        }
        match Resampling::of(timeframe?, source?, alignment, week) {
            Ok(resampling) => Some(resampling),
            Err(unbuildable) => {
                self.refuse("source", unbuildable.kind(), unbuildable.message());
                None
            }
        }
    }

    pub(crate) fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, ValueError>) -> Option<T> {
        if !self.has(name) {
            self.refuse(name, Rule::Missing.name(), "is missing");
        }
        self.optional(name, parse)
    }
}

/// A parameter's name from the query, cut to a length fit for an answer.
fn shortened(name: &str) -> String {
    const MAX_QUOTED_CHARS: usize = 64;
    match name.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
