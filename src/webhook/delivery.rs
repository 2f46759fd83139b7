//! Posts stored events, several at once, and tries those again that the webhook did not take. Events about one series are posted one
//! after the other, in the order in which they were stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metrics::gauge;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};
use ureq::Agent;

use super::signature;
use crate::clock::Clock;
use crate::config::{WebhookConfig, WebhookSecret};
use crate::errors::chain;
use crate::store::{ClaimedEvent, Settlement, Store, StoreError};
use crate::telemetry::metrics::{WEBHOOK_WAITING, WebhookEvents};
use crate::telemetry::spans::spawn_blocking;

/// The maximum time of an attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of attempts at once, so that one that takes long does not hold up all others.
const MAX_ATTEMPTS_AT_ONCE: usize = 4;
/// The time for which an event belongs to the process that tries to deliver it.
const LEASE: Duration = Duration::from_secs(30);
/// The pause between two looks for events that are due.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The pause between two deletions of old events.
const PRUNING_INTERVAL: Duration = Duration::from_mins(10);
/// The pause after an event's first attempt. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The maximum pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// The age at which an event that was not delivered is given up.
const MAX_AGE_SECONDS: i64 = 3 * 24 * 3600;

/// The reason for which an attempt failed. The address is not in it, because it may hold a token.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("the webhook answered {0}")]
    Status(u16),
    #[error("the webhook did not answer within {} s", ATTEMPT_TIMEOUT.as_secs())]
    TooLate,
    #[error("the webhook cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The delivery of events to the webhook.
pub(super) struct Delivery {
    sender: Sender,
    store: Store,
    queued: Arc<Notify>,
    /// The last failure, so that one that repeats is logged once.
    failure: Option<String>,
    /// The last deletion of old events. The first one comes a while after the start, because the watch begins before the last events
    /// that it stored.
    pruned: Instant,
}

/// Posts events. Clones share its connections.
#[derive(Clone)]
struct Sender {
    url: SecretString,
    secret: WebhookSecret,
    clock: Clock,
    agent: Agent,
}

impl Delivery {
    pub(super) fn new(config: &WebhookConfig, store: Store, clock: Clock, queued: Arc<Notify>) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(ATTEMPT_TIMEOUT))
            // A redirect would lead the events to an address that the operator did not name.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("candlewick/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let sender = Sender { url: config.url.clone(), secret: config.secret.clone(), clock, agent };
        let pruned = Instant::now();
        Self { sender, store, queued, failure: None, pruned }
    }

    /// Delivers events when they are due. Never returns.
    pub(super) async fn run(mut self) {
        let mut attempts = FuturesUnordered::new();
        // The series of the events that are being posted.
        let mut busy: Vec<String> = Vec::new();
        loop {
            while attempts.len() < MAX_ATTEMPTS_AT_ONCE {
                match self.next(&busy).await {
                    Ok(Some(event)) => {
                        busy.extend(event.series.clone());
                        attempts.push(attempt(self.sender.clone(), event));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.note_failure(format!("the database: {}", chain(&error)));
                        break;
                    }
                }
            }
            tokio::select! {
                Some((event, result)) = attempts.next() => {
                    busy.retain(|series| event.series.as_ref() != Some(series));
                    if let Err(error) = self.settle(&event, result).await {
                        self.note_failure(format!("the database: {}", chain(&error)));
                    }
                }
                // Events may be due even if none was queued here.
                () = sleep(LOOK_INTERVAL) => {}
                () = self.queued.notified() => {}
            }
        }
    }

    /// The next event to post.
    async fn next(&mut self, busy: &[String]) -> Result<Option<ClaimedEvent>, StoreError> {
        if self.count_waiting().await? == 0 {
            return Ok(None);
        }
        self.store.claim_event(LEASE, busy.to_vec()).await
    }

    /// Counts the events that wait, and deletes old ones once in a while.
    async fn count_waiting(&mut self) -> Result<u64, StoreError> {
        if self.pruned.elapsed() >= PRUNING_INTERVAL {
            while self.store.prune_events().await? > 0 {}
            self.pruned = Instant::now();
        }
        let waiting = self.store.waiting_events().await?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
        gauge!(WEBHOOK_WAITING).set(waiting as f64);
        Ok(waiting)
    }

    /// Notes the end of an attempt.
    async fn settle(&mut self, event: &ClaimedEvent, result: Result<(), DeliveryError>) -> Result<(), StoreError> {
        let settlement = match result {
            Ok(()) => {
                self.note_success();
                WebhookEvents::Delivered.count(1);
                Settlement::Settled
            }
            Err(error) => self.failed(event, &error),
        };
        self.store.settle_event(event, settlement).await
    }

    fn failed(&mut self, event: &ClaimedEvent, error: &DeliveryError) -> Settlement {
        let cause = chain(error).to_string();
        if event.age_seconds >= MAX_AGE_SECONDS {
            WebhookEvents::GivenUp.count(1);
            error!(event = event.id, kind = event.kind, cause, "gave up an event for the webhook after three days");
            return Settlement::Settled;
        }
        WebhookEvents::Failed.count(1);
        self.note_failure(cause);
        Settlement::Again(pause_after(event.attempts))
    }

    fn note_failure(&mut self, cause: String) {
        if self.failure.as_ref() != Some(&cause) {
            warn!(cause, "events for the webhook wait; trying again");
            self.failure = Some(cause);
        }
    }

    fn note_success(&mut self) {
        if self.failure.take().is_some() {
            info!("the webhook takes events again");
        }
    }
}

async fn attempt(sender: Sender, event: ClaimedEvent) -> (ClaimedEvent, Result<(), DeliveryError>) {
    let result = sender.post(&event).await;
    (event, result)
}

impl Sender {
    async fn post(&self, event: &ClaimedEvent) -> Result<(), DeliveryError> {
        let seconds = self.clock.now().seconds();
        let signature = signature::sign(&self.secret, &event.id, seconds, &event.body);
        let request = self.agent.post(self.url.expose_secret());
        let request = request.header("content-type", "application/json").header("webhook-id", &event.id);
        let request = request.header("webhook-timestamp", seconds.to_string()).header("webhook-signature", signature);
        let body = event.body.clone();
        let answer = spawn_blocking(move || request.send(body)).await;
        match answer.map_err(|broken| DeliveryError::Unreachable(broken.into()))? {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(DeliveryError::Status(answer.status().as_u16())),
            Err(ureq::Error::Timeout(_)) => Err(DeliveryError::TooLate),
            Err(ureq::Error::Io(error)) => Err(DeliveryError::Unreachable(error.into())),
            Err(error) => Err(DeliveryError::Unreachable(error.into())),
        }
    }
}

/// The pause after an attempt, which are counted from 1.
fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(20);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<_> = [1, 2, 3, 10, 11, 1000, i32::MAX].map(|attempts| pause_after(attempts).as_secs()).into();
        assert_eq!(pauses, [5, 10, 20, 2560, 3600, 3600, 3600]);
    }
}
