//! Files of results: a script of a ranked evaluation, or a table of all of them.

use research::{Parameters, Strategy, pine};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::answer::{self, raw, unreadable};
use super::request::{ItemRequest, JobRequest};
use super::results::{Evaluated, Evaluations, csv};
use super::{Jobs, JobsError, random_id};
use crate::research::ResearchError;
use crate::research::body::{self, Faults, Object};
use crate::store::{NewFile, StoredFile};
use candle::{Rule, ValueError};

/// The media types of files.
const PINE: &str = "text/plain; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";

/// A file to be made.
struct ExportRequest {
    job: String,
    item: usize,
    rank: usize,
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Pine,
    Csv,
}

/// A file that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Exported {
    id: String,
    name: String,
    mime: String,
    bytes: usize,
    sha256: String,
    /// Its address.
    pub(crate) href: String,
}

impl ExportRequest {
    fn parse(body: &[u8]) -> Result<Self, ResearchError> {
        let value = body::parse(body)?;
        let mut faults = Faults::default();
        let object = Object::of(&value, vec!["body".into()], &["job", "item", "rank", "format"], &mut faults);
        let object = object.ok_or_else(|| std::mem::take(&mut faults).refusal())?;
        let job = object.required("job", &mut faults, |value| body::text(value).map(str::to_owned));
        let mut whole = |name, bounds| {
            let number = object.optional(name, &mut faults, |value| body::whole(value, bounds));
            number.and_then(|number| usize::try_from(number).ok())
        };
        let item = whole("item", 0..=super::request::MAX_ITEMS as u64 - 1).unwrap_or_default();
        let rank = whole("rank", 1..=super::item::MAX_KEPT as u64).unwrap_or(1);
        let format = object.required("format", &mut faults, |value| match body::text(value)? {
            "pine" => Ok(Format::Pine),
            "csv" => Ok(Format::Csv),
            "pdf" => Err(ValueError::new(
                Rule::WrongType,
                "is not made by this release; send pine for a script, or csv for a table of the results".to_owned(),
            )),
            _ => Err(ValueError::new(Rule::WrongType, "must be one of pine, csv".to_owned())),
        });
        match (job, format) {
            (Some(job), Some(format)) if faults.is_empty() => Ok(Self { job, item, rank, format }),
            _ => Err(faults.refusal()),
        }
    }
}

impl Jobs {
    /// Makes the file that a body asks for, of a job of the owner.
    ///
    /// # Errors
    /// When the request is invalid, there is no such job or result, or the store does not answer.
    pub(crate) async fn export(&self, body: &[u8], owner: &str) -> Result<Exported, JobsError> {
        let asked = ExportRequest::parse(body)?;
        if self.0.research.threads().count() == 0 {
            return Err(JobsError::Off);
        }
        let job = self.find(&asked.job, Some(owner)).await?;
        let evaluations = self.evaluations(&job, asked.item).await?;
        let request = answer::request(&job)?.to_string();
        // Without this process' own limit, because the one that took the job may allow more.
        let request = JobRequest::parse(request.as_bytes(), self.0.research.strategies(), usize::MAX)?;
        let no_item = || JobsError::NoResult(format!("this job has no item {}", asked.item));
        let item = request.items.get(asked.item).cloned().ok_or_else(no_item)?;
        let items = self.0.store.job_items(job.id.clone()).await?;
        let summary = items.iter().find(|of| usize::try_from(of.item) == Ok(asked.item)).ok_or_else(no_item)?;
        let summary: Value = serde_json::from_str(raw(&summary.summary)?.get()).map_err(unreadable)?;
        let (rank, format) = (asked.rank, asked.format);
        let made = self.0.research.threads().run(move || match format {
            Format::Pine => pine_file(&item, &request, &evaluations, &summary, rank),
            Format::Csv => {
                let rows: Vec<&Evaluated> = evaluations.best.iter().collect();
                Ok((file_name(&item, "csv"), CSV, csv(&evaluations.parameters, &rows)))
            }
        });
        let (name, mime, text) = made.await??;
        let sha256 = Sha256::digest(&text).to_vec();
        let exported = Exported {
            id: random_id()?,
            name: name.clone(),
            mime: mime.to_owned(),
            bytes: text.len(),
            sha256: hex::encode(&sha256),
            href: String::new(),
        };
        let exported = Exported { href: format!("/api/v1/files/{}", exported.id), ..exported };
        let file = NewFile {
            id: exported.id.clone(),
            job: job.id,
            owner: owner.to_owned(),
            name,
            mime: mime.to_owned(),
            sha256,
            body: text.into_bytes(),
            retention: self.0.config.retention,
        };
        self.0.store.add_file(file).await?;
        Ok(exported)
    }

    /// The file with this id. Without an owner, anybody's.
    ///
    /// # Errors
    /// When there is no such file, or the store does not answer.
    pub(crate) async fn file(&self, id: &str, owner: Option<&str>) -> Result<StoredFile, JobsError> {
        self.0.store.file(id.to_owned(), owner.map(str::to_owned)).await?.ok_or(JobsError::UnknownFile)
    }
}

type Made = Result<(String, &'static str, String), JobsError>;

fn pine_file(item: &ItemRequest, request: &JobRequest, found: &Evaluations, summary: &Value, rank: usize) -> Made {
    let ranked = found.best.get(rank - 1).ok_or_else(|| {
        JobsError::NoResult(format!("this item has {} ranked results, and none of rank {rank}", found.best.len()))
    })?;
    let parameters = parameters(item.strategy, ranked)?;
    let remarks = remarks(item, found, ranked, summary);
    let remarks: Vec<&str> = remarks.iter().map(String::as_str).collect();
    let script = pine::script(item.strategy, &parameters, &request.search.settings, &remarks);
    let script = script.map_err(|error| JobsError::Unreadable(error.to_string().into()))?;
    Ok((file_name(item, "pine"), PINE, script))
}

fn parameters(strategy: &Strategy, ranked: &Evaluated) -> Result<Parameters, JobsError> {
    let texts = ranked.parameters.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.as_str(), text)
    });
    let texts: Vec<(&str, String)> = texts.collect();
    let parsed = strategy.parameters_of(texts.iter().map(|(name, text)| (*name, text.as_str())));
    parsed.map_err(|errors| JobsError::Unreadable(errors[0].to_string().into()))
}

/// The head of a script: its origin, its figures, and what to make of them.
fn remarks(item: &ItemRequest, found: &Evaluations, ranked: &Evaluated, summary: &Value) -> Vec<String> {
    let time = |name: &str| summary[name].as_i64().and_then(candle::format_millis).unwrap_or_default();
    let key = &item.series.key;
    let mut remarks = vec![
        format!("{} {} from {} to {}", key.symbol, key.timeframe, time("from"), time("to")),
        format!("Rank {} of {} trials by {}", ranked.rank, summary["trials"], found.objective),
        format!("In sample: {}", figures(&found.objective, &ranked.in_sample)),
    ];
    if let Some(figures_out) = &ranked.out_of_sample {
        remarks.push(format!("Out of sample: {}", figures(&found.objective, figures_out)));
    }
    if ranked.rank == 1 {
        let warnings = summary["warnings"].as_array().into_iter().flatten();
        remarks.extend(warnings.filter_map(Value::as_str).map(str::to_owned));
    }
    remarks.push("Equal trades need equal candles.".to_owned());
    remarks
}

fn figures(objective: &str, of: &serde_json::Map<String, Value>) -> String {
    let shown = |name: &str| format!("{name} {}", of.get(name).unwrap_or(&Value::Null));
    let mut names = vec![objective, "net_profit", "max_drawdown_percent", "trades"];
    names.dedup();
    names.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// A name that every file system takes.
fn file_name(item: &ItemRequest, ending: &str) -> String {
    let symbol: String = item.series.key.symbol.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{}-{symbol}-{}.{ending}", item.strategy.id(), item.series.key.timeframe)
}
