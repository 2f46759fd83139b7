//! Candles in: rows of values, in a few sizes of statement.

use std::sync::LazyLock;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection, Row, SqliteConnection};

use crate::candle::{Batch, Candle, Side};
use crate::store::{Appended, WrittenKey};

/// How many candles one statement takes, most first: it is a round trip to the connection's thread, and few are kept.
const PIECES: [usize; 4] = [512, 64, 8, 1];

/// A statement for each of [`PIECES`].
type Statements = LazyLock<[String; PIECES.len()]>;

fn statements(template: &str, returning: &str) -> [String; PIECES.len()] {
    PIECES.map(|count| template.replace("ROWS", &vec!["(?, ?, ?, ?, ?, ?, ?, ?)"; count].join(", ")) + returning)
}

const INSERT_CLOSED: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    values ROWS
    on conflict do nothing";

const UPSERT_FORMING: &str = "
    with forming (symbol, timeframe, timestamp, open, high, low, close, volume) as (values ROWS)
    insert into market_data_live_candles as stored (symbol, timeframe, timestamp, open, high, low, close, volume)
    select * from forming f
    where not exists (
        select 1 from market_data_candles c
        where c.symbol = f.symbol and c.timeframe = f.timeframe and c.timestamp = f.timestamp)
    on conflict (symbol, timeframe, timestamp) do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, updated_at = unixepoch()
        where excluded.volume >= stored.volume";

const RETURNING_KEY: &str = " returning symbol, timeframe, timestamp";

static COUNTING: [Statements; 2] =
    [LazyLock::new(|| statements(INSERT_CLOSED, "")), LazyLock::new(|| statements(UPSERT_FORMING, ""))];
static TELLING: [Statements; 2] = [
    LazyLock::new(|| statements(INSERT_CLOSED, RETURNING_KEY)),
    LazyLock::new(|| statements(UPSERT_FORMING, RETURNING_KEY)),
];

/// Inserts what is not stored yet and replaces forming candles.
pub(super) async fn insert(connection: &mut SqliteConnection, batch: &Batch) -> sqlx::Result<Appended> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    let mut changed = [0, 0];
    for ((changed, statements), candles) in changed.iter_mut().zip(&COUNTING).zip([batch.closed(), batch.forming()]) {
        for (sql, candles) in pieces(statements, candles) {
            *changed += bind(sqlx::query(sql), candles).execute(&mut *transaction).await?.rows_affected();
        }
    }
    transaction.commit().await?;
    let [added, live] = changed.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
    Ok(Appended { added, live })
}

/// Like [`insert`], and returns the keys of the closed and of the forming candles that changed something, for [`written_key`].
pub(super) async fn insert_telling(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> sqlx::Result<[Vec<SqliteRow>; 2]> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    let mut changed = [Vec::new(), Vec::new()];
    for ((changed, statements), candles) in changed.iter_mut().zip(&TELLING).zip([batch.closed(), batch.forming()]) {
        for (sql, candles) in pieces(statements, candles) {
            changed.extend(bind(sqlx::query(sql), candles).fetch_all(&mut *transaction).await?);
        }
    }
    transaction.commit().await?;
    Ok(changed)
}

/// Deals candles out to statements, in their order.
fn pieces<'c>(
    statements: &'static Statements,
    mut candles: &'c [Candle],
) -> impl Iterator<Item = (&'static str, &'c [Candle])> {
    std::iter::from_fn(move || {
        let size = PIECES.iter().position(|&size| size <= candles.len())?;
        let (piece, rest) = candles.split_at(PIECES[size]);
        candles = rest;
        Some((statements[size].as_str(), piece))
    })
}

fn bind<'q>(
    query: Query<'q, sqlx::Sqlite, SqliteArguments<'q>>,
    candles: &'q [Candle],
) -> Query<'q, sqlx::Sqlite, SqliteArguments<'q>> {
    candles.iter().fold(query, |query, Candle { key, ohlc, volume }| {
        let query = query.bind(key.symbol().as_str()).bind(key.timeframe().name()).bind(key.time().millis());
        Side::ALL.into_iter().fold(query, |query, side| query.bind(ohlc.get(side).to_string())).bind(volume.get())
    })
}

/// The key of a candle that was written, as a closed one or not.
pub(super) fn written_key(row: &SqliteRow, closed: bool) -> sqlx::Result<WrittenKey<'_>> {
    let millis: i64 = row.try_get(2)?;
    Ok(WrittenKey { symbol: row.try_get(0)?, timeframe: row.try_get(1)?, seconds: millis.div_euclid(1000), closed })
}
