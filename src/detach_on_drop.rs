//! A cancellation shield: work that is finished even if its caller is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tracing::Instrument as _;

/// Runs `work` as part of its caller, and moves it into a task of its own if it is dropped unfinished: a client that
/// disconnects interrupts nothing, and a client that stays costs no task. The task keeps the span in which the work is
/// dropped, that of the request.
pub(crate) fn detach_on_drop<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> DetachOnDrop<T> {
    DetachOnDrop(Some(Box::pin(work)))
}

/// The future that [`detach_on_drop`] returns.
pub(crate) struct DetachOnDrop<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Future for DetachOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it runs, so that work that panics is not polled again.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let poll = work.as_mut().poll(cx);
        if poll.is_pending() {
            self.0 = Some(work);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for DetachOnDrop<T> {
    fn drop(&mut self) {
        // Without a runtime, the process is ending.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work.in_current_span());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::panic::AssertUnwindSafe;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn dropped_work_is_finished() {
        let (go_on, waiting) = oneshot::channel();
        let (done, finished) = oneshot::channel();
        let work = detach_on_drop(async move {
            waiting.await.unwrap();
            done.send("all of it").unwrap();
        });
        assert!(work.now_or_never().is_none());
        go_on.send(()).unwrap();
        assert_eq!(finished.await.unwrap(), "all of it");
    }

    #[tokio::test]
    async fn work_that_panics_is_not_polled_again() {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let mut work = detach_on_drop(poll_fn(move |_| -> Poll<()> {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("broken")
        }));
        assert!(AssertUnwindSafe(&mut work).catch_unwind().await.is_err());
        drop(work);
        // A task that the drop may have started has ended once nothing else holds the counter.
        while Arc::strong_count(&polls) > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
    }
}
