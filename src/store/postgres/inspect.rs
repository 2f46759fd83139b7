//! An inspection of a database as first contact would use it, which changes nothing in it.

use sqlx::postgres::PgSslMode;
use sqlx::{Executor as _, PgConnection};

use super::connect::is_local;
use super::contact::Server;
use super::engine::{self, Engine};
use super::pooler::{Proof, connect_past_poolers};
use super::setup::{self, DOUBT, Mode};
use super::standby::Standby;
use super::{access, adopt, migrate};
use crate::clock::Clock;
use crate::errors::chain;
use crate::store::StoreError;
use crate::store::inspection::{Findings, compare_clocks};

/// Reports what first contact would find. Checks that depend on one that failed are left out.
pub(super) async fn inspect(server: Server<'_>, may_migrate: bool, clock: &Clock, findings: &mut Findings) {
    // A statement that waits for a lock must not outlast the inspection.
    const SETTINGS: &str = "set statement_timeout = '5s'; set lock_timeout = '2s'";
    let (mut connection, proof) = match connect_past_poolers(server).await {
        Ok(connected) => connected,
        Err(error) => return findings.fail("connection", &error),
    };
    let connection = &mut connection;
    let mut look = Inspection { server, may_migrate, connection, findings };
    let looked = async {
        look.connection.execute(SETTINGS).await?;
        look.server().await?;
        match proof {
            Proof::NoTransactionPooler => {
                look.findings.fine("pooler", "none that lends connections for single transactions");
            }
            Proof::Doubt => look.findings.warn("pooler", DOUBT),
        }
        look.clock(clock).await?;
        let mode = setup::check_server(look.connection).await?;
        engine::refuse_worker(look.connection, server.setting).await?;
        match mode.restriction() {
            None => look.findings.fine("writing", "the database can be written"),
            Some(restriction) => look.findings.warn("writing", restriction),
        }
        look.tables(mode).await
    };
    if let Err(error) = looked.await {
        look.findings.fail("database", &error);
    }
}

/// Reports what first contact would find at the standby.
pub(super) async fn inspect_standby(standby: &Standby, findings: &mut Findings) {
    match standby.check().await {
        Ok(()) => findings.fine("standby", format!("{} can be read", standby.server().place())),
        // The service works without it.
        Err(error @ StoreError::Unavailable(_)) => findings.warn("standby", chain(&error).to_string()),
        Err(error) => findings.fail("standby", &error),
    }
}

struct Inspection<'a> {
    server: Server<'a>,
    may_migrate: bool,
    connection: &'a mut PgConnection,
    findings: &'a mut Findings,
}

impl Inspection<'_> {
    async fn server(&mut self) -> Result<(), StoreError> {
        const SERVER: &str = "
            select current_setting('server_version'), current_database()::text, current_user::text,
                   (select case when ssl then version end from pg_stat_ssl where pid = pg_backend_pid())";
        let (version, database, login, tls): (String, String, String, Option<String>) =
            sqlx::query_as(SERVER).fetch_one(&mut *self.connection).await?;
        let place = self.server.place();
        self.findings.fine("server", format!("PostgreSQL {version} at {place}, database {database}, login {login}"));
        let is_verified = matches!(self.server.options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        match tls {
            Some(tls) if is_verified => {
                self.findings.fine("encryption", format!("{tls}, and the server's certificate is verified"));
            }
            Some(tls) => self.findings.fine(
                "encryption",
                format!(
                    "{tls}; the server's certificate is not verified; sslmode=verify-full with sslrootcert verifies it"
                ),
            ),
            None if is_local(self.server.options) => {
                self.findings.fine("encryption", "none, and the server is on this machine");
            }
            None => self.findings.warn(
                "encryption",
                format!(
                    "none: the password and all candles can be read on the way to {place}; sslmode=require in {} \
                     encrypts it",
                    self.server.setting
                ),
            ),
        }
        Ok(())
    }

    async fn clock(&mut self, clock: &Clock) -> Result<(), StoreError> {
        const NOW: &str = "select floor(extract(epoch from clock_timestamp()))::bigint";
        let before = clock.now().seconds();
        let theirs = sqlx::query_scalar(NOW).fetch_one(&mut *self.connection).await?;
        compare_clocks(self.findings, theirs, before, clock.now().seconds());
        Ok(())
    }

    async fn tables(&mut self, mode: Mode) -> Result<(), StoreError> {
        const IS_THERE: &str = "select to_regclass('market_data_candles') is not null";
        let was_there: bool = sqlx::query_scalar(IS_THERE).fetch_one(&mut *self.connection).await?;
        adopt::check(self.connection).await?;
        let pending = migrate::pending(self.connection).await?;
        let migrates = self.may_migrate && mode == Mode::Writable;
        let names = pending.as_ref().map(|pending| pending.join(", ")).unwrap_or_default();
        match setup::check_tables(self.connection, mode).await {
            Ok(()) => {}
            Err(StoreError::Unavailable(_)) if migrates => {
                let found = if was_there {
                    "market_data_candles is there and fits, so it is used as it is"
                } else {
                    "there are none yet"
                };
                self.findings.fine("tables", format!("{found}; serve makes what is missing ({names})"));
                return self.may_create().await;
            }
            // The operator has to run a command.
            Err(StoreError::Unavailable(cause)) => {
                self.findings.must_change("tables", chain(&cause).to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        match pending {
            Some(pending) if pending.is_empty() => self.findings.fine("tables", "up to date"),
            Some(_) if migrates => {
                self.findings.fine("tables", format!("of an earlier release; serve brings them up to date ({names})"));
                self.may_create().await?;
            }
            Some(_) => self.findings.warn(
                "tables",
                format!(
                    "of an earlier release, which this one can use; candlewick migrate brings them up to date ({names})"
                ),
            ),
            None => {
                self.findings.fine("tables", "they are there, and this login may not see which migrations have run");
            }
        }
        access::check(self.connection, self.server.duties).await?;
        self.findings.fine("access", "the login may do what the service does, and sees every row");
        match engine::find(self.connection).await? {
            Engine::Plain => {}
            Engine::Timescale => self.findings.fine("engine", "market_data_candles is a hypertable of TimescaleDB"),
            Engine::Citus => self.findings.fine("engine", "Citus distributes the tables by symbol"),
        }
        Ok(())
    }

    /// Reports whether the login may make tables.
    async fn may_create(&mut self) -> Result<(), StoreError> {
        const MAY_CREATE: &str = "select coalesce(has_schema_privilege(current_schema(), 'create'), false)";
        if sqlx::query_scalar(MAY_CREATE).fetch_one(&mut *self.connection).await? {
            self.findings.fine("access", "the login may make tables");
        } else {
            self.findings.must_change("access", migrate::MAY_NOT_CREATE);
        }
        Ok(())
    }
}
