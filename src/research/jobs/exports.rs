//! Files of results: a script of a ranked evaluation, a table of all of them, or a report to print.

use research::{Parameters, Strategy, pine};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::answer::{self, raw, unreadable};
use super::request::ItemRequest;
use super::results::{Evaluated, Evaluations, csv};
use super::search::SearchRequest;
use super::{Jobs, JobsError, id_of, item, pdf};
use crate::errors::sentence;
use crate::research::ResearchError;
use crate::research::body::{self, Faults, Object};
use crate::research::columns::Loaded;
use crate::store::{Job, NewFile, StoredFile};
use candle::{Rule, ValueError};

/// A file to be made.
#[derive(Debug)]
struct ExportRequest {
    job: String,
    item: usize,
    rank: usize,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pine,
    Csv,
    Pdf,
}

impl Format {
    fn parse(value: &Value) -> Result<Self, ValueError> {
        match body::text(value)? {
            "pine" => Ok(Self::Pine),
            "pdf" => Ok(Self::Pdf),
            "csv" => Ok(Self::Csv),
            _ => Err(ValueError::new(Rule::WrongType, "must be one of pine, pdf, csv".to_owned())),
        }
    }

    /// Its name in a request, which is the ending of the file's name too.
    fn name(self) -> &'static str {
        match self {
            Self::Pine => "pine",
            Self::Pdf => "pdf",
            Self::Csv => "csv",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Pine => "text/plain; charset=utf-8",
            Self::Pdf => "application/pdf",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
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

impl Exported {
    fn of(id: String, file: &StoredFile) -> Self {
        Self {
            href: format!("/api/v1/files/{id}"),
            id,
            name: file.name.clone(),
            mime: file.mime.clone(),
            bytes: file.body.len(),
            sha256: hex::encode(&file.sha256),
        }
    }
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
        let format = object.required("format", &mut faults, Format::parse);
        match (job, format) {
            (Some(job), Some(format)) if faults.is_empty() => Ok(Self { job, item, rank, format }),
            _ => Err(faults.refusal()),
        }
    }

    /// The id of the file. The same request has the same, so that a repeated one finds the file, and nobody guesses it who does not
    /// know that of the job.
    fn file_id(&self) -> String {
        // A table has all ranks.
        let rank = if self.format == Format::Csv { 0 } else { self.rank };
        let text = format!("{} {} {rank} {}", self.job, self.item, self.format.name());
        let hash: [u8; 32] = Sha256::digest(text).into();
        let (first, _) = hash.split_at(16);
        id_of(first.iter().fold(0, |bits, byte| (bits << 8) | u128::from(*byte)))
    }
}

impl Jobs {
    /// Makes the file that a body asks for, of a job of the owner. One that was made before is returned.
    ///
    /// # Errors
    /// When the request is invalid, there is no such job or result, this process computes nothing, or the store does not answer.
    pub(crate) async fn export(&self, body: &[u8], owner: &str) -> Result<Exported, JobsError> {
        let asked = ExportRequest::parse(body)?;
        let job = self.find(&asked.job, Some(owner)).await?;
        let id = asked.file_id();
        let store = &self.0.store;
        if let Some(file) = store.file(id.clone(), Some(owner.to_owned())).await? {
            return Ok(Exported::of(id, &file));
        }
        if self.0.research.threads().count() == 0 {
            return Err(JobsError::Off);
        }
        let made = self.made(&asked, &job).await?;
        let file = NewFile {
            id: id.clone(),
            job: job.id,
            owner: owner.to_owned(),
            name: made.name.clone(),
            mime: made.mime.clone(),
            sha256: made.sha256.clone(),
            body: made.body.clone(),
            retention: self.0.config.retention,
        };
        if store.add_file(file).await? {
            return Ok(Exported::of(id, &made));
        }
        // Another request has made it meanwhile, or else the job has expired.
        let file = store.file(id.clone(), Some(owner.to_owned())).await?.ok_or(JobsError::UnknownJob)?;
        Ok(Exported::of(id, &file))
    }

    async fn made(&self, asked: &ExportRequest, job: &Job) -> Result<StoredFile, JobsError> {
        let stored = answer::request(job)?;
        let request = self.parsed_again(&stored.json).await?;
        let evaluations = self.evaluations(job, asked.item).await?;
        let no_item = || JobsError::NoResult(format!("this job has no item {}", asked.item));
        let item = request.items.get(asked.item).cloned().ok_or_else(no_item)?;
        let items = self.0.store.job_items(job.id.clone()).await?;
        let summary = items.iter().find(|of| usize::try_from(of.item) == Ok(asked.item)).ok_or_else(no_item)?;
        let summary: Value = serde_json::from_str(raw(&summary.summary)?.get()).map_err(unreadable)?;
        let export = Export {
            job_name: request.name.clone(),
            search: request.search,
            rank: asked.rank,
            item,
            evaluations,
            summary,
        };
        let format = asked.format;
        let name = file_name(&export.item, format.name());
        // Only so many at once, because a report takes the memory of its candles.
        let _turn = self.0.research.turn().await?;
        let loaded = if format == Format::Pdf { Some(self.candles_of(&export).await?) } else { None };
        let made = self.0.research.threads().run(move || -> Result<Vec<u8>, JobsError> {
            match loaded {
                Some(loaded) => pdf::report(&export, &loaded),
                None if format == Format::Csv => Ok(export.table().into_bytes()),
                None => Ok(export.script()?.into_bytes()),
            }
        });
        let body = made.await??;
        let sha256 = Sha256::digest(&body).to_vec();
        Ok(StoredFile { name, mime: format.media_type().to_owned(), sha256, body })
    }

    /// The candles that an item was searched on. Later ones are left out.
    async fn candles_of(&self, export: &Export) -> Result<Loaded, JobsError> {
        let mut asked = item::columns(&export.item, &export.search);
        if let Some(last) = export.summary["to"].as_i64() {
            asked.span.1 = last + 1;
        }
        match self.0.research.columns().load(asked).await {
            Ok(loaded) if loaded.market.len() > loaded.first => Ok(loaded),
            Ok(_) => Err(no_report("all of them were deleted")),
            Err(ResearchError::TooManyCandles(_)) => Err(no_report("older ones were added, and now they are too many")),
            Err(error @ (ResearchError::UnknownSeries(_) | ResearchError::UnusableCandle { .. })) => {
                Err(no_report(sentence(&error).trim_end_matches('.')))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file with this id. Without an owner, anybody's.
    ///
    /// # Errors
    /// When there is no such file, or the store does not answer.
    pub(crate) async fn file(&self, id: &str, owner: Option<&str>) -> Result<StoredFile, JobsError> {
        self.0.store.file(id.to_owned(), owner.map(str::to_owned)).await?.ok_or(JobsError::UnknownFile)
    }
}

fn no_report(why: &str) -> JobsError {
    JobsError::NoResult(format!(
        "the candles of this item can no longer be read, and a report shows them: {why}; export pine or csv instead"
    ))
}

/// Everything that a file is made from.
#[derive(Debug)]
pub(super) struct Export {
    /// The name that somebody gave to the job.
    pub(super) job_name: Option<String>,
    pub(super) search: SearchRequest,
    pub(super) item: ItemRequest,
    pub(super) rank: usize,
    pub(super) evaluations: Evaluations,
    pub(super) summary: Value,
}

impl Export {
    /// The evaluation of the rank.
    pub(super) fn ranked(&self) -> Result<&Evaluated, JobsError> {
        let best = &self.evaluations.best;
        best.get(self.rank - 1).ok_or_else(|| {
            JobsError::NoResult(format!("this item has {} ranked results, and none of rank {}", best.len(), self.rank))
        })
    }

    /// The sentences about the winner, if the file is about it.
    pub(super) fn warnings(&self) -> Vec<String> {
        let warnings = self.summary["warnings"].as_array().filter(|_| self.rank == 1);
        warnings.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn table(&self) -> String {
        let rows: Vec<&Evaluated> = self.evaluations.best.iter().collect();
        csv(&self.evaluations, &rows)
    }

    /// The strategy with the parameters of the rank, for TradingView.
    pub(super) fn script(&self) -> Result<String, JobsError> {
        let ranked = self.ranked()?;
        let parameters = parameters(self.item.strategy, &ranked.parameters)?;
        let remarks = self.remarks(ranked);
        let remarks: Vec<&str> = remarks.iter().map(String::as_str).collect();
        let script = pine::script(self.item.strategy, &parameters, &self.search.settings, &remarks);
        script.map_err(|error| JobsError::Unreadable(error.to_string().into()))
    }

    /// The head of a script: its origin, its figures, and what to make of them.
    fn remarks(&self, ranked: &Evaluated) -> Vec<String> {
        let time = |name: &str| self.summary[name].as_i64().and_then(candle::format_millis).unwrap_or_default();
        let (key, objective) = (&self.item.series.key, &self.evaluations.objective);
        let mut remarks = vec![
            format!("{} {} from {} to {}", key.symbol, key.timeframe, time("from"), time("to")),
            format!("Rank {} of {} trials by {objective}", ranked.rank, self.summary["trials"]),
            format!("In sample: {}", figures(objective, &ranked.in_sample)),
        ];
        if let Some(figures_out) = &ranked.out_of_sample {
            remarks.push(format!("Out of sample: {}", figures(objective, figures_out)));
        }
        remarks.extend(self.warnings());
        remarks.push("Equal trades need equal candles.".to_owned());
        remarks
    }
}

/// The values of an evaluation, as its strategy takes them.
pub(super) fn parameters(strategy: &Strategy, values: &Map<String, Value>) -> Result<Parameters, JobsError> {
    let texts = values.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.as_str(), text)
    });
    let texts: Vec<(&str, String)> = texts.collect();
    let parsed = strategy.parameters_of(texts.iter().map(|(name, text)| (*name, text.as_str())));
    parsed.map_err(|errors| JobsError::Unreadable(errors[0].to_string().into()))
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
