//! The abilities of the service and the descriptions of symbols.

use std::collections::BTreeSet;

use serde::Serialize;

use super::request::SearchQuestion;
use super::resolution::{OF_DAYS, intraday, minutes, source};
use super::{Feed, of_symbol};
use crate::config::SymbolDescription;
use crate::store::{LatestCandle, Reading, SeriesKey, StoreError};
use candle::{Symbol, Timeframe};

/// The resolutions that charts are offered whatever is stored.
const COMMON_MINUTES: [Timeframe; 6] =
    [Timeframe::M1, Timeframe::M5, Timeframe::M15, Timeframe::M30, Timeframe::H1, Timeframe::H4];
/// The maximum number of decimal places that charts draw, because their numbers have no more digits.
const MAX_DIGITS: u32 = 15;

/// The abilities of the service.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub(super) struct Configuration {
    supports_search: bool,
    supports_group_request: bool,
    supports_marks: bool,
    supports_timescale_marks: bool,
    supports_time: bool,
    supported_resolutions: Vec<String>,
    exchanges: Vec<Exchange>,
    symbols_types: Vec<SymbolType>,
}

#[derive(Serialize)]
struct Exchange {
    value: String,
    name: String,
    desc: String,
}

#[derive(Serialize)]
struct SymbolType {
    name: String,
    value: String,
}

/// The description of a symbol.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them")]
pub(super) struct SymbolInfo {
    name: String,
    ticker: String,
    description: String,
    #[serde(rename = "type")]
    kind: String,
    exchange: String,
    listed_exchange: String,
    session: String,
    timezone: String,
    format: &'static str,
    minmov: u32,
    pricescale: u64,
    has_intraday: bool,
    intraday_multipliers: Vec<String>,
    has_seconds: bool,
    has_daily: bool,
    has_weekly_and_monthly: bool,
    supported_resolutions: Vec<String>,
    visible_plots_set: &'static str,
    volume_precision: u32,
    data_status: &'static str,
}

/// A symbol that a search found.
#[derive(Serialize)]
pub(super) struct SearchResult {
    symbol: String,
    full_name: String,
    ticker: String,
    description: String,
    exchange: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Feed {
    /// The resolutions that are stored of any symbol or can be built from these, and the exchanges and types of the file.
    pub(super) async fn config(&self, reading: Reading) -> Result<Configuration, StoreError> {
        let mut stored = Vec::new();
        let visit = |key: SeriesKey| {
            if !stored.contains(&key.timeframe) {
                stored.push(key.timeframe);
            }
        };
        self.store.visit_keys(reading, visit).await?;
        let exchange = |name: &str| Exchange { value: name.to_owned(), name: name.to_owned(), desc: name.to_owned() };
        let all = Exchange { value: String::new(), name: "All".to_owned(), desc: String::new() };
        let kind = |name: &str| SymbolType { name: name.to_owned(), value: name.to_owned() };
        let all_kinds = SymbolType { name: "All".to_owned(), value: String::new() };
        Ok(Configuration {
            supports_search: true,
            supports_group_request: false,
            supports_marks: true,
            supports_timescale_marks: true,
            supports_time: true,
            supported_resolutions: resolutions(&stored, &COMMON_MINUTES),
            exchanges: std::iter::once(all).chain(self.symbols.exchanges().into_iter().map(exchange)).collect(),
            symbols_types: std::iter::once(all_kinds).chain(self.symbols.kinds().into_iter().map(kind)).collect(),
        })
    }

    /// Describes a symbol; `None` if nothing of it is stored.
    pub(super) async fn symbol(&self, symbol: &Symbol, reading: Reading) -> Result<Option<SymbolInfo>, StoreError> {
        let stored = self.timeframes(symbol, reading).await?;
        if stored.is_empty() {
            return Ok(None);
        }
        let digits = self.digits(symbol, reading).await?;
        let SymbolDescription { description, kind, exchange, session } = self.symbols.of(symbol).clone();
        let multipliers: Vec<_> = intraday().filter(|timeframe| stored.contains(timeframe)).map(minutes).collect();
        Ok(Some(SymbolInfo {
            name: symbol.to_string(),
            ticker: symbol.to_string(),
            description: description.unwrap_or_else(|| symbol.to_string()),
            kind,
            listed_exchange: exchange.clone(),
            exchange,
            session: session.hours,
            timezone: session.timezone,
            format: "price",
            minmov: 1,
            pricescale: 10_u64.pow(digits.min(MAX_DIGITS)),
            has_intraday: !multipliers.is_empty(),
            intraday_multipliers: multipliers,
            has_seconds: false,
            has_daily: stored.contains(&Timeframe::D1),
            has_weekly_and_monthly: false,
            supported_resolutions: resolutions(&stored, &[]),
            visible_plots_set: "ohlcv",
            volume_precision: 0,
            data_status: "streaming",
        }))
    }

    /// The number of decimal places of a symbol's prices: the precision of the series that has most of them, or the places of its
    /// forming candles if no candle is closed.
    async fn digits(&self, symbol: &Symbol, reading: Reading) -> Result<u32, StoreError> {
        let closed = self.store.series_from(reading, &of_symbol(symbol)).await?;
        if let Some(most) = closed.series.iter().map(|series| series.price_precision).max() {
            return Ok(most);
        }
        let latest = self.store.latest_from(reading, &of_symbol(symbol)).await?;
        let prices = latest.candles.iter().filter_map(LatestCandle::candle).flat_map(|candle| candle.prices);
        let places = |price: &str| price.split_once('.').map_or(0, |(_, places)| places.len());
        Ok(prices.map(places).max().and_then(|most| u32::try_from(most).ok()).unwrap_or_default())
    }

    /// The symbols that contain a text in any case: first those that begin with it, then by their bytes.
    pub(super) async fn search(
        &self,
        asked: &SearchQuestion,
        reading: Reading,
    ) -> Result<Vec<SearchResult>, StoreError> {
        let mut found: BTreeSet<(bool, Symbol)> = BTreeSet::new();
        let visit = |key: SeriesKey| {
            let name = key.symbol.as_str().to_lowercase();
            let SymbolDescription { kind, exchange, .. } = self.symbols.of(&key.symbol);
            let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
            if name.contains(&asked.text) && is(&asked.kind, kind) && is(&asked.exchange, exchange) {
                found.insert((!name.starts_with(&asked.text), key.symbol));
                if found.len() > asked.limit {
                    found.pop_last();
                }
            }
        };
        self.store.visit_keys(reading, visit).await?;
        let result = |(_, symbol): (bool, Symbol)| {
            let SymbolDescription { description, kind, exchange, .. } = self.symbols.of(&symbol).clone();
            let name = symbol.to_string();
            let description = description.unwrap_or_else(|| name.clone());
            SearchResult { full_name: name.clone(), ticker: name.clone(), symbol: name, description, exchange, kind }
        };
        Ok(found.into_iter().map(result).collect())
    }
}

/// The resolutions that are `stored`, can be built from these, or are `offered` anyway, shortest first.
fn resolutions(stored: &[Timeframe], offered: &[Timeframe]) -> Vec<String> {
    let is_there = |timeframe: &Timeframe| {
        stored.contains(timeframe) || offered.contains(timeframe) || source(stored, *timeframe).is_some()
    };
    let of_days = stored.contains(&Timeframe::D1).then_some(OF_DAYS).into_iter().flatten().map(str::to_owned);
    intraday().filter(is_there).map(minutes).chain(of_days).collect()
}
