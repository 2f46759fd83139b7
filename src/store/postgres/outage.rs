//! Outages of the server, and how long a request waits for a connection in them.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time that a request waits for a connection; the shortest time-out seen in Expert Advisors is 1 s.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest time that a request waits for a connection once the server has refused connections for [`ACQUIRE_TIMEOUT`]. A post may have waited
/// as long for the statement before its own, so that both together stay close to one [`ACQUIRE_TIMEOUT`].
const ACQUIRE_TIMEOUT_WHILE_AWAY: Duration = Duration::from_millis(100);

/// The time for which a refusal says that the server is away, if nobody tries to connect any more: without requests, nobody finds out
/// that it is back.
const REFUSAL_VALIDITY: Duration = Duration::from_secs(1);

/// A time in which the server lets nobody in, as far as tries to connect tell.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Its first refusal, and until when it is taken to last.
    span: Option<(Instant, Instant)>,
}

impl Outage {
    fn since(&self, now: Instant) -> Option<Instant> {
        self.span.filter(|(_, until)| now < *until).map(|(since, _)| since)
    }

    /// The longest time that a request may wait for a connection.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.since(now).map_or(ACQUIRE_TIMEOUT, |since| {
            ACQUIRE_TIMEOUT.saturating_sub(now - since).max(ACQUIRE_TIMEOUT_WHILE_AWAY)
        })
    }

    /// A try has begun that takes no longer than `patience`: what holds now holds until it has ended.
    pub(super) fn note_try(&mut self, now: Instant, patience: Duration) {
        self.span = self.since(now).map(|since| (since, now + patience + REFUSAL_VALIDITY));
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

    const PATIENCE: Duration = Duration::from_secs(3);

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_request_waits_in_full_unless_the_server_has_refused_lately() {
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
    fn an_outage_lasts_as_long_as_a_try_goes_unanswered() {
        let start = Instant::now();
        let mut outage = Outage::default();
        outage.note_refusal(start);
        outage.note_try(start + REFUSAL_VALIDITY - MILLISECOND, PATIENCE);
        assert_eq!(outage.wait(start + PATIENCE), ACQUIRE_TIMEOUT_WHILE_AWAY);
        // The first try after a while without one.
        let later = start + 10 * PATIENCE;
        outage.note_try(later, PATIENCE);
        assert_eq!(outage.wait(later + MILLISECOND), ACQUIRE_TIMEOUT);
        outage.note_refusal(later + PATIENCE);
        assert_eq!(outage.wait(later + PATIENCE), ACQUIRE_TIMEOUT, "another outage");
    }
}
