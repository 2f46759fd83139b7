//! Exports: a series as one file of any length.
//!
//! An export is read, or built from a shorter timeframe, in pages by key and encoded ([`encoder`]) one page ahead of its client, in memory that does not grow
//! with its length. No transaction or connection is held between two pages: closed candles are only ever added, so
//! everything that was stored when the export began is in it. [`selection`] reads its parameters, [`text`] writes CSV and
//! NDJSON, and [`parquet`] writes Parquet.

mod encoder;
mod parquet;
mod selection;
mod text;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use metrics::gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, Span, warn};

use super::{Encoding, QueryError};
use crate::errors::chain;
use crate::store::{Range, Store, StoreError, StoredCandles};
use crate::telemetry::metrics::{EXPORTS_ACTIVE, ExportsEnded, Shed};
use crate::telemetry::spans::spawn_blocking;
use crate::validation::FieldError;
use candle::Rule;
use encoder::Encoder;

pub(super) use selection::ExportSelection;
pub use selection::{FileFormat, FileName};

/// The maximum number of candles of a page, whatever `MAX_LIMIT` allows, because two pages are in memory for each export.
const MAX_PAGE_CANDLES: usize = 10_000;

/// The failure of an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prices have more digits than a decimal of Parquet holds.
    #[error("the prices need {0} digits, and a decimal of Parquet holds at most {max}", max = parquet::MAX_DIGITS)]
    TooManyDigits(u32),
    /// A candle cannot be built.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Unbuildable(Vec<FieldError>),
    /// A candle that was stored after the digits were counted has more of them.
    #[error("the candle that opened at {0} has more digits than those that were stored when the export began")]
    MoreDigits(i64),
    /// The file could not be written.
    #[error("the file cannot be encoded")]
    Encoding(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ExportError {
    fn encoding(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Encoding(error.into())
    }
}

impl From<QueryError> for ExportError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(error) => Self::Store(error),
            QueryError::Invalid(field_errors) => Self::Unbuildable(field_errors),
            error => Self::Store(StoreError::internal(error)),
        }
    }
}

impl From<ExportError> for QueryError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => Self::Store(error),
            ExportError::TooManyDigits(_) => {
                let msg = format!("cannot be decimal here, because {error}; send text or double, or a shorter range");
                let loc = vec!["query".into(), "prices".into()];
                Self::Invalid(vec![FieldError { loc, msg, kind: Rule::TooPrecise.name() }])
            }
            ExportError::Unbuildable(field_errors) => Self::Invalid(field_errors),
            ExportError::MoreDigits(_) | ExportError::Encoding(_) => Self::Store(StoreError::internal(error)),
        }
    }
}

/// The limit on the exports and reports that a process makes at once. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Exports {
    places: Arc<Semaphore>,
    most: usize,
    page_candles: usize,
}

impl Exports {
    pub(super) fn new(most: usize, max_limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), most, page_candles: max_limit.min(MAX_PAGE_CANDLES) }
    }

    /// The number of candles of a page.
    pub(super) fn page_candles(&self) -> usize {
        self.page_candles
    }

    /// Takes a place for as long as the returned value lives.
    pub(super) fn place(&self) -> Result<Place, QueryError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Shed::Exports.count(1);
            QueryError::TooManyExports(self.most)
        })?;
        gauge!(EXPORTS_ACTIVE).increment(1);
        Ok(Place(permit))
    }

    /// Begins an export.
    pub(super) fn begin(
        &self,
        store: Store,
        selection: ExportSelection,
        encoding: Encoding,
    ) -> Result<Export, QueryError> {
        let place = self.place()?;
        let file_name = selection.file_name();
        let resampling = selection.resampling.as_ref();
        let built = resampling.map(|resampling| resampling.candles_a_statement(selection.range.timeframe));
        let limit = self.page_candles.min(built.unwrap_or(usize::MAX));
        let range = Range { limit, ..selection.range.clone() };
        let worker = Worker { store, range, selection, encoding, began: Instant::now(), encoder: None };
        let span = Span::current();
        let next = tokio::spawn(worker.step().instrument(span.clone()));
        Ok(Export { file_name, first: None, next: Some(next), span, outcome: Some(ExportsEnded::Left), _place: place })
    }
}

/// The permit of an export or of a report.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "does its work when it is dropped")] OwnedSemaphorePermit);

impl Drop for Place {
    fn drop(&mut self) {
        gauge!(EXPORTS_ACTIVE).decrement(1);
    }
}

/// The bytes of an export. While its reader takes a piece, the next one is made. It ends after the last piece of a whole
/// file, or with an error.
#[derive(Debug)]
pub struct Export {
    /// The name that the file should have.
    pub file_name: FileName,
    /// The first piece, if [`Self::begun`] waited for it.
    first: Option<Bytes>,
    next: Option<JoinHandle<Result<Piece, ExportError>>>,
    span: Span,
    /// The outcome that is counted; `None` if only the head was sent.
    outcome: Option<ExportsEnded>,
    _place: Place,
}

/// A part of the file, and the worker that makes the next one unless it is the last.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    rest: Option<Worker>,
}

impl Export {
    /// Waits for the first piece for at most `patience`, so that a failure in it becomes an error response.
    ///
    /// # Errors
    /// When the first piece cannot be made.
    pub async fn begun(mut self, patience: Duration) -> Result<Self, QueryError> {
        let first = std::future::poll_fn(|context| Pin::new(&mut self).poll_piece(context));
        if let Ok(first) = timeout(patience, first).await {
            self.first = first.transpose().inspect_err(|_| self.outcome = None)?;
        }
        Ok(self)
    }

    /// Ends an export after its head, for a request that wants only the head.
    pub fn head_only(mut self) {
        self.outcome = None;
    }

    fn poll_piece(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ExportError>>> {
        loop {
            let Some(next) = self.next.as_mut() else { return Poll::Ready(None) };
            let piece = ready!(Pin::new(next).poll(context));
            self.next = None;
            let Piece { bytes, rest } = match piece.map_err(ExportError::encoding).and_then(|piece| piece) {
                Ok(piece) => piece,
                Err(error) => {
                    self.outcome = Some(ExportsEnded::BrokenOff);
                    return Poll::Ready(Some(Err(error)));
                }
            };
            match rest {
                Some(worker) => {
                    let span = self.span.clone();
                    self.next = Some(tokio::spawn(worker.step().instrument(span)));
                }
                None => self.outcome = Some(ExportsEnded::Finished),
            }
            // An encoder may buffer a whole page.
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(bytes)));
            }
        }
    }
}

impl Stream for Export {
    type Item = Result<Bytes, ExportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let piece = ready!(self.as_mut().poll_piece(context));
        if let Some(Err(error)) = &piece {
            let _span = self.span.enter();
            warn!(cause = chain(error).to_string(), "an export broke off, which its client sees by the missing end");
        }
        Poll::Ready(piece)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.abort();
        }
        if let Some(outcome) = self.outcome {
            outcome.count(1);
        }
    }
}

/// Makes the pieces of an export, one after the other.
#[derive(Debug)]
struct Worker {
    store: Store,
    /// The rows that are left.
    range: Range,
    selection: ExportSelection,
    encoding: Encoding,
    /// The file holds everything that was stored by this time.
    began: Instant,
    /// `None` until the first piece.
    encoder: Option<Encoder>,
}

impl Worker {
    async fn step(mut self) -> Result<Piece, ExportError> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new(&self.store, &self.selection, (self.encoding, self.began)).await?,
        };
        let (page, more) = self.page().await?;
        let last = page.time(page.len().wrapping_sub(1)).filter(|_| more);
        let encode = move || encoder.encode(&page, last.is_none());
        let (encoder, bytes) = spawn_blocking(encode).await.map_err(ExportError::encoding)??;
        let rest = last.zip(encoder).map(|(last, encoder)| {
            self.range.start = last + 1;
            Self { encoder: Some(encoder), ..self }
        });
        Ok(Piece { bytes, rest })
    }

    /// Reads or builds the next candles. The flag is true if there may be more.
    async fn page(&self) -> Result<(StoredCandles, bool), ExportError> {
        let Range { symbol, timeframe, limit, .. } = &self.range;
        let Some(resampling) = &self.selection.resampling else {
            let reading = self.store.reading_since(symbol, *timeframe, self.began);
            let page = self.store.range_from(reading, self.range.clone()).await?;
            let more = page.len() == *limit;
            return Ok((page, more));
        };
        let reading = self.store.reading_since(symbol, resampling.source, self.began);
        let built = resampling.read(&self.store, reading, &self.range).await?;
        Ok((built.candles, built.more))
    }
}
