//! Corrections and deletions of stored candles, and the record of them. The record is the table `market_data_changes`,
//! whose rows are written together with the change and only ever added.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::unreadable;
use super::series::SeriesKey;
use super::{Database, Store, StoreError, either};
use candle::{Candle, Price, Symbol, Timeframe, Volume};

/// The maximum number of candles of a deletion whose values are recorded.
pub(super) const MAX_RECORDED_CANDLES: u64 = 1000;

/// The bytes of detail after which a page of the record ends.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The name of the one who changes stored candles, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The name of a key, or of the command's user.
    pub actor: String,
    /// 1 to 200 characters.
    pub reason: String,
}

/// New values for a stored closed candle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// The key, and the values that it is to have.
    pub candle: Candle,
    /// The values that it has to have until then.
    pub expected: Expected,
}

/// Values that are expected to be stored; `None` where any value is fine. They are compared as numbers: 1.1 is 1.10.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Open, high, low and close.
    pub prices: [Option<Price>; 4],
    /// The volume.
    pub volume: Option<Volume>,
}

/// The finding of a correction under the key of one candle, in the order in which candles were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Other values, which are replaced unless another candle of the request was refused.
    Replaced,
    /// The same values with the same digits.
    Same,
    /// No closed candle.
    Nothing,
    /// Values that differ from the expected ones: open, high, low, close and volume as text.
    Unexpected([String; 5]),
}

/// The outcome of a request for corrections. If a candle was [`Found::Nothing`] or [`Found::Unexpected`], nothing
/// changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amended {
    /// The findings under the key of each candle.
    pub found: Vec<Found>,
    /// The ids of the record's new rows, one for each series that changed.
    pub changes: Vec<i64>,
}

/// The candles of a series in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The series.
    pub key: SeriesKey,
    /// First millisecond of the span.
    pub start: i64,
    /// The millisecond after the span.
    pub end: i64,
}

/// The stored candles that a span holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// Closed candles.
    pub closed: u64,
    /// Forming candles.
    pub forming: u64,
    /// Opening time of the first candle, in epoch milliseconds.
    pub first: Option<i64>,
    /// Opening time of the last candle, in epoch milliseconds.
    pub last: Option<i64>,
    /// The first 12 hexadecimal digits of the SHA-256 of the selection and of the text of every row.
    pub digest: String,
}

impl Matched {
    /// Candles, closed and forming.
    #[must_use]
    pub fn candles(&self) -> u64 {
        self.closed + self.forming
    }
}

/// The outcome of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// These candles were deleted.
    Removed {
        /// The candles that were deleted.
        matched: Matched,
        /// The id of the record's new row.
        change: i64,
    },
    /// Nothing was deleted, because the candles are not those of the given digest, or because there are none or too many.
    Kept(Matched),
}

/// The kind of a deletion, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RemovalKind {
    /// Asked for by a person.
    Deletion,
    /// Older than the configured retention.
    Retention,
}

/// Candles that an import added to a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The series.
    pub key: SeriesKey,
    /// Opening time of the first candle of the file, in epoch milliseconds.
    pub first: i64,
    /// Opening time of the last candle of the file, in epoch milliseconds.
    pub last: i64,
    /// Candles that were not stored before.
    pub added: u64,
    /// A JSON object that says where they come from.
    pub detail: String,
}

/// The rows of the record that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesSelection {
    /// Only changes of this symbol.
    pub symbol: Option<Symbol>,
    /// Only changes of this timeframe.
    pub timeframe: Option<Timeframe>,
    /// Only changes with a higher id.
    pub after: i64,
    /// The maximum number of changes.
    pub limit: usize,
}

/// A row of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Orders the record.
    pub id: i64,
    /// The time of the change, in epoch milliseconds.
    pub at: i64,
    /// The name of a key, or of the command's user.
    pub actor: String,
    /// `correction`, `deletion`, `retention` or `import`.
    pub kind: String,
    /// The instrument, as it is stored.
    pub symbol: String,
    /// The length of the period, as it is stored.
    pub timeframe: String,
    /// Opening time of the first candle, in epoch milliseconds.
    pub first: i64,
    /// Opening time of the last candle, in epoch milliseconds.
    pub last: i64,
    /// The number of candles.
    pub candles: i64,
    /// The reason that was given.
    pub reason: String,
    /// JSON: `before` and `after` of a correction, `before` of a deletion, and the source of an import.
    pub(super) detail: String,
}

/// The values of candles before and after a change, and what else the record says about it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Detail<'a> {
    /// The candles as they were; absent where they are not recorded.
    #[serde(borrow)]
    pub before: Option<Vec<RecordedCandle<'a>>>,
    /// The candles as they are since.
    #[serde(borrow)]
    pub after: Option<Vec<RecordedCandle<'a>>>,
    /// The source of an import: a JSON object.
    #[serde(borrow)]
    pub source: Option<&'a RawValue>,
}

/// A candle in the record, with its digits.
#[derive(Debug, Deserialize, serde::Serialize)]
pub struct RecordedCandle<'a> {
    /// Opening time in epoch milliseconds.
    pub timestamp: i64,
    /// First price.
    #[serde(borrow)]
    pub open: &'a RawValue,
    /// Highest price.
    #[serde(borrow)]
    pub high: &'a RawValue,
    /// Lowest price.
    #[serde(borrow)]
    pub low: &'a RawValue,
    /// Last price.
    #[serde(borrow)]
    pub close: &'a RawValue,
    /// Ticks.
    pub volume: i64,
    /// False on a candle that was forming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
}

impl Change {
    /// The values before and after.
    ///
    /// # Errors
    /// When the row is not as the service writes it.
    pub fn detail(&self) -> Result<Detail<'_>, StoreError> {
        serde_json::from_str(&self.detail).map_err(unreadable)
    }
}

impl Store {
    /// Gives stored closed candles other values and adds a row to the record for each series, in one step: if one candle
    /// is not stored or is not what it was expected to be, nothing changes. No two candles may have one key.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn amend(&self, corrections: Vec<Correction>, note: Note) -> Result<Amended, StoreError> {
        let bump = self.versions.bump_keys_on_drop(corrections.iter().map(|correction| &correction.candle.key));
        let hinted = self.outbox.is_wanted().then(|| corrections.clone());
        let amend = async { either!(self, store => store.amend(corrections, note, bump).await) };
        let amended = self.writes.noted(self.measured("amend", amend).await)?;
        if let Some(corrections) = hinted.filter(|_| !amended.changes.is_empty()) {
            self.outbox.add_corrections(&corrections);
        }
        Ok(amended)
    }

    /// Counts the candles in a span, up to one more than `most`, and makes their digest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn matched(&self, span: Span, most: usize) -> Result<Matched, StoreError> {
        self.measured("matched", async { either!(self, store => store.matched(span, most).await) }).await
    }

    /// Deletes the candles in a span and adds a row to the record, in one step, if there are at most `most` and their
    /// digest is `confirm`.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn remove(
        &self,
        span: Span,
        most: usize,
        confirm: String,
        kind: RemovalKind,
        note: Note,
    ) -> Result<Removal, StoreError> {
        let bump = self.versions.bump_series_on_drop(&span.key);
        let key = self.outbox.is_wanted().then(|| span.key.clone());
        let remove = async { either!(self, store => store.remove(span, most, confirm, kind, note, bump).await) };
        let removal = self.writes.noted(self.measured("remove", remove).await)?;
        if let (Some(key), Removal::Removed { .. }) = (&key, &removal) {
            self.outbox.add_series(key);
        }
        Ok(removal)
    }

    /// Adds an import to the record.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn record_import(&self, imported: Imported, note: Note) -> Result<(), StoreError> {
        let record = async { either!(self, store => store.record_import(imported, note).await) };
        self.measured("record_import", record).await
    }

    /// True while a backup of the database is being made that a deletion could disturb. On SQLite a backup reads one
    /// state of the file, whatever is written meanwhile.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn is_being_backed_up(&self) -> Result<bool, StoreError> {
        let Database::Postgres(postgres) = &self.database else { return Ok(false) };
        self.measured("backup", postgres.is_being_backed_up()).await
    }

    /// Reads the record in the order of its ids: at least one change if there is any, and fewer than the limit if they are
    /// large.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changes(&self, selection: ChangesSelection) -> Result<Vec<Change>, StoreError> {
        let read = async { either!(self, store => store.changes(selection, MAX_PAGE_BYTES).await) };
        self.measured("changes", read).await
    }

    /// Reads the corrections and deletions of candles in a span, the last `most` of them by their first candle, last first. Those
    /// of more than `max_candles` candles come without values, and so do deletions.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changes_within(&self, span: Span, most: usize, max_candles: usize) -> Result<Vec<Change>, StoreError> {
        let limits = (most, max_candles);
        self.measured("changes", async { either!(self, store => store.changes_within(span, limits).await) }).await
    }
}
