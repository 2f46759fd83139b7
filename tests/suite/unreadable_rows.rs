//! Rows that other programs wrote into the tables and that are not candles: pages skip and report them.

use candle::Timestamp;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Database, NOW, StoreKind, TestApp, both_store_kinds, both_stores, candle, run};
use crate::program::{Serving, folder};

/// Values that are not JSON numbers, as far as the store's column accepts them.
fn not_prices(database: &Database) -> &'static [&'static str] {
    match database {
        Database::Postgres(_) => &["NaN", "Infinity", "-Infinity"],
        Database::Sqlite(_) => &[
            "",
            " ",
            "abc",
            "NaN",
            "1e5",
            "1 2",
            " 1",
            "1 ",
            "01",
            ".5",
            "5.",
            "+1",
            "0x10",
            "1,5",
            "1 1 1 1 1\n1",
            "\n",
            "1\u{0}",
            "\u{1d7d9}",
        ],
    }
}

/// Adds a row to the closed candles of EURUSD H1, without the service.
async fn insert(database: &Database, seconds: i64, column: &str, value: &str) {
    let price = |name| if name == column { format!("'{value}'") } else { "'1.5'".to_owned() };
    let time = match database {
        Database::Postgres(_) => format!("to_timestamp({seconds})"),
        Database::Sqlite(_) => (seconds * 1000).to_string(),
    };
    let value = value.contains('\u{0}').then(|| price(column).replace('\u{0}', "' || char(0) || '"));
    let price = |name| if name == column { value.clone().unwrap_or_else(|| price(name)) } else { price(name) };
    let (open, high, low, close) = (price("open"), price("high"), price("low"), price("close"));
    let insert = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         values ('EURUSD', 'H1', {time}, {open}, {high}, {low}, {close}, 7)"
    );
    database.rows(&insert).await;
}

fn times(page: &Value) -> Vec<i64> {
    page.as_array().unwrap().iter().map(|candle| candle["timestamp"].as_i64().unwrap() / 1000).collect()
}

/// The hour that opened `n` hours before the last full one.
fn hour(n: usize) -> i64 {
    NOW - (n as i64 + 2) * 3600
}

#[apply(both_stores)]
async fn an_unreadable_row_is_skipped_and_named(app: TestApp) {
    let (first, last) = (hour(999), hour(0));
    app.ingest(&[candle(first), candle(last)]).await;
    let mut skipped = Vec::new();
    let bad = not_prices(&app.database);
    for (n, value) in bad.iter().enumerate() {
        let column = ["open", "high", "low", "close"][n % 4];
        insert(&app.database, hour(n + 1), column, value).await;
        skipped.insert(0, (hour(n + 1) * 1000).to_string());
    }
    let page = app.candles("").await;
    assert_eq!((page.status.as_u16(), times(&page.json())), (200, vec![first, last]), "{page:?}");
    assert_eq!(page.header("x-skipped"), Some(&*skipped.join(",")));
    assert_eq!(page.json()[0]["close"], json!(1.0862));

    // A client that has the page learns of its skipped rows, too, and of changes to them.
    let tag = page.header("etag").unwrap().to_owned();
    let again = || async {
        let request = app.request(reqwest::Method::GET, "/api/v1/candles?symbol=EURUSD&timeframe=H1");
        crate::harness::send(request.bearer_auth(crate::harness::TOKEN).header("if-none-match", &tag)).await
    };
    let unchanged = again().await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("x-skipped")), (304, Some(&*skipped.join(","))));
    insert(&app.database, hour(500), "low", bad[0]).await;
    // A page may be answered from memory for a second; a post by this process ends that.
    app.ingest(&[candle(hour(501))]).await;
    let changed = again().await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("x-skipped").unwrap().split(',').count()),
        (200, bad.len() + 1)
    );
    let elsewhere = app.candles(&format!("&from={last}")).await;
    assert_eq!((times(&elsewhere.json()), elsewhere.header("x-skipped")), (vec![last], None));
}

#[apply(both_stores)]
async fn a_page_of_only_unreadable_rows_does_not_end_the_history(app: TestApp) {
    app.ingest(&[candle(hour(20)), candle(hour(0))]).await;
    for n in 1..20 {
        insert(&app.database, hour(n), "close", "NaN").await;
    }
    for (start, rel) in [(format!("&from={}&limit=3", hour(20)), "next"), ("&limit=3".to_owned(), "prev")] {
        let (mut page, mut found, mut skipped) = (app.candles(&start).await, Vec::new(), 0);
        loop {
            let rows = page.header("x-skipped").map_or(0, |times| times.split(',').count());
            found.extend(times(&page.json()));
            skipped += rows;
            let Some(link) = page.header("link") else { break };
            assert_eq!(times(&page.json()).len() + rows, 3, "a page is counted in rows: {page:?}");
            let (path, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
            assert!(rest.contains(rel));
            page = app.get(&path.replace("&amp;", "&")).await;
        }
        found.sort_unstable();
        assert_eq!((found, skipped), (vec![hour(20), hour(0)], 19), "{rel}");
    }
}

#[apply(both_stores)]
async fn unreadable_rows_do_not_count_for_the_precision(app: TestApp) {
    app.ingest(&[candle(hour(300)), candle(hour(0))]).await;
    let bad = if matches!(app.database, Database::Sqlite(_)) {
        ["NaN", "1.123456789x", "1.1 23456789", "5."]
    } else {
        ["NaN"; 4]
    };
    let insert = async |hours: std::ops::RangeInclusive<usize>| {
        let time = |n: usize| match &app.database {
            Database::Postgres(_) => format!("to_timestamp({})", hour(n)),
            Database::Sqlite(_) => (hour(n) * 1000).to_string(),
        };
        let row = |n: usize| {
            let mut prices = [
                "'1.1234567'".to_owned(),
                "'1.1234567'".to_owned(),
                "'1.1234567'".to_owned(),
                "'1.1234567'".to_owned(),
            ];
            prices[n % 4] = format!("'{}'", bad[n / 4 % 4]);
            format!("('EURUSD', 'H1', {}, {}, 7)", time(n), prices.join(", "))
        };
        let posted = hour(260 + hours.start());
        let rows: Vec<_> = hours.map(row).collect();
        let insert =
            "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume) values";
        app.database.rows(&format!("{insert} {}", rows.join(", "))).await;
        // A post, so that the list is read again.
        app.ingest(&[candle(posted)]).await;
    };
    let entry = async |query: &str| app.get(&format!("/api/v1/series{query}")).await.json()[0].clone();
    insert(1..=20).await;
    for query in ["?symbol=EURUSD", "?timeframe=H1"] {
        assert_eq!(entry(query).await["price_precision"], 5, "{query}");
    }
    insert(21..=250).await;
    let long = entry("?symbol=EURUSD").await;
    assert_eq!((&long["first"], &long["price_precision"]), (&json!(hour(300) * 1000), &json!(5)), "{long}");
}

#[apply(both_stores)]
async fn implausible_rows_of_numbers_are_returned_unchanged(app: TestApp) {
    let time = |seconds: i64| match &app.database {
        Database::Postgres(_) => format!("to_timestamp({seconds})"),
        Database::Sqlite(_) => (seconds * 1000).to_string(),
    };
    let insert = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
             values ('EURUSD', 'H1', {}, '1', '0.5', '2', '-3', -5)",
        time(hour(0))
    );
    app.database.rows(&insert).await;
    let page = app.candles("").await;
    assert_eq!(page.header("x-skipped"), None);
    assert_eq!(
        page.json(),
        json!([{"timestamp": hour(0) * 1000, "open": 1, "high": 0.5, "low": 2, "close": -3, "volume": -5}])
    );
}

#[apply(both_stores)]
async fn the_header_names_at_most_a_hundred_rows(app: TestApp) {
    app.ingest(&[candle(hour(0))]).await;
    for n in 1..=120 {
        insert(&app.database, hour(n), "open", "NaN").await;
    }
    let page = app.candles("").await;
    let skipped: Vec<_> = page.header("x-skipped").unwrap().split(',').map(str::to_owned).collect();
    assert_eq!(
        (skipped.len(), &*skipped[0], times(&page.json())),
        (100, &*(hour(120) * 1000).to_string(), vec![hour(0)])
    );
}

#[apply(both_store_kinds)]
fn an_unreadable_row_is_logged_once(kind: StoreKind) {
    run(async {
        let database = kind.database().await;
        let place = folder();
        let serving = Serving::on(place.path(), &database.url());
        insert(&database, hour(1), "high", "NaN").await;
        let client = reqwest::Client::new();
        for limit in 1..=3 {
            let url = format!("{}/api/v1/candles?symbol=EURUSD&timeframe=H1&limit={limit}", serving.url);
            let answer = client.get(url).bearer_auth(crate::harness::TOKEN).send().await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "[]"));
        }
        serving.signal("TERM");
        let (code, log) = serving.end();
        assert_eq!(code, Some(0));
        let opening_time = format!("opening_time=\"{}\"", Timestamp::from_seconds(hour(1)).unwrap());
        let named: Vec<_> = log.lines().filter(|line| line.contains("a stored row is not a candle")).collect();
        assert_eq!(named.len(), 1, "{log}");
        for part in ["EURUSD", "H1", &(hour(1) * 1000).to_string(), "high", "NaN", &opening_time] {
            assert!(named[0].contains(part), "{part} in {}", named[0]);
        }
    });
}

#[test]
fn a_row_with_a_null_is_skipped() {
    run(async {
        let app = TestApp::start(Database::postgres().await).await;
        app.ingest(&[candle(hour(0)), candle(hour(1)), candle(hour(2))]).await;
        for column in ["open", "high", "low", "close", "volume"] {
            app.database.rows(&format!("alter table market_data_candles alter column {column} drop not null")).await;
            let time = hour(1);
            let set = format!("update market_data_candles set {column} = null where timestamp = to_timestamp({time})");
            app.database.rows(&set).await;
            // A post, so that the page is read again.
            app.ingest(&[candle(hour(3))]).await;
            let page = app.candles(&format!("&from={}", hour(2))).await;
            assert_eq!(times(&page.json()), [hour(2), hour(0)], "{column}");
            assert_eq!(page.header("x-skipped"), Some(&*(time * 1000).to_string()));
        }
    });
}
