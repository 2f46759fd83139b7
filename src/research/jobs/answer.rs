//! A job as JSON.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::item::BestPoint;
use super::progress::Progress;
use super::request::WARNINGS;
use super::{Jobs, JobsError, decompressed};
use crate::research::Strategies;
use crate::store::{Job, JobItem, JobState};

/// A job in a list.
#[derive(Debug, Serialize)]
pub(crate) struct JobLine {
    id: String,
    owner: String,
    name: Option<String>,
    state: &'static str,
    position: Option<i64>,
    priority: i32,
    created: i64,
    started: Option<i64>,
    finished: Option<i64>,
    expires: Option<i64>,
    progress: ProgressAnswer,
    best: Vec<BestPoint>,
    warnings: Vec<String>,
    error: Option<String>,
}

/// A job with its request and its items.
#[derive(Debug, Serialize)]
pub(crate) struct JobAnswer {
    #[serde(flatten)]
    line: JobLine,
    request: Value,
    items: Vec<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct ProgressAnswer {
    done: u64,
    total: u64,
    items_done: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<usize>,
    evaluations_per_second: f64,
    remaining_s: Option<f64>,
}

impl JobLine {
    pub(super) fn of(job: &Job, progress: Arc<Progress>) -> Self {
        let progress = Arc::unwrap_or_clone(progress);
        let is_running = job.state == JobState::Running;
        Self {
            id: job.id.clone(),
            owner: job.owner.clone(),
            name: job.name.clone(),
            state: job.state.name(),
            position: job.position,
            priority: job.priority,
            created: job.created,
            started: job.started,
            finished: job.finished,
            expires: job.expires,
            progress: ProgressAnswer {
                done: progress.done,
                total: progress.total,
                items_done: progress.items_done,
                items: None,
                evaluations_per_second: progress.evaluations_per_second,
                remaining_s: progress.remaining_s.filter(|_| is_running),
            },
            best: progress.best,
            warnings: progress.warnings,
            error: job.error.clone(),
        }
    }
}

impl JobAnswer {
    pub(super) fn of(
        job: &Job,
        progress: Arc<Progress>,
        items: &[JobItem],
        known: &Strategies,
    ) -> Result<Self, JobsError> {
        let StoredRequest { json: request, warnings } = request(job)?;
        let asked = request["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut answers = Vec::with_capacity(asked.len());
        for (number, of_request) in asked.iter().enumerate() {
            let begun = items.iter().find(|item| usize::try_from(item.item) == Ok(number));
            answers.push(match begun.filter(|begun| begun.is_over) {
                Some(over) => raw(&over.summary)?,
                None => waiting(job, number, of_request, begun.is_some())?,
            });
        }
        let mut line = JobLine::of(job, progress);
        line.progress.items = Some(asked.len());
        if job.state == JobState::Queued {
            if line.warnings.is_empty() {
                line.warnings = warnings;
            }
            line.warnings.extend(unknown_strategies(asked, known));
        }
        Ok(Self { line, request, items: answers })
    }
}

/// A request as it was read when it came.
#[derive(Debug)]
pub(super) struct StoredRequest {
    /// The request, in a form that can be sent again.
    pub(super) json: Value,
    /// Sentences about what it left out.
    pub(super) warnings: Vec<String>,
}

/// The request of a job.
pub(super) fn request(job: &Job) -> Result<StoredRequest, JobsError> {
    let bytes = decompressed(job.request.as_deref().unwrap_or_default())?;
    let mut json: Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
    let warnings = json.as_object_mut().and_then(|fields| fields.remove(WARNINGS)).unwrap_or_default();
    let warnings = warnings.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(StoredRequest { json, warnings })
}

/// The number of items of a job.
pub(super) fn item_count(job: &Job) -> Result<usize, JobsError> {
    Ok(request(job)?.json["items"].as_array().map_or(0, Vec::len))
}

/// A sentence about strategies of a queued job that this process does not know.
fn unknown_strategies(items: &[Value], known: &Strategies) -> Option<String> {
    let mut ids: Vec<&str> = items.iter().filter_map(|item| item["strategy"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| known.find(id).is_err());
    (!ids.is_empty()).then(|| {
        format!(
            "The process that answers does not know the strategies {}; the job waits for one whose STRATEGIES_DIR has them.",
            ids.join(", ")
        )
    })
}

/// The summary of an item that is over.
pub(super) fn raw(summary: &[u8]) -> Result<Box<RawValue>, JobsError> {
    serde_json::from_slice(&decompressed(summary)?).map_err(unreadable)
}

fn waiting(job: &Job, number: usize, request: &Value, has_begun: bool) -> Result<Box<RawValue>, JobsError> {
    let state = match job.state {
        JobState::Running if has_begun => "running",
        JobState::Queued | JobState::Running => "queued",
        JobState::Done | JobState::Failed | JobState::Cancelled => job.state.name(),
    };
    let item = json!({
        "item": number,
        "strategy": request["strategy"],
        "symbol": request["symbol"],
        "timeframe": request["timeframe"],
        "state": state,
    });
    serde_json::value::to_raw_value(&item).map_err(unreadable)
}

pub(super) fn unreadable(error: serde_json::Error) -> JobsError {
    JobsError::Unreadable(error.into())
}

impl Jobs {
    /// The progress of a job: from memory where it runs, and otherwise from its row.
    pub(super) fn progress_of(&self, job: &Job) -> Result<Arc<Progress>, JobsError> {
        if job.state == JobState::Running
            && let Some(running) = self.running().get(&job.id)
        {
            return Ok(Arc::clone(&running.progress.borrow()));
        }
        stored_progress(job)
    }
}

/// The progress in the row of a job.
pub(super) fn stored_progress(job: &Job) -> Result<Arc<Progress>, JobsError> {
    let mut progress = match &job.summary {
        Some(summary) if !summary.is_empty() => serde_json::from_slice(&decompressed(summary)?).map_err(unreadable)?,
        _ => Progress::default(),
    };
    progress.done = job.done.unsigned_abs();
    progress.total = job.total.unsigned_abs();
    Ok(Arc::new(progress))
}
