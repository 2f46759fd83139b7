//! The history of the signals that are watched, in the table `research_signals`. A row is added when the signal of a series changes.
//! It stays as it is, unless the candle is corrected that it is about while no later row follows it.

use super::{Database, SeriesKey, Store, StoreError, either};
use candle::{Symbol, Timeframe};

/// A signal that was computed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSignal {
    /// The series.
    pub key: SeriesKey,
    /// Opening time of the newest closed candle, in epoch milliseconds.
    pub candle: i64,
    /// Its close with the digits of the series.
    pub close: String,
    /// `buy`, `sell` or `hold`.
    pub signal: &'static str,
    /// The mean of the votes.
    pub score: f64,
    /// The votes: a JSON array.
    pub votes: String,
}

/// A signal of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSignal {
    /// The instrument, as it is stored.
    pub symbol: String,
    /// The length of the period, as it is stored.
    pub timeframe: String,
    /// Opening time of the closed candle at which the signal became this one, in epoch milliseconds.
    pub candle: i64,
    /// Its close with the digits of the series.
    pub close: String,
    /// `buy`, `sell` or `hold`.
    pub signal: String,
    /// The mean of the votes.
    pub score: f64,
    /// The votes: a JSON array.
    pub votes: String,
    /// The signal before, or the one that it was before its candle was corrected; `None` for the first of a series.
    pub previous: Option<String>,
    /// The time at which it was stored or corrected, in epoch milliseconds.
    pub at: i64,
}

/// A place in the history, which is in the order of candles, then of symbols and of timeframes, both by their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalPlace {
    /// Opening time in epoch milliseconds.
    pub candle: i64,
    /// The series.
    pub key: SeriesKey,
}

/// The signals that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalsSelection {
    /// Only those of this symbol.
    pub symbol: Option<Symbol>,
    /// Only those of this timeframe.
    pub timeframe: Option<Timeframe>,
    /// The opening time of the first candle, in epoch milliseconds.
    pub start: i64,
    /// The first opening time that is too late.
    pub end: i64,
    /// Only those after this place.
    pub after: Option<SignalPlace>,
    /// The maximum number of signals.
    pub limit: usize,
}

impl Store {
    /// Adds a signal to the history, and returns true, if its candle is newer than that of the newest one of its series and it is
    /// another signal, or the first. Of two processes that add one at once, one succeeds.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_signal(&self, signal: NewSignal) -> Result<bool, StoreError> {
        self.measured("add_signal", async { either!(self, store => store.add_signal(signal).await) }).await
    }

    /// Replaces the newest signal of a series in the history, and returns true, if it is about the same candle and is another signal.
    /// The one that it was becomes the signal before. Of two processes that find the same, one succeeds.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn correct_signal(&self, signal: NewSignal) -> Result<bool, StoreError> {
        self.measured("correct_signal", async { either!(self, store => store.correct_signal(signal).await) }).await
    }

    /// Signals of the history, ascending by their places.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn signals(&self, selection: SignalsSelection) -> Result<Vec<StoredSignal>, StoreError> {
        self.measured("signals", async { either!(self, store => store.signals(selection).await) }).await
    }

    /// The signals that followed another one and were stored at a time or later, in epoch milliseconds, in the order of these times,
    /// at most `most`. A signal may become visible after others with a later time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changed_signals(&self, since: i64, most: usize) -> Result<Vec<StoredSignal>, StoreError> {
        let changed = async { either!(self, store => store.changed_signals(since, most).await) };
        self.measured("changed_signals", changed).await
    }
}
