//! Candles on their way out of the store: what is asked for ([`selection`]) and how it is answered ([`page`]).

mod page;
mod selection;

use crate::store::{Range, Series, Store, StoreError};
use crate::violation::Violation;

pub use page::Page;
pub use selection::{DEFAULT_LIMIT, Selection};

/// Answers queries.
#[derive(Debug, Clone)]
pub struct Query {
    store: Store,
    max_limit: usize,
}

/// Why a query was not answered.
#[derive(Debug)]
pub enum QueryError {
    /// Its parameters break rules.
    Invalid(Vec<Violation>),
    /// The store did not answer.
    Store(StoreError),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Query {
    /// Reads from `store`, at most `max_limit` candles at a time.
    #[must_use]
    pub fn new(store: Store, max_limit: usize) -> Self {
        Self { store, max_limit }
    }

    /// Answers a query string for candles. See [`Selection::parse`] for its parameters.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn candles(&self, query: &str) -> Result<Page, QueryError> {
        let selection = Selection::parse(query, self.max_limit).map_err(QueryError::Invalid)?;
        // One more than asked for tells whether there are more.
        let range = Range { limit: selection.range.limit + 1, ..selection.range.clone() };
        let candles = self.store.range(range).await?;
        Ok(Page::new(&selection, &candles))
    }

    /// Lists the stored series, filtered by `symbol` and `timeframe` where the query string names them.
    ///
    /// # Errors
    /// When the parameters are invalid or the store cannot be read.
    pub async fn series(&self, query: &str) -> Result<Vec<Series>, QueryError> {
        let (symbol, timeframe) = selection::parse_series_filter(query).map_err(QueryError::Invalid)?;
        Ok(self.store.series(symbol, timeframe).await?)
    }
}
