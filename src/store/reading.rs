//! The database that a read goes to. It is chosen before the read begins, so that the age of the answer is known.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;

use super::{Database, Store};
use candle::{Symbol, Timeframe};

/// The maximum age of what a standby is known to hold. Pages agree with the primary within a second, which leaves the rest of
/// it for the time that a page stays in memory.
pub(super) const MAX_STANDBY_AGE: Duration = Duration::from_millis(700);

/// The server that a read goes to, and the moment of which it holds every write.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    as_of: Instant,
    pub(super) server: ReadServer,
}

/// A server that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadServer {
    /// The one that is written to.
    Primary,
    /// Its standby. If it does not answer, the primary does.
    Standby,
}

impl Reading {
    /// A read on the server that is written to.
    #[must_use]
    pub fn from_primary() -> Self {
        Self { as_of: Instant::now(), server: ReadServer::Primary }
    }

    /// The moment of which the answer holds every write that had been acknowledged by then.
    #[must_use]
    pub fn as_of(self) -> Instant {
        self.as_of
    }
}

impl Store {
    /// Decides where to read a series: on the standby if it is known to hold everything that this process has written to
    /// the series, and everything that anybody had written shortly before.
    #[must_use]
    pub fn reading(&self, symbol: &Symbol, timeframe: Timeframe) -> Reading {
        self.reading_if(|as_of| self.versions.is_unchanged_since(symbol, timeframe, as_of))
    }

    /// Decides where to read a series, as [`Self::reading`] does, for an answer that holds everything that anybody had written by
    /// `since`.
    #[must_use]
    pub fn reading_since(&self, symbol: &Symbol, timeframe: Timeframe, since: Instant) -> Reading {
        self.reading_if(|as_of| as_of >= since && self.versions.is_unchanged_since(symbol, timeframe, as_of))
    }

    /// Decides where to read the list of the series of `symbols`, as [`Self::reading`] does for one series. For no symbols,
    /// all series count.
    #[must_use]
    pub fn reading_of(&self, symbols: &[Symbol], timeframe: Option<Timeframe>) -> Reading {
        self.reading_if(|as_of| self.versions.are_unchanged_since(symbols, timeframe, as_of))
    }

    fn reading_if(&self, holds_own_writes: impl FnOnce(Instant) -> bool) -> Reading {
        let primary = Reading::from_primary();
        let Database::Postgres(postgres) = &self.database else { return primary };
        match postgres.standby_as_of() {
            Some(as_of) if as_of + MAX_STANDBY_AGE > primary.as_of && holds_own_writes(as_of) => {
                Reading { as_of, server: ReadServer::Standby }
            }
            _ => primary,
        }
    }

    /// Keeps track of how far the standby is, if there is one. Never returns.
    pub async fn follow_standby(&self) -> Infallible {
        if let Database::Postgres(postgres) = &self.database {
            postgres.follow_standby().await;
        }
        std::future::pending().await
    }
}
