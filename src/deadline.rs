//! The deadline of a post: one moment, taken when its body has arrived and handed down to the statement.
//!
//! A write that has been sent to the database cannot be taken back, and one that ends after its poster was refused would
//! have stored what the poster believes is not stored. So every wait on the way to the statement ends at the same time,
//! [`Deadline::write_by`], and a statement that begins until then ends before [`Deadline::answer_by`].

use std::time::{Duration, Instant};

/// The time from a body's arrival within which its statement has to begin: most Expert Advisors give up after 5 s.
const WRITE_WITHIN: Duration = Duration::from_secs(4);
/// The time from a body's arrival within which the post is answered. What is left after the longest statement is for
/// comparing duplicates.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(9_750);
/// The maximum time of a statement or transaction, from its beginning to its answer.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_millis(5_500);

const _: () = assert!(
    WRITE_WITHIN.as_millis() + STATEMENT_TIMEOUT.as_millis() < ANSWER_WITHIN.as_millis(),
    "a statement that begins in time is answered in time"
);

/// The times by which the work on a post begins and ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    arrival: Instant,
}

impl Deadline {
    /// The deadline of a post whose body has just arrived.
    #[must_use]
    pub fn from_now() -> Self {
        Self { arrival: Instant::now() }
    }

    /// The time by which its statement has to begin.
    #[must_use]
    pub fn write_by(self) -> Instant {
        self.arrival + WRITE_WITHIN
    }

    /// The time by which it has to be answered.
    #[must_use]
    pub fn answer_by(self) -> Instant {
        self.arrival + ANSWER_WITHIN
    }
}
