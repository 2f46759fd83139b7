//! Asks the server to end the backends of connections whose statement was given up.
//!
//! A backend that waits for a synchronous standby, or hangs, does not notice that its client has gone. If the place of
//! its connection in the pool were free at once, the pool would open another connection for each statement that is
//! given up, until the server has no connection left for anybody. So the place stays taken until the server has ended
//! the backend. At any time, at most one separate connection is open on which the server is asked to do so.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Span, debug, warn};

use crate::errors::chain;

/// The time-out of one request to the server, including the time for connecting.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time without an answer from the server after which all places are given back, because a server that is gone has
/// no backends either.
const UNANSWERED_HOLD: Duration = Duration::from_secs(1);
/// The first and the maximum pause before the server is asked again about a backend that it has not ended yet.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// The pause after the server could not be asked.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(2);
/// The time after which a backend that the server has not ended is logged.
const SLOW_END_DELAY: Duration = Duration::from_secs(10);
/// The maximum number of backends that are remembered after their place was given back. The server ends the others
/// itself once it finds their clients' connections dead.
const MAX_REMEMBERED: usize = 1000;

/// Identifies a backend process of the server while it serves our session. The pid alone is not enough, because another
/// process may have the number by now, and because a session pooler lends the backend to another client once ours has
/// left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) pid: i32,
    /// Its start time, as the server writes it.
    pub(super) start: String,
    /// The `application_name` of our session, which is reset before the backend serves another one.
    pub(super) session: String,
}

/// Returns a value for `application_name` that no other session has.
pub(super) fn unique_session_name() -> String {
    format!("candlewick-{:016x}", RandomState::new().build_hasher().finish())
}

/// The places in a pool that a connection takes: one of those for large batches, if it writes such a batch; one of those for
/// readers or writers; and one of all.
pub(super) type Places = (Option<OwnedSemaphorePermit>, [OwnedSemaphorePermit; 2]);

struct AbandonedBackend {
    backend: Backend,
    places: Option<Places>,
    since: Instant,
    /// The span of the statement that was given up.
    span: Span,
    is_reported: bool,
}

/// Ends the backends of connections that were given up. Clones share the queue.
#[derive(Clone)]
pub(super) struct Abandoned(Arc<AbandonedShared>);

struct AbandonedShared {
    options: PgConnectOptions,
    state: Mutex<AbandonedQueue>,
    arrival: Notify,
}

#[derive(Default)]
struct AbandonedQueue {
    entries: VecDeque<AbandonedBackend>,
    is_running: bool,
}

impl Abandoned {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        let state = Mutex::default();
        Self(Arc::new(AbandonedShared { options: options.clone(), state, arrival: Notify::new() }))
    }

    /// Asks the server to end `backend`, and keeps `places`, if the connection had any, until the server has ended it.
    pub(super) fn end(&self, backend: Backend, places: Option<Places>) {
        // Without a runtime, this process is about to exit.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.lock();
        let (since, span) = (Instant::now(), Span::current());
        state.entries.push_back(AbandonedBackend { backend, places, since, span, is_reported: false });
        if state.entries.len() > MAX_REMEMBERED
            && let Some(oldest) = state.entries.iter().position(|entry| entry.places.is_none())
        {
            state.entries.remove(oldest);
        }
        if state.is_running {
            self.0.arrival.notify_one();
        } else {
            state.is_running = true;
            runtime.spawn(self.clone().run());
        }
    }

    async fn run(self) {
        let (mut control, mut pause) = (None, FIRST_PAUSE);
        while let Some(backends) = self.backends() {
            let mut attempt = std::pin::pin!(timeout(ATTEMPT_TIMEOUT, self.ask(control.take(), &backends)));
            let answer = tokio::select! {
                answer = &mut attempt => answer,
                () = sleep(UNANSWERED_HOLD) => {
                    self.release_places();
                    attempt.await
                }
            };
            pause = match answer {
                Ok(Ok((connection, left))) => {
                    control = Some(connection);
                    self.forget(|backend| backends.contains(backend) && !left.contains(backend));
                    MAX_PAUSE.min(pause * 2)
                }
                failure => {
                    if let Ok(Err(error)) = failure {
                        debug!(
                            cause = chain(&error).to_string(),
                            "the server could not be asked to end connections that were given up"
                        );
                    }
                    self.release_places();
                    UNREACHABLE_PAUSE
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.0.arrival.notified() => pause = FIRST_PAUSE,
            }
        }
        if let Some(control) = control {
            // The outcome does not matter, because the connection is not used again.
            let _ = timeout(ATTEMPT_TIMEOUT, PgConnection::close(control)).await;
        }
    }

    /// Asks the server to end these backends. Returns the connection and the backends that still existed.
    async fn ask(
        &self,
        control: Option<PgConnection>,
        backends: &[Backend],
    ) -> sqlx::Result<(PgConnection, Vec<Backend>)> {
        const END: &str = include_str!("sql/end_backends.sql");
        let mut connection = match control {
            Some(connection) => connection,
            None => PgConnection::connect_with(&self.0.options).await?,
        };
        let pids: Vec<_> = backends.iter().map(|backend| backend.pid).collect();
        let starts: Vec<_> = backends.iter().map(|backend| &*backend.start).collect();
        let sessions: Vec<_> = backends.iter().map(|backend| &*backend.session).collect();
        let end = sqlx::query_as::<_, (i32, String, String, bool)>(END).bind(pids).bind(starts).bind(sessions);
        let left = end.fetch_all(&mut connection).await?;
        let left = left.into_iter().map(|(pid, start, session, _)| Backend { pid, start, session }).collect();
        Ok((connection, left))
    }

    /// Returns the backends to end, or `None` once there are none, and logs those that are slow to end.
    fn backends(&self) -> Option<Vec<Backend>> {
        let mut state = self.lock();
        for entry in
            state.entries.iter_mut().filter(|entry| !entry.is_reported && entry.since.elapsed() > SLOW_END_DELAY)
        {
            entry.is_reported = true;
            warn!(
                parent: &entry.span,
                pid = entry.backend.pid,
                "the server has not ended a connection that was given up"
            );
        }
        state.is_running = !state.entries.is_empty();
        state.is_running.then(|| state.entries.iter().map(|entry| entry.backend.clone()).collect())
    }

    fn forget(&self, has_ended: impl Fn(&Backend) -> bool) {
        self.lock().entries.retain(|entry| !has_ended(&entry.backend));
    }

    /// Gives the places back but remembers the backends, so that the server is asked again to end those that still
    /// exist once it answers.
    fn release_places(&self) {
        for entry in &mut self.lock().entries {
            entry.places = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, AbandonedQueue> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
