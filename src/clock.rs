//! The clock, which is passed in so that tests can choose the time.

use std::fmt;
use std::sync::Arc;

use candle::Timestamp;
use chrono::Utc;

/// A source of the current time. Clones share it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the wall clock")]
    pub fn system() -> Self {
        // A clock outside the years 1 to 9999 is wrong in any case.
        Self::new(|| Timestamp::from_seconds(Utc::now().timestamp()).unwrap_or(Timestamp::MAX))
    }

    /// A clock whose time is what `now` returns.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
