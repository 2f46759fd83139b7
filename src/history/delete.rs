//! The command `delete`: removes the candles of a series in a span from the database, slice by slice, after a dry run
//! that shows them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::numbers::grouped;
use super::source::ExportFailure;
use super::{HistoryError, Source};
use crate::maintain::{Slices, parse_reason};
use crate::query::FileFormat;
use crate::store::{Matched, Note, Removal, RemovalKind, SeriesKey, Span, Store};
use crate::validation::FieldError;
use candle::{Symbol, Timeframe, ValueError, parse_bound};

/// The maximum number of candles that are deleted at once.
const SLICE_CANDLES: usize = 50_000;

/// The flags of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteFlags {
    /// Instrument, exactly as it is stored
    #[arg(long)]
    symbol: String,
    /// Timeframe, such as M1 or H1
    #[arg(long)]
    timeframe: String,
    /// First opening time: RFC 3339, a date for its midnight in UTC, or epoch seconds or milliseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// Last opening time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// Delete what the command showed with this digest
    #[arg(long, value_name = "DIGEST", requires = "reason")]
    confirm: Option<String>,
    /// Why, in 1 to 200 characters; for the record of changes
    #[arg(long)]
    reason: Option<String>,
    /// CSV file that the candles are written to before they are deleted. It must not exist
    #[arg(long, value_name = "FILE", conflicts_with = "no_backup")]
    backup: Option<PathBuf>,
    /// Delete without a backup
    #[arg(long)]
    no_backup: bool,
}

/// The report on what the command found and did.
#[derive(Debug)]
pub(crate) struct Deleted {
    /// Lines for the user.
    pub(crate) report: String,
}

/// A confirmed deletion, with everything that it needs.
struct ConfirmedDeletion<'f> {
    confirm: &'f str,
    note: Note,
    backup: Option<&'f Path>,
}

impl DeleteFlags {
    fn span(&self) -> Result<Span, HistoryError> {
        let mut errors = Vec::new();
        let mut refuse =
            |name: &str, error: ValueError| errors.push(FieldError::new(["query".into(), name.into()], error));
        let symbol = Symbol::parse(&self.symbol).map_err(|error| refuse("symbol", error)).ok();
        let timeframe = Timeframe::parse(&self.timeframe).map_err(|error| refuse("timeframe", error)).ok();
        let from = parse_bound(&self.from, None).map_err(|error| refuse("from", error)).ok();
        let to = parse_bound(&self.to, None).map_err(|error| refuse("to", error)).ok();
        match (symbol, timeframe, from, to) {
            (Some(_), Some(_), Some(from), Some(to)) if from > to => {
                Err(HistoryError::Usage("--to is before --from; move one of them"))
            }
            (Some(symbol), Some(timeframe), Some(from), Some(to)) => {
                Ok(Span { key: SeriesKey { symbol, timeframe }, start: from, end: to + 1 })
            }
            _ => Err(HistoryError::Invalid(errors)),
        }
    }

    fn confirmed(&self) -> Result<Option<ConfirmedDeletion<'_>>, HistoryError> {
        let (Some(confirm), Some(reason)) = (&self.confirm, &self.reason) else { return Ok(None) };
        if self.backup.is_none() && !self.no_backup {
            return Err(HistoryError::Usage("--confirm needs --backup FILE.csv, or --no-backup"));
        }
        let invalid = |error| HistoryError::Invalid(vec![FieldError::new(["query".into(), "reason".into()], error)]);
        let note = Note { actor: crate::config::user(), reason: parse_reason(reason).map_err(invalid)? };
        Ok(Some(ConfirmedDeletion { confirm, note, backup: self.backup.as_deref() }))
    }
}

/// Shows what the flags select, and deletes it if they confirm that.
pub(crate) async fn delete(source: &Source, place: &str, flags: &DeleteFlags) -> Result<Deleted, HistoryError> {
    let Source::Database { store, .. } = source else {
        return Err(HistoryError::Usage("delete works on the database; over HTTP, use DELETE /api/v1/candles"));
    };
    let (span, confirmed) = (flags.span()?, flags.confirmed()?);
    let found = survey(store, &span).await?;
    let name = format!("{} {} in {place}", span.key.symbol, span.key.timeframe);
    if found.closed + found.forming == 0 {
        return Ok(Deleted { report: format!("there are no candles of {name} in that span; nothing was deleted\n") });
    }
    let counts = format!("{} closed and {} forming candles of {name}", grouped(found.closed), grouped(found.forming));
    let Some(confirmed) = confirmed else {
        return Ok(Deleted {
            report: format!(
                "would delete {counts}\nnothing was deleted; to go on, add   --confirm {} --reason \"…\" --backup FILE.csv   \
                 (or --no-backup)\n",
                found.digest
            ),
        });
    };
    if confirmed.confirm != found.digest {
        return Err(HistoryError::Refused(format!(
            "the candles are not those of --confirm {} any more: there are {counts}, and nothing was deleted; look at them \
             again, and confirm {}",
            confirmed.confirm, found.digest
        )));
    }
    let mut backup = confirmed.backup.map(Backup::create).transpose()?;
    let mut deleted = 0;
    for (slice, matched) in &found.slices {
        if let Some(backup) = &mut backup {
            backup.add(source, slice, matched.candles()).await?;
        }
        let kind = RemovalKind::Deletion;
        match store.remove(slice.clone(), SLICE_CANDLES, matched.digest.clone(), kind, confirmed.note.clone()).await? {
            Removal::Removed { matched, .. } => deleted += matched.candles(),
            Removal::Kept(_) => {
                return Err(HistoryError::Refused(format!(
                    "candles changed while they were deleted; {} are deleted and in the record, and the others are as they \
                     are now; run the command again without --confirm",
                    grouped(deleted)
                )));
            }
        }
    }
    let kept = confirmed.backup.map(|path| format!("; they are in {}", path.display())).unwrap_or_default();
    Ok(Deleted { report: format!("deleted {counts}{kept}\n") })
}

/// The candles of a span.
struct Found {
    closed: u64,
    forming: u64,
    /// The first 12 hexadecimal digits of the SHA-256 of the slices' digests.
    digest: String,
    slices: Vec<(Span, Matched)>,
}

async fn survey(store: &Store, span: &Span) -> Result<Found, HistoryError> {
    let mut found = Found { closed: 0, forming: 0, digest: String::new(), slices: Vec::new() };
    let mut hash = Sha256::new();
    hash.update(format!("{} {}", span.start, span.end));
    let mut slices = Slices::of(store, span.clone(), SLICE_CANDLES);
    while let Some((slice, matched)) = slices.next().await? {
        found.closed += matched.closed;
        found.forming += matched.forming;
        hash.update(&matched.digest);
        found.slices.push((slice, matched));
    }
    found.digest = hex::encode(&hash.finalize()[..6]);
    Ok(found)
}

/// A file of the candles that are deleted, in the form of an export ([`super::export`]).
struct Backup {
    path: String,
    file: BufWriter<File>,
    is_begun: bool,
}

impl Backup {
    fn create(path: &Path) -> Result<Self, HistoryError> {
        let shown = path.display().to_string();
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Ok(Self { path: shown, file: BufWriter::new(file), is_begun: false }),
            Err(source) => Err(HistoryError::Write { path: shown, source }),
        }
    }

    /// Adds the candles of a slice, and returns once they are on disk.
    async fn add(&mut self, source: &Source, slice: &Span, expected: u64) -> Result<(), HistoryError> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("symbol", slice.key.symbol.as_str())
            .append_pair("timeframe", slice.key.timeframe.name())
            .append_pair("from", &candle::format_bound(slice.start))
            .append_pair("to", &candle::format_bound(slice.end - 1))
            .append_pair("forming", "true")
            .finish();
        let mut lines = Lines { output: &mut self.file, skips_header: self.is_begun, count: 0 };
        let written = source.export(&query, FileFormat::Csv, &mut lines).await;
        let candles = lines.count.saturating_sub(1);
        self.is_begun = true;
        let failed = |source| HistoryError::Write { path: self.path.clone(), source };
        match written {
            Ok(_) => {}
            Err(ExportFailure::Read(error)) => return Err(error),
            Err(ExportFailure::Write(source)) => return Err(failed(source)),
        }
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(failed)?;
        // A closed candle hides a forming one of the same time, and rows that are not candles are left out.
        if candles == expected {
            return Ok(());
        }
        Err(HistoryError::Refused(format!(
            "{} of {} rows could not be written to {}, because they are hidden by others or are not candles; nothing more \
             was deleted; to delete them too, use --no-backup",
            expected.saturating_sub(candles),
            expected,
            self.path
        )))
    }
}

/// Counts lines, and leaves out the first one if another part of the file holds it.
struct Lines<'w> {
    output: &'w mut BufWriter<File>,
    skips_header: bool,
    count: u64,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        if self.skips_header && self.count == 0 {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(bytes.len()) };
            rest = &rest[end + 1..];
            self.count = 1;
        }
        self.output.write_all(rest)?;
        self.count += memchr::memchr_iter(b'\n', rest).count() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
