//! Rate limits that replicas share by Redis, and each replica's own limits while Redis does not decide.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Database, Environment, KEY, Service, TOKEN, eventually, run, send};
use crate::program::{Serving, folder, output, program};
use crate::proxy::{Link, Proxy};
use crate::redis_server::RedisServer;
use crate::telemetry::{scrape, start};

const CANDLES: &str = "/api/v1/candles?symbol=EURUSD&timeframe=H1";
const SECOND_TOKEN: &str = "second-read-token-for-tests";
const MONITOR: &str = "monitor-token-for-tests";
/// 60 requests at once, and one more every two seconds.
const LIMIT: &str = "30/m";
const BURST: u64 = 60;
const REFILL: Duration = Duration::from_secs(2);
/// The time that Redis has for a decision here, so that a busy machine is not taken for a Redis that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Replicas of one deployment, each with a database of its own, because the databases do not matter here.
struct Replicas {
    services: Vec<Service>,
    _databases: Vec<Database>,
}

impl Replicas {
    async fn start(count: usize, redis_url: &str, change: impl Fn(Environment) -> Environment) -> Self {
        let (mut services, mut databases) = (Vec::new(), Vec::new());
        for number in 0..count {
            let database = Database::sqlite();
            // Each calls the token by another name. The monitor's token has the same limit, which no test uses up.
            let tokens = format!("replica-{number}:{TOKEN},second:{SECOND_TOKEN},monitor-{number}:{MONITOR}-{number}");
            let environment = Environment::new(&database.url())
                .with("INTERNAL_API_TOKEN", tokens)
                .with("RATE_LIMIT_QUERY", LIMIT)
                .with("RATE_LIMIT_REDIS_URL", redis_url);
            let mut config = change(environment).config();
            config.shared_limits.as_mut().unwrap().decision_timeout = PATIENCE;
            let (service, mut ready) = Service::launch_with(&config);
            ready.wait_for(|ready| *ready).await.unwrap();
            services.push(service);
            databases.push(database);
        }
        let replicas = Self { services, _databases: databases };
        replicas.report("ok").await;
        replicas
    }

    /// Returns once every replica reports this state of its limits.
    async fn report(&self, state: &str) {
        // An operator asks rarely, and a limit of 30 a minute has no room for more.
        let details = async |number: usize| {
            let request = self.services[number].request(Method::GET, "/api/v1/health/detailed");
            send(request.bearer_auth(format!("{MONITOR}-{number}"))).await.json()
        };
        for number in 0..self.services.len() {
            let mut wait = Duration::from_millis(20);
            loop {
                let details = details(number).await;
                assert!(details["shared_limits"].is_string(), "{details}");
                if details["shared_limits"] == state {
                    break;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(1));
            }
        }
    }

    /// Sends `count` requests with a token in turn, and returns how many each replica let pass.
    async fn let_pass(&self, token: &str, count: usize) -> Vec<u64> {
        let mut passed = vec![0; self.services.len()];
        for n in 0..count {
            let replica = n % self.services.len();
            let request = self.services[replica].request(Method::GET, CANDLES).bearer_auth(token);
            let answer = send(request).await;
            passed[replica] += u64::from(was_let_pass(&answer));
        }
        passed
    }
}

/// False for a refusal by a limit, which has to be complete.
#[track_caller]
fn was_let_pass(answer: &Answer) -> bool {
    let number = |name: &str| answer.header(name).unwrap_or_else(|| panic!("{name}")).parse::<u64>().unwrap();
    if answer.status != 429 {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(number("ratelimit-limit"), BURST);
        assert!(number("ratelimit-remaining") < BURST && number("ratelimit-reset") > 0);
        return true;
    }
    answer.problem(429, "rate_limited");
    assert_eq!(number("ratelimit-remaining"), 0);
    assert!((1..=2).contains(&number("retry-after")), "{answer:?}");
    assert!((1..=2 * BURST).contains(&number("ratelimit-reset")), "{answer:?}");
    false
}

/// The most that one bucket can have let pass since `start`.
fn bound(start: Instant, burst: u64, refill: Duration) -> u64 {
    burst + start.elapsed().as_secs() / refill.as_secs() + 1
}

#[test]
fn replicas_share_the_limit_of_a_key_whatever_they_call_it() {
    run(async {
        let Some(redis) = RedisServer::start().await else { return };
        let replicas = Replicas::start(3, &redis.url(), |environment| environment).await;
        let start = Instant::now();
        let passed = replicas.let_pass(TOKEN, 120).await;
        let all: u64 = passed.iter().sum();
        assert!((BURST..=bound(start, BURST, REFILL)).contains(&all), "{passed:?} in {:?}", start.elapsed());
        assert!(passed.iter().all(|passed| *passed >= 20), "each replica had its turn: {passed:?}");
        // Another key's requests are its own.
        let start = Instant::now();
        let all: u64 = replicas.let_pass(SECOND_TOKEN, 90).await.iter().sum();
        assert!((BURST..=bound(start, BURST, REFILL)).contains(&all), "{all}");

        // No secret is in Redis, and every bucket is gone once it is full.
        let keys: BTreeSet<String> = redis.command(&["keys", "*"]).await.unwrap();
        assert!(keys.iter().all(|key| key.starts_with("candlewick:q:") && !key.contains("token")), "{keys:?}");
        for key in keys {
            let ttl: i64 = redis.command(&["pttl", &key]).await.unwrap();
            assert!(ttl == -2 || (0..=120_000).contains(&ttl), "{key} {ttl}");
        }
    });
}

#[test]
fn answers_count_the_requests_of_all_replicas() {
    run(async {
        let Some(redis) = RedisServer::start().await else { return };
        let replicas =
            Replicas::start(2, &redis.url(), |environment| environment.with("RATE_LIMIT_INGEST", "1/m")).await;
        let mut answers = Vec::new();
        for replica in [0, 1, 0] {
            let request = replicas.services[replica].request(Method::GET, "/api/v1/series").header("X-API-KEY", KEY);
            let answer = send(request).await;
            answers.push((answer.status.as_u16(), answer.header("ratelimit-remaining").unwrap().to_owned()));
        }
        let expected = [(200, "1"), (200, "0"), (429, "0")];
        assert_eq!(answers, expected.map(|(status, left)| (status, left.to_owned())));
    });
}

#[test]
fn an_address_may_try_ten_wrong_keys_on_all_replicas_together() {
    run(async {
        let Some(redis) = RedisServer::start().await else { return };
        let replicas =
            Replicas::start(3, &redis.url(), |environment| environment.with("RATE_LIMIT_ANONYMOUS", "1000/s")).await;
        let start = Instant::now();
        let (mut tried, mut advised) = (0, 0);
        for n in 0..45 {
            let service = &replicas.services[n % 3];
            let answer = send(service.request(Method::GET, CANDLES).bearer_auth(format!("guess-{n}"))).await;
            assert!([401, 429].contains(&answer.status.as_u16()), "{answer:?}");
            tried += u64::from(answer.status == 401);
            // A right key in a wrong place is looked for as often.
            let answer = send(service.request(Method::GET, &format!("{CANDLES}&token={TOKEN}"))).await;
            let detail = answer.problem(401, "unauthorized");
            advised += u64::from(detail != "Invalid or missing API Key");
        }
        let most = bound(start, 10, Duration::from_secs(6));
        assert!((10..=most).contains(&tried), "{tried} tried in {:?}", start.elapsed());
        assert!((10..=most).contains(&advised), "{advised} advised in {:?}", start.elapsed());
        assert_eq!(replicas.let_pass(TOKEN, 3).await, [1, 1, 1], "right keys are not limited by wrong ones");
    });
}

#[test]
fn an_address_has_one_limit_for_requests_without_a_key() {
    run(async {
        let Some(redis) = RedisServer::start().await else { return };
        let replicas =
            Replicas::start(3, &redis.url(), |environment| environment.with("RATE_LIMIT_ANONYMOUS", "10/m")).await;
        let start = Instant::now();
        let mut passed = 0;
        for n in 0..60 {
            let answer = send(replicas.services[n % 3].request(Method::GET, "/nowhere")).await;
            passed += u64::from(answer.status != 429);
        }
        let most = bound(start, 20, Duration::from_secs(6));
        assert!((20..=most).contains(&passed), "{passed} passed in {:?}", start.elapsed());
    });
}

/// Causes a fault, sees that each replica limits alone and answers everything, and ends the fault.
async fn survives(
    replicas: &Replicas,
    redis: &mut RedisServer,
    fault: impl AsyncFnOnce(&mut RedisServer),
    end: impl AsyncFnOnce(&mut RedisServer),
) {
    fault(redis).await;
    let start = Instant::now();
    let alone = replicas.let_pass(TOKEN, 180).await;
    for passed in &alone {
        assert!((BURST..=bound(start, BURST, REFILL)).contains(passed), "{alone:?} in {:?}", start.elapsed());
    }
    replicas.report("unavailable").await;
    for service in &replicas.services {
        assert_eq!(send(service.request(Method::GET, "/health")).await.status, 200);
    }
    end(redis).await;
    replicas.report("ok").await;
    let start = Instant::now();
    let all: u64 = replicas.let_pass(SECOND_TOKEN, 100).await.iter().sum();
    assert!((BURST..=bound(start, BURST, REFILL)).contains(&all), "{all} in {:?}", start.elapsed());
}

#[test]
fn replicas_limit_alone_while_redis_is_down() {
    run(async {
        let Some(mut redis) = RedisServer::start().await else { return };
        let replicas = Replicas::start(2, &redis.url(), |environment| environment).await;
        survives(&replicas, &mut redis, async |redis| redis.kill(), async |redis| redis.start_again()).await;
    });
}

#[test]
fn replicas_limit_alone_while_redis_is_frozen() {
    run(async {
        let Some(mut redis) = RedisServer::start().await else { return };
        let replicas = Replicas::start(2, &redis.url(), |environment| environment).await;
        survives(&replicas, &mut redis, async |redis| redis.signal("STOP"), async |redis| redis.signal("CONT")).await;
    });
}

#[test]
fn replicas_limit_alone_while_redis_is_full() {
    run(async {
        let Some(mut redis) = RedisServer::start().await else { return };
        let replicas = Replicas::start(2, &redis.url(), |environment| environment).await;
        let limit = async |redis: &mut RedisServer, bytes: &str| {
            redis.command::<String>(&["config", "set", "maxmemory-policy", "noeviction"]).await.unwrap();
            redis.command::<String>(&["config", "set", "maxmemory", bytes]).await.unwrap();
        };
        survives(&replicas, &mut redis, async |redis| limit(redis, "1").await, async |redis| limit(redis, "0").await)
            .await;
    });
}

#[test]
fn replicas_limit_alone_while_redis_only_reads() {
    run(async {
        let Some(mut redis) = RedisServer::start().await else { return };
        let replicas = Replicas::start(2, &redis.url(), |environment| environment).await;
        let follow = async |redis: &mut RedisServer, host: &str, port: &str| {
            redis.command::<String>(&["replicaof", host, port]).await.unwrap();
        };
        // As after a failover: it follows a server that took its place, which is not there yet.
        let fault = async |redis: &mut RedisServer| follow(redis, "127.0.0.1", "1").await;
        survives(&replicas, &mut redis, fault, async |redis| follow(redis, "no", "one").await).await;
    });
}

#[test]
fn replicas_limit_alone_while_redis_is_slow_or_answers_nonsense() {
    run(async {
        const BAD_LINKS: [Link; 4] = [
            Link::Delayed(Duration::from_secs(4)),
            Link::Nonsense("HTTP/1.1 400 Bad Request\r\n\r\n"),
            Link::Nonsense("+OK\r\n"),
            // It lets pass, and claims that more requests are left than the limit has.
            Link::Nonsense("*4\r\n:1\r\n:4000\r\n:1000\r\n:0\r\n"),
        ];
        for link in BAD_LINKS {
            let Some(mut redis) = RedisServer::start().await else { return };
            let mut proxy = Proxy::to_address(redis.address()).await;
            proxy.up().await;
            let url = format!("redis://{}", proxy.address());
            let replicas = Replicas::start(2, &url, |environment| environment).await;
            survives(&replicas, &mut redis, async |_| proxy.set(link), async |_| proxy.set(Link::Open)).await;
        }
    });
}

#[test]
fn a_flushed_redis_forgets_and_each_replica_remembers_its_own_requests() {
    run(async {
        let Some(redis) = RedisServer::start().await else { return };
        let replicas = Replicas::start(2, &redis.url(), |environment| environment).await;
        let start = Instant::now();
        let first: u64 = replicas.let_pass(TOKEN, 70).await.iter().sum();
        assert!((BURST..=bound(start, BURST, REFILL)).contains(&first), "{first}");
        for command in [&["flushall"][..], &["script", "flush"]] {
            redis.command::<String>(command).await.unwrap();
        }
        // Each replica has counted 35 of them, and has room for 25 more.
        let second: u64 = replicas.let_pass(TOKEN, 100).await.iter().sum();
        let refilled = bound(start, 0, REFILL);
        assert!((2 * 25..=2 * (25 + refilled)).contains(&second), "{second}");
        replicas.report("ok").await;
    });
}

/// A program whose limits are shared, and the address of its metrics.
fn serve(folder: &Path, variables: &[(&str, &str)]) -> (Serving, String) {
    start(folder, &[&[("RATE_LIMIT_ANONYMOUS", "off")], variables].concat())
}

async fn details(serving: &Serving) -> Value {
    let url = format!("{}/api/v1/health/detailed", serving.url);
    send(reqwest::Client::new().get(url).bearer_auth(TOKEN)).await.json()
}

#[test]
fn each_turn_is_logged_and_measured_and_no_secret_is_in_it() {
    run(async {
        const SHARED: &str = "rate limits are shared";
        const NOT_SHARED: &str = "rate limits are not shared";
        let Some(mut redis) = RedisServer::start_with(&["--requirepass", "geheim"]) else { return };
        let own = folder();
        let file = own.path().join("redis-url");
        std::fs::write(&file, format!("redis://:geheim@{}/2\n", redis.address())).unwrap();
        let (mut serving, admin) =
            serve(own.path(), &[("RATE_LIMIT_REDIS_URL_FILE", file.to_str().unwrap()), ("LOG_LEVEL", "trace")]);
        let gauge = async || scrape(&admin).await["candlewick_rate_limiter_shared"];
        let becomes = async |state: &str, value: f64| {
            // A request probes, once it is time.
            eventually(async || details(&serving).await["shared_limits"] == state).await;
            eventually(async || (gauge().await - value).abs() < 0.1).await;
        };
        becomes("ok", 1.0).await;
        redis.kill();
        becomes("unavailable", 0.0).await;
        assert!(scrape(&admin).await["candlewick_rate_limiter_fallbacks_total"] >= 1.0);
        redis.start_again();
        becomes("ok", 1.0).await;
        serving.signal("TERM");
        serving.first_line_with(SHARED);
        let (code, printed) = serving.end();
        assert_eq!(code, Some(0), "{printed}");
        assert!(!printed.contains("geheim"), "{printed}");
        // A line at each turn, and none for the same state twice.
        let turns = printed.lines().filter(|line| line.contains("rate limits are "));
        let turns: Vec<_> = turns.map(|line| (line.contains(NOT_SHARED), line)).collect();
        assert!(turns.len() >= 3 && turns.windows(2).all(|pair| pair[0].0 != pair[1].0), "{turns:#?}");
        assert!(turns.iter().all(|(not, line)| line.contains(if *not { " WARN " } else { " INFO " })), "{turns:#?}");
        assert!(turns.iter().filter(|turn| turn.0).all(|turn| turn.1.contains("error=")), "{turns:#?}");
    });
}

#[test]
fn a_wrong_password_is_told_and_keeps_nobody_out() {
    run(async {
        let Some(redis) = RedisServer::start_with(&["--requirepass", "geheim"]) else { return };
        let own = folder();
        let url = format!("redis://:falsch@{}", redis.address());
        let (mut serving, _) = serve(own.path(), &[("RATE_LIMIT_REDIS_URL", &url)]);
        let line = serving.first_line_with("rate limits are not shared");
        assert!(!line.contains("falsch") && line.contains("error="), "{line}");
        assert_eq!(details(&serving).await["shared_limits"], "unavailable");
    });
}

/// The login that docs/operations/shared-limits.md makes, on a socket.
#[test]
fn a_login_for_the_limits_alone_is_enough() {
    run(async {
        let own = folder();
        let socket = own.path().join("redis.sock");
        let Some(redis) = RedisServer::start_with(&["--unixsocket", socket.to_str().unwrap()]) else { return };
        let page = include_str!("../../docs/operations/shared-limits.md");
        let line = page.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER ")).unwrap();
        let words: Vec<&str> = ["acl", "setuser"].into_iter().chain(line.split(' ')).collect();
        eventually(async || redis.command::<String>(&words).await.is_ok()).await;
        redis.command::<String>(&["acl", "setuser", "default", "off"]).await.unwrap();
        let url = format!("unix://{}?db=3&user=candlewick&pass=PASSWORD", socket.display());
        let replicas = Replicas::start(2, &url, |environment| environment).await;
        let start = Instant::now();
        let all: u64 = replicas.let_pass(TOKEN, 100).await.iter().sum();
        assert!((BURST..=bound(start, BURST, REFILL)).contains(&all), "{all} in {:?}", start.elapsed());
    });
}

#[test]
fn redis_is_reached_over_tls() {
    run(async {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let own = folder();
        let path = |name: &str| own.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = [
            ["--tls-port", &port.to_string()],
            ["--tls-cert-file", &path("cert.pem")],
            ["--tls-key-file", &path("key.pem")],
            ["--tls-auth-clients", "no"],
        ];
        let Some(_redis) = RedisServer::start_with(&settings.concat()) else { return };
        let url = format!("rediss://localhost:{port}");
        let trusting = [("RATE_LIMIT_REDIS_URL", &*url), ("SSL_CERT_FILE", &path("cert.pem"))];
        let (serving, _) = serve(own.path(), &trusting);
        eventually(async || details(&serving).await["shared_limits"] == "ok").await;

        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(path("other.pem"), other.cert.pem()).unwrap();
        let distrusting = [("RATE_LIMIT_REDIS_URL", &*url), ("SSL_CERT_FILE", &path("other.pem"))];
        let elsewhere = folder();
        let (mut serving, _) = serve(elsewhere.path(), &distrusting);
        let line = serving.first_line_with("rate limits are not shared");
        assert!(line.to_lowercase().contains("certificate"), "{line}");
    });
}

#[test]
fn check_asks_redis_and_changes_nothing() {
    run(async {
        let Some(mut redis) = RedisServer::start().await else { return };
        let own = folder();
        let check = |url: &str| {
            let variables = [("RATE_LIMIT_REDIS_URL", url), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)];
            let (code, report, _) = output(program(own.path(), &variables).args(["check", "--port", "0"]));
            println!("{report}");
            (code, report)
        };
        eventually(async || check(&redis.url()).1.contains("ok       redis  it decides in time")).await;
        assert_eq!(redis.command::<Vec<String>>(&["keys", "*"]).await.unwrap(), Vec::<String>::new());
        let (code, report) = check(&format!("redis://:geheim@{}", redis.address()));
        assert_eq!(code, 0, "a start does not need it");
        assert!(report.contains("warning  redis  it does not decide") && !report.contains("geheim"), "{report}");
        redis.kill();
        let (code, report) = check(&redis.url());
        assert_eq!(code, 0);
        assert!(report.contains("until it does, each replica limits requests alone"), "{report}");
        let (code, report) = check("https://:geheim@redis.example.com");
        assert_eq!(code, 2);
        assert!(report.contains("RATE_LIMIT_REDIS_URL must be the URL of a Redis server"), "{report}");
        assert!(!report.contains("geheim"), "{report}");
    });
}

/// The script alone, on values that no replica stores.
#[test]
fn a_bucket_is_counted_by_the_clock_of_the_server() {
    run(async {
        type Taken = (u8, u32, u64, u64);
        const SECOND: u64 = 1_000_000;
        let Some(redis) = RedisServer::start().await else { return };
        let script = redis::Script::new(include_str!("../../src/http/middleware/shared_limits/gcra.lua"));
        let client = redis::Client::open(redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut take = async |key: &str, nanoseconds: u64, capacity: u32| -> Taken {
            script.key(key).arg(nanoseconds).arg(capacity).invoke_async(&mut connection).await.unwrap()
        };
        // One comes back in an hour, so the time of the test does not matter.
        let hour = 3600 * SECOND;
        for left in (0..5).rev() {
            let (passed, remaining, reset, wait) = take("five", hour * 1000, 5).await;
            let taken = u64::from(5 - left);
            assert_eq!((passed, remaining, wait), (1, left, 0));
            assert!((taken * hour - 60 * SECOND..=taken * hour).contains(&reset), "{reset}");
        }
        let (passed, remaining, reset, wait) = take("five", hour * 1000, 5).await;
        assert_eq!((passed, remaining), (0, 0));
        assert!((hour - 60 * SECOND..=hour).contains(&wait) && reset == wait + 4 * hour, "{wait} {reset}");
        let ttl: u64 = redis.command(&["pttl", "five"]).await.unwrap();
        assert!((5 * hour / 1000 - 60_000..=5 * hour / 1000).contains(&ttl), "it expires once it is full: {ttl}");

        // A bucket that holds nothing is not stored.
        assert_eq!(take("none", 1000, 0).await.0, 0);
        assert_eq!(redis.command::<u32>(&["exists", "none"]).await.unwrap(), 0);
        // The fastest limit, of which a burst passes.
        for _ in 0..1000 {
            assert_eq!(take("fast", 1000, 2_000_000).await.0, 1);
        }
        // A clock that was set back, and a value that nobody wrote.
        for value in ["9e18", "1e300", "inf"] {
            redis.command::<String>(&["set", "future", value]).await.unwrap();
            let (passed, _, reset, wait) = take("future", hour * 1000, 2).await;
            assert_eq!((passed, reset, wait), (0, 2 * hour, hour), "{value}");
        }
        for value in ["", "text", "nan", "-1e300", "-inf"] {
            redis.command::<String>(&["set", "past", value]).await.unwrap();
            assert_eq!(take("past", hour * 1000, 2).await, (1, 1, hour, 0), "{value}");
        }
    });
}
