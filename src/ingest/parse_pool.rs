//! Parses small bodies at once, and large ones on threads that may block.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use super::{Refusal, ValidatedBatch, check};
use crate::store::StoreError;
use crate::telemetry::spans::spawn_blocking;
use candle::Timestamp;

/// The maximum length of a body that is parsed by the worker that read it. It takes a few milliseconds; a longer body
/// would delay the other requests of that worker.
const MAX_INLINE_BYTES: usize = 1024 * 1024;

/// Parses and validates bodies. Clones share the permits for large ones.
#[derive(Debug, Clone)]
pub(super) struct ParsePool {
    /// One permit per core, because more at once would only take more memory.
    large: Arc<Semaphore>,
}

impl ParsePool {
    pub(super) fn new() -> Self {
        Self { large: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))) }
    }

    /// Parses and validates the batch in `body`, as [`check`] does.
    pub(super) async fn check(
        &self,
        body: Vec<u8>,
        now: Timestamp,
        max_candles: usize,
    ) -> Result<ValidatedBatch, Refusal> {
        if body.len() <= MAX_INLINE_BYTES {
            return check(&body, now, max_candles);
        }
        let _place = self.large.acquire().await.map_err(StoreError::internal)?;
        match spawn_blocking(move || check(&body, now, max_candles)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(cancelled) => Err(StoreError::internal(cancelled).into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn small_bodies_are_parsed_at_once_and_large_ones_elsewhere() {
        let parse_pool = ParsePool::new();
        let now = Timestamp::from_seconds(0).unwrap();
        let small = vec![b' '; MAX_INLINE_BYTES];
        let large = vec![b' '; MAX_INLINE_BYTES + 1];
        assert!(parse_pool.check(small, now, 1).now_or_never().is_some());
        assert!(parse_pool.check(large.clone(), now, 1).now_or_never().is_none());
        assert!(matches!(parse_pool.check(large, now, 1).await, Err(Refusal::Malformed(_))));
    }

    #[tokio::test]
    async fn large_bodies_wait_for_a_permit() {
        let parse_pool = ParsePool::new();
        let places = u32::try_from(available_parallelism().unwrap().get()).unwrap();
        let taken = Arc::clone(&parse_pool.large).acquire_many_owned(places).await.unwrap();
        let body = vec![b' '; MAX_INLINE_BYTES + 1];
        let mut waiting = Box::pin(parse_pool.check(body, Timestamp::from_seconds(0).unwrap(), 1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(taken);
        assert!(waiting.await.is_err());
    }
}
