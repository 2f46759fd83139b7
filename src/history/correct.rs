//! The command `correct`: gives stored candles the values that they have in files, after a dry run that shows the
//! changes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use sha2::{Digest as _, Sha256};

use super::first_reading::FileError;
use super::import_flags::FileFlags;
use super::numbers::grouped;
use super::open::inputs;
use super::session::{Ended, Printer, Session};
use super::verify::{Comparison, file};
use super::{HistoryError, Source};
use crate::clock::Clock;
use crate::maintain::{MAX_CORRECTIONS, parse_reason};
use crate::store::{Correction, Found, Note, Store};
use crate::validation::FieldError;

/// The flags of `correct`.
#[derive(Debug, Args)]
pub(crate) struct CorrectFlags {
    #[command(flatten)]
    file: FileFlags,
    /// Correct what the command showed with this digest
    #[arg(long, value_name = "DIGEST", requires = "reason")]
    confirm: Option<String>,
    /// Why, in 1 to 200 characters, for the record of changes
    #[arg(long)]
    reason: Option<String>,
}

/// Compares the files of the flags with the database, and corrects the candles that differ if the flags confirm that.
pub(crate) async fn correct(
    flags: &CorrectFlags,
    source: Source,
    clock: &Clock,
    stop: Arc<AtomicBool>,
    printer: Printer,
) -> Result<Ended, HistoryError> {
    let settings = Arc::new(flags.file.settings().map_err(HistoryError::Flag)?);
    let note = flags.note()?;
    let session =
        Session { settings, now: clock.now(), stop, is_silent: false, printer, nothing: "nothing was corrected" };
    let mut found = Vec::new();
    for path in &flags.file.files {
        let name = path.display().to_string();
        let texts = match inputs(path, flags.file.member.as_deref()) {
            Ok(texts) => texts,
            Err(error) => return Ok(session.complain(&name, &FileError::File(error))),
        };
        for input in texts {
            match file(&session, &source, &input, Comparison::with_corrections()).await? {
                Ok(compared) => found.extend(compared.corrections.unwrap_or_default()),
                Err(error) => return Ok(session.complain(&input.name(), &error)),
            }
        }
    }
    let Source::Database { store, .. } = &source else {
        return Err(HistoryError::Usage("correct works on the database; over HTTP, use POST /api/v1/corrections"));
    };
    let ended = decide(store, found, flags.confirm.as_deref().zip(note), printer).await;
    source.close().await;
    ended
}

async fn decide(
    store: &Store,
    mut found: Vec<Correction>,
    order: Option<(&str, Note)>,
    printer: Printer,
) -> Result<Ended, HistoryError> {
    found.sort_by(|one, other| one.candle.key.cmp(&other.candle.key));
    if let Some(pair) = found.windows(2).find(|pair| pair[0].candle.key == pair[1].candle.key) {
        let key = &pair[0].candle.key;
        return Err(HistoryError::Refused(format!(
            "{} {} {} has two values in these files; nothing was corrected; leave one of them out",
            key.symbol(),
            key.timeframe(),
            key.time()
        )));
    }
    if found.is_empty() {
        (printer.print)("no stored candle differs from these files; nothing was corrected");
        return Ok(Ended::Succeeded);
    }
    let (digest, count) = (digest(&found), grouped(found.len() as u64));
    let Some((confirm, note)) = order else {
        (printer.print)(&format!(
            "would correct {count} candles\nnothing was corrected; to go on, add   --confirm {digest} --reason \"…\""
        ));
        return Ok(Ended::Succeeded);
    };
    if confirm != digest {
        return Err(HistoryError::Refused(format!(
            "the differences are not those of --confirm {confirm} any more, and nothing was corrected; look at them again, and \
             confirm {digest}"
        )));
    }
    let mut corrected = 0;
    for part in found.chunks(MAX_CORRECTIONS) {
        let amended = store.amend(part.to_vec(), note.clone()).await?;
        if amended.found.iter().any(|found| matches!(found, Found::Nothing | Found::Unexpected(_))) {
            return Err(HistoryError::Refused(format!(
                "candles changed while they were corrected; {} are corrected and in the record, and the others are as they \
                 are now; run the command again without --confirm",
                grouped(corrected)
            )));
        }
        corrected += part.len() as u64;
    }
    (printer.print)(&format!("corrected {count} candles"));
    Ok(Ended::Succeeded)
}

/// The first 12 hexadecimal digits of the SHA-256 of the keys, the stored and the new values.
fn digest(corrections: &[Correction]) -> String {
    let mut hash = Sha256::new();
    for correction in corrections {
        hash.update(format!("{correction:?}\n"));
    }
    hex::encode(&hash.finalize()[..6])
}

impl CorrectFlags {
    fn note(&self) -> Result<Option<Note>, HistoryError> {
        let invalid = |error| HistoryError::Invalid(vec![FieldError::new(["query".into(), "reason".into()], error)]);
        let reason = self.reason.as_deref().map(parse_reason).transpose().map_err(invalid)?;
        Ok(reason.map(|reason| Note { actor: crate::config::user(), reason }))
    }
}
