//! Deletes candles that are older than the configured retention, in slices, each with a row in the record of changes.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::{Age, Retention};
use crate::errors::chain;
use crate::maintain::Slices;
use crate::query::FIRST_MILLISECOND;
use crate::store::{Note, Removal, RemovalKind, SeriesKey, SeriesSelection, Span, Store, StoreError};
use crate::telemetry::metrics::Changes;
use candle::{Timeframe, format_millis};

/// The pause between two passes, and before the first one, so that a service that restarts in a loop deletes nothing.
const PASS_INTERVAL: Duration = Duration::from_mins(10);
/// The maximum number of candles of a slice, so that no post waits for long.
const SLICE_CANDLES: usize = 5_000;
/// The pause after each slice, in which posts and pages have the database to themselves.
const SLICE_PAUSE: Duration = Duration::from_millis(50);
/// The pause between two checks whether a backup is still running.
const BACKUP_PAUSE: Duration = Duration::from_secs(10);
/// The number of series of a list.
const LIST_SERIES: usize = 1_000;

/// Deletes candles that are older than `retention`, in passes, once the store is `ready`.
pub(crate) async fn run(store: Store, retention: Retention, clock: Clock, mut ready: watch::Receiver<bool>) {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    let mut last_failure = None;
    loop {
        sleep(PASS_INTERVAL).await;
        match pass(&store, &retention, &clock).await {
            Ok(_) => last_failure = None,
            Err(error) => {
                let failure = chain(&error).to_string();
                if last_failure.as_ref() != Some(&failure) {
                    warn!(
                        cause = failure,
                        "could not delete candles that are older than RETENTION; trying again later"
                    );
                }
                last_failure = Some(failure);
            }
        }
    }
}

/// Deletes the candles that are older than `retention` now, and returns their number.
///
/// # Errors
/// When the store cannot be read or written. The slices before the error stay deleted.
pub async fn pass(store: &Store, retention: &Retention, clock: &Clock) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for (timeframe, age) in retention.ages() {
        let end = age.before(clock.now());
        for key in series(store, timeframe).await? {
            deleted += delete_before(store, &key, end, age).await?;
        }
    }
    Ok(deleted)
}

async fn delete_before(store: &Store, key: &SeriesKey, end: i64, age: Age) -> Result<u64, StoreError> {
    let mut deleted = 0;
    let mut slices = Slices::of(store, before(key, end), SLICE_CANDLES);
    while let Some((slice, matched)) = slices.next().await? {
        while store.is_being_backed_up().await? {
            sleep(BACKUP_PAUSE).await;
        }
        let note = Note { actor: "candlewick".to_owned(), reason: format!("RETENTION={}:{age}", key.timeframe) };
        // Another process may have deleted the slice meanwhile.
        if let Removal::Removed { matched, .. } =
            store.remove(slice, SLICE_CANDLES, matched.digest, RemovalKind::Retention, note).await?
        {
            deleted += matched.candles();
            Changes::Retention.count(1);
        }
        sleep(SLICE_PAUSE).await;
    }
    if deleted > 0 {
        let (symbol, timeframe) = (key.symbol.as_str(), key.timeframe.name());
        info!(symbol, timeframe, deleted, before = format_millis(end), "deleted candles that are older than RETENTION");
    }
    Ok(deleted)
}

/// Reports the candles that a pass would delete now.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn dry_run(store: &Store, retention: &Retention, clock: &Clock) -> Result<String, StoreError> {
    let (mut report, mut all) = (String::new(), 0);
    for (timeframe, age) in retention.ages() {
        let end = age.before(clock.now());
        for key in series(store, timeframe).await? {
            let (mut candles, mut first, mut last) = (0, None, None);
            let mut slices = Slices::of(store, before(&key, end), SLICE_CANDLES);
            while let Some((_, matched)) = slices.next().await? {
                candles += matched.candles();
                first = first.or(matched.first);
                last = matched.last.or(last);
            }
            all += candles;
            let span = first.and_then(format_millis).zip(last.and_then(format_millis));
            if let Some((first, last)) = span {
                let _ = writeln!(report, "{} {timeframe}  {candles} candles from {first} to {last}", key.symbol);
            }
        }
        let end = format_millis(end).unwrap_or_default();
        let _ = writeln!(report, "{timeframe}:{age} keeps candles from {end} on");
    }
    let _ = writeln!(report, "{all} candles would be deleted; nothing was deleted");
    Ok(report)
}

fn before(key: &SeriesKey, end: i64) -> Span {
    Span { key: key.clone(), start: FIRST_MILLISECOND, end: end.max(FIRST_MILLISECOND) }
}

/// The stored series of a timeframe.
async fn series(store: &Store, timeframe: Timeframe) -> Result<Vec<SeriesKey>, StoreError> {
    let mut selection =
        SeriesSelection { symbols: Vec::new(), timeframe: Some(timeframe), after: None, limit: LIST_SERIES };
    let mut keys = Vec::new();
    loop {
        let page = store.series(&selection).await?;
        keys.extend(page.series.into_iter().map(|series| series.key));
        match page.next {
            Some(_) => selection.after = page.next,
            None => return Ok(keys),
        }
    }
}
