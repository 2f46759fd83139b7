//! The newest candles' times, kept in a table of their own: available right after a restart and on every replica, and
//! never required.

use rstest_reuse::apply;
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{
    Database, Environment, KEY, NOW, PgDatabase, Service, TestApp, both_stores, candle, plain_server, run, send,
    supabase_server, with,
};
use crate::program::{Serving, folder, output, program};

const HOUR: i64 = 3600;

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

/// The kept times, as `timeframe seconds`, in the order of the timeframes' names.
async fn kept(database: &Database) -> Vec<String> {
    let seconds = match database {
        Database::Sqlite(_) => "timestamp / 1000",
        Database::Postgres(_) => "extract(epoch from timestamp)::bigint",
    };
    database
        .rows(&format!("select timeframe || ' ' || ({seconds}) from market_data_newest_candles order by timeframe"))
        .await
}

/// Makes a database as an earlier release without this table left it.
async fn without_the_table(database: &Database) {
    execute(database, "drop table market_data_newest_candles").await;
    execute(database, "delete from _sqlx_migrations where version >= 3").await;
}

#[apply(both_stores)]
async fn newest_times_are_saved_at_shutdown_and_never_decrease(app: TestApp) {
    let TestApp { mut service, database } = app;
    let of = |hours: i64, timeframe: &str| {
        with(
            candle(NOW - hours * HOUR),
            json!({"timeframe": timeframe, "symbol": format!("S{hours}"), "complete": true}),
        )
    };
    service.ingest(&[of(9, "H1"), of(5, "H1"), of(7, "H1"), of(30, "D1")]).await;
    service.ingest(&[with(of(1, "M5"), json!({"complete": false}))]).await;
    service.stop().await.unwrap();
    let expected = [format!("D1 {}", NOW - 30 * HOUR), format!("H1 {}", NOW - 5 * HOUR)];
    assert_eq!(kept(&database).await, expected, "forming candles do not count");

    // Another process has meanwhile saved a later time for one timeframe.
    let mut service = Service::start(&Environment::new(&database.url())).await;
    let later = if matches!(database, Database::Sqlite(_)) {
        "timestamp + 7200000"
    } else {
        "(timestamp at time zone 'UTC' + interval '2 hours') at time zone 'UTC'"
    };
    execute(&database, &format!("update market_data_newest_candles set timestamp = {later} where timeframe = 'H1'"))
        .await;
    service.ingest(&[of(4, "H1"), of(29, "D1")]).await;
    service.stop().await.unwrap();
    assert_eq!(kept(&database).await, [format!("D1 {}", NOW - 29 * HOUR), format!("H1 {}", NOW - 3 * HOUR)]);
}

#[apply(both_stores)]
async fn a_database_of_an_earlier_release_is_scanned_once(app: TestApp) {
    let TestApp { mut service, database } = app;
    let candles: Vec<_> = (0..60_usize)
        .map(|n| {
            with(
                candle(NOW - (100 - n as i64) * HOUR),
                json!({
            "timeframe": (["H1", "D1", "M5"][n % 3]), "symbol": format!("S{}", n % 7), "complete": true}),
            )
        })
        .collect();
    service.ingest(&candles).await;
    service.stop().await.unwrap();
    let expected = kept(&database).await;
    assert_eq!(expected.len(), 3);
    let (price, time) = if matches!(database, Database::Sqlite(_)) {
        ("'1'", format!("{}", NOW * 1000))
    } else {
        ("1", format!("to_timestamp({NOW})"))
    };
    execute(
        &database,
        &format!(
            "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
            values ('S1', '1h', {time}, {price}, {price}, {price}, {price}, 1)"
        ),
    )
    .await;
    without_the_table(&database).await;
    let mut service = Service::start(&Environment::new(&database.url())).await;
    assert_eq!(kept(&database).await, expected);
    service.stop().await.unwrap();
}

#[apply(both_stores)]
async fn a_dropped_table_is_created_again(app: TestApp) {
    let TestApp { mut service, database } = app;
    let of = |hours: i64, timeframe: &str| {
        with(candle(NOW - hours * HOUR), json!({"timeframe": timeframe, "complete": true}))
    };
    service.ingest(&[of(9, "H1"), of(5, "H1"), of(30, "D1")]).await;
    service.stop().await.unwrap();
    let expected = kept(&database).await;
    assert_eq!(expected.len(), 2);
    let place = folder();
    for _ in 0..2 {
        execute(&database, "drop table market_data_newest_candles").await;
        let (code, printed, _) = output(program(place.path(), &[("DATABASE_URL", &database.url())]).arg("migrate"));
        assert_eq!((code, kept(&database).await), (0, expected.clone()), "{printed}");
        assert!(printed.contains("is made again"), "{printed}");
    }
    // A start that may create tables creates it, too.
    execute(&database, "drop table market_data_newest_candles").await;
    let mut service = Service::start(&Environment::new(&database.url())).await;
    assert_eq!(kept(&database).await, expected);
    assert_eq!(service.ingest(&[of(4, "H1")]).await, (1, 0, 0));
    service.stop().await.unwrap();
    assert_eq!(kept(&database).await[1], format!("H1 {}", NOW - 4 * HOUR));
}

#[apply(both_stores)]
async fn a_database_without_the_table_still_serves(app: TestApp) {
    let TestApp { mut service, database } = app;
    service.ingest(&[candle(NOW - 9 * HOUR)]).await;
    service.stop().await.unwrap();
    without_the_table(&database).await;
    let mut service = Service::start(&Environment::new(&database.url()).with("MIGRATE_ON_START", false)).await;
    assert_eq!(service.ingest(&[candle(NOW - 8 * HOUR)]).await, (1, 0, 0));
    assert_eq!(service.get("/api/v1/series").await.json()[0]["last"], (NOW - 8 * HOUR) * 1000);
    service.stop().await.unwrap();
}

#[test]
fn a_missing_table_is_logged_once() {
    run(async {
        let folder = folder();
        let database = Database::Sqlite(folder);
        let mut service = Service::start(&Environment::new(&database.url())).await;
        service.stop().await.unwrap();
        without_the_table(&database).await;
        let Database::Sqlite(folder) = &database else { unreachable!() };
        let variables = [("PORT", "0"), ("MT5_API_KEY", KEY), ("MIGRATE_ON_START", "false")];
        let url = database.url();
        let mut serving = Serving::start(folder.path(), &[&variables[..], &[("DATABASE_URL", &url)]].concat());
        serving.line_with("could not keep the newest candles' times");
        let post = reqwest::Client::new().post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        send(post.body(json!({"candles": [candle(1_754_215_200)]}).to_string())).await.counts(1);
        serving.signal("TERM");
        let (code, printed) = serving.end();
        assert_eq!(code, Some(0), "{printed}");
        assert_eq!(printed.matches("could not keep the newest").count(), 1, "{printed}");
    });
}

#[test]
fn the_documented_login_may_write_newest_times() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let mut service = Service::start(&Environment::new(&database.url)).await;
        service.stop().await.unwrap();
        let url = database.make_login().await;
        let database = Database::Postgres(database);
        // With the role's own grants, and with those that the migration copies.
        for hours in [9, 8] {
            let mut service = Service::start(&Environment::new(&url).with("MIGRATE_ON_START", false)).await;
            service.ingest(&[candle(NOW - hours * HOUR)]).await;
            service.stop().await.unwrap();
            assert_eq!(kept(&database).await, [format!("H1 {}", NOW - hours * HOUR)]);
            without_the_table(&database).await;
            Service::start(&Environment::new(&database.url())).await.stop().await.unwrap();
        }
    });
}

#[test]
fn supabase_roles_may_not_change_newest_times() {
    run(async {
        let database = PgDatabase::create(&supabase_server()).await;
        // Supabase grants its roles all rights on each new table.
        database
            .execute(
                "alter default privileges in schema public grant all on tables to anon, authenticated, service_role",
            )
            .await;
        let mut service = Service::start(&Environment::new(&database.url)).await;
        service.ingest(&[candle(NOW - 9 * HOUR)]).await;
        service.stop().await.unwrap();
        let mut connection = database.connect().await;
        let select = "select 1 from market_data_newest_candles";
        let update = "update market_data_newest_candles set timestamp = now()";
        let delete = "delete from market_data_newest_candles";
        for (role, sql, may) in [
            ("anon", select, false),
            ("authenticated", select, true),
            ("authenticated", update, false),
            ("service_role", select, true),
            ("service_role", update, true),
            ("service_role", delete, false),
        ] {
            connection.execute(&*format!("set role {role}")).await.unwrap();
            let result = connection.execute(sql).await;
            match result {
                Ok(done) => assert!(may && done.rows_affected() == 1, "{role}: {sql}"),
                Err(error) => {
                    let code = error.as_database_error().unwrap().code().unwrap().into_owned();
                    assert!(!may && code == "42501", "{role}: {sql}: {error}");
                }
            }
            connection.execute("reset role").await.unwrap();
        }
    });
}
