//! The opening time of the newest closed candle of each timeframe, in a separate table.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

const SELECT: &str = r#"
    select timeframe::text, floor(extract(epoch from "timestamp") * 1000)::bigint from market_data_newest_candles
    where isfinite("timestamp")"#;

const UPSERT: &str = r#"
    insert into market_data_newest_candles as kept (timeframe, "timestamp")
    select * from unnest($1::text[], $2::timestamptz[])
    on conflict (timeframe) do update set "timestamp" = excluded."timestamp"
        where excluded."timestamp" > kept."timestamp""#;

/// Reads the timeframes and their times, in epoch milliseconds.
pub(super) async fn read(connection: &mut PgConnection) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(SELECT).fetch_all(connection).await
}

/// Stores each time that is later than the stored one of its timeframe.
pub(super) async fn keep(connection: &mut PgConnection, rows: &[(&'static str, i64)]) -> sqlx::Result<()> {
    let at = |millis| DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let (names, times): (Vec<_>, Vec<_>) = rows.iter().map(|(name, millis)| (*name, at(*millis))).unzip();
    sqlx::query(UPSERT).bind(names).bind(times).execute(connection).await.map(drop)
}
