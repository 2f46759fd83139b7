//! The newest states of a series.

use std::sync::Arc;

/// The maximum number of candles that a tail holds. A change of an older one is a [`History`].
pub const MAX_ENTRIES: usize = 16;
/// The maximum number of changes of older history that a tail holds. Beyond it, the two oldest become one span.
const MAX_HISTORIES: usize = 16;

/// The state of a candle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Opening time in epoch milliseconds.
    pub time: i64,
    /// The state as it is sent.
    pub text: Arc<str>,
}

/// The newest candles of a series, as one look found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Ascending, one for each time.
    pub states: Vec<State>,
    /// No candle that opened then or later is missing from `states`, in epoch milliseconds; `i64::MIN` if there is no other candle.
    pub complete_from: i64,
}

/// A candle of a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its state.
    pub state: State,
    /// The revision of the tail that brought this state; 0 if it may be older than the tail.
    pub revision: u64,
}

/// The kind of a change of older history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// Candles that were posted late.
    Late,
    /// Candles that were imported.
    Import,
    /// Values that were corrected.
    Correction,
    /// Candles that were deleted.
    Deletion,
    /// More candles than a stream sends at once were stored while the client was away.
    Missed,
}

impl HistoryKind {
    /// Its name in an event.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Import => "import",
            Self::Correction => "correction",
            Self::Deletion => "deletion",
            Self::Missed => "missed",
        }
    }

    /// True if the record of changes holds it, so that the position of a client covers it.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        matches!(self, Self::Import | Self::Correction | Self::Deletion)
    }
}

/// A span of older history that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Opening time of the first candle, in epoch milliseconds.
    pub from: i64,
    /// Opening time of the last candle.
    pub to: i64,
    /// The change.
    pub kind: HistoryKind,
    /// The revision of the tail that brought it.
    pub revision: u64,
}

/// The newest states of a series, each with the revision that brought it.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    revision: u64,
    /// `None` until the first snapshot.
    complete_from: Option<i64>,
    entries: Vec<Entry>,
    histories: Vec<History>,
}

impl Tail {
    /// The number of changes so far.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Ascending by time.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The changes of older history, in the order in which they became known.
    #[must_use]
    pub fn histories(&self) -> &[History] {
        &self.histories
    }

    /// The opening time of the newest candle.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.entries.last().map(|entry| entry.state.time)
    }

    /// No candle that opened then or later is missing here. Nothing is known before the first snapshot.
    #[must_use]
    pub fn complete_from(&self) -> i64 {
        self.complete_from.unwrap_or(i64::MAX)
    }

    /// True if candles may lie between those that are known and those of `snapshot`, because more came than it holds.
    #[must_use]
    pub fn has_hole_before(&self, snapshot: &Snapshot) -> bool {
        self.complete_from.is_some() && snapshot.complete_from > self.newest().unwrap_or(i64::MIN)
    }

    /// Takes in a look that began after the one before it had ended. Returns true if a state is new or changed. Candles that are not
    /// stored any more are dropped.
    pub fn take(&mut self, snapshot: Snapshot) -> bool {
        let continues = self.complete_from.is_some() && !self.has_hole_before(&snapshot);
        let revision = self.revision + 1;
        let mut is_changed = false;
        let known = std::mem::take(&mut self.entries);
        let (mut entries, mut known) = if continues {
            let (older, known): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|entry| entry.state.time < snapshot.complete_from);
            // States of the look from before its `complete_from` replace those of the same times.
            let is_seen = |entry: &Entry| snapshot.states.iter().any(|state| state.time == entry.state.time);
            let (seen, older): (Vec<_>, Vec<_>) = older.into_iter().partition(is_seen);
            (older, seen.into_iter().chain(known).collect::<Vec<_>>().into_iter().peekable())
        } else {
            (Vec::new(), known.into_iter().peekable())
        };
        // A state before the tail may be old, so it gets revision 0, which counts as known to every client.
        let known_from = if continues { self.complete_from() } else { i64::MIN };
        for state in snapshot.states {
            while known.next_if(|entry| entry.state.time < state.time).is_some() {}
            let entry = match known.next_if(|entry| entry.state.time == state.time) {
                Some(entry) if entry.state == state => entry,
                None if state.time < known_from => Entry { state, revision: 0 },
                _ => {
                    is_changed = true;
                    Entry { state, revision }
                }
            };
            entries.push(entry);
        }
        entries.sort_by_key(|entry| entry.state.time);
        let mut complete_from =
            if continues { self.complete_from().min(snapshot.complete_from) } else { snapshot.complete_from };
        let dropped = entries.len().saturating_sub(MAX_ENTRIES);
        entries.drain(..dropped);
        if dropped > 0 {
            complete_from = complete_from.max(entries[0].state.time);
        }
        (self.entries, self.complete_from) = (entries, Some(complete_from));
        self.revision += u64::from(is_changed);
        is_changed
    }

    /// Adds a change of older history.
    pub fn add_history(&mut self, from: i64, to: i64, kind: HistoryKind) {
        self.revision += 1;
        self.histories.push(History { from, to, kind, revision: self.revision });
        if self.histories.len() > MAX_HISTORIES {
            let oldest = self.histories.remove(0);
            let next = &mut self.histories[0];
            next.from = next.from.min(oldest.from);
            next.to = next.to.max(oldest.to);
            // The kind that the record of changes holds is kept, because it says more about what to do.
            next.kind = if next.kind.is_recorded() { next.kind } else { oldest.kind };
        }
    }
}
