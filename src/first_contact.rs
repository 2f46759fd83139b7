//! Makes the first contact with the database: tries until one try succeeds, logs the failures, and gives up if the
//! server keeps refusing the login.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::errors::chain;
use crate::store::{Store, StoreError};

/// The pause after the first try. Each later pause is twice as long as the one before it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The maximum pause while the server cannot be reached. It is short, so that the service uses the server soon after
/// the server has started.
const MAX_PAUSE_WHILE_UNREACHABLE: Duration = Duration::from_secs(5);
/// The maximum pause while the server refuses the login. It is longer, because each try logs in twice, and servers
/// count refused logins and may ban a client for them.
const MAX_PAUSE_WHILE_DENIED: Duration = Duration::from_secs(30);
/// The time after which the same failure is logged again.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// Prepares the store, and tries again after each failure that may pass with time.
///
/// # Errors
/// Returns [`StoreError::Misconfigured`] if waiting cannot help, or if the server has refused the login for
/// `refusal_patience`.
pub(crate) async fn make(store: &Store, migrate: bool, refusal_patience: Duration) -> Result<(), StoreError> {
    let mut attempts = Attempts::new(Instant::now(), refusal_patience);
    loop {
        let Err(failure) = store.prepare(migrate).await else { return Ok(()) };
        let next = attempts.after_failure(Instant::now(), failure, random_fraction())?;
        if let Some(report) = next.report {
            warn!(
                cause = report.cause,
                tries = report.tries,
                seconds = report.elapsed.as_secs(),
                "not ready, trying again"
            );
        }
        sleep(next.pause).await;
    }
}

/// The state of the tries so far. The caller passes the time of each try.
struct Attempts {
    begun: Instant,
    refusal_patience: Duration,
    tries: u32,
    /// The pause before the next try, without the random reduction.
    pause: Duration,
    /// The failure that was reported last, and the time of the report.
    reported: Option<(String, Instant)>,
    /// The last refusal, and the time since which the server has repeated it.
    denied: Option<(String, Instant)>,
}

/// A refusal that has lasted too long.
#[derive(Debug, thiserror::Error)]
#[error("the database has refused this service for {seconds} s, and waiting does not change that")]
struct StillDenied {
    seconds: u64,
    source: StoreError,
}

/// The pause and the log line that follow a failed try.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    pause: Duration,
    report: Option<Report>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    cause: String,
    tries: u32,
    elapsed: Duration,
}

impl Attempts {
    fn new(begun: Instant, refusal_patience: Duration) -> Self {
        Self { begun, refusal_patience, tries: 0, pause: FIRST_PAUSE, reported: None, denied: None }
    }

    /// Records a failed try. `chance` is a random number from 0 to 1. It varies the pause (jitter), so that services
    /// that start at the same time do not all try at the same time.
    ///
    /// # Errors
    /// Returns the final error if there is to be no other try.
    fn after_failure(&mut self, now: Instant, failure: StoreError, chance: f64) -> Result<Next, StoreError> {
        self.tries += 1;
        let cause = chain(&failure).to_string();
        let until_given_up = match failure {
            misconfigured @ StoreError::Misconfigured(_) => return Err(misconfigured),
            denied @ StoreError::Denied(_) => {
                let since = self.denied_since(&cause, now);
                let left = self.refusal_patience.saturating_sub(now - since);
                if left.is_zero() {
                    let seconds = self.refusal_patience.as_secs();
                    return Err(StoreError::misconfigured(StillDenied { seconds, source: denied }));
                }
                Some(left)
            }
            _ => {
                self.denied = None;
                None
            }
        };
        let longest = if until_given_up.is_some() { MAX_PAUSE_WHILE_DENIED } else { MAX_PAUSE_WHILE_UNREACHABLE };
        let pause = self.pause.min(longest);
        self.pause = (pause * 2).min(MAX_PAUSE_WHILE_DENIED);
        let pause = pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        Ok(Next { pause: until_given_up.map_or(pause, |left| pause.min(left)), report: self.report(cause, now) })
    }

    /// Returns the time since which every answer of the server has been this refusal.
    fn denied_since(&mut self, cause: &str, now: Instant) -> Instant {
        match &self.denied {
            Some((same, since)) if same == cause => *since,
            _ => {
                self.denied = Some((cause.to_owned(), now));
                now
            }
        }
    }

    /// Reports a new failure at once, and the same failure once a minute.
    fn report(&mut self, cause: String, now: Instant) -> Option<Report> {
        let is_due = |(last, at): &(String, Instant)| *last != cause || now - *at >= REPORT_INTERVAL;
        if !self.reported.as_ref().is_none_or(is_due) {
            return None;
        }
        self.reported = Some((cause.clone(), now));
        Some(Report { cause, tries: self.tries, elapsed: now - self.begun })
    }
}

/// Returns a random number from 0 to 1.
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without random bytes each pause is at its minimum, which still works.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn unavailable(text: &str) -> StoreError {
        StoreError::unavailable(text)
    }

    fn denied(text: &str) -> StoreError {
        StoreError::Denied(Arc::from(Box::from(text)))
    }

    fn gaps(times: &[Duration]) -> Vec<Duration> {
        times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
    }

    /// Simulates tries, with the returned pauses between them, until a try returns the final error or `end` has passed.
    /// Returns the times of the tries and of the reports, and the final error.
    fn try_until(
        end: Duration,
        chance: f64,
        mut answer: impl FnMut(Duration) -> StoreError,
    ) -> (Vec<Duration>, Vec<Duration>, Option<String>) {
        let start = Instant::now();
        let mut attempts = Attempts::new(start, MINUTE);
        let (mut now, mut tries, mut reports) = (Duration::ZERO, Vec::new(), Vec::new());
        while now < end {
            tries.push(now);
            match attempts.after_failure(start + now, answer(now), chance) {
                Err(error) => return (tries, reports, Some(chain(&error).to_string())),
                Ok(next) => {
                    reports.extend(next.report.is_some().then_some(now));
                    now += next.pause;
                }
            }
        }
        (tries, reports, None)
    }

    #[test]
    fn a_refusal_ends_the_service_after_a_minute_of_the_same_answer() {
        for chance in [0.0, 0.3, 1.0] {
            let (tries, reports, end) = try_until(10 * MINUTE, chance, |_| denied("wrong password (28P01)"));
            assert_eq!(*tries.last().unwrap(), MINUTE, "the last try is after exactly a minute");
            assert!(tries.len() <= 12, "{tries:?}");
            assert_eq!(reports, [Duration::ZERO]);
            let end = end.unwrap();
            assert!(end.contains("for 60 s") && end.contains("wrong password (28P01)"), "{end}");
        }
    }

    #[test]
    fn another_answer_in_between_restarts_the_minute() {
        let database_is_starting = Duration::from_secs(10)..Duration::from_secs(20);
        let (tries, _, end) = try_until(10 * MINUTE, 1.0, |now| {
            if database_is_starting.contains(&now) {
                unavailable("starting up")
            } else {
                denied("no such database (3D000)")
            }
        });
        assert!(end.is_some() && *tries.last().unwrap() > MINUTE, "{tries:?}");
        let mut times = 0;
        let (_, _, end) = try_until(10 * MINUTE, 1.0, |_| {
            times += 1;
            denied(if times % 2 == 0 { "one" } else { "other" })
        });
        assert_eq!(end, None, "no answer is repeated for a minute");
    }

    #[test]
    fn an_unreachable_server_is_retried_and_reported_once_a_minute() {
        for chance in [0.0, 1.0] {
            let (tries, reports, end) = try_until(10 * MINUTE, chance, |_| unavailable("refuses connections"));
            assert_eq!(end, None);
            assert!(gaps(&tries).into_iter().all(|gap| gap <= MAX_PAUSE_WHILE_UNREACHABLE), "{tries:?}");
            assert!(reports.len() >= 9 && reports[0].is_zero(), "{reports:?}");
            let minutes = gaps(&reports);
            assert!(
                minutes.iter().all(|gap| (MINUTE..=MINUTE + MAX_PAUSE_WHILE_UNREACHABLE).contains(gap)),
                "{reports:?}"
            );
        }
    }

    #[test]
    fn pauses_grow_and_jitter_shortens_them_by_at_most_half() {
        let pauses = |chance| gaps(&try_until(MINUTE, chance, |_| denied("no")).0);
        let milliseconds = |pauses: &[Duration]| pauses.iter().map(Duration::as_millis).collect::<Vec<_>>();
        assert_eq!(milliseconds(&pauses(1.0)[..6]), [500, 1000, 2000, 4000, 8000, 16_000]);
        assert_eq!(milliseconds(&pauses(0.0)[..7]), [250, 500, 1000, 2000, 4000, 8000, 15_000], "half of the maximum");
        assert!((0..100).map(|_| random_fraction()).all(|chance| (0.0..=1.0).contains(&chance)));
    }

    #[test]
    fn a_new_failure_is_reported_at_once_and_a_misconfiguration_ends_the_tries() {
        let (tries, reports, _) = try_until(Duration::from_secs(20), 1.0, |now| {
            unavailable(if now < Duration::from_secs(3) { "refuses connections" } else { "starting up" })
        });
        assert_eq!((reports[0], reports.len()), (Duration::ZERO, 2), "{tries:?} {reports:?}");
        let (tries, _, end) = try_until(MINUTE, 1.0, |_| StoreError::misconfigured("too old"));
        assert_eq!((tries.len(), end.as_deref()), (1, Some("too old")));
    }
}
