//! The command `import`: files of candles into the database or a service.
//!
//! A file is read twice. The first reading detects, parses and checks every line, so that only a file without a fault is
//! written, unless bad lines are to be skipped. The second one writes. Standard input is read once, as is every file
//! with `--one-pass`; the candles before a fault are stored then.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::faults::{BadFile, Faults};
use super::first_reading::{FileError, check_end};
use super::import_flags::{BadLines, ImportFlags};
use super::numbers::{counted, grouped};
use super::open::{Input, inputs};
use super::progress::{Progress, span};
use super::reading::{Plan, Reading, Source, read};
use super::session::{Ended, Printer, Session};
use super::sink::{Additions, BATCH_CANDLES, Sink, Stored};
use super::{HistoryError, report};
use crate::clock::Clock;
use crate::errors::chain;
use crate::store::Note;
use crate::telemetry::spans::spawn_blocking;
use candle::Candle;
use dialects::{Counts, Fault, FileReader, Output};

/// The number of batches that are read ahead of the one that is written.
const BATCHES_AHEAD: usize = 2;

/// Imports the files of the flags into `sink`, which a dry run does not need.
pub(crate) async fn import(
    flags: &ImportFlags,
    mut sink: Option<Sink>,
    clock: &Clock,
    stop: Arc<AtomicBool>,
    printer: Printer,
) -> Result<Ended, HistoryError> {
    let settings = Arc::new(flags.file.settings().map_err(HistoryError::Flag)?);
    let bad_file = match flags.bad_lines() {
        BadLines::Keep(path) => Some(
            BadFile::create(&path)
                .map_err(|source| HistoryError::Write { path: path.display().to_string(), source })?,
        ),
        BadLines::Refuse | BadLines::Skip => None,
    };
    let session =
        Session { settings, now: clock.now(), stop, is_silent: flags.json, printer, nothing: "nothing was imported" };
    let mut command = Command {
        session,
        one_pass: flags.one_pass,
        skips_bad: flags.bad_lines() != BadLines::Refuse,
        bad_file,
        reports: Vec::new(),
    };
    let ended = command.all(flags, &mut sink).await;
    if let Some(sink) = sink {
        sink.close().await;
    }
    if flags.json {
        let ended = match ended {
            Ended::Succeeded => "done",
            Ended::Failed if command.session.is_stopped() => "interrupted",
            Ended::Failed | Ended::MustChange => "failed",
        };
        (printer.print)(&json!({ "ended": ended, "files": command.reports }).to_string());
    }
    Ok(ended)
}

struct Command {
    session: Session,
    one_pass: bool,
    skips_bad: bool,
    bad_file: Option<BadFile>,
    reports: Vec<Value>,
}

/// The outcome of writing a file.
struct Written {
    stored: Stored,
    /// The candles that a database did not hold before.
    additions: Additions,
    /// The outcome of its lines.
    counts: Counts,
    loss: dialects::Loss,
    elapsed: Duration,
    failure: Option<Failure>,
}

enum Failure {
    Sink(HistoryError),
    File(FileError),
    Stopped,
}

impl Command {
    async fn all(&mut self, flags: &ImportFlags, sink: &mut Option<Sink>) -> Ended {
        let mut ended = Ended::Succeeded;
        let mut is_first = true;
        for path in &flags.file.files {
            let inputs = match inputs(path, flags.file.member.as_deref()) {
                Ok(inputs) => inputs,
                Err(error) => {
                    let name = path.display().to_string();
                    let result = self.session.complain(&name, &FileError::File(error));
                    self.reports.push(json!({ "file": name, "ended": "failed" }));
                    ended = ended.max(result);
                    continue;
                }
            };
            for input in inputs {
                if self.session.is_stopped() {
                    return ended.max(Ended::Failed);
                }
                if !is_first {
                    self.session.say("");
                }
                is_first = false;
                let file = self.file(&input, sink.as_mut()).await;
                ended = ended.max(file);
                if file == Ended::Failed {
                    return ended;
                }
            }
        }
        ended
    }

    /// Imports one text. Only [`Ended::Failed`] keeps the next ones from being read.
    async fn file(&mut self, input: &Input, sink: Option<&mut Sink>) -> Ended {
        let once = (self.one_pass || *input == Input::Stdin) && sink.is_some();
        let checked =
            if once { self.session.plan_only(input).await } else { self.session.check(input, self.skips_bad).await };
        let checked = match checked {
            Ok(checked) => checked,
            Err(_) if self.session.is_stopped() => return self.stopped_early(input),
            Err(error) => {
                self.reports.push(json!({ "file": input.name(), "ended": "failed", "error": error.text() }));
                return self.session.complain(&input.name(), &error);
            }
        };
        self.session.say(&report::block(&checked.plan, checked.reader.as_ref()));
        let Some(sink) = sink else {
            let counts = checked.reader.as_ref().map(FileReader::counts).unwrap_or_default();
            let refused =
                if counts.faults > 0 { format!(", {} refused", grouped(counts.faults)) } else { String::new() };
            let candles = format!("{} to store{refused}", counted(counts.read, "candle", "candles"));
            self.session.say(&format!("{}; nothing was stored, because of --dry-run", outline(&counts, &candles)));
            self.reports.push(report_of(&checked.plan, &counts, None, "dry run"));
            return Ended::Succeeded;
        };
        let (plan, source) = (checked.plan, checked.source);
        let total = checked.reader.as_ref().map(|reader| reader.counts().candles);
        let written = self.write(&plan, source, total, sink).await;
        self.record(&plan, &written, sink).await;
        self.end_of_file(&plan, written)
    }

    /// Adds the import to the record of changes. A failure only brings a warning, because the candles are stored.
    async fn record(&self, plan: &Plan, written: &Written, sink: &Sink) {
        const MAX_NAME_CHARS: usize = 150;
        let name = plan.input.name();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
        let note = Note { actor: crate::config::user(), reason: format!("import of {shown}") };
        let detail = json!({ "file": name, "dialect": plan.reader.rows().layout().name(), "zone": zone_of(plan) });
        if let Err(error) = sink.record(&written.additions, &note, &detail.to_string()).await {
            (self.session.printer.print_error)(&format!(
                "warning: the import is not in the record of changes: {}",
                chain(&error)
            ));
        }
    }

    fn stopped_early(&mut self, input: &Input) -> Ended {
        let text = "interrupted; nothing of it was imported";
        (self.session.printer.print_error)(&format!("{}: {text}", input.name()));
        self.reports.push(json!({ "file": input.name(), "ended": "interrupted" }));
        Ended::Failed
    }

    /// The second reading, or the only one, whose candles are written as they come.
    async fn write(&mut self, plan: &Plan, source: Option<Source>, total: Option<u64>, sink: &mut Sink) -> Written {
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let mut output = Writing {
            name: plan.input.name(),
            batch: Vec::with_capacity(BATCH_CANDLES),
            sender,
            is_over: false,
            skips_bad: self.skips_bad,
            faults: Faults::default(),
            bad_file: self.bad_file.take(),
            failure: None,
        };
        let (session, background_plan) = (self.session.clone(), plan.clone());
        let reading = spawn_blocking(move || {
            let progress = Progress::start("importing", session.is_silent);
            let (read, elapsed) = write_reading(&session, &background_plan, source, &mut output, progress, total);
            (read, elapsed, output.faults, output.bad_file, output.failure)
        });
        let (mut stored, mut additions) = (Stored::default(), Additions::default());
        let mut failure = None;
        while let Some(batch) = receiver.recv().await {
            match sink.write(batch, &mut additions).await {
                Ok(part) => stored.add(part),
                Err(error) => {
                    failure = Some(Failure::Sink(error));
                    break;
                }
            }
            if self.session.is_stopped() {
                failure = Some(Failure::Stopped);
                break;
            }
        }
        drop(receiver);
        let (read, elapsed, faults, bad_file, bad_failure) = match reading.await {
            Ok(ended) => ended,
            Err(panic) => {
                let failure = Some(Failure::File(FileError::Refused(panic.to_string())));
                return Written {
                    stored,
                    additions,
                    counts: Counts::default(),
                    loss: dialects::Loss::default(),
                    elapsed: Duration::ZERO,
                    failure,
                };
            }
        };
        self.bad_file = bad_file;
        let (counts, loss) = match &read {
            Ok(reading) => (reading.reader.counts(), reading.reader.rows().loss()),
            Err(_) => (Counts::default(), dialects::Loss::default()),
        };
        let in_file = match (read, bad_failure) {
            (_, Some(error)) | (Err(error), None) => Some(Failure::File(error)),
            (Ok(_), None) if faults.count > 0 && !self.skips_bad => {
                Some(Failure::File(FileError::Refused(faults.refusal(counts.candles, plan.reader.rows().layout()))))
            }
            (Ok(reading), None) if !reading.ended => Some(Failure::Stopped),
            (Ok(reading), None) if total.is_none() => {
                self.session.say(&report::evidence(plan, &reading.reader));
                check_end(&self.session.settings, plan, &reading.reader).err().map(Failure::File)
            }
            (Ok(_), None) => None,
        };
        let failure = failure.or(in_file);
        Written { stored, additions, counts, loss, elapsed, failure }
    }

    /// Prints the outcome of a file.
    fn end_of_file(&mut self, plan: &Plan, written: Written) -> Ended {
        let Written { stored, additions, counts, loss, elapsed, failure } = written;
        let took = span(elapsed.as_secs());
        let done = stored.added + stored.same + stored.conflicting + stored.forming;
        let (word, ended) = match &failure {
            None => ("done", Ended::Succeeded),
            Some(Failure::Stopped) => ("interrupted", Ended::Failed),
            Some(Failure::Sink(error)) => {
                ("failed", if error.must_change() { Ended::MustChange } else { Ended::Failed })
            }
            Some(Failure::File(_)) => ("failed", Ended::MustChange),
        };
        self.reports.push(report_of(plan, &counts, Some((&stored, &additions)), word));
        match failure {
            None => {
                self.session.say(&format!("{}; {took}", last_line(&counts, &stored)));
                if !loss.is_none() {
                    self.session.say(&format!("  rounding took or added {loss} of volume in all"));
                }
            }
            Some(Failure::Stopped) => {
                let text = format!(
                    "interrupted after {}: {} added, {} were stored already; run it again to go on",
                    counted(done, "candle", "candles"),
                    grouped(stored.added),
                    grouped(stored.same)
                );
                (self.session.printer.print_error)(&text);
            }
            Some(Failure::Sink(error)) => {
                let text = format!(
                    "error: {} of {} were stored, then: {}; run it again to go on",
                    counted(stored.added, "candle", "candles"),
                    plan.input.name(),
                    chain(&error)
                );
                (self.session.printer.print_error)(&text);
            }
            Some(Failure::File(error)) => {
                let text = format!(
                    "error: {} {}; {} before that were stored",
                    plan.input.name(),
                    error.text(),
                    counted(stored.added, "candle", "candles")
                );
                (self.session.printer.print_error)(&text);
            }
        }
        if stored.conflicting > 0 {
            self.session.say(&format!(
                "  {} with other values, which stay; candlewick verify lists the first of them",
                counted(stored.conflicting, "candle is stored", "candles are stored")
            ));
        }
        ended
    }
}

/// Reads a file into the output, and returns its reader and the time that it took.
fn write_reading(
    session: &Session,
    plan: &Plan,
    source: Option<Source>,
    output: &mut Writing,
    mut progress: Progress,
    total: Option<u64>,
) -> (Result<Reading, FileError>, Duration) {
    let source = match source.map_or_else(|| Source::open(&plan.input, &session.settings), Ok) {
        Ok(source) => source,
        Err(error) => return (Err(FileError::File(error)), progress.end()),
    };
    let read = read(plan, source, output, &mut |position, output: &mut Writing| {
        progress.show(position, total);
        !output.is_over && !session.is_stopped()
    });
    output.flush();
    if let Some(file) = &mut output.bad_file
        && let Err(error) = file.end()
    {
        output.failure = Some(FileError::File(error));
    }
    (read.map_err(FileError::File), progress.end())
}

/// Collects candles into batches and sends them to the writer.
struct Writing {
    name: String,
    batch: Vec<Candle>,
    sender: mpsc::Sender<Vec<Candle>>,
    /// True once no more candles may be written.
    is_over: bool,
    skips_bad: bool,
    faults: Faults,
    bad_file: Option<BadFile>,
    failure: Option<FileError>,
}

impl Writing {
    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_CANDLES));
        if self.sender.blocking_send(batch).is_err() {
            self.is_over = true;
        }
    }
}

impl Output for Writing {
    fn candle(&mut self, candle: Candle) {
        if self.is_over {
            return;
        }
        self.batch.push(candle);
        if self.batch.len() == BATCH_CANDLES {
            self.flush();
        }
    }

    fn fault(&mut self, line: u64, text: Option<&[u8]>, fault: Fault) {
        if let Some(file) = &mut self.bad_file
            && let Err(error) = file.add(&self.name, line, text, &fault.message)
        {
            self.failure = Some(FileError::File(error));
            self.is_over = true;
        }
        if !self.is_over {
            self.faults.add(line, fault);
        }
        self.is_over |= !self.skips_bad;
    }
}

/// The counts of a file after it was written. They add up.
fn last_line(counts: &Counts, stored: &Stored) -> String {
    let mut parts = format!(
        "{} added, {} were stored already, {} refused",
        grouped(stored.added),
        grouped(stored.same),
        grouped(counts.faults)
    );
    if stored.conflicting > 0 {
        let _ = write!(parts, ", {} conflicting", grouped(stored.conflicting));
    }
    if stored.forming > 0 {
        let _ = write!(parts, ", {} forming by the service's clock", grouped(stored.forming));
    }
    let outline = outline(counts, &parts);
    format!("{}: {outline}", counted(counts.candles, "candle", "candles"))
}

/// `parts`, and the numbers of lines that hold something else.
fn outline(counts: &Counts, parts: &str) -> String {
    let mut text = parts.to_owned();
    for (count, meaning) in [
        (counts.repeated, "twice in the file"),
        (counts.empty, "without prices"),
        (counts.flat, "flat"),
        (counts.unfinished, "left out because its period is not over"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {} {meaning}", grouped(count));
        }
    }
    text
}

/// The zone of a file, for programs.
fn zone_of(plan: &Plan) -> String {
    let clock = plan.reader.options().clock.as_ref();
    clock.map_or_else(|| "in each time".to_owned(), ToString::to_string)
}

/// A file in the object for programs.
fn report_of(plan: &Plan, counts: &Counts, stored: Option<(&Stored, &Additions)>, ended: &str) -> Value {
    let options = plan.reader.options();
    let mut report = json!({
        "file": plan.input.name(),
        "ended": ended,
        "dialect": plan.reader.rows().layout().name(),
        "zone": zone_of(plan),
        "timeframe": options.timeframe.name(),
        "candles": counts.candles,
        "refused": counts.faults,
        "repeated": counts.repeated,
        "empty": counts.empty,
        "flat": counts.flat,
        "unfinished": counts.unfinished,
    });
    if let Some((stored, additions)) = stored {
        let series = additions.iter().map(|(symbol, timeframe, addition)| {
            json!({
                "symbol": symbol.as_str(),
                "timeframe": timeframe,
                "first": addition.first.to_string(),
                "last": addition.last.to_string(),
                "added": addition.added,
            })
        });
        report["series"] = series.collect();
        report["added"] = stored.added.into();
        report["stored_already"] = stored.same.into();
        report["conflicting"] = stored.conflicting.into();
        report["forming"] = stored.forming.into();
    }
    report
}
