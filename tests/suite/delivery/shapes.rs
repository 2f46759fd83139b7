//! Tables of other shapes than the migrations make: adopted, partitioned, and with their rows elsewhere.

use std::path::Path;
use std::process::{Command, Stdio};

use sqlx::Executor as _;

use super::backups::{Backups, fill, migrate, programs, travels, waits};
use crate::harness::{Database, PgDatabase, TestApp, plain_server, run};
use crate::postgres::ADOPTED;
use crate::program::output;

#[test]
fn an_adopted_table_restores_into_either_shape() {
    run(async {
        for shape in [ADOPTED, "select 1"] {
            let (source, target) =
                (PgDatabase::create(&plain_server()).await, PgDatabase::create(&plain_server()).await);
            source.execute(ADOPTED).await;
            target.execute(shape).await;
            let target = Database::Postgres(target);
            migrate(&target).await;
            travels(Database::Postgres(source), target).await;
        }
    });
}

/// A new database, with `docs/postgres-partitioned.sql` in it if it shall be partitioned and there is a psql.
async fn shaped(is_partitioned: bool) -> Option<PgDatabase> {
    let database = Database::postgres().await;
    if is_partitioned {
        let psql = programs(&database)?.pop().map_or("psql".into(), |folder| folder.join("psql"));
        let statements = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/postgres-partitioned.sql");
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(statements).arg(database.url());
        let (code, _, said) = output(&mut command);
        assert_eq!(code, 0, "{said}");
    }
    let Database::Postgres(database) = database else { unreachable!() };
    Some(database)
}

#[test]
fn partitioned_and_plain_tables_restore_into_each_other() {
    run(async {
        for (from, to) in [(true, true), (true, false), (false, true)] {
            let (Some(source), Some(target)) = (shaped(from).await, shaped(to).await) else { return };
            let target = Database::Postgres(target);
            if from {
                // Subpartitions, with names that contain pattern characters or a blank.
                source
                    .execute(
                        r#"create table "the.Old ""ones""" partition of market_data_candles
                               for values from (minvalue) to ('2008-01-01Z') partition by range ("timestamp");
                           create table candlewick_partitions."old$|.*" partition of "the.Old ""ones"""
                               for values from (minvalue) to ('2007-01-01Z');
                           create table candlewick_partitions."2007 €'\?" partition of "the.Old ""ones""" default;"#,
                    )
                    .await;
            }
            migrate(&target).await;
            travels(Database::Postgres(source), target).await;
        }
    });
}

#[test]
fn a_partition_created_during_a_backup_is_not_silently_omitted() {
    run(async {
        let Some(database) = shaped(true).await else { return };
        let app = TestApp::start(Database::Postgres(database)).await;
        let Some(backups) = Backups::of(&app.database) else { return };
        let Database::Postgres(database) = &app.database else { unreachable!() };
        fill(&app).await;
        let mut creator = database.connect().await;
        let create = "begin; create table candlewick_partitions.candles_2041 partition of market_data_candles
                          for values from ('2041-01-01Z') to ('2042-01-01Z')";
        creator.execute(create).await.unwrap();
        let url = app.database.url();
        let making = backups.command(&url).stderr(Stdio::piped()).spawn().unwrap();
        waits(&app.database).await;
        creator.execute("commit").await.unwrap();
        let made = making.wait_with_output().unwrap();
        let said = String::from_utf8(made.stderr).unwrap();
        assert_eq!(made.status.code(), Some(1), "{said}");
        assert!(said.contains("a partition of market_data_candles came or went"), "{said}");
        assert_eq!(backups.files().len(), 0);
        backups.make(&url);
    });
}

#[test]
fn rows_in_child_tables_are_in_a_backup() {
    run(async {
        let source = Database::postgres().await;
        let target = Database::postgres().await;
        migrate(&source).await;
        migrate(&target).await;
        let Database::Postgres(database) = &source else { unreachable!() };
        // A hypertable keeps its rows like this, and pg_dump would silently omit them.
        database
            .execute(
                r#"create table chunk () inherits (market_data_candles);
                   insert into chunk (symbol, timeframe, "timestamp", open, high, low, close, volume)
                   values ('CHILD', 'H1', '2020-01-01Z', 1.50, 2, 1, 1.5, 7)"#,
            )
            .await;
        travels(source, target).await;
    });
}
