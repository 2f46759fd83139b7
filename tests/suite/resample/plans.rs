//! The statements that build candles read each row once, by the key's index.

use serde_json::Value;
use sqlx::{Executor, Row as _, SqlitePool};

use candlewick::store::Direction;

use crate::harness::{Database, PgDatabase, TestApp, plain_server, run};

/// Fills M1 of five symbols with 20,000 minutes each.
const FILL: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select 'SYM' || s, 'M1', to_timestamp(n * 60), 1.085, 1.09, 1.08, 1.085, 1
    from generate_series(0, 19999) n cross join generate_series(0, 4) s";

#[test]
fn postgres_reads_each_row_once_by_the_index() {
    run(async {
        for adopted in ["", crate::postgres::ADOPTED] {
            let database = PgDatabase::create(&plain_server()).await;
            if !adopted.is_empty() {
                database.execute(adopted).await;
            }
            let app = TestApp::start(Database::Postgres(database)).await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            database.execute(FILL).await;
            for analyzed in [false, true] {
                if analyzed {
                    database.execute("analyze market_data_candles").await;
                }
                let mut connection = database.connect().await;
                connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
                for direction in [Direction::Ascending, Direction::Descending] {
                    let statement = candlewick::store::postgres::resample_statement(direction);
                    let types = "text, text, timestamptz, timestamptz, timestamptz[], interval, bigint, timestamptz";
                    connection.execute(&*format!("prepare {direction:?} ({types}) as {statement}")).await.unwrap();
                    let days = "(select array_agg(to_timestamp(n * 86400)) from generate_series(0, 20) n)";
                    let days: String = connection.fetch_one(&*format!("select {days}::text")).await.unwrap().get(0);
                    let values = format!(
                        "'SYM2', 'M1', to_timestamp(0), to_timestamp(20 * 86400), '{days}', '1 hour', 50, 'infinity'"
                    );
                    let explain = format!("explain (analyze, format json) execute {direction:?} ({values})");
                    let plan: Value = connection.fetch_one(&*explain).await.unwrap().get(0);
                    let (mut rows_read, mut scans) = (0.0, Vec::new());
                    crate::series::visit(&plan[0]["Plan"], &mut |node| {
                        if node["Relation Name"] == "market_data_candles" {
                            scans.push(node["Node Type"].as_str().unwrap().to_owned());
                            rows_read += node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
                            rows_read += node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
                        }
                    });
                    assert!(!scans.is_empty() && scans.iter().all(|scan| scan.starts_with("Index")), "{plan:#}");
                    // Each bucket's rows, and one row at each of its ends.
                    assert!(rows_read <= 50.0 * (60.0 + 2.0) + 3.0, "{rows_read} rows: {plan:#}");
                    assert_eq!(plan[0].get("JIT"), None, "it is compiled: {plan:#}");
                }
            }
        }
    });
}

#[test]
fn sqlite_searches_and_never_sorts() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let pool = SqlitePool::connect(&app.database.url()).await.unwrap();
        for statement in candlewick::store::sqlite::resample_statements() {
            let explain = format!("explain query plan {statement}");
            let plan: Vec<String> =
                pool.fetch_all(&*explain).await.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
            let on_tables: Vec<_> = plan.iter().filter(|step| step.contains("PRIMARY KEY")).collect();
            assert!(on_tables.len() >= 2 && on_tables.iter().all(|step| step.starts_with("SEARCH")), "{plan:#?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
        }
    });
}
