//! A series as a file of any length, and how it ends when something fails.

use std::io::Read as _;
use std::process::Command;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{
    Answer, Database, KEY, NOW, Service, TOKEN, TestApp, both_stores, candle, eventually, program_of, run, send, with,
};
use crate::program::{Serving, folder, output};

const HOUR: i64 = 3600;
const SERIES: &str = "symbol=EURUSD&timeframe=H1";

async fn execute(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(_) => {
            SqliteConnection::connect(&database.url()).await.unwrap().execute(sql).await.unwrap();
        }
        Database::Postgres(database) => database.execute(sql).await,
    }
}

/// Stores this number of M1 candles of EURUSD, the first of which opens at 1,500,000,000 s. Their prices and volumes have little
/// in common, so that they hardly get shorter when they are compressed.
async fn fill(database: &Database, count: usize) {
    let (price, time, numbers) = if matches!(database, Database::Sqlite(_)) {
        let numbers = format!(
            "(with recursive n(n) as (select 0 union all select n + 1 from n where n < {count} - 1) select n from n)"
        );
        ("printf('1.%05d', n * n % 99991)", "1500000000000 + 60000 * n", numbers)
    } else {
        let price = "round(1 + (n * n % 99991)::numeric / 100000, 5)";
        (price, "to_timestamp(1500000000 + 60 * n)", format!("generate_series(0, {count}::bigint - 1) n"))
    };
    let insert = format!(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
         select 'EURUSD', 'M1', {time}, {price}, {price}, {price}, {price}, n * 104729 % 1000003 from {numbers}"
    );
    execute(database, &insert).await;
}

async fn export(app: &Service, format: &str, query: &str) -> Answer {
    app.get(&format!("/api/v1/export.{format}?{query}")).await
}

#[apply(both_stores)]
async fn csv_has_a_line_for_each_closed_candle_with_its_digits(app: TestApp) {
    app.ingest(&[
        candle(NOW - 2 * HOUR),
        with(candle(NOW - 4 * HOUR), json!({"open": "1.085", "high": "1.0865000"})),
        with(candle(NOW - 3 * HOUR), json!({"open": "-0.5", "low": "-1", "volume": 0})),
        with(candle(NOW - HOUR), json!({"complete": false})),
    ])
    .await;
    let answer = export(&app, "csv", SERIES).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = "timestamp,open,high,low,close,volume\n\
                    2026-03-04T08:00:00Z,1.085,1.0865000,1.08480,1.08620,1200\n\
                    2026-03-04T09:00:00Z,-0.5,1.08650,-1,1.08620,0\n\
                    2026-03-04T10:00:00Z,1.08500,1.08650,1.08480,1.08620,1200\n";
    assert_eq!(answer.body, expected);
    for (name, value) in [
        ("content-type", "text/csv; charset=utf-8; header=present"),
        ("content-disposition", "attachment; filename=\"EURUSD_H1.csv\""),
        ("cache-control", "private, no-store"),
        ("vary", "accept-encoding, origin"),
        ("transfer-encoding", "chunked"),
    ] {
        let values: Vec<_> = answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(values.join(", "), value, "{name}");
    }
    let last = async |query: &str| {
        let answer = export(&app, "csv", &format!("{SERIES}{query}")).await;
        answer.body.lines().last().unwrap().to_owned()
    };
    assert_eq!(last("&time=ms").await, "1772618400000,1.08500,1.08650,1.08480,1.08620,1200");
    assert_eq!(last("&time=s").await, "1772618400,1.08500,1.08650,1.08480,1.08620,1200");
    assert_eq!(last("&forming=true").await, "2026-03-04T11:00:00Z,1.08500,1.08650,1.08480,1.08620,1200,false");
    let with_forming = export(&app, "csv", &format!("{SERIES}&forming=true")).await.body;
    assert_eq!(with_forming.lines().next(), Some("timestamp,open,high,low,close,volume,complete"));
    assert_eq!(with_forming.matches(",true\n").count(), 3);
    // Both ends are inclusive.
    let some = export(&app, "csv", &format!("{SERIES}&from=2026-03-04T09:00:00Z&to=1772618400")).await;
    assert_eq!(some.body.lines().count(), 3, "{}", some.body);
    let name = some.header("content-disposition");
    assert_eq!(name, Some("attachment; filename=\"EURUSD_H1_2026-03-04_2026-03-04.csv\""));
    let unknown = export(&app, "csv", "symbol=EUR/USD&timeframe=M1").await;
    assert_eq!(unknown.body, "timestamp,open,high,low,close,volume\n");
    let name = unknown.header("content-disposition");
    assert_eq!(name, Some("attachment; filename=\"EUR_USD_M1.csv\"; filename*=UTF-8''EUR%2FUSD_M1.csv"));
}

#[apply(both_stores)]
async fn ndjson_has_the_candles_of_the_pages_byte_for_byte(app: TestApp) {
    let symbol = json!({"symbol": "=a\"b,c"});
    let prices = ["0.1", "-12345678901234567890.12345678", "9999999999999999999999999999", "1.0850E1", "0.00", "7"];
    let candles: Vec<Value> = prices
        .iter()
        .zip(2..)
        .map(|(price, hours)| {
            let all = json!({"open": price, "high": price, "low": price, "close": price, "complete": hours > 2});
            with(with(candle(NOW - hours * HOUR), symbol.clone()), all)
        })
        .collect();
    app.ingest(&candles).await;
    let query = "symbol=%3Da%22b%2Cc&timeframe=H1";
    let page = app.get(&format!("/api/v1/candles?{query}")).await.body;
    let lines = |answer: Answer| answer.body.lines().collect::<Vec<_>>().join(",");
    let whole = export(&app, "ndjson", &format!("{query}&forming=true")).await;
    assert_eq!(whole.header("content-type"), Some("application/x-ndjson"));
    assert!(whole.body.ends_with("}\n"));
    assert_eq!(format!("[{}]", lines(whole)), page);
    let closed = lines(export(&app, "ndjson", query).await);
    assert!(page.starts_with(&format!("[{closed},")) && !closed.contains("complete"), "{closed}");
    assert_eq!(export(&app, "ndjson", "symbol=none&timeframe=H1").await.body, "");
}

#[apply(both_stores)]
async fn an_export_goes_on_over_many_pages_in_every_encoding(app: TestApp) {
    let TestApp { mut service, database } = app;
    service.stop().await.unwrap();
    let app = TestApp::start_with(database, |environment| environment.with("MAX_LIMIT", 7)).await;
    fill(&app.database, 7 * 30 + 1).await;
    for format in ["csv", "ndjson"] {
        let path = format!("/api/v1/export.{format}?{QUERY}");
        let plain = app.get(&path).await.body;
        assert_eq!(plain.lines().filter(|line| line.contains("1.")).count(), 7 * 30 + 1);
        for (encoding, sent) in [("gzip", "gzip"), ("zstd", "zstd"), ("br, zstd;q=0.5, gzip", "gzip")] {
            let request = app.request(Method::GET, &path).bearer_auth(TOKEN).header("accept-encoding", encoding);
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["content-encoding"], sent);
            let bytes = response.bytes().await.unwrap();
            let mut text = String::new();
            match sent {
                "gzip" => flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).map(drop).unwrap(),
                _ => text = String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap(),
            }
            assert_eq!(text, plain, "{format} in {sent}");
        }
    }
    // Exactly as many as pages hold, which shows only by an empty page.
    let exact = export(&app, "csv", &format!("{QUERY}&to={}", 1_500_000_000 + 60 * 13)).await;
    assert_eq!(exact.body.lines().count(), 14 + 1);
    let head = send(app.request(Method::HEAD, &format!("/api/v1/export.csv?{QUERY}")).bearer_auth(TOKEN)).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-disposition"), Some("attachment; filename=\"EURUSD_M1.csv\""));
}

#[apply(both_stores)]
async fn wrong_parameters_are_refused(app: TestApp) {
    for (format, query, errors) in [
        ("ndjson", "", &[("symbol", "missing"), ("timeframe", "missing")][..]),
        ("parquet", "timeframe=M1", &[("symbol", "missing")]),
        ("csv", "symbol=A", &[("timeframe", "missing")]),
        ("csv", "symbol=A&timeframe=M1&time=us", &[("time", "wrong_type")]),
        ("csv", "symbol=A&timeframe=M1&prices=text", &[("prices", "unknown_parameter")]),
        ("csv", "symbol=A&timeframe=M1&from=2&to=1", &[("to", "empty_range")]),
        ("csv", "symbol=A&timeframe=M1&limit=5", &[("limit", "unknown_parameter")]),
        ("ndjson", "symbol=A&timeframe=M1&time=s", &[("time", "unknown_parameter")]),
        ("ndjson", "symbol=A&timeframe=M1&forming=1", &[("forming", "wrong_type")]),
        ("parquet", "symbol=A&timeframe=M1&prices=float", &[("prices", "wrong_type")]),
        ("parquet", "symbol=A&symbol=B&timeframe=M1", &[("symbol", "repeated_parameter")]),
    ] {
        let expected: Vec<_> =
            errors.iter().map(|(name, kind)| (format!("[\"query\",\"{name}\"]"), (*kind).to_owned())).collect();
        assert_eq!(export(&app, format, query).await.errors(), expected, "{format} {query}");
    }
    // Together they need more digits than a decimal of Parquet has.
    let prices = |price: &str| json!({"open": price, "high": price, "low": price, "close": price});
    app.ingest(&[
        with(candle(NOW - 3 * HOUR), prices("9999999999999999999999999999")),
        with(candle(NOW - 2 * HOUR), prices("0.00000000001")),
    ])
    .await;
    let refused = export(&app, "parquet", SERIES).await;
    assert_eq!(refused.errors(), [("[\"query\",\"prices\"]".to_owned(), "too_precise".to_owned())]);
    assert!(refused.json()["detail"].as_str().unwrap().contains("39 digits"), "{refused:?}");
    for query in ["&prices=text", "&prices=double", "&from=2026-03-04T10:00:00Z"] {
        let file = bytes(&app, "parquet", &format!("{SERIES}{query}")).await;
        assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"), "{query}");
    }
}

/// A whole file.
async fn bytes(app: &Service, format: &str, query: &str) -> Vec<u8> {
    let request = app.request(Method::GET, &format!("/api/v1/export.{format}?{query}")).bearer_auth(TOKEN);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{query}");
    response.bytes().await.unwrap().into()
}

/// A connection on which the head of an export was read and nothing after it. Its buffer is small, so that most of the file is not
/// made before somebody reads on.
async fn begun(app: &Service, format: &str, query: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    let mut stream = socket.connect(app.address()).await.unwrap();
    let path = format!("/api/v1/export.{format}?{query}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Internal-Token: {TOKEN}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Reads what is left, and returns its length and whether it ends as a whole answer does.
async fn rest(mut stream: TcpStream) -> (usize, bool) {
    let mut end = Vec::new();
    let mut length = 0;
    let mut part = vec![0; 256 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        length += read;
        end.extend_from_slice(&part[..read]);
        end.drain(..end.len().saturating_sub(7));
    }
    (length, end == b"\r\n0\r\n\r\n")
}

/// More than the buffers between both ends hold.
const MANY: usize = 150_000;
const QUERY: &str = "symbol=EURUSD&timeframe=M1";

#[apply(both_stores)]
async fn an_export_whose_store_fails_is_never_taken_for_whole(app: TestApp) {
    fill(&app.database, MANY).await;
    let (length, is_whole) = rest(begun(&app, "csv", QUERY).await).await;
    assert!(is_whole && length > MANY, "{length}");
    let stalled = begun(&app, "csv", QUERY).await;
    let asked = app.request(Method::GET, &format!("/api/v1/export.ndjson?{QUERY}")).bearer_auth(TOKEN);
    let response = asked.send().await.unwrap();
    match &app.database {
        Database::Sqlite(folder) => {
            std::fs::rename(folder.path().join("test.db"), folder.path().join("gone.db")).unwrap();
        }
        Database::Postgres(database) => {
            let mut server = PgConnection::connect(&database.server).await.unwrap();
            let name = &database.name;
            server.execute(&*format!("alter database {name} allow_connections false")).await.unwrap();
            let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
            server.execute(&*end).await.unwrap();
        }
    }
    let (length, is_whole) = rest(stalled).await;
    assert!(!is_whole && length > 1000, "{length}");
    assert!(response.bytes().await.is_err(), "a client's library says that it broke off");
    // The next one is refused, and has no head of a file.
    let next = export(&app, "csv", QUERY).await;
    assert!(next.status.is_server_error() && next.header("content-disposition").is_none(), "{next:?}");
    if let Database::Postgres(database) = &app.database {
        let mut server = PgConnection::connect(&database.server).await.unwrap();
        server.execute(&*format!("alter database {} allow_connections true", database.name)).await.unwrap();
    }
}

#[apply(both_stores)]
async fn a_candle_with_more_digits_that_comes_meanwhile_breaks_a_parquet_file_off(app: TestApp) {
    // Several row groups, of which two are made before the first is taken.
    const CANDLES: usize = 4 * 65_536;
    fill(&app.database, CANDLES).await;
    let digits = with(
        candle(1_500_000_000 + 60 * (CANDLES as i64 + 7)),
        json!({"timeframe": "M1", "open": "1.085001", "complete": true}),
    );
    let begun = begun(&app, "parquet", QUERY).await;
    assert_eq!(app.ingest(&[digits]).await, (1, 0, 0));
    let (length, is_whole) = rest(begun).await;
    assert!(!is_whole && length > 1000, "{length}");
    // Asked again, all prices have one place more.
    let last = bytes(&app, "parquet", &format!("{QUERY}&from={}", 1_500_000_000 + 60 * CANDLES)).await;
    assert!(last.ends_with(b"PAR1"));
}

#[test]
fn exports_have_places_of_their_own() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |environment| environment.with("MAX_EXPORTS", 1)).await;
        fill(&app.database, MANY).await;
        let first = begun(&app, "csv", QUERY).await;
        let refused = export(&app, "csv", QUERY).await;
        let detail = refused.problem(503, "overloaded");
        assert!(detail.contains("MAX_EXPORTS (1)"), "{detail}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Pages and posts go on.
        assert_eq!(app.get(&format!("/api/v1/candles?{QUERY}&limit=5")).await.status, 200);
        assert_eq!(app.ingest(&[candle(NOW - 2 * HOUR)]).await, (1, 0, 0));
        // The place is free once the client has left.
        drop(first);
        eventually(async || export(&app, "csv", SERIES).await.status == 200).await;
        // A wrong question takes none.
        export(&app, "csv", "symbol=A").await.problem(422, "invalid_values");
        assert_eq!(export(&app, "csv", SERIES).await.status, 200);
    });
}

#[test]
fn a_stop_breaks_exports_off() {
    run(async {
        let TestApp { mut service, database } = TestApp::start(Database::sqlite()).await;
        fill(&database, MANY).await;
        let stalled = begun(&service, "csv", QUERY).await;
        let response = service.request(Method::GET, &format!("/api/v1/export.csv?{QUERY}")).bearer_auth(TOKEN);
        let response = response.send().await.unwrap();
        service.stop().await.unwrap();
        assert!(!rest(stalled).await.1);
        assert!(response.bytes().await.is_err());
    });
}

#[test]
fn an_export_that_nobody_takes_ends() {
    run(async {
        let app = TestApp::start_with(Database::sqlite(), |environment| environment.with("MAX_EXPORTS", 1)).await;
        fill(&app.database, MANY).await;
        let stalled = begun(&app, "csv", QUERY).await;
        // Its place is free after 30 s, although the client is still connected.
        eventually(async || {
            let answer = export(&app, "csv", SERIES).await;
            assert!([200, 503].contains(&answer.status.as_u16()));
            answer.status == 200
        })
        .await;
        assert!(!rest(stalled).await.1);
    });
}

/// The memory of a process that exports does not grow with the length of the file.
#[test]
fn memory_stays_flat() {
    /// The maximum that an export may take above the idle service.
    const MOST: u64 = 32 * 1024 * 1024;
    run(async {
        let (own, database) = (folder(), Database::sqlite());
        let url = database.url();
        let keys = [("PORT", "0"), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN), ("DATABASE_URL", &url)];
        let mut serving = Serving::start(own.path(), &keys);
        serving.is_ready();
        // Three row groups.
        fill(&database, MANY).await;
        let client = reqwest::Client::new();
        let get = |path: String| client.get(format!("{}{path}", serving.url)).bearer_auth(TOKEN);
        let memory = async || {
            let details = send(get("/api/v1/health/detailed".to_owned())).await.json();
            details["memory_bytes"].as_u64().unwrap()
        };
        send(get(format!("/api/v1/candles?{QUERY}&limit=10000"))).await;
        let idle = memory().await;
        for format in ["csv", "ndjson", "parquet"] {
            let mut response = get(format!("/api/v1/export.{format}?{QUERY}")).send().await.unwrap();
            let (mut pieces, mut most) = (0_usize, 0);
            while response.chunk().await.unwrap().is_some() {
                pieces += 1;
                if pieces.is_multiple_of(20) {
                    most = most.max(memory().await);
                }
            }
            most = most.max(memory().await);
            let above = most.saturating_sub(idle);
            println!("{format}: {pieces} pieces, {} KiB above the idle service", above / 1024);
            assert!(above <= MOST, "{format}: {above} bytes above {idle}");
        }
    });
}

/// DuckDB, Polars, pandas and pyarrow find the stored candles in every format.
#[apply(both_stores)]
async fn other_programs_read_the_stored_candles(app: TestApp) {
    let Some(python) = program_of("TEST_PYTHON") else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/read_exports.py");
    // More than a row group, and values at the ends of what is accepted: more digits than 64 bits hold, and negative ones.
    fill(&app.database, 70_000).await;
    let long = |time: i64, price: &str| {
        let prices = json!({"open": price, "high": price, "low": price, "close": price});
        with(with(candle(time), json!({"symbol": "=\"a,b'", "timeframe": "M1", "complete": true})), prices)
    };
    app.ingest(&[
        long(NOW - 2 * HOUR, "-0.0000000001"),
        long(NOW - 3 * HOUR, "1234567890123456789012345678"),
        long(NOW - 4 * HOUR, "-1234567890123456789012345678"),
        long(NOW - 5 * HOUR, "0.5000"),
        with(long(NOW - 6 * HOUR, "0"), json!({"volume": i64::MAX})),
        // Before 1970.
        with(long(-1_000_000_020, "1.1"), json!({"volume": 0})),
    ])
    .await;
    for (symbol, files) in [("EURUSD", 6), ("=\"a,b'", 4)] {
        let own = folder();
        let stored = app.database.closed().await;
        let stored = stored.iter().filter_map(|line| line.strip_prefix(&format!("{symbol} M1 "))).map(|line| {
            let values: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| values[at].parse::<i64>().unwrap();
            json!([number(0) * 1000, values[1], values[2], values[3], values[4], number(5)])
        });
        std::fs::write(own.path().join("expected.json"), Value::Array(stored.collect()).to_string()).unwrap();
        let symbol = url::form_urlencoded::Serializer::new(String::new()).append_pair("symbol", symbol).finish();
        for (name, format, query) in [
            ("decimal.parquet", "parquet", ""),
            ("double.parquet", "parquet", "&prices=double"),
            ("text.parquet", "parquet", "&prices=text"),
            ("candles.csv", "csv", ""),
            ("milliseconds.csv", "csv", "&time=ms"),
            ("candles.ndjson", "ndjson", ""),
        ] {
            let file = bytes(&app, format, &format!("{symbol}&timeframe=M1{query}")).await;
            std::fs::write(own.path().join(name), file).unwrap();
        }
        let (code, printed, complaint) = output(Command::new(&python).arg("-B").arg(script).arg(own.path()));
        assert_eq!(code, 0, "{symbol}: {printed}{complaint}");
        assert_eq!(printed.lines().count(), files * 4, "{printed}");
    }
}
