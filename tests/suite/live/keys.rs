//! Keys and their streams: a stream ends with its key or its session, and a key can be given a part of the places.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{Client, hour, millis};
use crate::harness::{Database, Environment, KEY, NOW, RESEARCH_KEY, Service, StoreKind, TOKEN, TestApp, run, send};
use crate::program::{Serving, folder};

const OTHER: &str = "other-token-for-tests";
const SERIES: &str = "series=H1:EURUSD";
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

/// The cookie of a session of the console in which a credential was entered.
async fn sign_in(url: &str, credential: &str) -> String {
    let request = reqwest::Client::new().post(format!("{url}/console/session")).header(OWN.0, OWN.1);
    let answer = send(request.header("Origin", url).body(json!({ "credential": credential }).to_string())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned()
}

async fn open(request: RequestBuilder) -> Client {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut client = Client { response, buffer: Vec::new(), left: usize::MAX, last_id: None };
    assert_eq!(client.block().await.unwrap(), "retry: 2000\n\n");
    client
}

/// Reads to the end of a stream, which has to be that of a whole answer, and returns its last block.
async fn last_block(client: &mut Client) -> String {
    let mut last = String::new();
    while let Some(block) = client.block().await {
        last = block;
    }
    assert_eq!(client.response.chunk().await.unwrap(), None);
    last
}

#[test]
fn a_revoked_key_ends_its_streams_and_no_other() {
    run(async {
        let folder = folder();
        let tokens = folder.path().join("tokens");
        let research = folder.path().join("research");
        std::fs::write(&tokens, format!("chart:{TOKEN},other:{OTHER}")).unwrap();
        std::fs::write(&research, format!("quant:{RESEARCH_KEY}")).unwrap();
        let variables = [
            ("MT5_API_KEY", KEY),
            ("INTERNAL_API_TOKEN_FILE", tokens.to_str().unwrap()),
            ("RESEARCH_API_KEY_FILE", research.to_str().unwrap()),
            // The job stays in the queue, and its stream goes on.
            ("RESEARCH_THREADS", "0"),
            ("DATABASE_URL", "sqlite://test.db"),
            ("PORT", "0"),
        ];
        let mut serving = Serving::start(folder.path(), &variables);
        serving.is_ready();
        let (url, client) = (serving.url.clone(), reqwest::Client::new());
        let ingest = async |candle| {
            let request = client.post(format!("{url}/api/v1/candles")).header("X-API-KEY", KEY);
            assert_eq!(send(request.body(json!({ "candles": [candle] }).to_string())).await.status, 201);
        };
        ingest(hour(2, json!({}))).await;
        let job = json!({"items": [{"strategy": "sma-cross", "symbol": "EURUSD", "timeframe": "H1",
                                    "ranges": {"fast": {"min": 5, "max": 30, "step": 5}}}], "method": "grid"});
        let started = client.post(format!("{url}/api/v1/optimizations")).header("X-API-KEY", RESEARCH_KEY);
        let started = send(started.body(job.to_string())).await;
        assert_eq!(started.status, 202, "{started:?}");
        let events = format!("{url}/api/v1/jobs/{}/events", started.json()["id"].as_str().unwrap());
        let live = format!("{url}/api/v1/live?{SERIES}");
        let session = sign_in(&url, OTHER).await;
        let mut stays = open(client.get(&live).bearer_auth(TOKEN)).await;
        let mut ends = [
            open(client.get(&live).bearer_auth(OTHER)).await,
            open(client.get(&live).header("Cookie", session).header(OWN.0, OWN.1)).await,
        ];
        let mut job_ends = client.get(&events).header("X-API-KEY", RESEARCH_KEY).send().await.unwrap();
        assert_eq!(job_ends.status(), 200);

        // The first key keeps its streams under a new name. The research key becomes a read token, which has another use.
        std::fs::write(&tokens, format!("chart-new:{TOKEN},{RESEARCH_KEY}")).unwrap();
        std::fs::write(&research, "another-research-key-for-tests").unwrap();
        serving.signal("HUP");
        serving.line_with("the keys were read again");
        for client in &mut ends {
            assert_eq!(last_block(client).await, "retry: 2000\n\n");
        }
        let mut events = Vec::new();
        while let Some(chunk) = job_ends.chunk().await.unwrap() {
            events.extend_from_slice(&chunk);
        }
        assert!(events.ends_with(b"retry: 2000\n\n"), "{}", String::from_utf8_lossy(&events));
        assert_eq!(send(client.get(&live).bearer_auth(OTHER)).await.status, 401);
        assert_eq!(stays.candle().await["timestamp"], millis(2));
        ingest(hour(1, json!({}))).await;
        assert_eq!(stays.candle().await["timestamp"], millis(1));
    });
}

#[test]
fn a_stream_ends_with_the_session_that_opened_it() {
    run(async {
        let app = TestApp::start_on(StoreKind::Sqlite).await;
        app.ingest(&[hour(2, json!({}))]).await;
        let session = sign_in(&app.url(), TOKEN).await;
        let path = format!("/api/v1/live?{SERIES}");
        let mut of_session = open(app.request(Method::GET, &path).header("Cookie", session).header(OWN.0, OWN.1)).await;
        let mut of_token = open(app.request(Method::GET, &path).bearer_auth(TOKEN)).await;
        for client in [&mut of_session, &mut of_token] {
            assert_eq!(client.candle().await["timestamp"], millis(2));
        }
        app.set_clock(NOW + 12 * 3600);
        app.ingest(&[hour(1, json!({}))]).await;
        assert_eq!(last_block(&mut of_session).await, "retry: 2000\n\n");
        assert_eq!(of_token.candle().await["timestamp"], millis(1));
    });
}

#[test]
fn a_key_has_as_many_streams_as_it_is_given() {
    run(async {
        let tokens = format!("chart:{TOKEN},other:{OTHER}");
        let limited = |environment: Environment| {
            let environment = environment.with("INTERNAL_API_TOKEN", &tokens).with("LIVE_MAX_STREAMS", 5);
            environment.with("LIVE_MAX_STREAMS_PER_KEY", 3)
        };
        let app = TestApp::start_with(Database::sqlite(), limited).await;
        let request = |token: &str| app.request(Method::GET, &format!("/api/v1/live?{SERIES}")).bearer_auth(token);
        let session = sign_in(&app.url(), TOKEN).await;
        let by_session = || app.request(Method::GET, &format!("/api/v1/live?{SERIES}")).header(OWN.0, OWN.1);
        let mut clients = vec![open(request(TOKEN)).await, open(by_session().header("Cookie", &session)).await];
        clients.push(open(request(TOKEN)).await);
        for refused in [request(TOKEN), by_session().header("Cookie", &session)] {
            let detail = send(refused).await.problem(503, "overloaded");
            assert!(detail.contains("LIVE_MAX_STREAMS_PER_KEY (3)"), "{detail}");
        }
        // The other key has the rest of the places, and the share comes back with the connection.
        let _others = [open(request(OTHER)).await, open(request(OTHER)).await];
        let detail = send(request(OTHER)).await.problem(503, "overloaded");
        assert!(detail.contains("LIVE_MAX_STREAMS (5)"), "{detail}");
        clients.pop();
        while request(TOKEN).send().await.unwrap().status() != 200 {}
    });
}

#[test]
fn a_key_may_have_every_stream_unless_it_is_given_a_part() {
    run(async {
        let database = Database::sqlite();
        let environment = Environment::new(&database.url()).with("LIVE_MAX_STREAMS", 2);
        let limits = environment.config().limits;
        assert_eq!((limits.max_streams, limits.max_streams_per_key), (2, 2));
        let app = Service::start(&environment).await;
        let _clients = [Client::open(&app, SERIES).await, Client::open(&app, SERIES).await];
        let detail = app.get(&format!("/api/v1/live?{SERIES}")).await.problem(503, "overloaded");
        assert!(detail.contains("LIVE_MAX_STREAMS (2)"), "{detail}");
    });
}
