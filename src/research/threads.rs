//! The threads that compute. They are not threads of the runtime and have a low priority, so that candles come first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use thread_priority::{ThreadPriority, set_current_thread_priority};
use tokio::sync::oneshot;
use tracing::Span;

use super::ResearchError;
use crate::store::StoreError;
use crate::telemetry::panic_text;

/// The priority of the threads on the scale from 0 to 99 of all systems. On Linux it is a niceness of 10.
const PRIORITY: u8 = 22;

/// The threads of this replica. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Threads(Option<Arc<Pools>>);

#[derive(Debug)]
struct Pools {
    /// Work that a request waits for. A pool of its own, because a pool begins nothing new while a search has points left.
    requests: ThreadPool,
    searches: ThreadPool,
}

impl Threads {
    /// Starts `count` threads for requests and `count` for searches. With 0, nothing is computed.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub(crate) fn start(count: usize) -> Result<Self, ThreadPoolBuildError> {
        if count == 0 {
            return Ok(Self(None));
        }
        let pool = |name: &'static str| {
            ThreadPoolBuilder::new()
                .num_threads(count)
                .thread_name(move |number| format!("{name}-{number}"))
                .start_handler(|_| lower_priority())
                .build()
        };
        Ok(Self(Some(Arc::new(Pools { requests: pool("research")?, searches: pool("search")? }))))
    }

    /// The number of threads; 0 where nothing is computed.
    pub(crate) fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |pools| pools.requests.current_num_threads())
    }

    /// The pool for searches of jobs; `None` where nothing is computed.
    pub(crate) fn searches(&self) -> Option<&ThreadPool> {
        self.0.as_ref().map(|pools| &pools.searches)
    }

    /// Runs `work` on a thread of its own with the priority of these threads, because it mostly waits for them.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let lowered = move || {
            lower_priority();
            work();
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(lowered).map(drop)
    }

    /// Runs `work` that a request waits for, in the span of the caller. Work is not begun if its request has ended.
    ///
    /// # Errors
    /// [`ResearchError::Off`] where nothing is computed, and [`ResearchError::Panicked`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ResearchError> {
        let pools = self.0.as_ref().ok_or(ResearchError::Off)?;
        let (send, receive) = oneshot::channel();
        let span = Span::current();
        pools.requests.spawn(move || {
            if !send.is_closed() {
                // Nobody receives the result if the caller has left in the meantime.
                let _ = send.send(span.in_scope(|| catch_unwind(AssertUnwindSafe(work))));
            }
        });
        let result = receive.await.map_err(StoreError::internal)?;
        result.map_err(|panic| ResearchError::Panicked(panic_text(&*panic).to_owned()))
    }
}

fn lower_priority() {
    if let Some(priority) = PRIORITY.try_into().ok().map(ThreadPriority::Crossplatform) {
        // If the system refuses, the threads keep the priority of the others.
        let _ = set_current_thread_priority(priority);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn threads_are_nice() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The 19th field; the second one ends with the last bracket and may hold blanks.
            stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let threads = Threads::start(1).unwrap();
        let of_threads = [threads.run(niceness).await.unwrap(), threads.searches().unwrap().install(niceness)];
        // A process with a higher niceness may not be allowed to lower it.
        assert!(of_threads == [10, 10] || of_threads == [niceness().max(10); 2], "{of_threads:?}");
    }

    #[tokio::test]
    async fn no_threads_compute_nothing() {
        let threads = Threads::start(0).unwrap();
        assert!(matches!(threads.run(|| ()).await, Err(ResearchError::Off)));
        assert!(threads.searches().is_none() && threads.count() == 0);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_threads_go_on() {
        let threads = Threads::start(1).unwrap();
        let panics = || assert!(std::env::args().count() == 0, "it breaks");
        let error = threads.run(panics).await.unwrap_err();
        assert!(matches!(&error, ResearchError::Panicked(text) if text == "it breaks"), "{error:?}");
        assert!(!crate::errors::sentence(&error).contains("it breaks"), "the text is for the log alone");
        assert_eq!(threads.run(|| 2).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun() {
        let threads = Threads::start(1).unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let first = threads.clone();
        let first = tokio::spawn(async move { first.run(move || released.recv().is_ok()).await });
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let second = threads.clone();
        let second = tokio::spawn(async move { second.run(move || begun.send(())).await });
        tokio::task::yield_now().await;
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        // The sender is gone without a message.
        assert!(has_begun.recv().is_err());
    }
}
