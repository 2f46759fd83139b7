//! Candles in PostgreSQL. [`setup`] makes first [`contact`]: it refuses a [`pooler`] in transaction mode, checks
//! whether an existing table can be [`adopt`]ed, has [`migrate`] make the tables, checks the login's [`access`], and finds
//! the [`engine`] of the tables.
//! [`inspect`] makes the same checks and changes nothing. [`pool`] lends connections, for which requests wait less
//! during an [`outage`]; connections whose statement was given up are [`abandoned`]. [`runner`] runs statements on them
//! to their end: those of [`posting`], [`closing`], [`changes`] and [`jobs`], which write, and of [`lists`], [`read`] and [`resample`], which
//! read. [`hints`] tells other processes what was written. This file puts the parts together; the operations on jobs, signals, events and
//! changes are in their own modules.

mod abandoned;
mod access;
mod adopt;
mod append;
mod binary;
mod changes;
mod citus_append;
mod citus_changes;
mod citus_latest;
mod citus_series;
mod closing;
mod compare;
mod connect;
mod contact;
mod copy_hint;
mod covering_key;
mod digits;
mod engine;
mod exact_volume;
mod hints;
mod inspect;
mod jobs;
mod latest;
mod lists;
mod migrate;
mod newest;
mod outage;
mod outbox;
mod pool;
mod pooler;
mod posting;
mod read;
mod resample;
mod retry;
mod rows;
mod runner;
mod series;
mod setup;
mod signals;
mod standby;
mod statistics;
mod tails;
mod watch;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use coalescer::{Limits, Size};
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;

use super::digits::{CandleTable, CountedDigits};
use super::hints::{Outbox, WrittenSeries};
use super::latest::LatestRow;
use super::reading::ReadServer;
use super::series::{Position, Sample, SeriesKey, SeriesRow};
use super::statistics::StepCounts;
use super::tails::{RecordPlace, RecordedChange, SeriesTail};
use super::versions::BumpOnDrop;
use super::{
    Appended, DueCandle, Findings, Grouping, Missing, PoolUse, Range, ResampleRange, Resampled, StoreError, Stored,
    StoredCandles,
};
use crate::clock::Clock;
use crate::config::DatabaseConfig;
use access::Duties;
use candle::{Batch, Candle, Timestamp, Written};
use contact::Server;
use engine::Engine;
use pool::{Pool, Purpose};
use posting::Posting;
use resample::Added;
use retry::{read_with, write_with};
use runner::{Runner, Turn};
use setup::Prepared;

pub use resample::resample_statement;
pub use series::SERIES_STATEMENTS;
pub use statistics::count_months_statement;

/// A PostgreSQL database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Postgres(Arc<PostgresShared>);

struct PostgresShared {
    options: PgConnectOptions,
    /// The setting that holds the address.
    setting: Cow<'static, str>,
    duties: Duties,
    runner: Runner,
    posting: Arc<Posting>,
}

impl fmt::Debug for PostgresShared {
    /// Shows where it connects to, but not the login, because sqlx would print the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("tls", &self.options.get_ssl_mode())
            .finish_non_exhaustive()
    }
}

/// The groups of batches, each of which is one statement.
pub(super) const GROUPING: Grouping = Grouping {
    max_batch_candles: 128,
    limits: Limits {
        // More of them would hardly cost less each, and would keep the first callers waiting.
        group_candles: 1000,
        waiting: Size {
            // Sixteen statements. A database that takes a quarter of a second for each writes them in time; a slower one
            // could not write more, so the rest is refused at once.
            candles: 16_000,
            // Somewhat more than these candles take with ordinary symbols, and half of what they take with the longest.
            bytes: 4 << 20,
        },
        one_batch: true,
    },
};

impl Postgres {
    pub(super) fn open(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let setting = config.setting.clone();
        let options = connect::options(config.url.expose_secret(), &setting)?;
        let runner = Runner::new(&options, config.max_connections, config.standby.as_ref())?;
        Ok(Self(Arc::new(PostgresShared {
            options,
            setting,
            duties: Duties { maintains: config.maintains, researches: config.researches },
            runner,
            posting: Arc::default(),
        })))
    }

    pub(super) async fn prepare(&self, migrate: bool) -> Result<(), StoreError> {
        let Prepared { engine, takes_copy } = setup::prepare(self.server(), migrate).await?;
        if let Some(standby) = self.0.runner.standby() {
            standby.prepare().await?;
        }
        self.0.posting.allow_copy(takes_copy);
        self.0.runner.begin(engine);
        Ok(())
    }

    /// Inspects the database as [`Self::prepare`] would use it, and changes nothing.
    pub(super) async fn inspect(&self, migrate: bool, clock: &Clock, findings: &mut Findings) {
        inspect::inspect(self.server(), migrate, clock, findings).await;
        if let Some(standby) = self.0.runner.standby() {
            inspect::inspect_standby(standby, findings).await;
        }
    }

    fn server(&self) -> Server<'_> {
        Server { options: &self.0.options, setting: &self.0.setting, duties: self.0.duties }
    }

    pub(super) async fn append(
        &self,
        batch: Arc<Batch>,
        bump: BumpOnDrop,
        write_by: Instant,
    ) -> Result<Appended, StoreError> {
        posting::append(&self.0.runner, &self.0.posting, batch, bump, write_by).await
    }

    pub(super) async fn append_group(
        &self,
        batches: Vec<Arc<Batch>>,
        bump: BumpOnDrop,
        write_by: Instant,
    ) -> Result<Vec<Written>, StoreError> {
        posting::append_group(&self.0.runner, &self.0.posting, batches, bump, write_by).await
    }

    pub(super) async fn range(&self, server: ReadServer, range: Range) -> Result<StoredCandles, StoreError> {
        let direction = range.direction;
        let select = move |pool: Pool| {
            let range = range.clone();
            async move { read_with!(pool, |connection| read::range(connection, &range)) }
        };
        read::candles(&self.0.runner.read(server, select).await?, direction)
    }

    /// Builds candles on the server, or here if the server found rows that are not candles.
    pub(super) async fn resample(&self, server: ReadServer, range: ResampleRange) -> Result<Resampled, StoreError> {
        let (direction, asked) = (range.direction, range.clone());
        let build = move |pool: Pool| {
            let range = asked.clone();
            async move { read_with!(pool, |connection| resample::resample(connection, &range)) }
        };
        let row = self.0.runner.read_in_turn(Turn::Build, server, build).await?;
        match resample::added(&row, direction)? {
            Added::Up(resampled) => Ok(resampled),
            Added::NotAll(span, newest) => {
                let asked = ResampleRange { start: span.start, end: span.end, ..range };
                let fold = move |pool: Pool| {
                    let range = asked.clone();
                    async move { read_with!(pool, |connection| resample::fold(connection, &range, newest)) }
                };
                self.0.runner.read_in_turn(Turn::Build, server, fold).await
            }
        }
    }

    pub(super) async fn count_digits(
        &self,
        server: ReadServer,
        range: Range,
        table: CandleTable,
    ) -> Result<CountedDigits, StoreError> {
        let select = move |pool: Pool| {
            let range = range.clone();
            async move { read_with!(pool, |connection| digits::count(connection, &range, table)) }
        };
        self.0.runner.read(server, select).await
    }

    pub(super) async fn rows_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<SeriesRow>, StoreError> {
        lists::rows_after(&self.0.runner, server, position, most).await
    }

    pub(super) async fn keys_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<Position>, StoreError> {
        lists::keys_after(&self.0.runner, server, position, most).await
    }

    pub(super) async fn symbols_after(
        &self,
        server: ReadServer,
        symbol: Vec<u8>,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        lists::symbols_after(&self.0.runner, server, symbol, most).await
    }

    pub(super) async fn samples(
        &self,
        server: ReadServer,
        keys: Vec<SeriesKey>,
    ) -> Result<Vec<Option<Sample>>, StoreError> {
        lists::samples(&self.0.runner, server, keys).await
    }

    pub(super) async fn latest_after(
        &self,
        server: ReadServer,
        position: Position,
        most: usize,
    ) -> Result<Vec<LatestRow>, StoreError> {
        lists::latest_after(&self.0.runner, server, position, most).await
    }

    pub(super) async fn latest_of(
        &self,
        server: ReadServer,
        keys: Vec<SeriesKey>,
    ) -> Result<Vec<LatestRow>, StoreError> {
        lists::latest_of(&self.0.runner, server, keys).await
    }

    /// Counts the candles of a series by month, at most `most` months from `start` on.
    pub(super) async fn count_months(
        &self,
        server: ReadServer,
        key: SeriesKey,
        start: i64,
        most: usize,
    ) -> Result<StepCounts, StoreError> {
        let count = move |pool: Pool| {
            let key = key.clone();
            async move { read_with!(pool, |connection| statistics::count_months(connection, &key, start, most)) }
        };
        self.0.runner.read(server, count).await
    }

    /// True if the tables are spread over several servers.
    pub(super) fn is_distributed(&self) -> Result<bool, StoreError> {
        Ok(self.0.runner.engine()? == Engine::Citus)
    }

    pub(super) async fn tails(&self, keys: Vec<SeriesKey>) -> Result<Vec<SeriesTail>, StoreError> {
        tails::tails(&self.0.runner, keys).await
    }

    pub(super) async fn changes_since(
        &self,
        after: RecordPlace,
        keys: Vec<SeriesKey>,
        limit: usize,
    ) -> Result<(i64, Vec<RecordedChange>), StoreError> {
        tails::changes_since(&self.0.runner, after, keys, limit).await
    }

    pub(super) async fn exchange_hints(&self, outbox: &Outbox, receive: impl Fn(WrittenSeries)) -> Infallible {
        hints::exchange(&self.0.options, outbox, receive).await
    }

    /// The moment of which the standby is known to hold everything, if there is one.
    pub(super) fn standby_as_of(&self) -> Option<tokio::time::Instant> {
        self.0.runner.standby()?.as_of()
    }

    /// Keeps track of how far the standby is, if there is one.
    pub(super) async fn follow_standby(&self) {
        if let Some(standby) = self.0.runner.standby() {
            match standby.follow().await {}
        }
    }

    pub(super) async fn newest(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.0.runner.on_primary(|pool| async move { read_with!(pool, |connection| newest::read(connection)) }).await
    }

    pub(super) async fn keep_newest(&self, rows: Vec<(&'static str, i64)>) -> Result<(), StoreError> {
        let keep = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| newest::keep(connection, &rows))
        };
        self.0.runner.on_primary(keep).await
    }

    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        self.0.runner.close_idle().await;
        closing::sweep(&self.0.runner).await
    }

    pub(super) async fn close_due(&self, now: Timestamp) -> Result<Vec<DueCandle>, StoreError> {
        closing::close_all_due(&self.0.runner, now).await
    }

    pub(super) async fn keep_closing_times(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        let keep = move |pool: Pool| async move {
            write_with!(pool, Purpose::Write { by: None }, |connection| closing::keep_times(connection, &batch))
        };
        self.0.runner.on_primary(keep).await
    }

    pub(super) async fn stored_otherwise(&self, candles: Vec<Candle>) -> Result<Vec<Stored>, StoreError> {
        let select =
            move |pool: Pool| async move { read_with!(pool, |connection| compare::read(connection, &candles)) };
        compare::stored(&self.0.runner.on_primary(select).await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        // Takes no lock on the tables, so that another session's lock does not make the service look dead.
        const TABLES: &str = "select to_regclass('market_data_candles') is not null
                                 and to_regclass('market_data_live_candles') is not null";
        let ping = |pool: Pool| async move {
            read_with!(pool, |connection| sqlx::query_scalar::<_, bool>(TABLES).fetch_one(connection))
        };
        let are_there = self.0.runner.probe(ping).await?;
        let missing = || StoreError::missing(Missing::Tables, "its tables are missing; restart candlewick");
        are_there.then_some(()).ok_or_else(missing)
    }

    pub(super) fn pool_use(&self) -> PoolUse {
        self.0.runner.pool_use()
    }

    pub(super) async fn close(&self) {
        self.0.runner.close().await;
    }
}
