//! The sources that the commands read from.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;
use url::form_urlencoded;

use super::{HistoryError, Remote};
use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::query::{Encoding, FileFormat, Query};
use crate::store::{SeriesKey, SeriesSelection, Store};
use candle::{Symbol, Timeframe};

/// The maximum number of candles of a page, as in a service.
const PAGE_CANDLES: usize = 10_000;
/// The number of series of a list.
const LIST_SERIES: usize = 10_000;

/// A source of history.
#[derive(Debug)]
pub(crate) enum Source {
    /// The database of the configuration.
    Database { store: Store, query: Query },
    /// A running service.
    Service(Remote),
}

impl Source {
    /// Connects to the database that the configuration names, whose tables have to be there.
    pub(crate) async fn database(config: &DatabaseConfig) -> Result<Self, HistoryError> {
        let store = Store::open(config)?;
        store.prepare(false).await?;
        let query = Query::new(store.clone(), Clock::system(), PAGE_CANDLES, 1);
        Ok(Self::Database { store, query })
    }

    /// Connects to the database that the configuration names, in order to change history. Migrates its tables if the
    /// configuration allows it, because each change is recorded in one of them.
    pub(crate) async fn maintained(config: &DatabaseConfig) -> Result<Self, HistoryError> {
        let store = Store::open(config)?;
        store.prepare(config.migrate_on_start).await?;
        let query = Query::new(store.clone(), Clock::system(), PAGE_CANDLES, 1);
        Ok(Self::Database { store, query })
    }

    /// Writes the export that a query string selects to `output`, and returns the number of bytes.
    pub(super) async fn export(
        &self,
        query: &str,
        format: FileFormat,
        output: &mut (dyn io::Write + Send),
    ) -> Result<u64, ExportFailure> {
        match self {
            Self::Database { query: queries, .. } => {
                let mut export = queries
                    .export(query, format, Encoding::Identity)
                    .map_err(|error| ExportFailure::Read(error.into()))?;
                let mut bytes = 0;
                while let Some(piece) = export.next().await {
                    let piece: Bytes = piece.map_err(|error| ExportFailure::Read(error.into()))?;
                    output.write_all(&piece).map_err(ExportFailure::Write)?;
                    bytes += piece.len() as u64;
                }
                Ok(bytes)
            }
            Self::Service(remote) => {
                let path = format!("/api/v1/export.{}?{query}", format.extension());
                remote.download(&path, output)
            }
        }
    }

    /// The report on the gaps that a query string selects, as the service answers it.
    pub(super) async fn gaps(&self, query: &str) -> Result<Value, HistoryError> {
        match self {
            Self::Database { query: queries, .. } => {
                let report = queries.gaps(query).await?;
                serde_json::to_value(&report).map_err(|error| HistoryError::Refused(error.to_string()))
            }
            Self::Service(remote) => Ok(remote.json(&format!("/api/v1/gaps?{query}"))?.0),
        }
    }

    /// All series that have closed candles, of one symbol or timeframe if it is given.
    pub(super) async fn series(
        &self,
        symbol: Option<&Symbol>,
        timeframe: Option<Timeframe>,
    ) -> Result<Vec<SeriesKey>, HistoryError> {
        match self {
            Self::Database { store, .. } => {
                let mut selection = SeriesSelection {
                    symbols: symbol.cloned().into_iter().collect(),
                    timeframe,
                    after: None,
                    limit: LIST_SERIES,
                };
                let mut keys = Vec::new();
                loop {
                    let page = store.series(&selection).await?;
                    keys.extend(page.series.into_iter().map(|series| series.key));
                    match page.next {
                        Some(_) => selection.after = page.next,
                        None => return Ok(keys),
                    }
                }
            }
            Self::Service(remote) => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.extend_pairs(symbol.map(|symbol| ("symbol", symbol.as_str())));
                query.extend_pairs(timeframe.map(|timeframe| ("timeframe", timeframe.name())));
                let mut path = format!("/api/v1/series?{}", query.finish());
                let mut keys = Vec::new();
                loop {
                    let (page, next) = remote.json(&path)?;
                    let entries = page.as_array().ok_or_else(|| remote.not_candlewick())?;
                    for entry in entries {
                        let text = |name: &str| entry[name].as_str().unwrap_or_default();
                        let key = Symbol::parse(text("symbol")).ok().zip(Timeframe::named(text("timeframe")));
                        let (symbol, timeframe) = key.ok_or_else(|| remote.not_candlewick())?;
                        keys.push(SeriesKey { symbol, timeframe });
                    }
                    match next {
                        Some(next) => path = next,
                        None => return Ok(keys),
                    }
                }
            }
        }
    }

    /// Closes the connections.
    pub(crate) async fn close(self) {
        if let Self::Database { store, .. } = self {
            store.close().await;
        }
    }
}

/// The side on which an export failed.
#[derive(Debug)]
pub(super) enum ExportFailure {
    Read(HistoryError),
    Write(io::Error),
}
