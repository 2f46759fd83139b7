//! The command `verify`: files of candles compared by value with what is stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::json;
use tokio::sync::mpsc;
use url::form_urlencoded;

use super::faults::Faults;
use super::first_reading::FileError;
use super::import_flags::VerifyFlags;
use super::numbers::grouped;
use super::open::{Input, inputs};
use super::progress::Progress;
use super::reading::{Source as FileSource, read};
use super::session::{Ended, Printer, Session};
use super::source::ExportFailure;
use super::{HistoryError, Source, report};
use crate::clock::Clock;
use crate::errors::chain;
use crate::query::FileFormat;
use crate::store::{Correction, Expected};
use crate::telemetry::spans::spawn_blocking;
use candle::{Candle, OhlcField, Price, Volume, format_bound};
use dialects::{Fault, Output};

/// The number of candles that are compared at once.
const BATCH_CANDLES: usize = 50_000;
/// The maximum number of candles of each kind that are listed.
const MAX_LISTED: usize = 20;

/// The candles of a file, compared with the stored candles of the same keys.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    same: u64,
    differ: u64,
    missing: u64,
    /// The first that differ, each with both values.
    differing: Vec<String>,
    /// The first that are not stored.
    not_stored: Vec<String>,
    /// All that differ, with the stored values as the expected ones; `None` if nothing is corrected.
    pub(super) corrections: Option<Vec<Correction>>,
}

/// Compares the files of the flags with what `source` holds.
pub(crate) async fn verify(
    flags: &VerifyFlags,
    source: Source,
    clock: &Clock,
    stop: Arc<AtomicBool>,
    printer: Printer,
) -> Result<Ended, HistoryError> {
    let settings = Arc::new(flags.file.settings().map_err(HistoryError::Flag)?);
    let session =
        Session { settings, now: clock.now(), stop, is_silent: flags.json, printer, nothing: "nothing was compared" };
    let mut ended = Ended::Succeeded;
    let mut reports = Vec::new();
    for path in &flags.file.files {
        let texts = match inputs(path, flags.file.member.as_deref()) {
            Ok(texts) => texts,
            Err(error) => {
                ended = ended.max(session.complain(&path.display().to_string(), &FileError::File(error)));
                continue;
            }
        };
        for input in texts {
            match file(&session, &source, &input, Comparison::default()).await? {
                Ok(compared) => {
                    let all_same = compared.differ == 0 && compared.missing == 0;
                    ended = ended.max(if all_same { Ended::Succeeded } else { Ended::Failed });
                    reports.push(json!({
                        "file": input.name(),
                        "same": compared.same,
                        "differ": compared.differ,
                        "not_stored": compared.missing,
                        "differing": compared.differing,
                        "missing": compared.not_stored,
                    }));
                }
                Err(error) => {
                    reports.push(json!({ "file": input.name(), "error": error.text() }));
                    ended = ended.max(session.complain(&input.name(), &error));
                }
            }
        }
    }
    source.close().await;
    if flags.json {
        (printer.print)(&json!({ "files": reports }).to_string());
    }
    Ok(ended)
}

/// Compares one text. The inner result is that of the file, the outer one that of the database or the service.
pub(super) async fn file(
    session: &Session,
    source: &Source,
    input: &Input,
    mut comparison: Comparison,
) -> Result<Result<Comparison, FileError>, HistoryError> {
    let checked = match *input {
        Input::Stdin => session.plan_only(input).await,
        Input::File(_) | Input::Member { .. } => session.check(input, false).await,
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return Ok(Err(error)),
    };
    session.say(&report::block(&checked.plan, checked.reader.as_ref()));
    let (sender, mut receiver) = mpsc::channel(1);
    let (plan, total) = (checked.plan, checked.reader.map(|reader| reader.counts().candles));
    let background = session.clone();
    let reading = spawn_blocking(move || {
        let mut output = Comparing { batch: Vec::new(), sender, is_over: false, faults: Faults::default() };
        let file = checked.source.map_or_else(|| FileSource::open(&plan.input, &background.settings), Ok);
        let mut progress = Progress::start("comparing", background.is_silent);
        let read = file.and_then(|file| {
            read(&plan, file, &mut output, &mut |position, output: &mut Comparing| {
                progress.show(position, total);
                !output.is_over && !background.is_stopped()
            })
        });
        output.flush();
        progress.end();
        let reading = read.map_err(FileError::File)?;
        if output.faults.count > 0 {
            let layout = reading.reader.rows().layout();
            return Err(FileError::Refused(output.faults.refusal(reading.reader.counts().candles, layout)));
        }
        if !reading.ended {
            return Err(FileError::Refused("was not compared to its end".to_owned()));
        }
        Ok(())
    });
    while let Some(batch) = receiver.recv().await {
        comparison.compare(source, batch).await?;
    }
    let read = reading.await.unwrap_or_else(|panic| Err(FileError::Refused(panic.to_string())));
    if let Err(error) = read {
        return Ok(Err(error));
    }
    session.say(&comparison.to_text());
    Ok(Ok(comparison))
}

/// Collects candles into batches.
struct Comparing {
    batch: Vec<Candle>,
    sender: mpsc::Sender<Vec<Candle>>,
    is_over: bool,
    faults: Faults,
}

impl Comparing {
    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() && self.sender.blocking_send(batch).is_err() {
            self.is_over = true;
        }
    }
}

impl Output for Comparing {
    fn candle(&mut self, candle: Candle) {
        self.batch.push(candle);
        if self.batch.len() == BATCH_CANDLES {
            self.flush();
        }
    }

    fn fault(&mut self, line: u64, _: Option<&[u8]>, fault: Fault) {
        self.faults.add(line, fault);
    }
}

impl Comparison {
    /// A comparison that keeps every candle that differs.
    pub(super) fn with_corrections() -> Self {
        Self { corrections: Some(Vec::new()), ..Self::default() }
    }

    /// Compares candles with what is stored between the first and the last of each of their series.
    async fn compare(&mut self, source: &Source, mut candles: Vec<Candle>) -> Result<(), HistoryError> {
        candles.sort_by(|one, other| one.key.cmp(&other.key));
        for series in candles.chunk_by(|one, other| one.key.same_series(&other.key)) {
            let stored = stored(source, series).await?;
            for candle in series {
                self.add(candle, stored.get(&candle.key.time().seconds()));
            }
        }
        Ok(())
    }

    fn add(&mut self, candle: &Candle, stored: Option<&[String; 5]>) {
        let key = || format!("{} {} {}", candle.key.symbol(), candle.key.timeframe(), candle.key.time());
        let Some(stored) = stored else {
            self.missing += 1;
            if self.not_stored.len() < MAX_LISTED {
                self.not_stored.push(key());
            }
            return;
        };
        let mut differences = Vec::new();
        for (field, stored) in OhlcField::ALL.into_iter().zip(stored) {
            let price = candle.ohlc.get(field);
            if Price::parse(stored).ok().is_none_or(|stored| stored.cmp(&price).is_ne()) {
                differences.push(format!("{} {price}, stored {stored}", field.name()));
            }
        }
        if stored[4] != candle.volume.get().to_string() {
            differences.push(format!("volume {}, stored {}", candle.volume.get(), stored[4]));
        }
        if differences.is_empty() {
            self.same += 1;
            return;
        }
        self.differ += 1;
        if let Some(corrections) = &mut self.corrections {
            let [open, high, low, close, volume] = stored;
            let prices = [open, high, low, close].map(|price| Price::parse(price).ok());
            let expected = Expected { prices, volume: Volume::parse(volume).ok() };
            corrections.push(Correction { candle: candle.clone(), expected });
        }
        if self.differing.len() < MAX_LISTED {
            self.differing.push(format!("{}: {}", key(), differences.join("; ")));
        }
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for (title, listed, count) in
            [("differ", &self.differing, self.differ), ("not stored", &self.not_stored, self.missing)]
        {
            if listed.is_empty() {
                continue;
            }
            text.push_str(title);
            for line in listed {
                let _ = write!(text, "\n  {line}");
            }
            if count > listed.len() as u64 {
                let _ = write!(text, "\n  and {} more", grouped(count - listed.len() as u64));
            }
            text.push('\n');
        }
        let (same, differ, missing) = (grouped(self.same), grouped(self.differ), grouped(self.missing));
        let _ = write!(text, "{same} same, {differ} differ, {missing} not stored");
        text
    }
}

/// The closed candles that are stored between the first and the last of `series`, by their seconds since 1970: open, high,
/// low, close and volume.
async fn stored(source: &Source, series: &[Candle]) -> Result<BTreeMap<i64, [String; 5]>, HistoryError> {
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return Ok(BTreeMap::new()) };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("symbol", first.key.symbol().as_str())
        .append_pair("timeframe", first.key.timeframe().name())
        .append_pair("from", &format_bound(first.key.time().millis()))
        .append_pair("to", &format_bound(last.key.time().millis()))
        .append_pair("time", "s")
        .finish();
    let mut text = Vec::new();
    source.export(&query, FileFormat::Csv, &mut text).await.map_err(|failure| match failure {
        ExportFailure::Read(error) => error,
        ExportFailure::Write(error) => HistoryError::Refused(chain(&error).to_string()),
    })?;
    let mut stored = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines().skip(1) {
        let mut fields = line.split(',').map(str::to_owned);
        let time = fields.next().and_then(|time| time.parse().ok());
        let values: Vec<String> = fields.collect();
        if let (Some(time), Ok(values)) = (time, <[String; 5]>::try_from(values)) {
            stored.insert(time, values);
        }
    }
    Ok(stored)
}
