//! Tracks outages of the server, during which requests wait less for a connection.

use std::time::Duration;

use tokio::time::Instant;

/// The maximum time that a request waits for a connection. The shortest time-out seen in Expert Advisors is 1 s.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum time that a request waits for a connection once the server has refused connections for
/// [`ACQUIRE_TIMEOUT`]. It is short, because a post may also have waited for the statement before its own, and both
/// waits together are to stay close to one [`ACQUIRE_TIMEOUT`].
const ACQUIRE_TIMEOUT_WHILE_AWAY: Duration = Duration::from_millis(100);

/// The time for which a refusal stays valid if there are no further attempts to connect, because without requests
/// nothing would notice that the server is back.
const REFUSAL_VALIDITY: Duration = Duration::from_secs(1);

/// A period in which the server refuses connections, as far as attempts to connect show.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// The time of its first refusal, and the time until which it is assumed to last.
    span: Option<(Instant, Instant)>,
}

impl Outage {
    fn since(&self, now: Instant) -> Option<Instant> {
        self.span.filter(|(_, until)| now < *until).map(|(since, _)| since)
    }

    /// The maximum time that a request may wait for a connection.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.since(now).map_or(ACQUIRE_TIMEOUT, |since| {
            ACQUIRE_TIMEOUT.saturating_sub(now - since).max(ACQUIRE_TIMEOUT_WHILE_AWAY)
        })
    }

    /// Records the start of an attempt that takes at most `timeout`. An outage that holds now is assumed to last until
    /// it ends.
    pub(super) fn note_try(&mut self, now: Instant, timeout: Duration) {
        self.span = self.since(now).map(|since| (since, now + timeout + REFUSAL_VALIDITY));
    }

    pub(super) fn note_refusal(&mut self, now: Instant) {
        self.span = Some((self.since(now).unwrap_or(now), now + REFUSAL_VALIDITY));
    }

    pub(super) fn end(&mut self) {
        self.span = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_request_waits_less_after_a_recent_refusal() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.wait(start), ACQUIRE_TIMEOUT);
        outage.note_refusal(start);
        assert_eq!(outage.wait(start + ACQUIRE_TIMEOUT / 4), ACQUIRE_TIMEOUT * 3 / 4);
        outage.note_refusal(start + ACQUIRE_TIMEOUT / 2);
        assert_eq!(outage.wait(start + ACQUIRE_TIMEOUT), ACQUIRE_TIMEOUT_WHILE_AWAY);
        assert_eq!(
            outage.wait(start + ACQUIRE_TIMEOUT / 2 + REFUSAL_VALIDITY),
            ACQUIRE_TIMEOUT,
            "nobody has tried since"
        );
        outage.note_refusal(start);
        outage.end();
        assert_eq!(outage.wait(start + MILLISECOND), ACQUIRE_TIMEOUT);
    }

    #[test]
    fn an_outage_lasts_while_an_attempt_is_unanswered() {
        let start = Instant::now();
        let mut outage = Outage::default();
        outage.note_refusal(start);
        outage.note_try(start + REFUSAL_VALIDITY - MILLISECOND, ATTEMPT_TIMEOUT);
        assert_eq!(outage.wait(start + ATTEMPT_TIMEOUT), ACQUIRE_TIMEOUT_WHILE_AWAY);
        // The first attempt after a while without one.
        let later = start + 10 * ATTEMPT_TIMEOUT;
        outage.note_try(later, ATTEMPT_TIMEOUT);
        assert_eq!(outage.wait(later + MILLISECOND), ACQUIRE_TIMEOUT);
        outage.note_refusal(later + ATTEMPT_TIMEOUT);
        assert_eq!(outage.wait(later + ATTEMPT_TIMEOUT), ACQUIRE_TIMEOUT, "another outage");
    }
}
