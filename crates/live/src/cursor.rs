//! The place of one client in a series.

use crate::tail::{Entry, History, Tail};

/// The start of a stream in a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the newest candle.
    Newest,
    /// With every candle from this opening time on, in epoch milliseconds.
    From(i64),
}

/// The place of a client in a series.
#[derive(Debug, Clone)]
pub struct Cursor {
    start: Start,
    begun: bool,
    /// The newest opening time that was sent, or is known to the client; `i64::MIN` for none.
    newest: i64,
    seen: u64,
    seen_history: u64,
}

/// The next states for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<'a> {
    /// These states, ascending, which may be none.
    Entries(Vec<&'a Entry>),
    /// Everything that is stored from this opening time on, because the tail does not reach back to it.
    CatchUp(i64),
}

impl Cursor {
    /// A client that has got nothing yet and joined when the tail had this revision.
    #[must_use]
    pub fn new(start: Start, revision: u64) -> Self {
        let newest = match start {
            Start::Newest => i64::MIN,
            Start::From(time) => time,
        };
        // The first look at a series is revision 1 and brings nothing that is new.
        Self { start, begun: false, newest, seen: revision.max(1), seen_history: revision }
    }

    /// True once the client has what was stored when it came.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// True if [`Self::newest`] is where a client that comes back goes on: not before a stream that begins with the newest candle
    /// has sent that.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.begun || self.start != Start::Newest
    }

    /// The newest opening time that the client has.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        (self.newest != i64::MIN).then_some(self.newest)
    }

    /// The states that come next from `tail`, which was looked at after the client came.
    #[must_use]
    pub fn next<'a>(&self, tail: &'a Tail) -> Next<'a> {
        if !self.begun && self.start == Start::Newest {
            return Next::Entries(tail.entries().last().into_iter().collect());
        }
        if self.newest < tail.complete_from() {
            return Next::CatchUp(self.newest);
        }
        let is_next = |entry: &&Entry| entry.revision > self.seen || (!self.begun && entry.state.time >= self.newest);
        Next::Entries(tail.entries().iter().filter(is_next).collect())
    }

    /// The changes of older history that come next.
    pub fn next_histories<'a>(&self, tail: &'a Tail) -> impl Iterator<Item = &'a History> + use<'a> {
        let seen = self.seen_history;
        tail.histories().iter().filter(move |history| history.revision > seen)
    }

    /// Goes back to the newest candle of `tail` if the client has newer ones, because these were deleted. Candles between would
    /// otherwise never be sent to a client that comes back with this position.
    pub fn step_back(&mut self, tail: &Tail) {
        if let Some(newest) = tail.newest().filter(|_| self.begun) {
            self.newest = self.newest.min(newest);
        }
    }

    /// Goes back to the beginning if the candle that the client came with is among those from `first` to `last`, which were
    /// deleted while it was away, because nothing says which candle before them it had.
    pub fn forget_deleted(&mut self, first: i64, last: i64) {
        if (first..=last).contains(&self.newest) {
            self.newest = i64::MIN;
        }
    }

    /// Notes that everything in `tail` was sent. Returns true if the newest candle is another one.
    pub fn sent(&mut self, tail: &Tail) -> bool {
        self.seen_history = tail.revision();
        self.caught_up(tail, tail.newest())
    }

    /// Notes that everything was sent up to the opening time `newest`, and that more follows.
    pub fn reached(&mut self, newest: i64) {
        self.newest = self.newest.max(newest);
    }

    /// Notes that everything was sent up to the opening time `newest`, from what was stored when `tail` was current.
    pub fn caught_up(&mut self, tail: &Tail, newest: Option<i64>) -> bool {
        let before = (self.begun, self.newest);
        self.begun = true;
        self.seen = tail.revision();
        self.newest = self.newest.max(newest.unwrap_or(i64::MIN));
        // Moves on even if the candles in between were deleted between two looks, so that they are not read again and
        // again.
        if self.newest < tail.complete_from() && tail.complete_from() != i64::MAX {
            self.newest = tail.complete_from();
        }
        before != (true, self.newest)
    }
}
