//! Sends and receives hints by NOTIFY and LISTEN, on two connections of their own.
//!
//! NOTIFY inside a transaction takes a lock for the whole cluster until the commit is flushed, which halves the number of writes
//! (docs/decisions/0038-streams-carry-states-not-messages.md). So hints are sent after the commit, and never on the connection of
//! a write.

use std::convert::Infallible;
use std::time::Duration;

use metrics::gauge;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::connect::{CONNECT_TIMEOUT, connect};
use crate::errors::chain;
use crate::store::StoreError;
use crate::store::hints::{Outbox, Payload, WrittenSeries, decode, encode, sender_name};
use crate::telemetry::metrics::{HINTS_LISTENING, Hints};

const CHANNEL: &str = "candlewick";
const NOTIFY: &str = "select pg_notify($1, payload) from unnest($2::text[]) as payload";

/// The maximum time for sending.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// A payload without series is sent if nothing else was for so long, so that listeners know that their connection works.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(20);
/// The time within which a new listener must hear this process itself.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which a listener that hears nothing, not even this process, connects anew.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// The pause before another attempt to connect, at first and at most. Each is twice the one before.
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Sends what is in `outbox`, and hands what other processes send to `receive`. Never returns.
pub(super) async fn exchange(
    options: &PgConnectOptions,
    outbox: &Outbox,
    receive: impl Fn(WrittenSeries),
) -> Infallible {
    let options = options.clone().application_name("candlewick hints").disable_statement_logging();
    let (name, greeting) = (sender_name(), Notify::new());
    let mut sender = Sender { options: &options, name: &name, connection: None, retry_at: None, pause: MIN_PAUSE };
    let send = async {
        loop {
            let written = tokio::select! {
                written = outbox.next() => written,
                () = greeting.notified() => WrittenSeries::new(),
                () = sleep(HEARTBEAT_INTERVAL) => WrittenSeries::new(),
            };
            sender.send(&encode(&name, &written)).await;
        }
    };
    let listener = Listener { options: &options, name: &name, greeting: &greeting, receive };
    tokio::join!(send, listener.listen()).1
}

/// The connection on which hints are sent.
struct Sender<'a> {
    options: &'a PgConnectOptions,
    name: &'a str,
    connection: Option<PgConnection>,
    /// No attempt to connect is made before this time.
    retry_at: Option<Instant>,
    pause: Duration,
}

impl Sender<'_> {
    /// Sends payloads, or drops them if that does not work at once.
    async fn send(&mut self, payloads: &[String]) {
        let count = payloads.len() as u64;
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Hints::Lost.count(count);
        }
        match self.try_send(payloads).await {
            Ok(connection) => {
                self.connection = Some(connection);
                if self.retry_at.take().is_some() {
                    info!(sender = self.name, "hints are sent again");
                }
                self.pause = MIN_PAUSE;
                Hints::Sent.count(count);
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    warn!(
                        cause = chain(&error).to_string(),
                        "hints are not sent, so streams of other services follow within a second"
                    );
                }
                self.retry_at = Some(Instant::now() + self.pause);
                self.pause = (2 * self.pause).min(MAX_PAUSE);
                Hints::Lost.count(count);
            }
        }
    }

    /// Returns the connection that works. One that was used before may have been lost since, so another is opened.
    async fn try_send(&mut self, payloads: &[String]) -> Result<PgConnection, StoreError> {
        if let Some(connection) = self.connection.take()
            && let Ok(connection) = send_on(connection, payloads).await
        {
            return Ok(connection);
        }
        send_on(connect(self.options).await?, payloads).await
    }
}

async fn send_on(mut connection: PgConnection, payloads: &[String]) -> Result<PgConnection, StoreError> {
    let send = sqlx::query(NOTIFY).bind(CHANNEL).bind(payloads).execute(&mut connection);
    timeout(SEND_TIMEOUT, send).await.map_err(|_| StoreError::unavailable("sending took too long"))??;
    Ok(connection)
}

/// The connection on which hints are received.
struct Listener<'a, R> {
    options: &'a PgConnectOptions,
    /// The name of this process, whose own hints count for nothing but the proof that they arrive.
    name: &'a str,
    /// Has this process send something once the listener listens.
    greeting: &'a Notify,
    receive: R,
}

impl<R: Fn(WrittenSeries)> Listener<'_, R> {
    async fn listen(&self) -> Infallible {
        let (mut pause, mut is_failing) = (MIN_PAUSE, false);
        gauge!(HINTS_LISTENING).set(0);
        loop {
            let mut has_heard = false;
            let Err(error) = self.listen_once(&mut has_heard, is_failing).await;
            gauge!(HINTS_LISTENING).set(0);
            if has_heard {
                (pause, is_failing) = (MIN_PAUSE, false);
            }
            if !is_failing {
                warn!(
                    cause = chain(&error).to_string(),
                    "hints of other services do not arrive, so streams follow them within a second"
                );
            }
            is_failing = true;
            sleep(pause).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
    }

    /// Listens until the connection is lost. `has_heard` becomes true once this process has heard itself.
    async fn listen_once(&self, has_heard: &mut bool, was_failing: bool) -> Result<Infallible, StoreError> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        self.greeting.notify_one();
        let mut deadline = Instant::now() + GREETING_TIMEOUT;
        loop {
            let Ok(received) = timeout_at(deadline, listener.try_recv()).await else { return Err(silence(*has_heard)) };
            let Some(notification) = received? else { return Err(StoreError::unavailable("the connection was lost")) };
            match decode(notification.payload()) {
                Some(Payload { sender, .. }) if sender == self.name => {
                    if !*has_heard {
                        *has_heard = true;
                        gauge!(HINTS_LISTENING).set(1);
                        if was_failing {
                            info!("hints of other services arrive again");
                        }
                    }
                }
                Some(Payload { written, .. }) => {
                    Hints::Received.count(1);
                    (self.receive)(written);
                }
                None => Hints::Ignored.count(1),
            }
            if *has_heard {
                deadline = Instant::now() + SILENCE_TIMEOUT;
            }
        }
    }
}

fn silence(has_heard: bool) -> StoreError {
    StoreError::unavailable(if has_heard {
        "nothing has arrived for a minute"
    } else {
        "LIVE_HINTS cannot work over DATABASE_URL, because what this service sends does not come back, as behind a pooler that lends \
         connections for one transaction"
    })
}
