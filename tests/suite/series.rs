//! What is stored, and what it costs to say so.

use serde_json::{Value, json};
use sqlx::{Executor, Row, SqlitePool};

use crate::harness::{Database, NOW, PgDatabase, TestApp, both_stores, candle, plain_server, send, with};

const HOUR: i64 = 3600;

both_stores! {
    async fn series_tell_their_ends_and_their_digits(app: TestApp) {
        assert_eq!(app.get("/api/v1/series").await.body, "[]");
        let of = |hours: i64, symbol: &str, timeframe: &str, price: &str| with(candle(NOW - hours * HOUR), json!({
            "symbol": symbol, "timeframe": timeframe, "open": price, "high": price, "low": price, "close": price, "complete": true}));
        app.ingest(&[
            of(9, "EURUSD", "H1", "1.08500"), of(8, "EURUSD", "H1", "1.0850"), of(7, "EURUSD", "H1", "1"),
            of(9, "EURUSD", "M5", "1.1"), of(3, "USDJPY", "H1", "-150"), of(3, "eurusd", "H1", "1.5"), of(300, "EUR", "W1", "0.00"),
            with(of(1, "FORMING", "H1", "1.5"), json!({"complete": false})),
            with(of(1, "EURUSD", "H1", "1.123456789"), json!({"complete": false})),
        ]).await;
        let entry = |symbol: &str, timeframe: &str, first: i64, last: i64, digits: i64| {
            let at = |hours: i64| (NOW - hours * HOUR) * 1000;
            json!({"symbol": symbol, "timeframe": timeframe, "first": at(first), "last": at(last), "price_precision": digits})
        };
        let (eur, h1, m5) = (entry("EUR", "W1", 300, 300, 2), entry("EURUSD", "H1", 9, 7, 5), entry("EURUSD", "M5", 9, 9, 1));
        let (jpy, lower) = (entry("USDJPY", "H1", 3, 3, 0), entry("eurusd", "H1", 3, 3, 1));
        for (query, expected) in [
            ("", json!([eur, h1, m5, jpy, lower])),
            ("?symbol=EURUSD", json!([h1, m5])),
            ("?symbol=EURUSD&timeframe=M5", json!([m5])),
            ("?timeframe=PERIOD_H1", json!([h1, jpy, lower])),
            ("?symbol=EURUS", json!([])),
            ("?symbol=FORMING", json!([])),
        ] {
            assert_eq!(app.get(&format!("/api/v1/series{query}")).await.json(), expected, "{query}");
        }
        let with_ingest_key = send(app.request(reqwest::Method::GET, "/api/v1/series").header("X-API-KEY", crate::harness::KEY)).await;
        assert_eq!(with_ingest_key.status, 200);
        let errors = app.get("/api/v1/series?symbol=%20&tf=H1&timeframe=1M").await.errors();
        let kinds: Vec<_> = errors.iter().map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(kinds, ["unknown_parameter", "outer_blank", "ambiguous_timeframe"]);
    }

    async fn precision_is_that_of_the_newest_hundred(app: TestApp) {
        let mut candles: Vec<Value> = (1..=100).map(|n| with(candle(NOW - n * HOUR), json!({
            "open": "1.1", "high": "1.1", "low": "1.1", "close": "1.1", "complete": true}))).collect();
        app.ingest(&candles).await;
        candles.truncate(1);
        app.ingest(&[with(candle(NOW - 101 * HOUR), json!({"open": "1.0855555"}))]).await;
        assert_eq!(app.get("/api/v1/series").await.json()[0]["price_precision"], 1);
        assert_eq!(app.get("/api/v1/series").await.json()[0]["first"], (NOW - 101 * HOUR) * 1000);
    }
}

/// 100,000 candles in 20 series.
const FILL: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select 'SYM' || s, t, {time}, {price}, {price}, {price}, {price}, 1
    from {numbers} n cross join (select 0 as s union select 1 union select 2 union select 3 union select 4) s
    cross join (select 'H1' as t union select 'M1' union select 'M5' union select 'D1') t";

#[test]
fn on_postgres_the_plan_hops_over_the_index_of_100000_rows() {
    crate::harness::run(async {
        for (table, collation) in [("new", ""), ("adopted", crate::postgres::ADOPTED)] {
            let database = PgDatabase::create(&plain_server()).await;
            if !collation.is_empty() {
                database.execute(collation).await;
            }
            let app = TestApp::start(Database::Postgres(database)).await;
            let Database::Postgres(database) = &app.database else { unreachable!() };
            let fill = FILL
                .replace("{time}", "to_timestamp(n * 3600)")
                .replace("{price}", "1.08500")
                .replace("{numbers}", "generate_series(1, 5000)");
            database.execute(&fill).await;
            for analyzed in [false, true] {
                if analyzed {
                    database.execute("analyze market_data_candles").await;
                }
                let mut connection = database.connect().await;
                let explain =
                    format!("explain (analyze, buffers, format json) {}", candlewick::store::postgres::SELECT_SERIES);
                let plan: Value = sqlx::query(&explain)
                    .bind(None::<&str>)
                    .bind(None::<&str>)
                    .bind(100_i64)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
                    .get(0);
                let (mut rows_read, mut scans) = (0.0, Vec::new());
                visit(&plan[0]["Plan"], &mut |node| {
                    if node["Relation Name"] == "market_data_candles" {
                        scans.push(node["Node Type"].as_str().unwrap().to_owned());
                        rows_read += node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
                        rows_read += node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
                    }
                });
                let buffers = plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap()
                    + plan[0]["Plan"]["Shared Read Blocks"].as_i64().unwrap();
                println!("{table} table, analyzed: {analyzed}: {scans:?} read {rows_read} rows and {buffers} blocks");
                assert!(scans.iter().all(|scan| scan.starts_with("Index")), "{plan:#}");
                // 20 hops, two ends of 20 series and the newest 100 candles of each.
                assert!(rows_read < 2200.0, "{plan:#}");
            }
            assert_eq!(app.get("/api/v1/series").await.json().as_array().unwrap().len(), 20);
        }
    });
}

fn visit(node: &Value, see: &mut impl FnMut(&Value)) {
    see(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        visit(child, see);
    }
}

#[test]
fn on_sqlite_the_plan_searches_and_never_scans() {
    crate::harness::run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let pool = SqlitePool::connect(&app.database.url()).await.unwrap();
        let numbers =
            "(with recursive n(n) as (select 1 union all select n + 1 from n where n < 5000) select n from n)";
        let fill =
            FILL.replace("{time}", "n.n * 3600000").replace("{price}", "'1.08500'").replace("{numbers}", numbers);
        pool.execute(&*fill).await.unwrap();
        let explain = format!("explain query plan {}", candlewick::store::sqlite::SELECT_SERIES);
        let plan: Vec<String> =
            pool.fetch_all(&*explain).await.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
        println!("{plan:#?}");
        let on_table: Vec<_> =
            plan.iter().filter(|step| step.contains("market_data_candles") || step.contains(" c ")).collect();
        assert!(on_table.len() >= 6, "{plan:#?}");
        assert!(on_table.iter().all(|step| step.starts_with("SEARCH")), "{plan:#?}");
        for hop in ["(symbol>?)", "(symbol=? AND timeframe>?)"] {
            assert!(on_table.iter().any(|step| step.ends_with(hop)), "{hop} in {plan:#?}");
        }
        assert_eq!(app.get("/api/v1/series").await.json().as_array().unwrap().len(), 20);
    });
}
