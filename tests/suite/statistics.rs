//! Statistics of series: `GET /api/v1/series?stats=true`.

use std::collections::BTreeMap;

use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row as _, SqliteConnection, SqlitePool};

use crate::harness::{Database, NOW, PgDatabase, TestApp, both_stores, candle, eventually, plain_server, run, with};

const HOUR: i64 = 3600;
const PATH: &str = "/api/v1/series?stats=true";
const FIELDS: [&str; 5] = ["as_of", "candles", "bytes", "received", "coverage"];

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

/// The list, once all of its series were counted and `holds` is true of it.
async fn counted(app: &TestApp, query: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut list = Vec::new();
    eventually(async || {
        list.clone_from(app.get(&format!("{PATH}{query}")).await.json().as_array().unwrap());
        list.iter().all(|series| !series["as_of"].is_null()) && holds(&list)
    })
    .await;
    list
}

/// The months and numbers of closed candles that the rows of the table have, by series.
async fn expected(database: &Database) -> BTreeMap<(String, String), BTreeMap<String, u64>> {
    let mut series = BTreeMap::<_, BTreeMap<String, u64>>::new();
    for row in database.closed().await {
        let [symbol, timeframe, seconds] = row.splitn(4, ' ').take(3).collect::<Vec<_>>()[..] else { unreachable!() };
        let opened = chrono::DateTime::from_timestamp(seconds.parse().unwrap(), 0).unwrap();
        let months = series.entry((symbol.to_owned(), timeframe.to_owned())).or_default();
        *months.entry(opened.format("%Y-%m").to_string()).or_default() += 1;
    }
    series
}

fn coverage(series: &Value) -> BTreeMap<String, u64> {
    let month = |month: &Value| (month["month"].as_str().unwrap().to_owned(), month["candles"].as_u64().unwrap());
    let months: Vec<_> = series["coverage"].as_array().unwrap().iter().map(month).collect();
    assert!(months.is_sorted_by(|one, next| one.0 < next.0), "{months:?}");
    months.into_iter().collect()
}

#[apply(both_stores)]
async fn every_month_of_every_series_is_counted(app: TestApp) {
    // Both sides of the ends of months, empty months between, the first and the last times that can be posted.
    let of = |seconds: i64, symbol: &str, timeframe: &str| {
        with(candle(seconds), json!({"symbol": symbol, "timeframe": timeframe, "complete": true}))
    };
    let august = 1_754_006_400;
    app.ingest(&[
        of(august - 60, "EURUSD", "M1"),
        of(august, "EURUSD", "M1"),
        of(august + 60, "EURUSD", "M1"),
        of(august - HOUR, "EURUSD", "H1"),
        of(august - 400 * 24 * HOUR, "EURUSD", "H1"),
        of(-8_520_336_000, "a\"b\":c", "D1"),
        of(-86_400, "a\"b\":c", "D1"),
        of(86_400, "a\"b\":c", "D1"),
        with(of(NOW - HOUR, "forming", "H1"), json!({"complete": false})),
    ])
    .await;
    // Minutes of 100 days, which take several steps.
    let (time, price, numbers) = if matches!(app.database, Database::Sqlite(_)) {
        let numbers =
            "(with recursive n(n) as (select 0 union all select n + 1 from n where n < 143999) select n from n)";
        ("1700000000000 + 60000 * n", "'1.5'", numbers)
    } else {
        ("to_timestamp(1700000000 + 60 * n)", "1.5", "generate_series(0, 143999) n")
    };
    let fill = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         select 'LONG', 'M1', {time}, {price}, {price}, {price}, {price}, 7 from {numbers}"
    );
    execute(&app.database, &fill).await;
    let list = counted(&app, "", |list| list.len() == 4).await;
    let expected = expected(&app.database).await;
    assert_eq!(list.len(), expected.len());
    for series in &list {
        let key = ["symbol", "timeframe"].map(|name| series[name].as_str().unwrap().to_owned());
        let months = &expected[&key.into()];
        assert_eq!(coverage(series), *months, "{series}");
        let candles: u64 = months.values().sum();
        assert_eq!(series["candles"], candles);
        assert!((NOW * 1000 - 60_000..=NOW * 1000).contains(&series["as_of"].as_i64().unwrap()), "{series}");
        // A row has some 100 bytes.
        let bytes = series["bytes"].as_u64().unwrap();
        assert!((40 * candles..=200 * candles).contains(&bytes), "{series}");
        // By the database's clock.
        assert!(series["received"].as_i64().unwrap() > 1_700_000_000_000, "{series}");
    }
}

#[apply(both_stores)]
async fn a_series_that_changed_is_counted_again(app: TestApp) {
    let past = |hours: i64| with(candle(NOW - hours * HOUR), json!({"complete": true}));
    app.ingest(&[past(5), past(2)]).await;
    let candles = |number: u64| move |list: &[Value]| list[0]["candles"] == number;
    counted(&app, "", candles(2)).await;
    // At the end, in the middle, and before the beginning in another month.
    for (hours, number) in [(1, 3), (3, 4), (24 * 60, 5)] {
        app.ingest(&[past(hours)]).await;
        let list = counted(&app, "&symbol=EURUSD", candles(number)).await;
        assert_eq!(coverage(&list[0]).values().sum::<u64>(), number);
    }
    // Another program's row, which changes an end of the series, and its deletion.
    let time = if matches!(app.database, Database::Sqlite(_)) { "0" } else { "to_timestamp(0)" };
    let price = if matches!(app.database, Database::Sqlite(_)) { "'1'" } else { "1" };
    let insert = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         values ('EURUSD', 'H1', {time}, {price}, {price}, {price}, {price}, 1)"
    );
    execute(&app.database, &insert).await;
    counted(&app, "", candles(6)).await;
    execute(&app.database, "delete from market_data_candles").await;
    eventually(async || app.get(PATH).await.body == "[]").await;
}

#[apply(both_stores)]
async fn nothing_is_counted_and_nothing_changes_without_the_question(app: TestApp) {
    app.ingest(&[candle(NOW - 5 * HOUR)]).await;
    let plain = app.get("/api/v1/series").await;
    let series = &plain.json()[0];
    assert!(FIELDS.iter().all(|field| series.get(field).is_none()), "{series}");
    assert_eq!(app.get("/api/v1/series?stats=false").await.body, plain.body);
    assert_eq!(app.get("/api/v1/series?stats=false").await.header("etag"), plain.header("etag"));
    for (path, kind) in [
        ("/api/v1/series?stats=1", "wrong_type"),
        ("/api/v1/series?stats=true&stats=true", "repeated_parameter"),
        ("/api/v1/latest?stats=true", "unknown_parameter"),
    ] {
        let refused = app.get(path).await;
        assert_eq!(refused.errors(), [("[\"query\",\"stats\"]".to_owned(), kind.to_owned())], "{path}");
    }
    // The first answer is not kept waiting: a series that was not counted yet says so.
    let first = app.get(PATH).await.json()[0].clone();
    assert!(FIELDS.iter().all(|field| first.get(field).is_some()), "{first}");
    let nulls = FIELDS.iter().filter(|field| first[**field].is_null()).count();
    assert!([0, 5].contains(&nulls), "{first}");
    counted(&app, "", |list| list.len() == 1).await;
    assert_eq!(app.get("/api/v1/series").await.body, plain.body);
}

#[apply(both_stores)]
async fn pages_with_statistics_lead_to_each_other(app: TestApp) {
    let of = |n: i64| with(candle(NOW - 5 * HOUR), json!({"symbol": format!("S{n}"), "complete": true}));
    app.ingest(&(0..7).map(of).collect::<Vec<_>>()).await;
    counted(&app, "", |list| list.len() == 7).await;
    let mut path = Some(format!("{PATH}&limit=3&timeframe=H1"));
    let mut symbols = Vec::new();
    while let Some(asked) = path {
        let answer = app.get(&asked).await;
        for series in answer.json().as_array().unwrap() {
            assert_eq!(series["coverage"], json!([{"month": "2026-03", "candles": 1}]));
            symbols.push(series["symbol"].as_str().unwrap().to_owned());
        }
        path = answer
            .header("link")
            .map(|link| link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned());
    }
    assert_eq!(symbols, ["S0", "S1", "S2", "S3", "S4", "S5", "S6"]);
}

/// An adopted table has no time of storing, and may hold rows that are not candles and times of no calendar.
#[test]
fn an_adopted_table_is_counted() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        database.execute(crate::postgres::ADOPTED).await;
        database.execute("alter table market_data_candles drop column created_at").await;
        let app = TestApp::start(Database::Postgres(database)).await;
        let insert = "
            insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
            select 'X', 'H1', t::timestamptz, 'NaN', 1, 1, 1, 1
            from unnest('{-infinity,0044-03-15 BC,0001-01-01Z,2025-03-15Z,9999-12-31Z,10000-01-01Z,infinity}'::text[]) t";
        execute(&app.database, insert).await;
        let series = &counted(&app, "", |list| list.len() == 1).await[0];
        let months =
            [("0001-01", 1), ("2025-03", 1), ("9999-12", 1)].map(|(month, candles)| (month.to_owned(), candles));
        assert_eq!(coverage(series), months.into());
        assert_eq!((&series["received"], &series["candles"]), (&Value::Null, &json!(3)));
    });
}

#[test]
fn postgres_counts_by_the_index() {
    run(async {
        let app = TestApp::start(Database::Postgres(PgDatabase::create(&plain_server()).await)).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        database
            .execute(
                "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
                 select 'SYM' || s, 'H1', to_timestamp(n * 3600), 1, 1, 1, 1, 1
                 from generate_series(0, 9999) n cross join generate_series(0, 4) s",
            )
            .await;
        for analyzed in [false, true] {
            if analyzed {
                database.execute("analyze market_data_candles").await;
            }
            let mut connection = database.connect().await;
            connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
            let statement = candlewick::store::postgres::count_months_statement();
            let prepare = format!("prepare count (text, text, timestamptz, bigint, bigint) as {statement}");
            connection.execute(&*prepare).await.unwrap();
            let explain = "explain (analyze, format json) execute count ('SYM2', 'H1', to_timestamp(0), 3, 100)";
            let plan: Value = connection.fetch_one(explain).await.unwrap().get(0);
            let (mut rows_read, mut scans) = (0.0, Vec::new());
            crate::series::visit(&plan[0]["Plan"], &mut |node| {
                if node["Relation Name"] == "market_data_candles" {
                    scans.push(node["Node Type"].as_str().unwrap().to_owned());
                    rows_read += node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
                    rows_read += node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
                }
            });
            assert!(!scans.is_empty() && scans.iter().all(|scan| scan.starts_with("Index")), "{plan:#}");
            // The hours of three months, the first row of each, and the newest rows.
            assert!(rows_read <= f64::from((31 + 28 + 31) * 24 + 3 + 100), "{rows_read} rows: {plan:#}");
        }
    });
}

#[test]
fn sqlite_counts_by_the_key() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let pool = SqlitePool::connect(&app.database.url()).await.unwrap();
        for statement in candlewick::store::sqlite::COUNT_STATEMENTS {
            let explain = format!("explain query plan {statement}");
            let plan: Vec<String> =
                pool.fetch_all(&*explain).await.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
            assert!(plan.len() == 1 && plan[0].starts_with("SEARCH"), "{plan:#?}");
        }
    });
}
