//! Starts the service on a store of its own and talks to it as its clients do.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use candle::Timestamp;
use candlewick::app::{App, AppError};
use candlewick::clock::Clock;
use candlewick::config::{Config, Variables};
use candlewick::store::Store;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use rstest_reuse::template;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row, SqlitePool};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::engine::Engine;

pub const KEY: &str = "ingest-key-for-tests";
pub const TOKEN: &str = "read-token-for-tests";
pub const RESEARCH_KEY: &str = "research-key-for-tests";

/// 2026-03-04T12:00:00Z, a Wednesday.
pub const NOW: i64 = 1_772_625_600;

/// The time after which a test counts as hanging: several times what the slowest takes where the machine is busy.
pub const TEST_TIMEOUT: Duration = Duration::from_mins(5);

/// `#[apply(both_stores)]` runs a test once per store, each time with a service of its own.
#[template]
#[rstest::rstest]
#[case::sqlite(crate::harness::TestApp::start_on(crate::harness::StoreKind::Sqlite))]
#[case::postgres(crate::harness::TestApp::start_on(crate::harness::StoreKind::Postgres))]
#[timeout(crate::harness::TEST_TIMEOUT)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores(
    #[case]
    #[future(awt)]
    app: TestApp,
) {
}

/// `#[apply(both_store_kinds)]` runs a test once per store, for tests that start no service or have a runtime of their own.
#[template]
#[rstest::rstest]
#[case::sqlite(crate::harness::StoreKind::Sqlite)]
#[case::postgres(crate::harness::StoreKind::Postgres)]
fn both_store_kinds(#[case] kind: StoreKind) {}

/// Runs a test on several threads, as the service runs, so that races in the service can show.
pub fn run(test: impl Future<Output = ()>) {
    run_within(TEST_TIMEOUT, test);
}

/// Like [`run`], with another time limit.
pub fn run_within(limit: Duration, test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("the test ends") });
    runtime.shutdown_background();
}

/// Reports that a test, or a part of one, is skipped because of `reason`. CI has everything that the tests need, so a
/// skipped test fails there.
#[track_caller]
pub fn leave_out(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must not skip a test: {reason}");
    println!("left out: {reason}");
}

/// Returns the program that `variable` names. If the variable is not set, reports the test that needs it as skipped.
#[track_caller]
pub fn program_of(variable: &str) -> Option<String> {
    let program = std::env::var(variable).ok();
    if program.is_none() {
        leave_out(&format!("{variable} is not set; scripts/with-programs sets it"));
    }
    program
}

/// Polls until the condition holds. The pauses leave a busy machine to the awaited work. Only the time limit of the
/// test ends this earlier.
pub async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Postgres,
}

impl StoreKind {
    pub async fn database(self) -> Database {
        match self {
            Self::Sqlite => Database::sqlite(),
            Self::Postgres => Database::postgres().await,
        }
    }
}

/// A database that belongs to one test. It is deleted when this value is dropped.
pub enum Database {
    Sqlite(TempDir),
    Postgres(PgDatabase),
}

impl Database {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// On plain Postgres, or with the engine of this run in its place.
    pub async fn postgres() -> Self {
        Self::Postgres(match Engine::of_this_run() {
            Some((engine, server)) => engine.database(&server).await,
            None => PgDatabase::create(&plain_server()).await,
        })
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("test.db").display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    /// Opens this database as a store. A service must have made the tables before.
    pub async fn store(&self) -> Store {
        let store = Store::open(&Environment::new(&self.url()).config().database).unwrap();
        store.prepare(false).await.unwrap();
        store
    }

    /// Stores `count` closed M1 candles of EURUSD from `start` on, with the values of [`candle`]. Posting as many takes a
    /// minute.
    pub async fn fill_minutes(&self, start: i64, count: i64) {
        const COLUMNS: &str = "symbol, timeframe, timestamp, open, high, low, close, volume";
        const SERIES: &str = "'EURUSD', 'M1'";
        match self {
            Self::Sqlite(_) => {
                let insert = format!(
                    "with recursive n(minute) as (select 0 union all select minute + 1 from n where minute + 1 < {count})
                     insert into market_data_candles ({COLUMNS})
                     select {SERIES}, ({start} + minute * 60) * 1000, '1.08500', '1.08650', '1.08480', '1.08620', 1200 from n"
                );
                let pool = SqlitePool::connect(&self.url()).await.unwrap();
                pool.execute(&*insert).await.unwrap();
                pool.close().await;
            }
            Self::Postgres(database) => {
                let insert = format!(
                    "insert into market_data_candles ({COLUMNS})
                     select {SERIES}, to_timestamp({start} + minute * 60), 1.08500, 1.08650, 1.08480, 1.08620, 1200
                     from generate_series(0, {count} - 1) as minute"
                );
                database.execute(&insert).await;
            }
        }
    }

    /// Makes the forming candles of a symbol older by `seconds`.
    pub async fn age_forming(&self, symbol: &str, seconds: i64) {
        let update =
            |time: &str| format!("update market_data_live_candles set updated_at = {time} where symbol = '{symbol}'");
        match self {
            Self::Sqlite(_) => {
                let pool = SqlitePool::connect(&self.url()).await.unwrap();
                pool.execute(&*update(&format!("updated_at - {seconds}"))).await.unwrap();
                pool.close().await;
            }
            // Citus updates with immutable functions only, which the difference of a time with a zone and an interval is not.
            Self::Postgres(database) => {
                let age = format!("(updated_at at time zone 'UTC' - interval '{seconds} seconds') at time zone 'UTC'");
                database.execute(&update(&age)).await;
            }
        }
    }

    /// Returns the first column of each row of `select`, which has to be text.
    pub async fn rows(&self, select: &str) -> Vec<String> {
        match self {
            Self::Sqlite(_) => {
                let pool = SqlitePool::connect(&self.url()).await.unwrap();
                let rows = pool.fetch_all(select).await.unwrap();
                pool.close().await;
                rows.iter().map(|row| row.get(0)).collect()
            }
            Self::Postgres(database) => {
                let rows = database.connect().await.fetch_all(select).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// All closed candles in the order of their keys, as `symbol timeframe seconds open high low close volume`.
    pub async fn closed(&self) -> Vec<String> {
        self.table("market_data_candles").await
    }

    /// All forming candles, in the same order and form.
    pub async fn forming(&self) -> Vec<String> {
        self.table("market_data_live_candles").await
    }

    async fn table(&self, table: &str) -> Vec<String> {
        let (seconds, collate) = match self {
            Self::Sqlite(_) => ("(timestamp / 1000)", ""),
            Self::Postgres(_) => ("extract(epoch from timestamp)::bigint", "collate \"C\""),
        };
        let select = format!(
            "select symbol || ' ' || timeframe || ' ' || {seconds} || ' ' || open || ' ' || high || ' ' || low || ' ' \
             || close || ' ' || volume from {table} order by symbol {collate}, timeframe {collate}, timestamp"
        );
        self.rows(&select).await
    }
}

/// A Postgres database named `candlewick_test_…`. It is dropped together with this value.
pub struct PgDatabase {
    pub server: String,
    /// The servers over which Citus distributes it.
    pub workers: Vec<String>,
    pub name: String,
    pub url: String,
}

pub fn plain_server() -> String {
    server("TEST_DATABASE_URL")
}

pub fn supabase_server() -> String {
    server("TEST_SUPABASE_DATABASE_URL")
}

fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run `make test`, which starts a server"))
}

impl PgDatabase {
    pub async fn create(server: &str) -> Self {
        Self::create_with(server, "").await
    }

    pub async fn create_with(server: &str, options: &str) -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("candlewick_test_{}", hex::encode(random));
        let mut connection = PgConnection::connect(server).await.unwrap();
        // template1 cannot be cloned while another session is connected to it.
        connection.execute(&*format!("create database {name} template template0 {options}")).await.unwrap();
        connection.close().await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Self { server: server.to_owned(), workers: Vec::new(), name, url: url.into() }
    }

    /// The same database on a server that has taken over from its own.
    pub fn move_to(&mut self, server: &str) {
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&self.name);
        (self.server, self.url) = (server.to_owned(), url.into());
    }

    /// The name for a login of this database. Such a login is dropped together with the database.
    pub fn login(&self) -> String {
        format!("{}_login", self.name)
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub async fn execute(&self, sql: &str) {
        self.connect().await.execute(sql).await.unwrap();
    }

    /// Makes a login as docs/postgres-role.sql does, and returns the database's URL with that login. The tables must
    /// exist.
    pub async fn make_login(&self) -> String {
        let login = self.login();
        let role = include_str!("../../docs/postgres-role.sql").replace("candlewick_service", &login);
        self.execute(&role).await;
        self.execute(&format!("alter role {login} password 'pass-word'")).await;
        self.url_with(|url| {
            url.set_username(&login).unwrap();
            url.set_password(Some("pass-word")).unwrap();
        })
    }

    /// The database's URL with another host, port or login.
    pub fn url_with(&self, change: impl FnOnce(&mut url::Url)) -> String {
        let mut url = url::Url::parse(&self.url).unwrap();
        change(&mut url);
        url.into()
    }
}

/// A lock on the table of closed candles. Every statement of a service on that table waits for it.
pub struct TableLock {
    holder: PgConnection,
    watch: PgConnection,
}

impl TableLock {
    pub async fn take(database: &PgDatabase) -> Self {
        let (mut holder, watch) = (database.connect().await, database.connect().await);
        holder.execute("begin; lock table market_data_candles in access exclusive mode").await.unwrap();
        Self { holder, watch }
    }

    /// Returns once a statement waits for the lock.
    pub async fn is_awaited(&mut self) {
        const WAITING: &str =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually(async || sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut self.watch).await.unwrap() != 0).await;
    }

    pub async fn release(mut self) {
        self.holder.execute("rollback").await.unwrap();
    }
}

impl Drop for PgDatabase {
    fn drop(&mut self) {
        let (name, servers) = (self.name.clone(), [vec![self.server.clone()], self.workers.clone()].concat());
        // This has a thread and a runtime of its own, because the test's may be unwinding.
        let dropping = std::thread::spawn(move || {
            run(async move {
                for server in servers {
                    let mut connection = PgConnection::connect(&server).await.unwrap();
                    connection.execute(&*format!("drop database {name} with (force)")).await.unwrap();
                    connection.execute(&*format!("drop role if exists {name}_login")).await.unwrap();
                }
            });
        });
        let _ = dropping.join();
    }
}

/// Environment variables with the service's settings.
#[derive(Clone)]
pub struct Environment(HashMap<&'static str, String>);

impl Environment {
    pub fn new(database_url: &str) -> Self {
        Self(HashMap::from([
            ("DATABASE_URL", database_url.to_owned()),
            ("PORT", "0".to_owned()),
            ("MT5_API_KEY", format!("terminal:{KEY}")),
            ("INTERNAL_API_TOKEN", format!("chart:{TOKEN}")),
            ("RESEARCH_API_KEY", format!("quant:{RESEARCH_KEY}")),
            // All tests call from one address, and would share its limit.
            ("RATE_LIMIT_ANONYMOUS", "off".to_owned()),
        ]))
    }

    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.0.insert(name, value.to_string());
        self
    }

    pub fn config(&self) -> Config {
        Config::read(&self.variables()).unwrap()
    }

    pub fn variables(&self) -> Variables {
        Variables::from_lookup(|name| Ok(self.0.get(name).cloned()))
    }
}

/// The service, running in this process with a clock that the test sets.
pub struct TestApp {
    pub service: Service,
    pub database: Database,
}

impl std::ops::Deref for TestApp {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl TestApp {
    pub async fn start_on(kind: StoreKind) -> Self {
        Self::start(kind.database().await).await
    }

    pub async fn start(database: Database) -> Self {
        Self::start_with(database, |environment| environment).await
    }

    pub async fn start_with(database: Database, change: impl FnOnce(Environment) -> Environment) -> Self {
        let service = Service::start(&change(Environment::new(&database.url()))).await;
        Self { service, database }
    }
}

/// A running service. Its database belongs to somebody else, such as a [`TestApp`].
pub struct Service {
    address: SocketAddr,
    client: reqwest::Client,
    clock: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), AppError>>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Service {
    /// Starts a service and waits until it has reached its store.
    pub async fn start(environment: &Environment) -> Self {
        let (service, mut ready) = Self::launch(environment);
        ready.wait_for(|ready| *ready).await.expect("the store is reached");
        service
    }

    /// Starts a service without waiting. The receiver becomes true once the service has reached its store.
    pub fn launch(environment: &Environment) -> (Self, tokio::sync::watch::Receiver<bool>) {
        Self::launch_with(&environment.config())
    }

    /// Like [`Self::launch`], for a configuration with values that no variable sets.
    pub fn launch_with(config: &Config) -> (Self, tokio::sync::watch::Receiver<bool>) {
        let clock = Arc::new(AtomicI64::new(NOW));
        let seconds = Arc::clone(&clock);
        let clock_for_app = Clock::new(move || Timestamp::from_seconds(seconds.load(Ordering::SeqCst)).unwrap());
        let (service, ready) = Self::launch_by(config, clock_for_app);
        (Self { clock, ..service }, ready)
    }

    /// Like [`Self::launch_with`], by another clock, which the test cannot set.
    pub fn launch_by(config: &Config, clock: Clock) -> (Self, tokio::sync::watch::Receiver<bool>) {
        let app = App::start(config, clock, None).unwrap();
        let (address, ready) = (app.address(), app.readiness());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run_until(async { drop(stopped.await) }, std::future::pending()));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let clock = Arc::new(AtomicI64::new(NOW));
        let service = Self { address, client, clock, stop: Some(stop), running: Some(running) };
        (service, ready)
    }

    pub fn set_clock(&self, seconds: i64) {
        self.clock.store(seconds, Ordering::SeqCst);
    }

    pub async fn stop(&mut self) -> Result<(), AppError> {
        drop(self.stop.take());
        self.running.take().expect("it runs").await.unwrap()
    }

    /// Waits for the service to end by itself, and returns its result.
    pub async fn end(&mut self) -> Result<(), AppError> {
        self.running.take().expect("it runs").await.unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url()))
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes as they are and reads the answer until the connection closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Posts a body as a terminal does.
    pub async fn post_bytes(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, "/api/v1/candles").header("X-API-KEY", KEY);
        send(request.header("Content-Type", "application/x-www-form-urlencoded").body(body.into())).await
    }

    pub async fn post(&self, body: &Value) -> Answer {
        self.post_bytes(body.to_string()).await
    }

    pub async fn post_lenient(&self, body: &Value) -> Answer {
        let request = self.request(Method::POST, "/api/v1/candles").header("X-API-KEY", KEY);
        send(request.header("Prefer", "handling=lenient").body(body.to_string())).await
    }

    /// Posts candles and returns how many were added, duplicate and live.
    pub async fn ingest(&self, candles: &[Value]) -> (u64, u64, u64) {
        self.post(&json!({ "candles": candles })).await.counts(candles.len())
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(TOKEN)).await
    }

    /// Reads candles of EURUSD H1. `query` holds further parameters, each with an `&` before it.
    pub async fn candles(&self, query: &str) -> Answer {
        self.get(&format!("/api/v1/candles?symbol=EURUSD&timeframe=H1{query}")).await
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.text().await.unwrap() }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The whole answer as text, with `[…]` for the parts that differ between runs.
    pub fn shown(&self) -> String {
        let mut headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
        headers.sort_by_key(|(name, _)| *name);
        let headers = headers.into_iter().map(|(name, value)| match name {
            "date" | "etag" | "ratelimit-remaining" | "ratelimit-reset" | "x-request-id" => format!("{name}: […]\n"),
            _ => format!("{name}: {}\n", value.to_str().unwrap()),
        });
        let body = self.body.replace(self.header("x-request-id").unwrap_or_default(), "[…]");
        format!("{}\n{}\n{body}\n", self.status, headers.collect::<String>())
    }

    /// Checks that this is a problem as the contract describes it, and returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(body["type"].is_string());
        body["detail"].as_str().expect("a detail").to_owned()
    }

    /// Checks that this is a 422, and returns the `loc` and the `type` of each of its errors.
    #[track_caller]
    pub fn errors(&self) -> Vec<(String, String)> {
        self.problem(422, "invalid_values");
        let text = |error: &Value| (error["loc"].to_string(), error["type"].as_str().unwrap().to_owned());
        self.json()["errors"].as_array().unwrap().iter().map(text).collect()
    }

    /// Checks that a batch of `received` candles was stored and that its counts add up. Returns how many were added,
    /// duplicate and live.
    #[track_caller]
    pub fn counts(&self, received: usize) -> (u64, u64, u64) {
        assert_eq!(self.status, StatusCode::CREATED, "{self:?}");
        let body = self.json();
        let count = |name: &str| body[name].as_u64().unwrap_or_else(|| panic!("{name} in {body}"));
        let counts = (count("records_added"), count("records_duplicate"), count("records_live"));
        let rejected = body.get("records_rejected").map_or(0, |count| count.as_u64().unwrap());
        assert_eq!(count("records_received"), received as u64);
        assert_eq!(counts.0 + counts.1 + counts.2 + rejected, received as u64, "{body}");
        counts
    }
}

/// A candle of EURUSD H1 that opened at `time`, with prices around 1.085.
pub fn candle(time: impl Into<Value>) -> Value {
    json!({"symbol": "EURUSD", "timeframe": "H1", "timestamp": time.into(),
           "open": "1.08500", "high": "1.08650", "low": "1.08480", "close": "1.08620", "volume": 1200})
}

/// Sets some fields of a candle.
pub fn with(mut candle: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    candle.as_object_mut().unwrap().extend(fields);
    candle
}
