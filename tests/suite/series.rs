//! The list of stored series, and its cost.

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row, SqliteConnection, SqlitePool};
use tokio::task::JoinSet;

use crate::harness::{
    Answer, Database, KEY, NOW, PgDatabase, TOKEN, TableLock, TestApp, both_stores, candle, eventually, plain_server,
    run, send, with,
};
use crate::program::folder;
use crate::telemetry::start;

const HOUR: i64 = 3600;
const PATH: &str = "/api/v1/series";

/// Runs a statement as another program that writes into the database.
async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

fn is_sqlite(app: &TestApp) -> bool {
    matches!(app.database, Database::Sqlite(_))
}

/// A statement that stores one candle of each of `count` series, whose symbols are `symbol` of the number `n`.
fn many(is_sqlite: bool, count: usize, symbol: &str, timeframe: &str) -> String {
    let (price, time, numbers) = if is_sqlite {
        let numbers =
            format!("with recursive n(n) as (select 1 union all select n + 1 from n where n < {count}) select n");
        ("'1.08500'", "1750000000000", format!("({numbers} from n)"))
    } else {
        ("1.08500", "to_timestamp(1750000000)", format!("generate_series(1, {count}) n(n)"))
    };
    format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         select {symbol}, '{timeframe}', {time}, {price}, {price}, {price}, {price}, 1 from {numbers}"
    )
}

/// Symbols of [`many`] in the order of their numbers.
const NUMBERED: &str = "'S' || substr('' || (10000000 + n), 2)";

fn next(answer: &Answer) -> Option<String> {
    let more = answer.header("x-more-after").unwrap();
    let link =
        answer.header("link").map(|link| link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap());
    assert_eq!(more, if link.is_some() { "true" } else { "false" });
    link.map(str::to_owned)
}

/// All pages of `query`, of `limit` series each.
async fn pages(app: &TestApp, query: &str, limit: usize) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut path = Some(format!("{PATH}?limit={limit}{query}"));
    while let Some(asked) = path {
        let answer = app.get(&asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let page: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
        assert!(page.len() <= limit);
        path = next(&answer);
        pages.push(page);
    }
    pages
}

fn names(series: &[Value]) -> Vec<(String, String)> {
    let text = |series: &Value, name: &str| series[name].as_str().unwrap().to_owned();
    series.iter().map(|series| (text(series, "symbol"), text(series, "timeframe"))).collect()
}

/// Candles of one series for each of these lengths, with a different number of digits each, and the expected list
/// entries.
fn of_lengths(lengths: &[i64]) -> (Vec<Value>, Vec<Value>) {
    let (mut candles, mut listed) = (Vec::new(), Vec::new());
    for (number, length) in lengths.iter().enumerate() {
        let digits = number % 6;
        let price = if digits == 0 { "1".to_owned() } else { format!("1.{}", "5".repeat(digits)) };
        let (symbol, timeframe) = (format!("LEN{:03}", number / 3), ["D1", "H1", "M5"][number % 3]);
        let time = |n: i64| NOW - 400 * 24 * HOUR + n * 24 * HOUR;
        candles.extend((0..*length).map(|n| {
            with(
                candle(time(n)),
                json!({"symbol": symbol, "timeframe": timeframe,
            "open": price, "high": price, "low": price, "close": price, "complete": true}),
            )
        }));
        listed.push(json!({"symbol": symbol, "timeframe": timeframe, "first": time(0) * 1000,
            "last": time(length - 1) * 1000, "price_precision": digits}));
    }
    (candles, listed)
}

#[apply(both_stores)]
async fn series_have_their_first_and_last_times_and_precision(app: TestApp) {
    assert_eq!(app.get("/api/v1/series?symbol=EURUSD").await.body, "[]");
    let of = |hours: i64, symbol: &str, timeframe: &str, price: &str| {
        let prices = json!({"open": price, "high": price, "low": price, "close": price});
        with(
            with(candle(NOW - hours * HOUR), prices),
            json!({"symbol": symbol, "timeframe": timeframe, "complete": true}),
        )
    };
    app.ingest(&[
        of(9, "EURUSD", "H1", "1.08500"),
        of(8, "EURUSD", "H1", "1.08490"),
        of(7, "EURUSD", "H1", "1"),
        of(9, "EURUSD", "M5", "1.1"),
        of(3, "USDJPY", "H1", "-150"),
        of(3, "eurusd", "H1", "1.5"),
        of(300, "EUR", "W1", "0.00"),
        with(of(1, "FORMING", "H1", "1.5"), json!({"complete": false})),
        with(of(1, "EURUSD", "H1", "1.123456789"), json!({"complete": false})),
    ])
    .await;
    let entry = |symbol: &str, timeframe: &str, first: i64, last: i64, digits: i64| {
        let at = |hours: i64| (NOW - hours * HOUR) * 1000;
        json!({"symbol": symbol, "timeframe": timeframe,
               "first": at(first), "last": at(last), "price_precision": digits})
    };
    let (eur, h1, m5) =
        (entry("EUR", "W1", 300, 300, 2), entry("EURUSD", "H1", 9, 7, 5), entry("EURUSD", "M5", 9, 9, 1));
    let (jpy, lower) = (entry("USDJPY", "H1", 3, 3, 0), entry("eurusd", "H1", 3, 3, 1));
    for (query, expected) in [
        ("", json!([eur, h1, m5, jpy, lower])),
        ("?symbol=EURUSD", json!([h1, m5])),
        ("?symbol=EURUSD&timeframe=M5", json!([m5])),
        ("?timeframe=PERIOD_H1", json!([h1, jpy, lower])),
        ("?symbol=EURUS", json!([])),
        ("?symbol=FORMING", json!([])),
        ("?symbol=eurusd&symbol=EURUSD&symbol=NONE&symbol=EURUSD", json!([h1, m5, lower])),
        ("?symbol=eurusd&symbol=EURUSD&timeframe=1h", json!([h1, lower])),
        ("?after=H1:EURUSD", json!([m5, jpy, lower])),
        ("?after=PERIOD_H4:EURUSD&timeframe=H1", json!([jpy, lower])),
        ("?after=D1:EURUSD&timeframe=H1", json!([h1, jpy, lower])),
        ("?after=W1:eurusd", json!([])),
        ("?after=H1:EURUSD&symbol=EURUSD&symbol=EUR", json!([m5])),
    ] {
        let answer = app.get(&format!("/api/v1/series{query}")).await;
        assert_eq!(answer.json(), expected, "{query}");
        assert_eq!(next(&answer), None, "{query}");
    }
    let with_ingest_key = send(app.request(Method::GET, PATH).header("X-API-KEY", KEY)).await;
    assert_eq!(with_ingest_key.status, 200);
    let errors = app.get("/api/v1/series?symbol=%20&tf=H1&timeframe=1M").await.errors();
    let kinds: Vec<_> = errors.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(kinds, ["unknown_parameter", "outer_blank", "ambiguous_timeframe"]);
}

#[apply(both_stores)]
async fn invalid_parameters_of_the_list_are_refused(app: TestApp) {
    let symbols = |count: usize| (0..count).map(|n| format!("symbol=S{n}")).collect::<Vec<_>>().join("&");
    for (query, place, kind) in [
        ("limit=0", "limit", "out_of_range"),
        ("limit=10001", "limit", "out_of_range"),
        ("limit=1.5", "limit", "out_of_range"),
        ("timeframe=H1&timeframe=H1", "timeframe", "repeated_parameter"),
        ("after=H1:A&after=H1:B", "after", "repeated_parameter"),
        ("after=EURUSD", "after", "wrong_type"),
        ("after=EURUSD:H1", "after", "unknown_timeframe"),
        ("after=H1:", "after", "empty"),
        ("symbol=A&symbol=", "symbol", "empty"),
        (&symbols(101), "symbol", "out_of_range"),
    ] {
        let errors = app.get(&format!("{PATH}?{query}")).await.errors();
        assert_eq!(errors, [(format!("[\"query\",\"{place}\"]"), kind.to_owned())], "{query}");
    }
    assert_eq!(app.get(&format!("{PATH}?{}", symbols(100))).await.body, "[]");
}

#[apply(both_stores)]
async fn the_precision_ignores_outliers_of_the_newest_hundred(app: TestApp) {
    let of = |hours: i64, price: &str| {
        with(
            candle(NOW - hours * HOUR),
            json!({
            "open": "1.1", "high": price, "low": "1.1", "close": "1.1", "complete": true}),
        )
    };
    let digits = async || app.get("/api/v1/series?symbol=EURUSD").await.json()[0]["price_precision"].clone();
    app.ingest(&[of(200, "1.1000000000000002")]).await;
    assert_eq!(digits().await, 16, "a single candle has no company");
    app.ingest(&[of(199, "1.15")]).await;
    assert_eq!(digits().await, 16);
    app.ingest(&[of(198, "1.15")]).await;
    assert_eq!(digits().await, 2);
    let candles: Vec<Value> = (1..=100).map(|n| of(n, if n <= 5 { "1.1000000000000002" } else { "1.12345" })).collect();
    app.ingest(&candles).await;
    assert_eq!(digits().await, 5, "5 of 100 are outliers");
    // Older candles do not count, and six of a hundred are not outliers.
    app.set_clock(NOW + HOUR);
    app.ingest(&[of(0, "1.1000000000000002")]).await;
    assert_eq!(digits().await, 16);
    assert_eq!(app.get("/api/v1/series?timeframe=H1").await.json()[0]["first"], (NOW - 200 * HOUR) * 1000);
}

#[apply(both_stores)]
async fn pages_of_every_length_add_up_to_the_list(app: TestApp) {
    // Around the lengths from which a series is skipped with a hop and its sample is full.
    let (candles, listed) =
        of_lengths(&[1, 1, 2, 7, 8, 9, 1, 30, 99, 100, 101, 1, 1, 250, 250, 3, 1, 1, 1, 150, 1, 1, 64, 63]);
    for batch in candles.chunks(10_000) {
        app.ingest(batch).await;
    }
    for (query, is_listed) in [
        ("", &(|_: &Value| true) as &dyn Fn(&Value) -> bool),
        ("&timeframe=H1", &|series| series["timeframe"] == "H1"),
        ("&symbol=LEN003&symbol=LEN001&symbol=LEN004", &|series| {
            ["LEN001", "LEN003", "LEN004"].contains(&series["symbol"].as_str().unwrap())
        }),
        ("&symbol=LEN006&symbol=LEN002&timeframe=M5", &|series| {
            series["timeframe"] == "M5" && ["LEN002", "LEN006"].contains(&series["symbol"].as_str().unwrap())
        }),
    ] {
        let listed: Vec<Value> = listed.iter().filter(|series| is_listed(series)).cloned().collect();
        for limit in 1..=listed.len() + 1 {
            let pages = pages(&app, query, limit).await;
            assert_eq!(pages.concat(), listed, "{query}, {limit} at a time");
            assert!(pages.len() >= listed.len().div_ceil(limit), "{query}, {limit} at a time");
        }
    }
}

#[apply(both_stores)]
async fn unreachable_series_are_not_listed(app: TestApp) {
    let timeframes = ["1h", "h1", "60", "PERIOD_H1", "zz"];
    for timeframe in timeframes {
        execute(&app.database, &many(is_sqlite(&app), 300, "'MID' || n", timeframe)).await;
    }
    // More unreachable series than a step reads, before and between the reachable ones.
    execute(&app.database, &many(is_sqlite(&app), 1500, "' ' || n", "H1")).await;
    execute(&app.database, &many(is_sqlite(&app), 1500, "'EURUSD' || n || ' '", "M5")).await;
    execute(&app.database, &many(is_sqlite(&app), 3, "'TAB\t' || n", "H1")).await;
    let wanted = [("EURUSD", "H1"), ("EURUSD", "M5"), ("MID7", "H1"), ("USDJPY", "D1")];
    for (symbol, timeframe) in wanted {
        app.ingest(&[with(candle(NOW - 50 * HOUR), json!({"symbol": symbol, "timeframe": timeframe}))]).await;
    }
    for limit in [1, 2, 3, 4, 5, 10_000] {
        let listed: Vec<Value> = pages(&app, "", limit).await.concat();
        assert_eq!(
            names(&listed),
            wanted.map(|(symbol, timeframe)| (symbol.to_owned(), timeframe.to_owned())),
            "{limit}"
        );
    }
    let listed = pages(&app, "&timeframe=H1", 1).await.concat();
    assert_eq!(names(&listed), [("EURUSD".into(), "H1".into()), ("MID7".into(), "H1".into())]);
    assert_eq!(names(&pages(&app, "&symbol=MID7", 10).await.concat()), [("MID7".into(), "H1".into())]);
}

#[apply(both_stores)]
async fn an_unchanged_list_is_a_304(app: TestApp) {
    let symbols: Vec<Value> =
        (0..40).map(|n| with(candle(NOW - 9 * HOUR), json!({"symbol": format!("S{n}")}))).collect();
    app.ingest(&symbols).await;
    for query in ["?limit=10", "?timeframe=H1", "?symbol=S1&symbol=S20"] {
        let path = format!("{PATH}{query}");
        let plain = app.get(&path).await;
        assert_eq!(plain.header("cache-control"), Some("private, no-cache"));
        assert!(plain.headers.get_all("vary").iter().any(|value| value == "accept-encoding"));
        assert_eq!(plain.header("x-more-before"), None, "a list is read in one direction");
        let tag = plain.header("etag").unwrap();
        assert!(tag.starts_with("W/"));
        let request = |method: Method| app.request(method, &path).bearer_auth(TOKEN);
        for wanted in ["identity", "gzip", "zstd"] {
            let again = send(request(Method::GET).header("If-None-Match", tag).header("Accept-Encoding", wanted)).await;
            assert_eq!((again.status.as_u16(), again.body.as_str(), again.header("etag")), (304, "", Some(tag)));
            assert_eq!(again.header("link"), plain.header("link"));
            assert_eq!(again.header("x-more-after"), plain.header("x-more-after"));
        }
        let head = send(request(Method::HEAD)).await;
        assert_eq!((head.status.as_u16(), head.body.as_str(), head.header("etag")), (200, "", Some(tag)));
        assert_eq!(head.header("content-length"), Some(&*plain.body.len().to_string()));
    }
    for (wanted, coding) in [("gzip", Some("gzip")), ("zstd, gzip", Some("zstd")), ("br", None)] {
        let answer =
            app.request(Method::GET, PATH).bearer_auth(TOKEN).header("Accept-Encoding", wanted).send().await.unwrap();
        assert_eq!(answer.headers().get("content-encoding").map(|name| name.to_str().unwrap()), coding);
        let bytes = answer.bytes().await.unwrap();
        assert!(coding.is_none() || bytes.len() < 1024, "{} bytes for {wanted}", bytes.len());
    }
}

#[apply(both_stores)]
async fn a_filtered_list_includes_what_was_just_posted(app: TestApp) {
    for hours in (2..=30).rev() {
        let time = NOW - hours * HOUR;
        app.ingest(&[candle(time)]).await;
        for query in ["symbol=EURUSD", "symbol=EURUSD&timeframe=H1", "symbol=GBPUSD&symbol=EURUSD"] {
            for wanted in ["identity", "gzip"] {
                let get = app.request(Method::GET, &format!("{PATH}?{query}")).bearer_auth(TOKEN);
                let answer = send(get.header("Accept-Encoding", wanted)).await;
                assert_eq!(answer.json()[0]["last"], time * 1000, "{query}");
            }
        }
    }
}

#[apply(both_stores)]
async fn a_selective_filter_scans_a_bounded_number_of_series_per_page(app: TestApp) {
    execute(&app.database, &many(is_sqlite(&app), 60_000, NUMBERED, "M1")).await;
    app.ingest(&[with(candle(NOW - 9 * HOUR), json!({"symbol": "Z"}))]).await;
    let pages = pages(&app, "&timeframe=H1", 10).await;
    assert_eq!(names(&pages.concat()), [("Z".to_owned(), "H1".to_owned())]);
    assert!(pages.len() > 1, "60,000 series were looked at for one page");
}

#[apply(both_stores)]
async fn pages_are_served_during_a_flood_of_lists(app: TestApp) {
    execute(&app.database, &many(is_sqlite(&app), 100_000, NUMBERED, "H1")).await;
    app.ingest(&[candle(NOW - 9 * HOUR)]).await;
    let (mut lists, mut answered) = (JoinSet::new(), 0);
    for n in 0..12 {
        // Each list is different, so that none is answered from memory.
        let path = format!("{PATH}?limit={}&after=H1:S{n:07}", 10_000 - n);
        lists.spawn(send(app.request(Method::GET, &path).header("X-API-KEY", KEY)));
    }
    while !lists.is_empty() {
        assert_eq!(app.candles(&format!("&limit={}", lists.len())).await.status, 200);
        let list = lists.join_next().await.unwrap().unwrap();
        if list.status != 200 {
            // On a slow machine the other lists use all the time that this one may wait.
            list.problem(503, "unavailable");
            continue;
        }
        answered += 1;
        let listed = names(list.json().as_array().unwrap());
        assert!(!listed.is_empty() && listed.is_sorted());
    }
    assert!(answered > 0, "all lists were refused");
    let pages = pages(&app, "", 10_000).await;
    assert!(pages.len() >= 11, "{} pages", pages.len());
    let listed = pages.concat();
    assert_eq!(listed.len(), 100_001);
    assert!(names(&listed).is_sorted());
}

#[test]
fn an_adopted_table_is_paged_in_the_order_of_its_key() {
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        // As in many databases, upper and lower case are adjacent in the key's order.
        let adopted = crate::postgres::ADOPTED.replace("symbol text", "symbol varchar collate \"en-x-icu\"");
        database.execute(&adopted).await;
        let app = TestApp::start(Database::Postgres(database)).await;
        let (candles, _) = of_lengths(&[1, 150, 1, 9, 1, 120, 1, 1, 1, 12]);
        app.ingest(&candles).await;
        for (symbol, timeframe) in
            [("eurusd", "H1"), ("EURUSD", "M5"), ("Eurusd", "H1"), ("eurusd", "D1"), ("Zed", "H1")]
        {
            app.ingest(&[with(candle(NOW - 50 * HOUR), json!({"symbol": symbol, "timeframe": timeframe}))]).await;
        }
        for timeframe in ["h1", "1h"] {
            execute(&app.database, &many(is_sqlite(&app), 5, "'eurusd' || substr('xxxxx', n + 1)", timeframe)).await;
        }
        for (query, count) in [("", 15), ("&timeframe=H1", 6), ("&symbol=EURUSD&symbol=eurusd", 3)] {
            let whole = pages(&app, query, 100).await;
            assert_eq!((whole.len(), whole[0].len()), (1, count), "{query}");
            for limit in 1..=count {
                assert_eq!(pages(&app, query, limit).await.concat(), whole[0], "{query}, {limit} at a time");
            }
        }
        let symbols = names(&pages(&app, "&symbol=eurusd&symbol=EURUSD", 10).await.concat());
        assert!(symbols.is_sorted(), "{symbols:?}");
    });
}

#[test]
fn a_flood_of_lists_uses_bounded_memory() {
    run(async {
        const MEMORY: &str = "process_resident_memory_bytes";
        let database = Database::sqlite();
        let Database::Sqlite(folder) = &database else { unreachable!() };
        let (serving, admin) = start(folder.path(), &[("DATABASE_URL", &database.url())]);
        execute(&database, &many(true, 100_000, NUMBERED, "H1")).await;
        let list = |n: u64| {
            let path = format!("{}{PATH}?limit={}", serving.url, 10_000 - n);
            send(reqwest::Client::new().get(path).header("X-API-KEY", KEY))
        };
        assert_eq!(list(0).await.status, 200);
        let (before, mut most) = (sample(&admin, MEMORY).await, 0);
        let mut lists: JoinSet<Answer> = (1..=12).map(list).collect();
        while lists.join_next().await.is_some() {
            most = most.max(sample(&admin, MEMORY).await);
        }
        let growth = most.saturating_sub(before) / (1024 * 1024);
        println!("12 lists took {growth} MiB");
        assert!(growth <= 64, "{growth} MiB for 12 lists");
    });
}

#[test]
fn precision_outliers_are_logged_once() {
    run(async {
        let folder = folder();
        let (mut serving, _) = start(folder.path(), &[]);
        let client = reqwest::Client::new();
        let time = |n: i64| 1_754_215_200 - n * HOUR;
        let price = |price: &str, n: i64| {
            with(candle(time(n)), json!({"open": price, "high": price, "low": price, "close": price}))
        };
        let candles = [price("1.085", 1), price("1.0850000000000002", 2), price("1.086", 3), price("1.087", 4)];
        let post = client.post(format!("{}/api/v1/candles", serving.url)).header("X-API-KEY", KEY);
        assert_eq!(send(post.body(json!({ "candles": candles }).to_string())).await.status, 201);
        for query in ["", "?symbol=EURUSD", "?limit=1"] {
            let list = send(client.get(format!("{}{PATH}{query}", serving.url)).bearer_auth(TOKEN)).await;
            assert_eq!(list.json()[0]["price_precision"], 3);
        }
        let line = serving.line_with("more digits than the rest");
        assert!(
            ["EURUSD", "H1", "price_precision=3", "candles=1", "digits=16"].iter().all(|part| line.contains(part)),
            "{line}"
        );
        serving.signal("TERM");
        let (_, printed) = serving.end();
        assert_eq!(printed.matches("more digits than the rest").count(), 1, "{printed}");
    });
}

/// The value of the metric whose name and labels begin with `name`.
async fn sample(admin: &str, name: &str) -> u64 {
    let answer = send(reqwest::Client::new().get(format!("{admin}/metrics"))).await;
    let samples = answer.body.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// The number of lists of series that were read completely.
const LISTS_READ: &str = r#"db_client_operation_duration_seconds_count{db_operation_name="series""#;

#[test]
fn reading_a_list_stops_when_its_client_disconnects() {
    run(async {
        let (database, folder) = (PgDatabase::create(&plain_server()).await, folder());
        let (serving, admin) = start(folder.path(), &[("DATABASE_URL", &database.url)]);
        database.execute(&many(false, 5_000, NUMBERED, "H1")).await;
        let client = reqwest::Client::new();
        let list = |query: &str| send(client.get(format!("{}{PATH}?{query}", serving.url)).header("X-API-KEY", KEY));
        assert_eq!(list("symbol=S0000001").await.json().as_array().unwrap().len(), 1);
        // After its start the service itself looks for the newest candles once.
        eventually(async || sample(&admin, LISTS_READ).await >= 2).await;
        let before = sample(&admin, LISTS_READ).await;
        let mut lock = TableLock::take(&database).await;
        let (left, stays) = (tokio::spawn(list("limit=4000")), tokio::spawn(list("limit=4001")));
        eventually(async || sample(&admin, "http_server_active_requests").await >= 2).await;
        lock.is_awaited().await;
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        eventually(async || sample(&admin, "http_server_active_requests").await <= 1).await;
        lock.release().await;
        assert_eq!(stays.await.unwrap().json().as_array().unwrap().len(), 4001);
        assert_eq!(list("limit=4002").await.json().as_array().unwrap().len(), 4002);
        assert_eq!(sample(&admin, LISTS_READ).await - before, 2, "the list whose client has left was read to its end");
    });
}

/// 100,000 candles in 20 series.
const FILL: &str = "
    insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
    select 'SYM' || s, t, {time}, {price}, {price}, {price}, {price}, 1
    from {numbers} n cross join (select 0 as s union select 1 union select 2 union select 3 union select 4) s
    cross join (select 'H1' as t union select 'M1' union select 'M5' union select 'D1') t";

#[test]
fn postgres_statements_read_only_the_rows_they_need() {
    run(async {
        for (table, adopted) in [("new", ""), ("adopted", crate::postgres::ADOPTED)] {
            let database = PgDatabase::create(&plain_server()).await;
            if !adopted.is_empty() {
                database.execute(adopted).await;
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
                connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
                let [rows_after, keys_after, symbols_after, samples] = candlewick::store::postgres::SERIES_STATEMENTS;
                let timeframes = ["D1", "H1", "M1", "M5"];
                let (symbols, timeframes): (Vec<String>, Vec<&str>) =
                    (0..5).flat_map(|n| timeframes.map(|timeframe| (format!("SYM{n}"), timeframe))).unzip();
                let series = format!("'{{{}}}', '{{{}}}', 100", symbols.join(","), timeframes.join(","));
                for (what, statement, types, values, most) in [
                    ("rows", rows_after, "text, text, bigint", "'SYM2', 'H1', 1000", 1000.0),
                    // One row for each hop, and none for the last.
                    ("keys", keys_after, "text, text, bigint", "'', '', 500", 21.0),
                    ("symbols", symbols_after, "text, bigint", "'', 500", 6.0),
                    // Two ends of 20 series and the newest 100 candles of each.
                    ("samples", samples, "text[], text[], bigint", &*series, 20.0 * 101.0),
                ] {
                    connection.execute(&*format!("prepare {what} ({types}) as {statement}")).await.unwrap();
                    let explain = format!("explain (analyze, buffers, format json) execute {what} ({values})");
                    let plan: Value = connection.fetch_one(&*explain).await.unwrap().get(0);
                    let (mut rows_read, mut scans) = (0.0, Vec::new());
                    visit(&plan[0]["Plan"], &mut |node| {
                        if node["Relation Name"] == "market_data_candles" {
                            scans.push(node["Node Type"].as_str().unwrap().to_owned());
                            rows_read += node["Actual Rows"].as_f64().unwrap() * node["Actual Loops"].as_f64().unwrap();
                            rows_read += node["Rows Removed by Filter"].as_f64().unwrap_or(0.0);
                        }
                    });
                    println!("{table} table, analyzed: {analyzed}: {what}: {scans:?} read {rows_read} rows");
                    assert!(!scans.is_empty() && scans.iter().all(|scan| scan.starts_with("Index")), "{plan:#}");
                    assert!(rows_read <= most, "{rows_read} rows for {what}: {plan:#}");
                    assert_eq!(plan[0].get("JIT"), None, "{what} is compiled: {plan:#}");
                }
            }
            assert_eq!(app.get(PATH).await.json().as_array().unwrap().len(), 20);
        }
    });
}

pub fn visit(node: &Value, see: &mut impl FnMut(&Value)) {
    see(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        visit(child, see);
    }
}

#[test]
fn sqlite_statements_search_and_never_scan() {
    run(async {
        let app = TestApp::start(Database::sqlite()).await;
        let pool = SqlitePool::connect(&app.database.url()).await.unwrap();
        let numbers =
            "(with recursive n(n) as (select 1 union all select n + 1 from n where n < 5000) select n from n)";
        let fill =
            FILL.replace("{time}", "n.n * 3600000").replace("{price}", "'1.08500'").replace("{numbers}", numbers);
        pool.execute(&*fill).await.unwrap();
        let of_series = ["(symbol=? AND timeframe>?)", "(symbol>?)"];
        let of_times = ["(symbol=? AND timeframe=? AND timestamp>? AND timestamp<?)"];
        let statements = candlewick::store::sqlite::SERIES_STATEMENTS;
        for (statement, searches) in
            statements.into_iter().zip([&of_series[..], &of_series, &["(symbol>?)"], &of_times, &of_times])
        {
            let explain = format!("explain query plan {statement}");
            let plan: Vec<String> =
                pool.fetch_all(&*explain).await.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
            let on_table: Vec<_> = plan.iter().filter(|step| step.contains("market_data_candles")).collect();
            assert_eq!(on_table.len(), searches.len(), "{plan:#?}");
            for (step, search) in on_table.iter().zip(searches) {
                assert!(step.starts_with("SEARCH") && step.ends_with(search), "{search} in {plan:#?}");
            }
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
        }
        assert_eq!(app.get(PATH).await.json().as_array().unwrap().len(), 20);
    });
}
