//! The first reading of a file: every line is detected, parsed and checked, and nothing is written.

use std::fmt::Write as _;
use std::io;

use super::faults::Faults;
use super::import_flags::ReadSettings;
use super::open::Input;
use super::progress::Progress;
use super::reading::{Plan, ReadError, Source, plan, read, wrong_timeframe};
use super::session::Session;
use candle::{Candle, Timeframe};
use dialects::{Fault, FileReader, Output};

/// The reason for which a file is not imported.
#[derive(Debug)]
pub(super) enum FileError {
    /// It cannot be read.
    File(io::Error),
    /// A flag has to be given, or the file changed. A text whose subject is the file.
    Refused(String),
}

impl FileError {
    /// The text, whose subject is the file.
    pub(super) fn text(&self) -> String {
        match self {
            Self::File(error) => format!("cannot be read: {error}"),
            Self::Refused(text) => text.clone(),
        }
    }
}

impl From<ReadError> for FileError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::File(error) => Self::File(error),
            ReadError::Refused(text) => Self::Refused(text),
            ReadError::NoZone(_) => Self::Refused("does not say its time zone; say it with --tz".to_owned()),
        }
    }
}

/// A file that can be imported.
pub(super) struct Checked {
    pub(super) plan: Plan,
    /// Its reader after the first reading, if there was one.
    pub(super) reader: Option<FileReader>,
    /// The file as far as it was read, if it cannot be read again.
    pub(super) source: Option<Source>,
}

/// Collects faults, and does nothing with candles.
#[derive(Default)]
struct Checking(Faults);

impl Output for Checking {
    fn candle(&mut self, _: Candle) {}

    fn fault(&mut self, line: u64, _: Option<&[u8]>, fault: Fault) {
        self.0.add(line, fault);
    }
}

/// Reads a file without writing.
///
/// # Errors
/// The reason for which it cannot be imported, or that the command was stopped.
pub(super) fn first_reading(session: &Session, input: &Input, skips_bad: bool) -> Result<Checked, FileError> {
    let settings = &*session.settings;
    match one_reading(session, input, settings, skips_bad)? {
        Outcome::Checked(checked) => Ok(*checked),
        Outcome::OtherTimeframe(timeframe) => {
            // The first lines have other steps than most lines, so the file is read once more.
            let settings = ReadSettings { timeframe: Some(timeframe), ..settings.clone() };
            match one_reading(session, input, &settings, skips_bad)? {
                Outcome::Checked(checked) => Ok(*checked),
                Outcome::OtherTimeframe(_) => Err(no_timeframe()),
            }
        }
    }
}

enum Outcome {
    Checked(Box<Checked>),
    /// The steps of the whole file show this timeframe, unlike those of its first lines.
    OtherTimeframe(Timeframe),
}

fn no_timeframe() -> FileError {
    FileError::Refused("has steps that do not show the timeframe; give it, as in --timeframe M1".to_owned())
}

fn one_reading(
    session: &Session,
    input: &Input,
    settings: &ReadSettings,
    skips_bad: bool,
) -> Result<Outcome, FileError> {
    let mut source = Source::open(input, settings).map_err(FileError::File)?;
    let plan = match plan(input, &mut source, settings, session.now) {
        Err(ReadError::NoZone(plan)) => return Err(zone_refusal(session, &plan, source)),
        result => result?,
    };
    let mut progress = Progress::start("checking", session.is_silent);
    let mut output = Checking::default();
    let read = read(&plan, source, &mut output, &mut |position, _: &mut Checking| {
        progress.show(position, None);
        !session.is_stopped()
    });
    progress.end();
    let reading = read.map_err(FileError::File)?;
    if !reading.ended {
        return Err(FileError::Refused("was not read to its end".to_owned()));
    }
    let reader = reading.reader;
    let counts = reader.counts();
    if let [first, ..] = reader.unnamed() {
        let tickers = reader.unnamed().join(" ");
        return Err(FileError::Refused(format!(
            "holds tickers that have no symbol: {tickers}\n  \
             name each with --map {first}=SYMBOL, or take all as they are with --all-symbols"
        )));
    }
    let told = reader.steps().timeframe().filter(|told| told.timeframe != reader.options().timeframe);
    if let Some(told) = told
        && settings.timeframe.is_none()
        && plan.sample.timeframe.is_none()
    {
        return Ok(Outcome::OtherTimeframe(told.timeframe));
    }
    check_end(settings, &plan, &reader)?;
    if output.0.count > 0 && !skips_bad {
        return Err(FileError::Refused(output.0.refusal(counts.candles, reader.rows().layout())));
    }
    if counts.candles == 0 {
        return Err(FileError::Refused("holds no candles".to_owned()));
    }
    Ok(Outcome::Checked(Box::new(Checked { plan, reader: Some(reader), source: None })))
}

/// Compares the timeframe with the steps of the whole file.
pub(super) fn check_end(settings: &ReadSettings, plan: &Plan, reader: &FileReader) -> Result<(), FileError> {
    if plan.sample.timeframe.is_some() {
        return Ok(());
    }
    let timeframe = reader.options().timeframe;
    match reader.steps().timeframe() {
        Some(told) if told.timeframe != timeframe && told.is_most() => {
            Err(FileError::Refused(wrong_timeframe(timeframe, told.timeframe)))
        }
        None if settings.timeframe.is_none() && reader.steps().total() > 0 => Err(no_timeframe()),
        _ => Ok(()),
    }
}

/// The refusal of a file that does not say its zone, with the evidence of its weekends for the usual zones.
pub(super) fn zone_refusal(session: &Session, plan: &Plan, source: Source) -> FileError {
    let mut text = "does not say in which time zone its times are".to_owned();
    let mut progress = Progress::start("checking", session.is_silent);
    let read = read(plan, source, &mut Checking::default(), &mut |position, _: &mut Checking| {
        progress.show(position, None);
        !session.is_stopped()
    });
    progress.end();
    let mut zones = vec!["ny+7", "Europe/Athens", "UTC", "+03:00"];
    if let Ok(reading) = read
        && !reading.reader.options().timeframe.opens_with_a_day()
        && let Some(evidence) = reading.reader.weekends().evidence(None)
    {
        let _ = write!(text, "\n  {}", evidence.comparison());
        if let Some((best, _)) = evidence.usual.first() {
            zones.retain(|zone| zone != best);
            zones.insert(0, best);
            zones.truncate(4);
        }
    }
    let options: Vec<_> = zones.iter().map(|zone| format!("--tz {zone}")).collect();
    let (last, others) = options.split_last().map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
    let _ = write!(text, "\n  choose with {} or {last}", others.join(", "));
    FileError::Refused(text)
}
