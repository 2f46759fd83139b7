//! Reads on a standby that are as fresh as reads on the primary have to be.
//!
//! Every [`INTERVAL`] the position of the primary's write-ahead log is read. Once the standby has replayed the log up to there,
//! it holds every write that was acknowledged before that moment. Positions are compared by the service, so the standby
//! may be of any kind and lag by any time; while it lags too much, the primary is read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::gauge;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::abandoned::Abandoned;
use super::connect;
use super::contact::Server;
use super::pool::{self, Pool, PoolError, Purpose};
use crate::config::StandbyConfig;
use crate::errors::chain;
use crate::store::StoreError;
use crate::store::reading::MAX_STANDBY_AGE;
use crate::telemetry::metrics::{STANDBY_AGE, StandbyReads};

/// The pause between two looks at the primary's position.
const INTERVAL: Duration = Duration::from_millis(250);
/// The pauses before the looks at the standby's position that follow each look at the primary's.
const LOOKS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(60), Duration::from_millis(120)];
/// The number of the primary's positions that are remembered. Older ones are of moments too long ago to be of use.
const MAX_POSITIONS: usize = 8;
/// The maximum time for which first contact waits for a standby, without which the service works, too.
const CONTACT_TIMEOUT: Duration = Duration::from_secs(3);

/// A position in a write-ahead log, in bytes from its beginning.
type Position = i64;

/// A standby of the database.
pub(super) struct Standby {
    options: PgConnectOptions,
    setting: String,
    pub(super) pool: Pool,
    /// The moment of which the standby is known to hold everything.
    as_of: Moment,
}

impl Standby {
    pub(super) fn new(config: &StandbyConfig, max_connections: u32) -> Result<Self, StoreError> {
        use secrecy::ExposeSecret as _;
        let options = connect::options(config.url.expose_secret(), &config.setting)?;
        let pool = Pool::new(&options, max_connections, pool::STANDBY, &Abandoned::new(&options));
        Ok(Self { pool, setting: config.setting.clone().into_owned(), options, as_of: Moment::never() })
    }

    /// The moment of which the standby is known to hold everything, if there has been one.
    pub(super) fn as_of(&self) -> Option<Instant> {
        self.as_of.get()
    }

    /// Makes first contact. The service starts without a standby that cannot be reached or has been promoted.
    ///
    /// # Errors
    /// When it is a standby of another database.
    pub(super) async fn prepare(&self, primary: &Pool) -> Result<(), StoreError> {
        let server = Server { options: &self.options, setting: &self.setting };
        match timeout(CONTACT_TIMEOUT, self.is_of(primary)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(StoreError::misconfigured(format!(
                "{} names a server of another database cluster than DATABASE_URL, so that its candles are others; name a \
                 standby that follows it",
                self.setting
            ))),
            Ok(Err(error)) => {
                let cause = StoreError::from(error);
                warn!(cause = chain(&cause).to_string(), standby = server.place(), "{AWAY}");
                Ok(())
            }
            Err(_) => {
                warn!(standby = server.place(), "{AWAY}");
                Ok(())
            }
        }
    }

    /// True if the standby holds the same cluster as the primary.
    async fn is_of(&self, primary: &Pool) -> Result<bool, PoolError> {
        let theirs = self.pool.run(Purpose::Read, identifier).await?;
        Ok(theirs == primary.run(Purpose::Read, identifier).await?)
    }

    /// Reads the positions of both servers again and again. Never returns.
    pub(super) async fn follow(&self, primary: &Pool) {
        let mut positions = VecDeque::new();
        let mut is_known = false;
        let mut was_fresh = None;
        loop {
            let began = Instant::now();
            let looked = self.look(primary, &mut positions, &mut is_known).await;
            let age = self.as_of().map(|as_of| as_of.elapsed());
            gauge!(STANDBY_AGE).set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
            let is_fresh = age.is_some_and(|age| age < MAX_STANDBY_AGE);
            if was_fresh.replace(is_fresh) != Some(is_fresh) {
                self.report(is_fresh, looked);
            }
            sleep_until(began + INTERVAL).await;
        }
    }

    /// Looks at the position of the primary once, and at that of the standby until it has reached it.
    async fn look(
        &self,
        primary: &Pool,
        positions: &mut VecDeque<(Instant, Position)>,
        is_known: &mut bool,
    ) -> Result<(), Behind> {
        if !*is_known {
            // It may have been away at first contact.
            *is_known = self.is_of(primary).await?;
            if !*is_known {
                return Err(Behind::Foreign);
            }
        }
        let taken = Instant::now();
        positions.push_back((taken, primary.run(Purpose::Read, written).await?));
        if positions.len() > MAX_POSITIONS {
            positions.pop_front();
        }
        for pause in LOOKS {
            sleep(pause).await;
            let replayed = self.pool.run(Purpose::Read, replayed).await.inspect_err(|_| *is_known = false)?;
            let Some(replayed) = replayed else {
                *is_known = false;
                return Err(Behind::Promoted);
            };
            while let Some(&(moment, position)) = positions.front()
                && position <= replayed
            {
                positions.pop_front();
                self.as_of.set(moment);
            }
            if positions.is_empty() {
                return Ok(());
            }
        }
        Err(Behind::Lagging)
    }

    fn report(&self, is_fresh: bool, looked: Result<(), Behind>) {
        let standby = Server { options: &self.options, setting: &self.setting }.place();
        match looked {
            _ if is_fresh => info!(standby, "reads go to the standby"),
            Ok(()) | Err(Behind::Lagging) => {
                warn!(
                    standby,
                    "the standby is more than a second behind; reads go to the primary until it has caught up"
                );
            }
            Err(Behind::Promoted) => {
                warn!(standby, "the server of {} is not a standby (any more); reads go to the primary", self.setting);
            }
            Err(Behind::Foreign) => {
                warn!(standby, "{} names a server of another database cluster; reads go to the primary", self.setting);
            }
            Err(Behind::Silent(error)) => {
                let cause = chain(&StoreError::from(error)).to_string();
                warn!(cause, standby, "{AWAY}");
            }
        }
    }

    /// Counts a read that the standby did not answer.
    pub(super) fn note_failure(error: &StoreError) {
        StandbyReads::Failed.count(1);
        debug!(cause = chain(error).to_string(), "the standby did not answer a read; asking the primary");
    }
}

const AWAY: &str = "the standby or the primary does not answer; reads go to the primary until both do";

/// The reason for which a standby is not known to be fresh.
#[derive(Debug)]
enum Behind {
    Lagging,
    /// It is a primary itself.
    Promoted,
    /// It holds another cluster.
    Foreign,
    /// One of the servers does not answer.
    Silent(PoolError),
}

impl From<PoolError> for Behind {
    fn from(error: PoolError) -> Self {
        Self::Silent(error)
    }
}

/// The identifier of a cluster, which its standbys share (PostgreSQL documentation, "Control Data Functions").
async fn identifier(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select system_identifier from pg_control_system()").fetch_one(connection).await
}

/// The position up to which the primary has written its log, which is behind every write that it has acknowledged.
async fn written(connection: &mut PgConnection) -> sqlx::Result<Position> {
    sqlx::query_scalar("select (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint").fetch_one(connection).await
}

/// The position up to which the standby has replayed the log; `None` if it is not a standby.
async fn replayed(connection: &mut PgConnection) -> sqlx::Result<Option<Position>> {
    const REPLAYED: &str =
        "select case when pg_is_in_recovery() then (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint end";
    sqlx::query_scalar(REPLAYED).fetch_one(connection).await
}

/// A moment that several threads read and one sets.
struct Moment {
    base: Instant,
    /// Nanoseconds since `base`, or 0.
    nanos: AtomicU64,
}

impl Moment {
    fn never() -> Self {
        Self { base: Instant::now(), nanos: AtomicU64::new(0) }
    }

    fn set(&self, moment: Instant) {
        let nanos = moment.saturating_duration_since(self.base).as_nanos();
        self.nanos.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn get(&self) -> Option<Instant> {
        let nanos = self.nanos.load(Ordering::Acquire);
        (nanos != 0).then(|| self.base + Duration::from_nanos(nanos))
    }
}
