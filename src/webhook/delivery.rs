//! Posts stored events, one after the other, and tries those again that the webhook did not take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Notify;
use tokio::time::timeout;
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
    url: SecretString,
    secret: WebhookSecret,
    store: Store,
    clock: Clock,
    agent: Agent,
    queued: Arc<Notify>,
    /// The last failure, so that one that repeats is logged once.
    failure: Option<String>,
    /// The last deletion of old events.
    pruned: Option<Instant>,
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
        let (url, secret) = (config.url.clone(), config.secret.clone());
        Self { url, secret, store, clock, agent, queued, failure: None, pruned: None }
    }

    /// Delivers events when they are due. Never returns.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(error) = self.look().await {
                self.note_failure(format!("the database: {}", chain(&error)));
            }
            // The result does not matter: events may be due even if none was queued here.
            let _ = timeout(LOOK_INTERVAL, self.queued.notified()).await;
        }
    }

    /// Delivers everything that is due.
    async fn look(&mut self) -> Result<(), StoreError> {
        let mut waiting = self.count_waiting().await?;
        while waiting > 0
            && let Some(event) = self.store.claim_event(LEASE).await?
        {
            let settlement = match self.attempt(&event).await {
                Ok(()) => {
                    self.note_success();
                    WebhookEvents::Delivered.count(1);
                    Settlement::Settled
                }
                Err(error) => self.failed(&event, &error),
            };
            self.store.settle_event(&event, settlement).await?;
            waiting = self.count_waiting().await?;
        }
        Ok(())
    }

    /// Counts the events that wait, and deletes old ones once in a while.
    async fn count_waiting(&mut self) -> Result<u64, StoreError> {
        if self.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNING_INTERVAL) {
            while self.store.prune_events().await? > 0 {}
            self.pruned = Some(Instant::now());
        }
        let waiting = self.store.waiting_events().await?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
        gauge!(WEBHOOK_WAITING).set(waiting as f64);
        Ok(waiting)
    }

    async fn attempt(&self, event: &ClaimedEvent) -> Result<(), DeliveryError> {
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
