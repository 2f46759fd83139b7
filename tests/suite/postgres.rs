//! Features of Postgres alone: tables made by other programs, row security, roles, TLS, and several services at once.

use candlewick::app::AppError;
use candlewick::errors::{self, sentence};
use candlewick::store::{Store, StoreError};
use serde_json::json;
use sqlx::Executor;

use crate::harness::{
    Database, Environment, NOW, PgDatabase, Service, TestApp, candle, plain_server, run, supabase_server, with,
};

/// The table of services from before candlewick.
pub const ADOPTED: &str = "create table market_data_candles (
    id bigserial primary key, symbol text not null, timeframe text not null, timestamp timestamptz not null,
    open numeric not null, high numeric not null, low numeric not null, close numeric not null,
    volume bigint not null, created_at timestamptz default now(), unique (symbol, timeframe, timestamp))";

pub async fn prepare(url: &str, migrate: bool) -> Result<(), StoreError> {
    let mut config = Environment::new(url).config().database;
    // Jobs need more than candles do, which tests/suite/jobs checks.
    config.researches = false;
    let store = Store::open(&config)?;
    let result = store.prepare(migrate).await;
    store.close().await;
    result
}

pub async fn unfit(url: &str) -> String {
    match prepare(url, true).await {
        Err(error @ StoreError::Misconfigured(_)) => sentence(&error),
        other => panic!("{other:?}"),
    }
}

pub async fn scalar(database: &PgDatabase, sql: &str) -> String {
    sqlx::query_scalar(sql).fetch_one(&mut database.connect().await).await.unwrap()
}

#[test]
fn a_new_table_has_the_natural_key_and_no_index_on_id() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        prepare(&database.url, true).await.unwrap();
        prepare(&database.url, true).await.unwrap();
        let indexes = "select string_agg(indexdef, '; ') from pg_indexes where tablename = 'market_data_candles'";
        let indexes = scalar(&database, indexes).await;
        assert!(indexes.contains("(symbol, timeframe, \"timestamp\") INCLUDE") && !indexes.contains(';'), "{indexes}");
        let collations = "select string_agg(distinct collation_name, ' ') from information_schema.columns
            where table_name like 'market_data%' and data_type = 'text'";
        assert_eq!(scalar(&database, collations).await, "C");
        let burdens = "select (select count(*) from pg_trigger) || ' ' || (select count(*) from pg_constraint where contype = 'f')";
        assert_eq!(scalar(&database, burdens).await, "0 0");
        let secured =
            "select string_agg(relname || ' ' || relrowsecurity || ' ' || relforcerowsecurity, ', ' order by relname)
            from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
        assert_eq!(
            scalar(&database, secured).await,
            "_sqlx_migrations true false, market_data_candles true false, market_data_changes true false, \
             market_data_live_candles true false, \
             market_data_newest_candles true false, research_files true false, research_items true false, \
             research_jobs true false, research_signals true false, webhook_events true false, webhook_feeds true false, \
             webhook_marks true false"
        );
    });
}

#[test]
fn an_existing_table_is_adopted_unchanged() {
    run(async {
        let database = PgDatabase::create(&supabase_server()).await;
        database.execute(ADOPTED).await;
        // As a service that assigns its own ids leaves it: the sequence lags behind the rows.
        database
            .execute(
                "
            insert into market_data_candles (id, symbol, timeframe, timestamp, open, high, low, close, volume)
            values (41, 'EURUSD', 'H1', '2025-08-03T10:00:00Z', 1.08500, 1.08650, 1.08480, 1.08620, 1200),
                   (42, 'EURUSD', 'H1', '2025-08-03T11:00:00Z', 1, 2.50, 0.5, 1.10, 7);
            alter table market_data_candles enable row level security;
            create policy mine on market_data_candles for select to authenticated using (symbol = 'EURUSD');
            grant select on market_data_candles to anon;",
            )
            .await;
        let before = describe(&database).await;
        let app = TestApp::start(Database::Postgres(database)).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        assert_eq!(describe(database).await, before, "rows, policies and grants are untouched");

        let again = with(candle("2025-08-03T10:00:00Z"), json!({"close": "1.08630"}));
        assert_eq!(app.ingest(&[again, candle("2025-08-03T12:00:00Z"), candle(NOW)]).await, (1, 1, 1));
        assert_eq!(
            scalar(database, "select max(id)::text from market_data_candles").await,
            "44",
            "43 went to the duplicate"
        );
        let answer = app.candles("").await;
        assert_eq!(answer.json().as_array().unwrap().len(), 4);
        assert_eq!(answer.json()[3]["complete"], false);
        assert!(answer.body.contains(r#""close":1.08620,"#) && answer.body.contains(r#""high":2.50,"#), "{answer:?}");
        assert_eq!(app.get("/api/v1/series").await.json()[0]["price_precision"], 5);
    });
}

async fn describe(database: &PgDatabase) -> String {
    scalar(database, "select concat_ws(' | ',
        (select string_agg(c::text, ',' order by id) from market_data_candles c where id <= 42),
        (select string_agg(p::text, ',') from pg_policies p where tablename = 'market_data_candles'),
        (select string_agg(g.grantee || g.privilege_type, ',' order by g.grantee, g.privilege_type)
         from information_schema.role_table_grants g where table_name = 'market_data_candles'),
        (select string_agg(i.indexdef, ',' order by i.indexname) from pg_indexes i where tablename = 'market_data_candles'))").await
}

#[test]
fn a_sequence_that_does_not_lag_is_unchanged() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        database.execute(ADOPTED).await;
        database.execute("select setval('market_data_candles_id_seq', 500)").await;
        prepare(&database.url, true).await.unwrap();
        assert_eq!(scalar(&database, "select nextval('market_data_candles_id_seq')::text").await, "501");
    });
}

#[test]
fn supabase_roles_get_only_the_intended_grants() {
    run(async {
        let database = PgDatabase::create(&supabase_server()).await;
        // Supabase grants everything on new tables to its roles.
        database
            .execute(
                "
            alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
            alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;",
            )
            .await;
        prepare(&database.url, true).await.unwrap();
        let url = database.url.clone();
        let app = Service::start(&Environment::new(&url)).await;
        app.ingest(&[candle(NOW - 7200), candle(NOW)]).await;

        let insert = |table: &str| {
            format!(
                "insert into {table} (symbol, timeframe, timestamp, open, high, low, close, volume) values ('X', 'H1', now(), 1, 1, 1, 1, 1)"
            )
        };
        let (closed, live) = ("market_data_candles", "market_data_live_candles");
        let select = |table: &str| format!("select 1 from {table}");
        let changes = "market_data_changes";
        let record = format!(
            "insert into {changes} (actor, kind, symbol, timeframe, first, last, candles, reason, detail)
             values ('x', 'correction', 'X', 'H1', now(), now(), 1, 'x', '{{}}')"
        );
        let cases: Vec<(&str, String, Result<u64, ()>)> = vec![
            ("anon", select(closed), Err(())),
            ("anon", select(live), Err(())),
            ("anon", select("_sqlx_migrations"), Err(())),
            ("anon", insert(closed), Err(())),
            ("anon", "select nextval('market_data_candles_id_seq')".into(), Err(())),
            ("anon", "delete from _sqlx_migrations".into(), Err(())),
            ("authenticated", select(closed), Ok(1)),
            ("authenticated", select(live), Ok(1)),
            ("authenticated", select("_sqlx_migrations"), Err(())),
            ("authenticated", insert(closed), Err(())),
            ("authenticated", insert(live), Err(())),
            ("authenticated", "delete from market_data_candles".into(), Err(())),
            ("service_role", select(closed), Ok(1)),
            ("service_role", select(live), Ok(1)),
            ("service_role", insert(closed), Ok(1)),
            ("service_role", insert(live), Ok(1)),
            ("service_role", format!("delete from {closed}"), Err(())),
            ("service_role", format!("update {closed} set volume = 2"), Err(())),
            ("service_role", select("_sqlx_migrations"), Err(())),
            ("service_role", format!("update {live} set volume = 2"), Ok(2)),
            ("service_role", format!("delete from {live}"), Ok(2)),
            ("anon", select(changes), Err(())),
            ("authenticated", select(changes), Ok(0)),
            ("authenticated", record.clone(), Err(())),
            ("service_role", record, Ok(1)),
            ("service_role", select(changes), Ok(1)),
            ("service_role", format!("delete from {changes}"), Err(())),
            ("anon", select("research_jobs"), Err(())),
            ("authenticated", select("research_jobs"), Err(())),
            ("authenticated", select("research_items"), Err(())),
            ("authenticated", select("research_files"), Err(())),
            ("anon", select("research_signals"), Err(())),
            ("authenticated", select("research_signals"), Err(())),
            ("authenticated", select("webhook_marks"), Err(())),
            ("authenticated", select("webhook_feeds"), Err(())),
            ("service_role", "delete from research_signals".into(), Ok(0)),
            ("service_role", "delete from webhook_marks".into(), Ok(0)),
            ("service_role", "delete from webhook_feeds".into(), Ok(0)),
            ("service_role", "update research_jobs set priority = 1".into(), Ok(0)),
            ("service_role", "delete from research_items".into(), Ok(0)),
            ("service_role", "delete from research_files".into(), Ok(0)),
        ];
        let mut connection = database.connect().await;
        for (role, sql, expected) in cases {
            connection.execute(&*format!("set role {role}")).await.unwrap();
            let result = connection.execute(&*sql).await;
            let result = result.map(|done| done.rows_affected()).map_err(|error| {
                assert_eq!(
                    error.as_database_error().unwrap().code().as_deref(),
                    Some("42501"),
                    "{role}: {sql}: {error}"
                );
            });
            assert_eq!(result, expected, "{role}: {sql}");
            connection.execute("reset role").await.unwrap();
        }
    });
}

#[test]
fn a_login_under_row_security_is_refused() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        prepare(&database.url, true).await.unwrap();
        let name = database.login();
        database.execute(&format!("create role {name} login password 'secret-{name}'")).await;
        let url = database.url_with(|url| {
            url.set_username(&name).unwrap();
            url.set_password(Some(&format!("secret-{name}"))).unwrap();
        });
        let refusal = async || match prepare(&url, false).await {
            Err(error @ StoreError::Misconfigured(_)) => sentence(&error),
            other => panic!("{other:?}"),
        };
        assert!(refusal().await.contains(&format!("The login {name} may not select on market_data_candles")));
        database
            .execute(&format!(
                "
            grant select, insert on market_data_candles to {name};
            grant select, insert, update, delete on market_data_live_candles to {name};"
            ))
            .await;
        assert!(refusal().await.contains(&format!("would silently hide rows from the login {name}")));
        database
            .execute(&format!(
                "
            create policy p on market_data_candles to {name} using (symbol = 'EURUSD') with check (true);
            create policy p on market_data_live_candles to {name} using (true) with check (true);"
            ))
            .await;
        assert!(
            refusal().await.contains("would silently hide rows"),
            "a policy that lets some rows through hides the others"
        );
        database.execute("drop policy p on market_data_candles").await;
        database
            .execute(&format!("create policy p on market_data_candles to {name} using (true) with check (true)"))
            .await;
        assert!(refusal().await.contains("sequence"));
        // By the service and before the last grant, to show that the program exits because of this refusal.
        let (mut service, _) = Service::launch(&Environment::new(&url).with("MIGRATE_ON_START", false));
        assert!(matches!(service.end().await, Err(AppError::Store(StoreError::Misconfigured(_)))));
        database.execute(&format!("grant usage on sequence market_data_candles_id_seq to {name}")).await;
        for table in ["research_jobs", "research_items", "research_files"] {
            let may = format!("grant select, insert, update, delete on {table} to {name}");
            database.execute(&format!("{may}; create policy p on {table} to {name} using (true)")).await;
        }

        let mut app = Service::start(&Environment::new(&url).with("MIGRATE_ON_START", false)).await;
        assert_eq!(app.ingest(&[candle(NOW - 7200), candle(NOW)]).await, (1, 0, 1));
        assert_eq!(app.candles("").await.json().as_array().unwrap().len(), 2);
        app.stop().await.unwrap();
        database.execute("create policy narrow on market_data_candles as restrictive using (symbol = 'EURUSD')").await;
        assert!(refusal().await.contains("would silently hide rows"));
    });
}

#[test]
fn the_role_that_the_documentation_ships_is_enough() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        prepare(&database.url, true).await.unwrap();
        let url = database.make_login().await;
        let mut app = Service::start(&Environment::new(&url).with("MIGRATE_ON_START", false)).await;
        assert_eq!(app.ingest(&[candle(NOW - 7200), candle(NOW)]).await, (1, 0, 1));
        app.stop().await.unwrap();
        let refusal = match prepare(&url, true).await {
            Err(error @ StoreError::Misconfigured(_)) => sentence(&error),
            other => panic!("{other:?}"),
        };
        assert!(refusal.contains("MIGRATE_ON_START=false"), "{refusal}");
    });
}

#[test]
fn a_remote_host_requires_tls_unless_the_url_disables_it() {
    let debug = |url: &str| format!("{:?}", Store::open(&Environment::new(url).config().database).unwrap());
    run(async {
        for (url, expected) in [
            ("postgres://u:hidden@localhost/db", "Prefer"),
            ("postgres://u:hidden@127.0.0.1:5433/db", "Prefer"),
            ("postgres://u:hidden@[::1]/db", "Prefer"),
            ("postgres:///db?host=/run/postgresql", "Prefer"),
            ("postgres://u:hidden@db.example.com/db", "Require"),
            ("postgresql://u:hidden@10.0.0.5/db", "Require"),
            ("postgres://u:hidden@localhost.example.com/db", "Require"),
            ("postgres://u:hidden@db.example.com/db?sslmode=disable", "Disable"),
            ("postgres://u:hidden@db.example.com/db?sslmode=verify-full&sslrootcert=/ca.crt", "VerifyFull"),
            ("postgres://u:hidden@localhost/db?host=db.example.com", "Require"),
        ] {
            let shown = debug(url);
            assert!(shown.contains(&format!("tls: {expected}")), "{url}: {shown}");
            assert!(!shown.contains("hidden"), "{shown}");
        }
    });
}

#[test]
fn tls_is_used_and_verified_where_the_server_offers_it() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let with_mode = |query: &str| database.url_with(|url| url.set_query(Some(query)));
        if scalar(&database, "select current_setting('ssl')").await == "off" {
            assert!(matches!(prepare(&with_mode("sslmode=require"), true).await, Err(StoreError::Unavailable(_))));
            return;
        }
        let mut app = Service::start(&Environment::new(&with_mode("sslmode=require"))).await;
        app.ingest(&[candle(NOW)]).await;
        let encrypted = "select bool_and(ssl)::text from pg_stat_ssl join pg_stat_activity using (pid)
            where datname = current_database() and application_name like 'candlewick%'";
        assert_eq!(scalar(&database, encrypted).await, "true");
        app.stop().await.unwrap();
        let unverified = prepare(&with_mode("sslmode=verify-full"), true).await;
        assert!(matches!(unverified, Err(StoreError::Unavailable(_))), "an unknown authority: {unverified:?}");
        if let Ok(authority) = std::env::var("TEST_DATABASE_CA") {
            prepare(&with_mode(&format!("sslmode=verify-full&sslrootcert={authority}")), true).await.unwrap();
        }
    });
}

#[test]
fn unusable_urls_are_reported_in_a_sentence() {
    run(async {
        for (url, sentence) in [
            ("postgres://u:p@127.0.0.1:6543/db", "port 6543, the transaction pooler"),
            ("postgres://u:p@127.0.0.1/db?sslmode=sometimes", "a value that is not known"),
            ("postgres://u:p@127.0.0.1/db?sslmod=verify-full", "the parameter sslmod, which is not known"),
            ("postgres://u:p@ss@[bad/db", "is not a URL"),
        ] {
            match Store::open(&Environment::new(url).config().database) {
                Err(error @ StoreError::Misconfigured(_)) => {
                    let refusal = errors::sentence(&error);
                    assert!(refusal.contains(sentence), "{refusal}");
                    assert!(!refusal.contains("u:p"), "{refusal}");
                }
                other => panic!("{url}: {other:?}"),
            }
        }
        let database = PgDatabase::create(&plain_server()).await;
        prepare(&database.url, true).await.unwrap();
        database.execute("update _sqlx_migrations set checksum = '\\x00'").await;
        assert!(unfit(&database.url).await.contains("Migration 1 ran on this database in another wording"));
        // A later release may have left more.
        database.execute("delete from _sqlx_migrations").await;
        database.execute("drop table market_data_candles, market_data_live_candles").await;
        prepare(&database.url, true).await.unwrap();
        database
            .execute("insert into _sqlx_migrations select 99, 'later', now(), true, checksum, 1 from _sqlx_migrations where version = 1")
            .await;
        prepare(&database.url, true).await.unwrap();

        let occupied = PgDatabase::create(&plain_server()).await;
        occupied.execute("create table market_data_live_candles (mine text)").await;
        assert!(unfit(&occupied.url).await.contains("market_data_live_candles"));

        let latin = PgDatabase::create_with(&plain_server(), "encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'").await;
        assert!(unfit(&latin.url).await.contains("encoding is LATIN1"));
    });
}

#[test]
fn a_foreign_constraint_causes_a_422_and_not_a_500() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        database.execute(ADOPTED).await;
        database.execute("alter table market_data_candles add constraint busy check (volume > 0)").await;
        let app = TestApp::start(Database::Postgres(database)).await;
        let batch = json!({"candles": [candle(NOW - 10800), with(candle(NOW - 7200), json!({"volume": 0}))]});
        let detail = app.post(&batch).await.problem(422, "invalid_values");
        assert!(detail.contains("constraint that its operator added") && !detail.contains("busy"), "{detail}");
        assert!(app.database.closed().await.is_empty());
        assert_eq!(app.ingest(&[candle(NOW - 7200)]).await, (1, 0, 0));
    });
}

#[test]
fn infinite_times_in_an_adopted_table_are_skipped() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        database.execute(ADOPTED).await;
        let app = TestApp::start(Database::Postgres(database)).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        app.ingest(&[candle(NOW - 7200)]).await;
        database
            .execute(
                "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
                 values ('EURUSD', 'H1', 'infinity', 1, 1, 1, 1, 1), ('EURUSD', 'H1', '-infinity', 1, 1, 1, 1, 1)",
            )
            .await;
        assert_eq!(app.candles("").await.json().as_array().unwrap().len(), 1);
        let series = app.get("/api/v1/series").await.json();
        assert_eq!(
            (&series[0]["first"], &series[0]["last"]),
            (&json!((NOW - 7200) * 1000), &json!((NOW - 7200) * 1000))
        );
    });
}
