//! The body of `POST /api/v1/optimizations`: the items to search, and their order among jobs.

use research::optimization::{Range, space_of};
use research::search::Method;
use research::{Parameter, Strategy};
use serde_json::{Map, Value, json};

use super::search::{self, DEFAULT_FORWARD, OutOfSampleRequest, SearchRequest};
use crate::research::body::{self, Faults, Object};
use crate::research::requests::{self, SERIES_FIELDS, SeriesRequest};
use crate::research::{ResearchError, Strategies};
use crate::validation::PathSegment;
use candle::{Rule, ValueError};

/// The maximum number of items of a job.
pub(crate) const MAX_ITEMS: usize = 500;
/// The maximum number of values in a list of a range.
const MAX_LISTED_VALUES: usize = 10_000;
/// The maximum number of characters of a name.
const MAX_NAME_CHARS: usize = 100;
/// The bounds of a priority.
const PRIORITIES: std::ops::RangeInclusive<i64> = -10..=10;
const FIELDS: [&str; 14] = [
    "items",
    "strategies",
    "series",
    "method",
    "objective",
    "max_evaluations",
    "min_trades",
    "seed",
    "priority",
    "out_of_sample",
    "settings",
    "from",
    "to",
    "name",
];

/// A job that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct JobRequest {
    pub(crate) items: Vec<ItemRequest>,
    pub(crate) search: SearchRequest,
    pub(crate) priority: i32,
    pub(crate) name: Option<String>,
    /// Sentences for the reader of the job.
    pub(crate) warnings: Vec<String>,
    /// The request with its defaults and with one entry for each item, in a form that parses to the same items.
    pub(crate) json: Value,
}

/// The field beside those of [`JobRequest::json`] that holds the warnings of a stored request.
pub(super) const WARNINGS: &str = "warnings";

/// A strategy and the candles to search on.
#[derive(Debug, Clone)]
pub(crate) struct ItemRequest {
    pub(crate) strategy: &'static Strategy,
    pub(crate) series: SeriesRequest,
    pub(crate) ranges: Vec<(String, Range)>,
    /// The number of evaluations that it will make, as far as that is known before its candles are.
    pub(crate) planned: usize,
}

impl JobRequest {
    /// Parses the body of a request. No item may make more than `max_evaluations`.
    ///
    /// # Errors
    /// When it is not JSON, or a strategy is unknown, or else with everything that is wrong with it.
    pub(crate) fn parse(body: &[u8], known: &Strategies, max_evaluations: usize) -> Result<Self, ResearchError> {
        let value = body::parse(body)?;
        let mut faults = Faults::default();
        let object = Object::of(&value, vec!["body".into()], &FIELDS, &mut faults);
        let object = object.ok_or_else(|| std::mem::take(&mut faults).refusal())?;
        let mut reading = Reading { object, known, faults, warnings: Vec::new() };
        let search = search::search(&reading.object, max_evaluations, &mut reading.faults);
        let listed = reading.items()?;
        let items = reading.checked(&listed, &search);
        let priority = reading.object.optional("priority", &mut reading.faults, priority).unwrap_or_default();
        let name = reading.object.optional("name", &mut reading.faults, name);
        if !reading.faults.is_empty() || items.is_empty() {
            return Err(reading.faults.refusal());
        }
        let json = canonical(&reading.object, &listed, &search, priority, name.as_deref());
        Ok(Self { items, search, priority, name, warnings: reading.warnings, json })
    }

    /// The request as it is stored: with its warnings, because those about what was left out cannot be found from its items.
    pub(super) fn stored(&self) -> Value {
        let mut stored = self.json.clone();
        if !self.warnings.is_empty() {
            stored[WARNINGS] = self.warnings.clone().into();
        }
        stored
    }

    /// The evaluations that the job will make, as far as that is known before its candles are.
    pub(crate) fn planned(&self) -> u64 {
        self.items.iter().map(|item| item.planned as u64).sum()
    }
}

/// An item as it was listed, or as a strategy and a series make it.
struct Listed {
    strategy: &'static Strategy,
    series: SeriesRequest,
    /// Its fields, from which it can be parsed again.
    fields: Map<String, Value>,
    /// The place of its ranges in the body; that of its strategy if it has none.
    place: Vec<PathSegment>,
}

struct Reading<'v> {
    object: Object<'v>,
    known: &'v Strategies,
    faults: Faults,
    warnings: Vec<String>,
}

impl Reading<'_> {
    /// The items in their order: those that are listed, or each strategy on each series.
    fn items(&mut self) -> Result<Vec<Listed>, ResearchError> {
        let has_product = self.object.get("strategies").is_some() || self.object.get("series").is_some();
        match (self.object.get("items"), has_product) {
            (Some(_), true) => {
                let message = "cannot be given beside strategies and series; send either of the two";
                self.faults.add(self.object.place("items"), Rule::Inconsistent.name(), message);
                Ok(Vec::new())
            }
            (Some(items), false) => self.listed(items),
            (None, true) => self.product(),
            (None, false) => {
                let message = "is missing; send items, or strategies and series";
                self.faults.add(self.object.place("items"), Rule::Missing.name(), message);
                Ok(Vec::new())
            }
        }
    }

    fn listed(&mut self, items: &Value) -> Result<Vec<Listed>, ResearchError> {
        const ITEM_FIELDS: [&str; 7] = ["strategy", "ranges", "symbol", "timeframe", "source", "align", "week"];
        let mut listed = Vec::new();
        for (place, item) in self.values("items", items, MAX_ITEMS).iter().enumerate() {
            let at: Vec<PathSegment> = self.object.place("items").into_iter().chain([place.into()]).collect();
            let Some(object) = Object::of(item, at, &ITEM_FIELDS, &mut self.faults) else { continue };
            let place = object.place("ranges");
            let strategy = requests::strategy(&object, self.known, &mut self.faults)?;
            let series = requests::series(&object, &mut self.faults);
            let (Some(strategy), Some(series)) = (strategy, series) else { continue };
            requests::check_timeframe(strategy, series.key.timeframe)?;
            let fields = object.fields().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| (name.to_owned(), value.clone())).collect();
            listed.push(Listed { strategy, series, fields, place });
        }
        Ok(listed)
    }

    fn product(&mut self) -> Result<Vec<Listed>, ResearchError> {
        let strategies = self.strategies()?;
        let mut listed = Vec::new();
        let given = self.object.get("series").cloned().unwrap_or(Value::Null);
        let values = self.values("series", &given, MAX_ITEMS);
        if strategies.chosen.len().saturating_mul(values.len()) > MAX_ITEMS {
            let message = format!(
                "has {} series, which with {} strategies are {} items; a job has at most {MAX_ITEMS}, so send several jobs",
                values.len(),
                strategies.chosen.len(),
                strategies.chosen.len() * values.len()
            );
            self.faults.add(self.object.place("series"), Rule::OutOfRange.name(), message);
            return Ok(listed);
        }
        let mut left_out: Vec<(&str, String)> = Vec::new();
        for (place, value) in values.iter().enumerate() {
            let at = self.object.place("series").into_iter().chain([place.into()]).collect();
            let Some(object) = Object::of(value, at, &SERIES_FIELDS, &mut self.faults) else { continue };
            let Some(series) = requests::series(&object, &mut self.faults) else { continue };
            for (number, strategy) in strategies.chosen.iter().enumerate() {
                if !requests::suits(strategy, series.key.timeframe) {
                    if !strategies.are_all {
                        requests::check_timeframe(strategy, series.key.timeframe)?;
                    }
                    left_out.push((strategy.id(), format!("{} {}", series.key.symbol, series.key.timeframe)));
                    continue;
                }
                let fields = object.fields().filter(|(_, value)| !value.is_null());
                let mut fields: Map<String, Value> =
                    fields.map(|(name, value)| (name.to_owned(), value.clone())).collect();
                fields.insert("strategy".to_owned(), strategy.id().into());
                let place = self.object.place("strategies").into_iter();
                let place = place.chain((!strategies.are_all).then(|| number.into())).collect();
                listed.push(Listed { strategy, series: series.clone(), fields, place });
            }
        }
        self.warn_of_left_out(&left_out);
        Ok(listed)
    }

    fn warn_of_left_out(&mut self, left_out: &[(&str, String)]) {
        let mut series: Vec<&str> = left_out.iter().map(|(_, series)| series.as_str()).collect();
        series.dedup();
        for series in series {
            let ids: Vec<_> = left_out.iter().filter(|(_, of)| of == series).map(|(id, _)| *id).collect();
            let ids = ids.join(", ");
            self.warnings.push(format!("{ids} have rules for the hours of a day, so they are left out on {series}."));
        }
    }

    fn strategies(&mut self) -> Result<Chosen, ResearchError> {
        let Some(value) = self.object.get("strategies") else {
            let message = r#"is missing beside series; send a list of ids, or ["all"]"#;
            self.faults.add(self.object.place("strategies"), Rule::Missing.name(), message);
            return Ok(Chosen::default());
        };
        let values = self.values("strategies", value, MAX_ITEMS).to_vec();
        if values.len() == 1 && values[0] == "all" {
            return Ok(Chosen { chosen: self.known.all().collect(), are_all: true });
        }
        let mut chosen: Vec<&'static Strategy> = Vec::new();
        for (place, value) in values.iter().enumerate() {
            let at = || self.object.place("strategies").into_iter().chain([place.into()]).collect();
            match body::text(value) {
                Ok(id) => {
                    let strategy = self.known.find(id)?;
                    if chosen.iter().any(|other| other.id() == strategy.id()) {
                        let message = "is there twice; leave one out";
                        self.faults.add(at(), Rule::Inconsistent.name(), message);
                    }
                    chosen.push(strategy);
                }
                Err(error) => self.faults.add(at(), error.rule.name(), error.message),
            }
        }
        Ok(Chosen { chosen, are_all: false })
    }

    /// The values of a list of 1 to `max` values.
    fn values<'l>(&mut self, name: &str, value: &'l Value, max: usize) -> &'l [Value] {
        let values = value.as_array().map(Vec::as_slice);
        if let Some(values) = values.filter(|values| (1..=max).contains(&values.len())) {
            return values;
        }
        let message = match values {
            Some(values) => format!("has {} values; send from 1 to {max}", values.len()),
            None => "is not a list; send one".to_owned(),
        };
        self.faults.add(self.object.place(name), Rule::OutOfRange.name(), message);
        &[]
    }

    /// The items whose ranges can be searched.
    fn checked(&mut self, listed: &[Listed], search: &SearchRequest) -> Vec<ItemRequest> {
        let mut items = Vec::new();
        for item in listed {
            let ranges = match item.fields.get("ranges") {
                Some(value) => {
                    let Some(object) = Object::open(value, item.place.clone(), &mut self.faults) else { continue };
                    ranges(&object, item.strategy, &mut self.faults)
                }
                None => Some(Vec::new()),
            };
            let Some(ranges) = ranges else { continue };
            if let Some(planned) = self.planned(item, &ranges, search) {
                items.push(ItemRequest { strategy: item.strategy, series: item.series.clone(), ranges, planned });
            }
        }
        items
    }

    fn planned(&mut self, item: &Listed, ranges: &[(String, Range)], search: &SearchRequest) -> Option<usize> {
        let space = match space_of(item.strategy, ranges) {
            Ok(space) => space,
            Err(errors) => {
                for error in errors {
                    let at = item.place.iter().cloned().chain([error.name.as_str().into()]).collect();
                    self.faults.add(at, Rule::OutOfRange.name(), format!("is refused: {}", error.message));
                }
                return None;
            }
        };
        if search.method != Method::Grid {
            return Some(search.max_evaluations);
        }
        let combinations = space.combinations();
        if combinations > search.max_evaluations as u64 {
            let advice = if item.fields.contains_key("ranges") {
                "choose larger steps, smaller ranges or another method"
            } else {
                "choose another method, or send items with ranges"
            };
            let message = format!(
                "make a grid of {combinations} combinations for {}, and at most {} are tried; {advice}",
                item.strategy.id(),
                search.max_evaluations
            );
            // A strategy makes the same grid on each series.
            if item.fields.contains_key("ranges") || !self.faults.is_at(&item.place) {
                self.faults.add(item.place.clone(), "grid_too_large", message);
            }
            return None;
        }
        usize::try_from(combinations).ok()
    }
}

#[derive(Default)]
struct Chosen {
    chosen: Vec<&'static Strategy>,
    are_all: bool,
}

/// The values to try, by the names of parameters: a list, or an object with `min`, `max` and `step`.
fn ranges(object: &Object<'_>, strategy: &Strategy, faults: &mut Faults) -> Option<Vec<(String, Range)>> {
    let before = faults.len();
    let mut ranges = Vec::new();
    for (name, value) in object.fields() {
        if value.is_array() {
            let parameter = strategy.parameters().iter().find(|parameter| parameter.name == name);
            let values = object.list(name, 1..=MAX_LISTED_VALUES, faults, |value| listed_value(parameter, value));
            ranges.extend(values.map(|values| (name.to_owned(), Range::List(values))));
            continue;
        }
        let Some(steps) = Object::of(value, object.place(name), &["min", "max", "step"], faults) else { continue };
        let mut bound = |bound| steps.required(bound, faults, body::number);
        if let (Some(min), Some(max), Some(step)) = (bound("min"), bound("max"), bound("step")) {
            ranges.push((name.to_owned(), Range::Steps { min, max, step }));
        }
    }
    (faults.len() == before).then_some(ranges)
}

/// A number, or one of the texts of a parameter. What is not one of its values is refused with the range.
fn listed_value(parameter: Option<&Parameter>, value: &Value) -> Result<f64, ValueError> {
    let text = body::scalar(value)?;
    match parameter {
        Some(parameter) => {
            parameter.parse_value(&text).map_err(|error| ValueError::new(Rule::OutOfRange, error.message))
        }
        None => body::parse_number(&text),
    }
}

fn priority(value: &Value) -> Result<i32, ValueError> {
    let priority = body::scalar(value)?.parse().ok().filter(|priority| PRIORITIES.contains(priority));
    let priority = priority.and_then(|priority: i64| i32::try_from(priority).ok());
    priority.ok_or_else(|| ValueError::new(Rule::OutOfRange, "must be a whole number from -10 to 10"))
}

fn name(value: &Value) -> Result<String, ValueError> {
    let name = body::text(value)?;
    let is_name = (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_name.then(|| name.to_owned()).ok_or_else(|| {
        ValueError::new(
            Rule::OutOfRange,
            format!("must have 1 to {MAX_NAME_CHARS} characters, none of them a control one"),
        )
    })
}

fn canonical(
    object: &Object<'_>,
    listed: &[Listed],
    search: &SearchRequest,
    priority: i32,
    name: Option<&str>,
) -> Value {
    let given = |name: &str| object.get(name).cloned();
    let out_of_sample = match search.out_of_sample {
        OutOfSampleRequest::None => Value::Null,
        _ => given("out_of_sample").unwrap_or_else(|| json!({ "forward": DEFAULT_FORWARD })),
    };
    json!({
        "items": listed.iter().map(|item| Value::Object(item.fields.clone())).collect::<Vec<_>>(),
        "method": search.method.name(),
        "objective": search.objective.name(),
        "max_evaluations": search.max_evaluations,
        "min_trades": search.min_trades,
        "seed": search.seed,
        "priority": priority,
        "out_of_sample": out_of_sample,
        "settings": given("settings").unwrap_or_else(|| json!({})),
        "from": search.span.from,
        "to": search.span.to,
        "name": name,
    })
}
