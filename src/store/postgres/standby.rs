//! Reads on a standby that are as fresh as reads on the primary have to be.
//!
//! Every [`INTERVAL`] the position of the primary's write-ahead log is read. Once the standby has replayed the log up to there,
//! it holds every write that was acknowledged before that moment. While the standby lags too much, the primary is read.
//!
//! Positions say nothing about a server with another history. So both servers are identified with each position, and a
//! standby that is ahead of its primary, as one of a lost history is, is not read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::gauge;
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, FromRow, PgConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::abandoned::Abandoned;
use super::access::Duties;
use super::contact::Server;
use super::pool::{self, Pool, PoolError, Purpose};
use super::pooler::connect_past_poolers;
use super::{access, connect};
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
/// The maximum pause after a look at a server that does not answer, or that is the wrong one. Each pause is twice the one
/// before, because servers ban clients whose logins keep failing.
const MAX_PAUSE: Duration = Duration::from_secs(30);
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
    /// Pools of one connection each, so that looks wait neither for reads nor for probes.
    looks: Looks,
    /// The moment of which the standby is known to hold everything.
    as_of: Moment,
}

/// The connections on which positions are read.
struct Looks {
    primary: Pool,
    standby: Pool,
}

impl Standby {
    pub(super) fn new(
        config: &StandbyConfig,
        max_connections: u32,
        primary: (&PgConnectOptions, &Abandoned),
    ) -> Result<Self, StoreError> {
        let options = connect::options(config.url.expose_secret(), &config.setting)?;
        let abandoned = Abandoned::new(&options);
        let looks = Looks {
            primary: Pool::new(primary.0, 1, pool::PROBE, primary.1),
            standby: Pool::new(&options, 1, pool::PROBE, &abandoned),
        };
        Ok(Self {
            pool: Pool::new(&options, max_connections, pool::STANDBY, &abandoned),
            setting: config.setting.clone().into_owned(),
            looks,
            options,
            as_of: Moment::never(),
        })
    }

    /// The moment of which the standby is known to hold everything, if there is one.
    pub(super) fn as_of(&self) -> Option<Instant> {
        self.as_of.get()
    }

    pub(super) fn server(&self) -> Server<'_> {
        Server { options: &self.options, setting: &self.setting, duties: Duties::default() }
    }

    /// Makes first contact. The service starts without a standby that cannot be reached or has been promoted.
    ///
    /// # Errors
    /// When the address cannot be used: it leads to another database, to a pooler in transaction mode, or the login may not
    /// read every row.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let checked = timeout(CONTACT_TIMEOUT, self.check()).await;
        match checked.unwrap_or_else(|_| Err(StoreError::unavailable("it did not answer in time"))) {
            Err(error @ StoreError::Misconfigured(_)) => Err(error),
            Err(error) => {
                warn!(cause = chain(&error).to_string(), standby = self.server().place(), "{AWAY}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Checks that the standby can be read as the primary can.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let (mut connection, _) = connect_past_poolers(self.server()).await?;
        access::check_reading(&mut connection).await?;
        let theirs = identity(&mut connection).await?;
        // The outcome does not matter, because the connection is not used again.
        let _ = timeout(CONTACT_TIMEOUT, connection.close()).await;
        if theirs == self.looks.primary.run(Purpose::Read, identity).await? { Ok(()) } else { Err(self.foreign()) }
    }

    fn foreign(&self) -> StoreError {
        StoreError::misconfigured(format!(
            "{} names another database than DATABASE_URL, so that its candles are others; name a standby that follows it, \
             with the same name of the database",
            self.setting
        ))
    }

    /// Reads the positions of both servers again and again. Never returns.
    pub(super) async fn follow(&self) -> Infallible {
        let mut positions = VecDeque::new();
        let mut is_checked = false;
        let mut pause = INTERVAL;
        let mut was_fresh = None;
        loop {
            let began = Instant::now();
            let looked = self.look(&mut positions, &mut is_checked).await;
            if matches!(looked, Err(Behind::Promoted | Behind::Foreign)) {
                self.as_of.forget();
            }
            pause = match looked {
                Ok(()) | Err(Behind::Lagging) => INTERVAL,
                Err(_) => (pause * 2).min(MAX_PAUSE),
            };
            let age = self.as_of().map(|as_of| as_of.elapsed());
            gauge!(STANDBY_AGE).set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
            let is_fresh = age.is_some_and(|age| age < MAX_STANDBY_AGE);
            if was_fresh.replace(is_fresh) != Some(is_fresh) {
                self.report(is_fresh, looked);
            }
            sleep_until(began + pause).await;
        }
    }

    /// Looks at the position of the primary once, and at that of the standby until it has reached it.
    async fn look(&self, positions: &mut VecDeque<(Instant, Place)>, is_checked: &mut bool) -> Result<(), Behind> {
        if !*is_checked {
            // It may have been away at first contact.
            self.check().await?;
            *is_checked = true;
        }
        let looked = self.compare(positions).await;
        if !matches!(looked, Ok(()) | Err(Behind::Lagging)) {
            *is_checked = false;
            positions.clear();
        }
        looked
    }

    async fn compare(&self, positions: &mut VecDeque<(Instant, Place)>) -> Result<(), Behind> {
        let taken = Instant::now();
        positions.push_back((taken, self.looks.primary.run(Purpose::Read, written).await?));
        if positions.len() > MAX_POSITIONS {
            positions.pop_front();
        }
        for pause in LOOKS {
            sleep(pause).await;
            let replayed = self.looks.standby.run(Purpose::Read, replayed).await?.ok_or(Behind::Promoted)?;
            let Some(&(_, newest)) = positions.back() else { return Ok(()) };
            if replayed.position > newest.position {
                // A follower is never ahead of its primary's present position.
                let now = self.looks.primary.run(Purpose::Read, written).await?;
                if replayed.position > now.position {
                    return Err(Behind::Foreign);
                }
            }
            while let Some(&(moment, place)) = positions.front()
                && place.position <= replayed.position
            {
                // The timeline changes with a promotion, which the standby follows.
                if place.timeline != replayed.timeline || place.system != replayed.system {
                    return Err(Behind::Foreign);
                }
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
        let standby = self.server().place();
        match looked {
            _ if is_fresh => info!(standby, "reads go to the standby"),
            Ok(()) | Err(Behind::Lagging) => {
                warn!(standby, "the standby is behind; reads go to the primary until it has caught up");
            }
            Err(Behind::Promoted) => {
                warn!(standby, "the server of {} is not a standby (any more); reads go to the primary", self.setting);
            }
            Err(Behind::Foreign) => {
                let setting = &self.setting;
                warn!(standby, "the server of {setting} does not follow that of DATABASE_URL; reads go to the primary");
            }
            Err(Behind::Unusable(error)) => warn!(cause = chain(&error).to_string(), standby, "{AWAY}"),
        }
    }

    /// Counts a read that the standby did not answer. Further reads go to the primary until the next look.
    pub(super) fn note_failure(&self, error: &StoreError) {
        self.as_of.forget();
        StandbyReads::Failed.count(1);
        debug!(cause = chain(error).to_string(), "the standby did not answer a read; asking the primary");
    }

    pub(super) async fn close_idle(&self) {
        self.pool.close_idle().await;
    }

    pub(super) async fn close(&self) {
        for pool in [&self.pool, &self.looks.primary, &self.looks.standby] {
            pool.close().await;
        }
    }
}

const AWAY: &str = "the standby cannot be read; reads go to the primary until it can";

/// The reason for which a standby is not known to be fresh.
#[derive(Debug)]
enum Behind {
    Lagging,
    /// It is a primary itself.
    Promoted,
    /// It has another history than the primary.
    Foreign,
    /// One of the servers does not answer, or cannot be used.
    Unusable(StoreError),
}

impl From<PoolError> for Behind {
    fn from(error: PoolError) -> Self {
        Self::Unusable(error.into())
    }
}

impl From<StoreError> for Behind {
    fn from(error: StoreError) -> Self {
        Self::Unusable(error)
    }
}

/// The cluster, the database and the tables of a server. Its standbys share them.
async fn identity(connection: &mut PgConnection) -> sqlx::Result<(i64, String)> {
    const IDENTITY: &str = "
        select system_identifier, concat_ws(' ',
            (select oid from pg_database where datname = current_database()),
            to_regclass('market_data_candles')::oid, to_regclass('market_data_live_candles')::oid)
        from pg_control_system()";
    sqlx::query_as(IDENTITY).fetch_one(connection).await
}

/// A position in the log of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
struct Place {
    /// The cluster (PostgreSQL documentation, "Control Data Functions").
    system: i64,
    /// The history. Each promotion begins another one.
    timeline: i32,
    position: Position,
}

/// The position up to which the primary has written its log, which is behind every write that it has acknowledged.
async fn written(connection: &mut PgConnection) -> sqlx::Result<Place> {
    // The first digits of a log file's name are its timeline, which no function gives (PostgreSQL documentation, "WAL
    // Internals").
    const WRITTEN: &str = "
        select system_identifier as system, ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int as timeline,
               (lsn - '0/0'::pg_lsn)::bigint as position
        from pg_control_system(), pg_current_wal_lsn() as lsn";
    sqlx::query_as(WRITTEN).fetch_one(connection).await
}

/// The position up to which the standby has replayed the log; `None` if it is not a standby.
async fn replayed(connection: &mut PgConnection) -> sqlx::Result<Option<Place>> {
    // The timeline of its last restart point, which follows a promotion some minutes later. Until then, the primary is read.
    const REPLAYED: &str = "
        select system_identifier as system, timeline_id as timeline,
               (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint as position
        from pg_control_system(), pg_control_checkpoint() where pg_is_in_recovery()";
    sqlx::query_as(REPLAYED).fetch_optional(connection).await
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

    fn forget(&self) {
        self.nanos.store(0, Ordering::Release);
    }

    fn get(&self) -> Option<Instant> {
        let nanos = self.nanos.load(Ordering::Acquire);
        (nanos != 0).then(|| self.base + Duration::from_nanos(nanos))
    }
}
