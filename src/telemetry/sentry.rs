//! Reports failures to Sentry if a DSN is configured.
//!
//! Events are built here from values that are safe to send, not collected from the request, so that they cannot hold a
//! header, a query string, a body or an address.

use std::num::NonZeroU32;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::{ExposeSecret as _, SecretString};
use sentry::protocol::{Event, Exception};
use sentry::{ClientInitGuard, ClientOptions, Level};

use super::REVISION;
use crate::config::Environment;

/// The maximum number of failed requests reported per minute, after a burst of as many, so that an outage does not use
/// up the project's quota.
const MAX_REPORTS_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

/// The maximum time that the process waits at its end for unsent reports.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// Sends unsent reports when it is dropped.
#[must_use = "dropping it ends the reports"]
pub struct SentryGuard(Option<ClientInitGuard>);

impl SentryGuard {
    /// Ends the reports at once, without sending those that are unsent.
    pub fn abandon(mut self) {
        std::mem::forget(self.0.take());
    }
}

impl Drop for SentryGuard {
    /// Runs on a separate thread, because sentry's own shutdown waits without limit for a server that does not answer.
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let (done, finished) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            drop(guard);
            drop(done);
        });
        let _ = finished.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl std::fmt::Debug for SentryGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SentryGuard")
    }
}

/// One request that failed.
#[derive(Debug)]
pub struct FailedRequest<'a> {
    /// The kind of failure in one word, as in the answer.
    pub kind: &'a str,
    /// The cause, as in the log.
    pub cause: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// Its method and the template of its route.
    pub route: String,
    /// The status of the answer.
    pub status: u16,
}

/// Starts to report failures to the project that `dsn` names.
pub fn init(dsn: &SecretString, environment: Environment) -> SentryGuard {
    let release = format!("{}@{}+{REVISION}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let options = ClientOptions::new()
        .dsn(dsn.expose_secret())
        .release(release)
        .environment(environment.name())
        .server_name(env!("CARGO_PKG_NAME"))
        .send_default_pii(false);
    SentryGuard(Some(sentry::init(options)))
}

/// Reports why the service ended by itself.
pub fn report_end(cause: &str) {
    send("ended", cause, Event::default());
}

/// Reports a failed request, unless too many were reported lately.
pub fn report(failure: FailedRequest<'_>) {
    static REPORT_LIMITER: OnceLock<DefaultDirectRateLimiter> = OnceLock::new();
    let is_enabled = sentry::Hub::current().client().is_some_and(|client| client.is_enabled());
    if !is_enabled
        || REPORT_LIMITER
            .get_or_init(|| RateLimiter::direct(Quota::per_minute(MAX_REPORTS_PER_MINUTE)))
            .check()
            .is_err()
    {
        return;
    }
    let tags = [("request_id", failure.request_id.to_owned()), ("status", failure.status.to_string())];
    let tags = tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    send(failure.kind, failure.cause, Event { transaction: Some(failure.route), tags, ..Event::default() });
}

fn send(kind: &str, cause: &str, event: Event<'static>) {
    let exception = Exception { ty: kind.to_owned(), value: Some(cause.to_owned()), ..Exception::default() };
    sentry::capture_event(Event { level: Level::Error, exception: vec![exception].into(), ..event });
}
