//! The ranked evaluations of an item, as JSON and as CSV.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::{self, unreadable};
use super::{Jobs, JobsError, decompressed};
use crate::query::Parameters;
use crate::research::{ResearchError, body};
use crate::store::{Job, JobState};
use crate::telemetry::spans::spawn_blocking;
use candle::{Rule, ValueError};

/// The number of evaluations of an answer, and its maximum.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: u64 = 1_000;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultsFormat {
    Json,
    Csv,
}

/// The evaluations that a query string asks for.
#[derive(Debug, Clone)]
pub(super) struct ResultsQuery {
    item: usize,
    limit: usize,
    offset: usize,
    /// The figure by which they are sorted, the highest first; by rank without one.
    sort: Option<String>,
    with_objectives: bool,
}

/// The evaluations of an item, as they are stored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Evaluations {
    pub(super) strategy: String,
    pub(super) parameters: Vec<String>,
    pub(super) objective: String,
    pub(super) best: Vec<Evaluated>,
    /// The number of all evaluations.
    evaluated: usize,
    /// Their objectives, the newest 500,000 at most.
    pub(super) objectives: Vec<Option<f64>>,
    /// The joined curve of a walk-forward run.
    pub(super) curve: Option<Vec<(i64, f64)>>,
}

/// One of the best points of an item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Evaluated {
    pub(super) rank: usize,
    pub(super) parameters: Map<String, Value>,
    pub(super) objective: Option<f64>,
    pub(super) trades: u64,
    pub(super) in_sample: Map<String, Value>,
    pub(super) out_of_sample: Option<Map<String, Value>>,
}

/// The answer in JSON.
#[derive(Serialize)]
struct ResultsAnswer<'e> {
    job: &'e str,
    item: usize,
    strategy: &'e str,
    objective: &'e str,
    /// The number of evaluations that are kept with all figures.
    kept: usize,
    /// The number of all evaluations.
    evaluations: usize,
    results: Vec<&'e Evaluated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objectives: Option<&'e [Option<f64>]>,
}

impl ResultsQuery {
    fn parse(query: &str) -> Result<Self, ResearchError> {
        let mut parameters = Parameters::read(query, &["item", "limit", "offset", "sort", "include"]);
        let mut whole = |name, bounds| {
            let number = parameters.optional(name, |text| body::parse_whole(text, bounds));
            number.and_then(|number| usize::try_from(number).ok())
        };
        let item = whole("item", 0..=super::request::MAX_ITEMS as u64 - 1);
        let limit = whole("limit", 1..=MAX_LIMIT);
        let offset = whole("offset", 0..=MAX_LIMIT);
        let sort = parameters.optional("sort", |text| Ok::<_, ValueError>(text.to_owned()));
        let include = parameters.optional("include", |text| match text {
            "objectives" => Ok(()),
            _ => Err(ValueError::new(Rule::WrongType, "must be objectives".to_owned())),
        });
        let query = Self {
            item: item.unwrap_or_default(),
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            offset: offset.unwrap_or_default(),
            sort: sort.filter(|sort| sort != "rank"),
            with_objectives: include.is_some(),
        };
        parameters.valid(query).map_err(ResearchError::Fields)
    }
}

impl Jobs {
    /// The ranked evaluations of an item that is over, in the bytes of the answer. Without an owner, of anybody's job.
    ///
    /// # Errors
    /// When the query is invalid, there is no such job, its item is not over, or the store does not answer.
    pub(crate) async fn results(
        &self,
        id: &str,
        query: &str,
        owner: Option<&str>,
        format: ResultsFormat,
    ) -> Result<Vec<u8>, JobsError> {
        let query = ResultsQuery::parse(query)?;
        let job = self.find(id, owner).await?;
        let evaluations = self.evaluations(&job, query.item).await?;
        let id = job.id.clone();
        let made = move || made(&id, &query, &evaluations, format);
        spawn_blocking(made).await.map_err(|error| JobsError::Unreadable(error.into()))?
    }

    /// The evaluations of an item that is over.
    pub(super) async fn evaluations(&self, job: &Job, item: usize) -> Result<Evaluations, JobsError> {
        let place = i32::try_from(item).unwrap_or(i32::MAX);
        let Some(stored) = self.0.store.evaluations(job.id.clone(), place).await? else {
            return Err(JobsError::NoResult(no_results(job.state, item, answer::item_count(job)?)));
        };
        let read = move || serde_json::from_slice(&decompressed(&stored)?).map_err(unreadable);
        let read = spawn_blocking(read).await;
        let evaluations: Evaluations = read.map_err(|error| JobsError::Unreadable(error.into()))??;
        if evaluations.best.is_empty() {
            let text = format!(
                "item {item} of this job has no results, because it failed or was out of time; the job says why"
            );
            return Err(JobsError::NoResult(text));
        }
        Ok(evaluations)
    }
}

/// The reason for which an item has no results, and the way to get them.
fn no_results(state: JobState, item: usize, items: usize) -> String {
    if item >= items {
        return format!("this job has no item {item}; its {items} items are counted from 0");
    }
    let why = match state {
        JobState::Queued => "the job is queued; wait for its end",
        JobState::Running => "the job is running; wait for the end of the item",
        JobState::Cancelled => "the job was cancelled before the item was over; start it again",
        JobState::Done | JobState::Failed => "the job ended before the item was over; its error says why",
    };
    format!("item {item} of this job has no results, because {why}")
}

fn made(
    id: &str,
    query: &ResultsQuery,
    evaluations: &Evaluations,
    format: ResultsFormat,
) -> Result<Vec<u8>, JobsError> {
    let mut sorted: Vec<&Evaluated> = evaluations.best.iter().collect();
    if let Some(figure) = &query.sort {
        let is_known = evaluations.best.iter().any(|best| best.in_sample.contains_key(figure));
        if !is_known {
            let known = evaluations.best.first().map(|best| best.in_sample.keys().cloned().collect::<Vec<_>>());
            let message = format!("is not a figure; send rank, or one of {}", known.unwrap_or_default().join(", "));
            let place = vec!["query".into(), "sort".into()];
            let refused = crate::validation::FieldError { loc: place, msg: message, kind: Rule::WrongType.name() };
            return Err(ResearchError::Fields(vec![refused]).into());
        }
        let value = |best: &&Evaluated| best.in_sample[figure].as_f64();
        // Figures that are not defined come last.
        sorted.sort_by(|one, other| match (value(one), value(other)) {
            (Some(one), Some(other)) => other.total_cmp(&one),
            (one, other) => other.is_some().cmp(&one.is_some()),
        });
    }
    let chosen: Vec<&Evaluated> = sorted.into_iter().skip(query.offset).take(query.limit).collect();
    match format {
        ResultsFormat::Csv => Ok(csv(evaluations, &chosen).into_bytes()),
        ResultsFormat::Json => {
            let answer = ResultsAnswer {
                job: id,
                item: query.item,
                strategy: &evaluations.strategy,
                objective: &evaluations.objective,
                kept: evaluations.best.len(),
                evaluations: evaluations.evaluated.max(evaluations.objectives.len()),
                results: chosen,
                objectives: query.with_objectives.then_some(&evaluations.objectives),
            };
            serde_json::to_vec(&answer).map_err(unreadable)
        }
    }
}

/// A table by RFC 4180. Names of figures are those of the answers, with the part of the candles before them. Its head does not depend
/// on the rows.
pub(super) fn csv(evaluations: &Evaluations, rows: &[&Evaluated]) -> String {
    let parameters = &evaluations.parameters;
    let mut text = String::from("rank");
    for parameter in parameters {
        let _ = write!(text, ",{}", cell(parameter));
    }
    text.push_str(",objective,trades");
    let figures: Vec<&String> = evaluations.best.first().map(|row| row.in_sample.keys().collect()).unwrap_or_default();
    for part in ["in_sample", "out_of_sample"] {
        for figure in &figures {
            let _ = write!(text, ",{part}_{figure}");
        }
    }
    text.push_str("\r\n");
    for row in rows {
        let _ = write!(text, "{}", row.rank);
        for parameter in parameters {
            let _ = write!(text, ",{}", value(row.parameters.get(parameter)));
        }
        let objective = row.objective.map_or(Value::Null, Value::from);
        let _ = write!(text, ",{},{}", value(Some(&objective)), row.trades);
        for part in [Some(&row.in_sample), row.out_of_sample.as_ref()] {
            for figure in &figures {
                let _ = write!(text, ",{}", value(part.and_then(|part| part.get(*figure))));
            }
        }
        text.push_str("\r\n");
    }
    text
}

fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cell(text),
        // Numbers may begin with a minus sign, which no program takes for a formula in a number.
        Some(other) => other.to_string(),
    }
}

/// A text as a cell. A leading apostrophe keeps programs from taking it for a formula.
fn cell(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains([',', '"', '\r', '\n']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_not_formulas() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(value(Some(&Value::from(-1.5))), "-1.5");
        assert_eq!(value(Some(&Value::Null)), "");
    }
}
