//! Answers in TradingView's Universal Data Feed (UDF) protocol, made of the reads that other routes make: candles as columns
//! ([`history`], [`columns`]) in the periods of charts ([`resolution`]), descriptions of symbols ([`symbols`]), and marks from the
//! record of changes ([`marks`]). [`request`] parses the parameters.

mod columns;
mod history;
mod marks;
mod request;
mod resolution;
mod symbols;

use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::cache::{PageKey, Question};
use super::page::{Page, tag};
use super::{Encoding, Query, QueryAnswer, QueryError};
use crate::config::Symbols;
use crate::store::{Reading, SeriesSelection, SeriesVersion, Store, StoreError};
use candle::{Symbol, Timeframe};

pub(super) use request::UdfQuestion;

/// A route of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UdfRoute {
    /// The abilities of the service.
    Config,
    /// The description of one symbol.
    Symbols,
    /// Symbols by a part of their name.
    Search,
    /// Candles.
    History,
    /// Marks on candles.
    Marks,
    /// Marks on the time axis.
    TimescaleMarks,
}

/// The error of a symbol that is not stored. The name is part of the protocol.
const UNKNOWN_SYMBOL: &str = "unknown_symbol";

/// A failure, as the protocol answers it.
#[derive(Serialize)]
struct UdfFailure<'a> {
    s: &'static str,
    errmsg: &'a str,
}

/// The body that answers a question which cannot be answered, with a sentence that says why.
#[must_use]
pub fn udf_failure(sentence: &str) -> Vec<u8> {
    serde_json::to_vec(&UdfFailure { s: "error", errmsg: sentence }).unwrap_or_default()
}

/// The parts from which answers are made.
#[derive(Debug, Clone)]
struct Feed {
    store: Store,
    symbols: Arc<Symbols>,
    /// The maximum number of candles in an answer.
    max_limit: usize,
}

impl Query {
    /// Describes symbols to charts as `symbols` says.
    #[must_use]
    pub fn with_symbols(self, symbols: Symbols) -> Self {
        Self { symbols: Arc::new(symbols), ..self }
    }

    /// Answers a query string for a route of the UDF protocol, from the cache if it holds a fresh answer.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn udf(&self, route: UdfRoute, query: &str) -> Result<QueryAnswer, QueryError> {
        let arrived = Instant::now();
        let question = request::parse(route, query).map_err(QueryError::Invalid)?;
        if let UdfQuestion::History(asked) = &question {
            let stored = self.udf_page(UdfQuestion::StoredHistory(asked.clone()), arrived).await?;
            if !stored.page.body.is_empty() {
                return Ok(stored);
            }
        }
        self.udf_page(question, arrived).await
    }

    /// The time of the server's clock in epoch seconds.
    #[must_use]
    pub fn udf_time(&self) -> i64 {
        self.clock.now().seconds()
    }

    async fn udf_page(&self, question: UdfQuestion, arrived: Instant) -> Result<QueryAnswer, QueryError> {
        // The version is taken before the read, so that a page from before a change is never cached under the version after it.
        let (series_version, reading) = self.udf_reading(&question);
        let feed = Feed { store: self.store.clone(), symbols: Arc::clone(&self.symbols), max_limit: self.max_limit };
        let make = || Box::pin(make(feed.clone(), question.clone(), reading));
        let key = PageKey { question: Question::Udf(question.clone()), series_version, encoding: Encoding::Identity };
        let page = self.pages.get(&key, arrived, reading.as_of().min(arrived), make).await?;
        Ok(QueryAnswer { page, key, arrived })
    }

    /// The version of the series that a question is about, and where they are read.
    fn udf_reading(&self, question: &UdfQuestion) -> (SeriesVersion, Reading) {
        if let UdfQuestion::StoredHistory(asked) = question {
            let (symbol, timeframe) = (&asked.symbol, asked.resolution.timeframe());
            return (self.store.series_version(symbol, timeframe), self.store.reading(symbol, timeframe));
        }
        let symbols: &[Symbol] = question.symbol().map_or(&[], std::slice::from_ref);
        (self.store.series_version_of(symbols, None), self.store.reading_of(symbols, None))
    }
}

async fn make(feed: Feed, question: UdfQuestion, reading: Reading) -> Result<Page, QueryError> {
    let began = reading.as_of();
    match question {
        UdfQuestion::Config => plain(&feed.config(reading).await?, began),
        UdfQuestion::Symbol(symbol) => match feed.symbol(&symbol, reading).await? {
            Some(info) => plain(&info, began),
            None => Ok(failure(UNKNOWN_SYMBOL, began)),
        },
        UdfQuestion::Search(asked) => plain(&feed.search(&asked, reading).await?, began),
        UdfQuestion::StoredHistory(asked) => feed.stored_history(&asked, reading).await,
        UdfQuestion::History(asked) => feed.other_history(&asked, reading).await,
        UdfQuestion::Marks(asked) => feed.marks(&asked, reading).await,
    }
}

impl Feed {
    /// The timeframes in which a symbol is stored, shortest first. Forming candles count.
    async fn timeframes(&self, symbol: &Symbol, reading: Reading) -> Result<Vec<Timeframe>, StoreError> {
        let latest = self.store.latest_from(reading, &of_symbol(symbol)).await?;
        let stored = |timeframe: &Timeframe| latest.candles.iter().any(|candle| candle.key.timeframe == *timeframe);
        Ok(Timeframe::ALL.into_iter().filter(stored).collect())
    }
}

/// All series of a symbol.
fn of_symbol(symbol: &Symbol) -> SeriesSelection {
    SeriesSelection { symbols: vec![symbol.clone()], timeframe: None, after: None, limit: Timeframe::ALL.len() }
}

/// A page without neighbours.
fn plain(answer: &impl Serialize, began: Instant) -> Result<Page, QueryError> {
    Ok(page(serde_json::to_vec(answer).map_err(StoreError::internal)?, None, &[], began))
}

fn failure(sentence: &str, began: Instant) -> Page {
    page(udf_failure(sentence), None, &[], began)
}

/// A page with the query for what precedes it, and the opening times of rows that it leaves out.
fn page(body: Vec<u8>, before: Option<String>, skipped: &[i64], began: Instant) -> Page {
    let skipped = Page::skipped_times(skipped);
    let etag = tag(&body, before.as_deref(), None, skipped.as_deref());
    Page { body: body.into(), etag, before, after: None, skipped, began }
}
