//! Candles in a SQLite file: one connection that writes, several that read, one that probes.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};
use tokio_util::task::TaskTracker;

use super::candles::Unreadable;
use super::error::sqlite_code;
use super::{
    Appended, Direction, PoolUse, Range, Series, StoreError, StoredCandles, Written, WrittenKey, not_prepared,
    to_the_end, unreadable,
};
use crate::candle::{Batch, Candle, Side, Symbol, Timeframe};

/// A SQLite file. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Sqlite(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: SqlitePool,
    readers: SqlitePool,
    probe: SqlitePool,
    max_readers: u32,
    prepared: AtomicBool,
    tasks: TaskTracker,
}

/// Longest that a writer waits for one in another process.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Longest that a batch waits behind others in this process: most Expert Advisors give up after 5 s.
const QUEUE_WAIT: Duration = Duration::from_secs(4);
/// Longest that a probe may take.
const PROBE_WAIT: Duration = Duration::from_secs(1);

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

/// Both tables, each by its key from the wanted end; a closed candle hides the forming one of its time. All of them in one
/// row, since each takes a message from the connection's thread; [`StoredCandles`] knows the text.
macro_rules! select_range {
    ($order:literal) => {
        concat!(
            "select group_concat(timestamp, ' '),
                group_concat(concat_ws(' ', open, high, low, close, volume, closed), ' ') from (
              select * from (
                select * from (
                    select timestamp, open, high, low, close, volume, 1 as closed
                    from market_data_candles
                    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
                    order by timestamp ",
            $order,
            " limit ?5)
                union all
                select * from (
                    select timestamp, open, high, low, close, volume, 0
                    from market_data_live_candles l
                    where symbol = ?1 and timeframe = ?2 and timestamp >= ?3 and timestamp < ?4
                      and not exists (
                        select 1 from market_data_candles c
                        where c.symbol = ?1 and c.timeframe = ?2 and c.timestamp = l.timestamp)
                    order by timestamp ",
            $order,
            " limit ?5)
              ) order by timestamp ",
            $order,
            " limit ?5)"
        )
    };
}

const SELECT_UP: &str = select_range!("asc");
const SELECT_DOWN: &str = select_range!("desc");

/// Lists the series by hopping over the key from symbol to symbol and from timeframe to timeframe, then reads both ends
/// of each. `?1` and `?2` filter where they are not null; `?3` is how many of the newest candles tell the precision.
/// Public so that a test can ask for its plan.
pub const SELECT_SERIES: &str = "
    with recursive symbols(symbol) as (
        select min(symbol) from market_data_candles where symbol >= coalesce(?1, '')
        union all
        select (select min(c.symbol) from market_data_candles c where c.symbol > symbols.symbol)
        from symbols where symbols.symbol is not null and ?1 is null
    ), series(symbol, timeframe) as (
        select symbol, (select min(c.timeframe) from market_data_candles c where c.symbol = symbols.symbol)
        from symbols where symbol is not null and (?1 is null or symbol = ?1)
        union all
        select symbol, (
            select min(c.timeframe) from market_data_candles c
            where c.symbol = series.symbol and c.timeframe > series.timeframe)
        from series where timeframe is not null
    )
    select symbol, timeframe,
        (select min(c.timestamp) from market_data_candles c
         where c.symbol = s.symbol and c.timeframe = s.timeframe) as oldest,
        (select max(c.timestamp) from market_data_candles c
         where c.symbol = s.symbol and c.timeframe = s.timeframe) as newest,
        (select max(max(
            0,
            length(n.open) - instr(n.open || '.', '.'),
            length(n.high) - instr(n.high || '.', '.'),
            length(n.low) - instr(n.low || '.', '.'),
            length(n.close) - instr(n.close || '.', '.')))
         from (
            select c.open, c.high, c.low, c.close from market_data_candles c
            where c.symbol = s.symbol and c.timeframe = s.timeframe
            order by c.timestamp desc limit ?3) n) as precision
    from series s where timeframe is not null and (?2 is null or timeframe = ?2)";

const DELETE_CLOSED_LIVE: &str = "
    delete from market_data_live_candles as l where exists (
        select 1 from market_data_candles c
        where c.symbol = l.symbol and c.timeframe = l.timeframe and c.timestamp = l.timestamp)";

impl Sqlite {
    pub(super) fn open(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let unfit = |sentence: &str| StoreError::Unfit(sentence.to_owned());
        let path = url.strip_prefix("sqlite://").unwrap_or_default();
        if path.is_empty() || path.starts_with(":memory:") || path.contains('?') {
            return Err(unfit("DATABASE_URL must name a SQLite file and nothing else, as sqlite://candlewick.db does"));
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| unfit("DATABASE_URL is not a valid path; write it as sqlite://candlewick.db"))?
            .journal_mode(SqliteJournalMode::Wal)
            // A 201 means durable: the write-ahead log is on disk before COMMIT returns.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(LOCK_WAIT)
            .disable_statement_logging();
        let reader = options.clone().pragma("query_only", "on");
        let pool = |size, wait| SqlitePoolOptions::new().max_connections(size).acquire_timeout(wait);
        Ok(Self(Arc::new(Shared {
            writer: pool(1, QUEUE_WAIT).connect_lazy_with(options.create_if_missing(true)),
            readers: pool(max_connections, QUEUE_WAIT).connect_lazy_with(reader.clone()),
            probe: pool(1, PROBE_WAIT).connect_lazy_with(reader),
            max_readers: max_connections,
            prepared: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        })))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        if migrate {
            let mut migrations = sqlx::migrate!("migrations/sqlite");
            // A rollback to the release before leaves newer migrations in place; they only ever add.
            migrations.set_ignore_missing(true);
            let run = write(&self.0.writer, async |connection| {
                // SQLite has no advisory lock, so the write lock is taken before looking which migrations have run:
                // another process that starts on the same file waits here.
                let mut transaction = connection.begin_with("begin immediate").await?;
                // Not `run`: its bounds keep this future from being spawned (sqlx).
                match migrations.run_direct(&mut *transaction).await {
                    Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error),
                    result => transaction.commit().await.map(|()| result),
                }
            });
            run.await.map_err(first_contact_error)?.map_err(migration_error)?;
        }
        let tables: i64 = sqlx::query_scalar(
            "select count(*) from sqlite_schema where name in ('market_data_candles', 'market_data_live_candles')",
        )
        .fetch_one(&self.0.writer)
        .await
        .map_err(first_contact_error)?;
        if tables < 2 {
            return Err(StoreError::Unavailable("its tables are missing; run candlewick migrate".to_owned()));
        }
        self.0.prepared.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        let writer = self.0.writer.clone();
        self.run(async move { write(&writer, async |connection| insert(connection, &batch).await).await }).await
    }

    pub(super) async fn append_telling(&self, batch: Arc<Batch>) -> Result<Written, StoreError> {
        let writer = self.0.writer.clone();
        let inserted = Arc::clone(&batch);
        let insert =
            async move { write(&writer, async |connection| insert_telling(connection, &inserted).await).await };
        let [closed, forming] = self.run(insert).await?;
        let closed = closed.iter().map(|row| written_key(row, true));
        let keys = closed.chain(forming.iter().map(|row| written_key(row, false))).collect::<sqlx::Result<_>>();
        Ok(Written::of(&batch, keys.map_err(StoreError::from)?))
    }

    pub(super) async fn range(&self, range: Range) -> Result<StoredCandles, StoreError> {
        let (readers, direction) = (self.0.readers.clone(), range.direction);
        let read = self.run(async move {
            let sql = match range.direction {
                Direction::Up => SELECT_UP,
                Direction::Down => SELECT_DOWN,
            };
            sqlx::query_as::<_, (Option<String>, Option<String>)>(sql)
                .bind(range.symbol.as_str())
                .bind(range.timeframe.name())
                .bind(range.start)
                .bind(range.end)
                .bind(i64::try_from(range.limit).unwrap_or(i64::MAX))
                .fetch_one(&readers)
                .await
        });
        let (Some(times), Some(text)) = read.await? else { return Ok(StoredCandles::default()) };
        let times = times.split(' ').map(str::parse).collect::<Result<Vec<i64>, _>>();
        let times = times.map_err(|_| unreadable(Unreadable::Form))?;
        let candles = StoredCandles::parse(times.into_iter(), text).map_err(unreadable)?;
        Ok(if direction == Direction::Down { candles.reversed() } else { candles })
    }

    pub(super) async fn series(
        &self,
        symbol: Option<Symbol>,
        timeframe: Option<Timeframe>,
        sample: i64,
    ) -> Result<Vec<Series>, StoreError> {
        let readers = self.0.readers.clone();
        self.run(async move {
            sqlx::query(SELECT_SERIES)
                .bind(symbol.as_ref().map(Symbol::as_str))
                .bind(timeframe.map(Timeframe::name))
                .bind(sample)
                .fetch_all(&readers)
                .await?
                .iter()
                .map(series)
                .collect()
        })
        .await
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let writer = self.0.writer.clone();
        let delete =
            async |connection: &mut SqliteConnection| sqlx::query(DELETE_CLOSED_LIVE).execute(connection).await;
        Ok(self.run(async move { write(&writer, delete).await }).await?.rows_affected())
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let probe = self.0.probe.clone();
        self.run(
            async move { sqlx::query("select 1 from market_data_candles limit 1").execute(&probe).await.map(drop) },
        )
        .await
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        let open = self.0.writer.size() + self.0.readers.size();
        let idle = u32::try_from(self.0.writer.num_idle() + self.0.readers.num_idle()).unwrap_or(u32::MAX);
        PoolUse { open, idle, max: self.0.max_readers + 1 }
    }

    pub(super) async fn close(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.readers.close().await;
        self.0.probe.close().await;
        self.0.writer.close().await;
    }

    /// Runs `work` to its end, whether or not the caller still waits.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = sqlx::Result<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.0.prepared.load(Ordering::Acquire) {
            return Err(not_prepared());
        }
        to_the_end(&self.0.tasks, async move { work.await.map_err(StoreError::from) }).await
    }
}

/// Runs `work` on the writer. A connection on which something failed is closed: where SQLite has rolled back by itself, as
/// on a full disk, sqlx still counts a transaction and would begin no other.
async fn write<T>(
    writer: &SqlitePool,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
) -> sqlx::Result<T> {
    let mut connection = writer.acquire().await?;
    let result = work(&mut connection).await;
    if result.is_err() {
        // What matters is that it is not used again.
        let _ = connection.close().await;
    }
    result
}

async fn insert(connection: &mut SqliteConnection, batch: &Batch) -> sqlx::Result<Appended> {
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

/// The rows that tell which closed and which forming candles changed something.
async fn insert_telling(connection: &mut SqliteConnection, batch: &Batch) -> sqlx::Result<[Vec<SqliteRow>; 2]> {
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

fn written_key(row: &SqliteRow, closed: bool) -> sqlx::Result<WrittenKey<'_>> {
    let millis: i64 = row.try_get(2)?;
    Ok(WrittenKey { symbol: row.try_get(0)?, timeframe: row.try_get(1)?, seconds: millis.div_euclid(1000), closed })
}

fn series(row: &SqliteRow) -> sqlx::Result<Series> {
    Ok(Series {
        symbol: row.try_get("symbol")?,
        timeframe: row.try_get("timeframe")?,
        first: row.try_get("oldest")?,
        last: row.try_get("newest")?,
        price_precision: row.try_get::<Option<u32>, _>("precision")?.unwrap_or(0),
    })
}

/// By the names of SQLite's documentation, "Result and Error Codes".
fn first_contact_error(error: sqlx::Error) -> StoreError {
    const READONLY: u32 = 8;
    const CORRUPT: u32 = 11;
    const CANTOPEN: u32 = 14;
    const NOTADB: u32 = 26;
    let sentence = match error.as_database_error().and_then(sqlite_code) {
        Some(CANTOPEN) => "The SQLite file cannot be opened; check that its folder exists and may be written.",
        Some(READONLY) => "The SQLite file may not be written; change its owner or choose another path.",
        Some(NOTADB) => "The file that DATABASE_URL names is no SQLite database; choose another path.",
        Some(CORRUPT) => "The SQLite file is damaged; restore it from a backup.",
        _ => return error.into(),
    };
    StoreError::Unfit(sentence.to_owned())
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMismatch(version) => StoreError::Unfit(super::changed_migration(version)),
        other => StoreError::Unfit(format!("The tables cannot be brought up to date: {other}.")),
    }
}
