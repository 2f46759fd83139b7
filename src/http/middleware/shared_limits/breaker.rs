//! A circuit breaker around a connection: after a failure nobody uses the server for a while, and then one request
//! probes it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time without requests after the first failure. It doubles with each probe that fails.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// The maximum time between two probes.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// The time after which a probe counts as lost and another request may probe. A probe takes less.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// The connection to the server while it works, or the time until which nobody uses it.
#[derive(Debug)]
pub(super) struct Breaker<C>(Mutex<State<C>>);

#[derive(Debug)]
struct State<C> {
    circuit: Circuit<C>,
    /// The time without requests after the next failure.
    pause: Duration,
    /// The number of connections so far. A failure of an earlier one does not count against the present one.
    connections: u64,
    /// True if the server worked at the last turn; `None` before the first probe has ended.
    works: Option<bool>,
}

#[derive(Debug)]
enum Circuit<C> {
    /// The server works.
    Closed(C),
    /// Nobody uses the server until this time.
    Open(Instant),
}

/// The part that a request has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<C> {
    /// It uses the connection with this number.
    Use(C, u64),
    /// It probes the server, and reports the result to [`Breaker::probed`].
    Probe,
    /// It does without the server.
    Skip,
}

impl<C: Clone> Breaker<C> {
    /// A breaker whose first request probes.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { circuit: Circuit::Open(now), pause: MIN_PAUSE, connections: 0, works: None }))
    }

    pub(super) fn enter(&self, now: Instant) -> Entry<C> {
        let mut state = self.lock();
        match &mut state.circuit {
            Circuit::Closed(connection) => Entry::Use(connection.clone(), state.connections),
            Circuit::Open(until) if *until <= now => {
                *until = now + PROBE_LIMIT;
                Entry::Probe
            }
            Circuit::Open(_) => Entry::Skip,
        }
    }

    /// Gives up the connection with this number. Returns true if the server worked until now.
    pub(super) fn failed(&self, connection: u64, now: Instant) -> bool {
        let mut state = self.lock();
        if matches!(state.circuit, Circuit::Open(_)) || state.connections != connection {
            return false;
        }
        state.open(now)
    }

    /// Takes the result of a probe: a connection that works, or none. Returns true if this is news.
    pub(super) fn probed(&self, connection: Option<C>, now: Instant) -> bool {
        let mut state = self.lock();
        match connection {
            Some(connection) => {
                state.circuit = Circuit::Closed(connection);
                state.pause = MIN_PAUSE;
                state.connections += 1;
                state.works.replace(true) != Some(true)
            }
            None => state.open(now),
        }
    }

    /// True while the server works.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.lock().circuit, Circuit::Closed(_))
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> State<C> {
    fn open(&mut self, now: Instant) -> bool {
        self.circuit = Circuit::Open(now + self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        self.works.replace(false) != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_request_probes_and_the_pause_doubles_to_half_a_minute() {
        let mut now = Instant::now();
        let breaker = Breaker::new(now);
        assert_eq!(breaker.enter(now), Entry::Probe);
        assert_eq!(breaker.enter(now), Entry::Skip, "only one request probes");
        assert!(breaker.probed(Some("connection"), now) && breaker.is_closed());
        assert_eq!(breaker.enter(now), Entry::Use("connection", 1));
        assert!(breaker.failed(1, now) && !breaker.is_closed());
        for (probe, seconds) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            assert_eq!(breaker.enter(now + Duration::from_millis(seconds * 1000 - 1)), Entry::Skip, "{probe}");
            now += Duration::from_secs(seconds);
            assert_eq!(breaker.enter(now), Entry::Probe, "{probe}");
            assert!(!breaker.probed(None, now), "it was known to be away");
        }
        assert!(breaker.probed(Some("connection"), now));
        assert!(breaker.failed(2, now));
        assert_eq!(breaker.enter(now + SECOND), Entry::Probe, "the pause begins anew");
    }

    #[test]
    fn a_connection_fails_once_however_many_requests_used_it() {
        let now = Instant::now();
        let breaker = Breaker::new(now);
        assert!(breaker.probed(Some(()), now));
        assert!(breaker.failed(1, now));
        assert!(!breaker.failed(1, now));
        assert!(breaker.probed(Some(()), now + SECOND));
        assert!(!breaker.failed(1, now + SECOND) && breaker.is_closed(), "the next connection works");
    }

    #[test]
    fn a_lost_probe_is_repeated() {
        let now = Instant::now();
        let breaker = Breaker::<()>::new(now);
        assert_eq!(breaker.enter(now), Entry::Probe);
        assert_eq!(breaker.enter(now + PROBE_LIMIT), Entry::Probe);
        assert!(breaker.probed(None, now + PROBE_LIMIT), "the first result is news");
    }
}
