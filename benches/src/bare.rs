//! The bare limits: clients that write the same rows to the same database and read them, with nothing in between.
//!
//! Everything that can be prepared is prepared, so these clients only send and receive. Prices are text in both
//! directions, which keeps their digits. The statements stay the same when the service finds better ones.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, Row};

use crate::candles::{Candle, TIMEFRAME};
use crate::load::Client;

const INSERT_BATCH: &str = r#"
    insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
    select * from unnest(
        $1::text[], $2::text[], $3::timestamptz[], $4::text[]::numeric[], $5::text[]::numeric[],
        $6::text[]::numeric[], $7::text[]::numeric[], $8::bigint[])
    on conflict (symbol, timeframe, "timestamp") do nothing"#;

const INSERT_ONE: &str = r#"
    insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
    values ($1, $2, $3, $4::text::numeric, $5::text::numeric, $6::text::numeric, $7::text::numeric, $8)
    on conflict (symbol, timeframe, "timestamp") do nothing"#;

const SELECT_PAGE: &str = r#"
    select "timestamp", open::text, high::text, low::text, close::text, volume
    from market_data_candles
    where symbol = $1 and timeframe = $2 and "timestamp" < $3
    order by "timestamp" desc limit $4"#;

/// A batch's columns as a statement takes them.
pub struct Columns {
    symbols: Vec<String>,
    timeframes: Vec<&'static str>,
    times: Vec<DateTime<Utc>>,
    /// Opens, highs, lows, closes.
    prices: [Vec<String>; 4],
    volumes: Vec<i64>,
}

impl Columns {
    pub fn new(candles: &[Candle]) -> Self {
        Self {
            symbols: candles.iter().map(|candle| candle.symbol.clone()).collect(),
            timeframes: vec![TIMEFRAME; candles.len()],
            times: candles.iter().map(|candle| candle.time).collect(),
            prices: [0, 1, 2, 3].map(|field| candles.iter().map(|candle| candle.prices[field].clone()).collect()),
            volumes: candles.iter().map(|candle| candle.volume).collect(),
        }
    }
}

/// Inserts one batch per statement.
pub struct Batches {
    connection: PgConnection,
    batches: std::vec::IntoIter<Columns>,
}

impl Batches {
    pub async fn new(url: &str, batches: Vec<Columns>) -> Self {
        Self { connection: connect(url).await, batches: batches.into_iter() }
    }
}

impl Client for Batches {
    async fn step(&mut self) -> bool {
        let Some(columns) = self.batches.next() else { return false };
        let query = sqlx::query(INSERT_BATCH).bind(&columns.symbols).bind(&columns.timeframes).bind(&columns.times);
        let query = columns.prices.iter().fold(query, sqlx::query::Query::bind);
        query.bind(&columns.volumes).execute(&mut self.connection).await.unwrap();
        true
    }
}

/// Inserts one candle per statement.
pub struct Singles {
    connection: PgConnection,
    candles: std::vec::IntoIter<Candle>,
}

impl Singles {
    pub async fn new(url: &str, candles: Vec<Candle>) -> Self {
        Self { connection: connect(url).await, candles: candles.into_iter() }
    }
}

impl Client for Singles {
    async fn step(&mut self) -> bool {
        let Some(candle) = self.candles.next() else { return false };
        let query = sqlx::query(INSERT_ONE).bind(&candle.symbol).bind(TIMEFRAME).bind(candle.time);
        let query = candle.prices.iter().fold(query, sqlx::query::Query::bind);
        query.bind(candle.volume).execute(&mut self.connection).await.unwrap();
        true
    }
}

/// A page to fetch: its symbol and the time that it ends before.
pub type Place = (String, DateTime<Utc>);

/// Fetches pages and reads every column of their rows.
pub struct Pages<P> {
    connection: PgConnection,
    places: P,
    candles: i64,
}

impl<P> Pages<P> {
    pub async fn new(url: &str, places: P, candles: i64) -> Self {
        Self { connection: connect(url).await, places, candles }
    }
}

impl<P: Iterator<Item = Place> + Send + 'static> Client for Pages<P> {
    async fn step(&mut self) -> bool {
        let Some((symbol, before)) = self.places.next() else { return false };
        let query = sqlx::query(SELECT_PAGE).bind(symbol).bind(TIMEFRAME).bind(before).bind(self.candles);
        let rows = query.fetch_all(&mut self.connection).await.unwrap();
        assert_eq!(rows.len() as i64, self.candles);
        let page: Vec<(DateTime<Utc>, [String; 4], i64)> =
            rows.iter().map(|row| (row.get(0), [1, 2, 3, 4].map(|column| row.get(column)), row.get(5))).collect();
        std::hint::black_box(page);
        true
    }
}

/// Builds the days of a year with one statement, as a query tool would.
pub struct Years {
    connection: PgConnection,
    symbol: String,
    first: DateTime<Utc>,
    days: i64,
}

impl Years {
    pub async fn new(url: &str, symbol: String, first: DateTime<Utc>, days: i64) -> Self {
        Self { connection: connect(url).await, symbol, first, days }
    }
}

impl Client for Years {
    async fn step(&mut self) -> bool {
        const SELECT_DAYS: &str = r#"
            select date_trunc('day', "timestamp", 'UTC'), (array_agg(open order by "timestamp"))[1]::text, max(high)::text,
                   min(low)::text, (array_agg(close order by "timestamp" desc))[1]::text, sum(volume)::bigint
            from market_data_candles
            where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
            group by 1 order by 1"#;
        let query = sqlx::query(SELECT_DAYS)
            .bind(&self.symbol)
            .bind(TIMEFRAME)
            .bind(self.first)
            .bind(self.first + chrono::TimeDelta::days(self.days));
        let rows = query.fetch_all(&mut self.connection).await.unwrap();
        assert_eq!(rows.len() as i64, self.days);
        let page: Vec<(DateTime<Utc>, [String; 4], i64)> =
            rows.iter().map(|row| (row.get(0), [1, 2, 3, 4].map(|column| row.get(column)), row.get(5))).collect();
        std::hint::black_box(page);
        true
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Inserts with a prepared statement and one transaction per batch, as durably as the service.
pub struct SqliteBatches {
    connection: rusqlite::Connection,
    batches: std::vec::IntoIter<Vec<Candle>>,
}

impl SqliteBatches {
    pub fn new(path: &std::path::Path, batches: Vec<Vec<Candle>>) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch("pragma journal_mode = wal; pragma synchronous = full").unwrap();
        Self { connection, batches: batches.into_iter() }
    }
}

impl Client for SqliteBatches {
    async fn step(&mut self) -> bool {
        const INSERT: &str = "
            insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) on conflict do nothing";
        let Some(candles) = self.batches.next() else { return false };
        tokio::task::block_in_place(|| {
            let transaction = self.connection.transaction().unwrap();
            let mut insert = transaction.prepare_cached(INSERT).unwrap();
            for Candle { symbol, time, prices: [open, high, low, close], volume } in &candles {
                let row = (symbol, TIMEFRAME, time.timestamp_millis(), open, high, low, close, volume);
                insert.execute(row).unwrap();
            }
            drop(insert);
            transaction.commit().unwrap();
        });
        true
    }
}

/// Fetches pages of a SQLite file and reads every column of their rows.
pub struct SqlitePages<P> {
    connection: rusqlite::Connection,
    places: P,
    candles: i64,
}

impl<P> SqlitePages<P> {
    pub fn new(path: &std::path::Path, places: P, candles: i64) -> Self {
        Self { connection: rusqlite::Connection::open(path).unwrap(), places, candles }
    }
}

impl<P: Iterator<Item = Place> + Send + 'static> Client for SqlitePages<P> {
    async fn step(&mut self) -> bool {
        const SELECT: &str = "
            select timestamp, open, high, low, close, volume from market_data_candles
            where symbol = ?1 and timeframe = ?2 and timestamp < ?3 order by timestamp desc limit ?4";
        let Some((symbol, before)) = self.places.next() else { return false };
        tokio::task::block_in_place(|| {
            let mut select = self.connection.prepare_cached(SELECT).unwrap();
            let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, [String; 4], i64)> {
                Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?], row.get(5)?))
            };
            let rows = select.query_map((symbol, TIMEFRAME, before.timestamp_millis(), self.candles), row).unwrap();
            let page: Vec<_> = rows.map(Result::unwrap).collect();
            assert_eq!(page.len() as i64, self.candles);
            std::hint::black_box(page);
        });
        true
    }
}
