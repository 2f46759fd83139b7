//! Tests the shipped rules and dashboard with a real Prometheus, which scrapes the real program while clients use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle::Timeframe;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::harness::{KEY, PgDatabase, TOKEN, candle, plain_server, program_of, run, send, with};
use crate::program::{Serving, folder};
use crate::telemetry::start;

/// The time limit of the whole test.
/// The time limit until Prometheus knows what a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two queries.
const PAUSE: Duration = Duration::from_millis(300);

fn monitoring(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(path)
}

#[test]
fn rules_and_dashboard_use_only_existing_metrics() {
    let Some(program) = program_of("TEST_PROMETHEUS") else { return };
    run(async {
        let database = PgDatabase::create(&plain_server()).await;
        let own = folder();
        // Nothing listens there, so the limits are not shared, and the rules see that.
        let variables = [("DATABASE_URL", &*database.url), ("RATE_LIMIT_REDIS_URL", "redis://127.0.0.1:1")];
        let (serving, admin) = start(own.path(), &variables);
        fail_once(&serving, &database).await;
        let prometheus = Prometheus::start(&program, admin.trim_start_matches("http://")).await;

        let dashboard = dashboard();
        let rules = rules_once_evaluated(&prometheus, &serving).await;
        let mut asked = dashboard.expressions;
        let mut labels: BTreeMap<_, _> = dashboard.labels.into_iter().chain(rules.labels).collect();
        assert!(asked.len() > 30, "the dashboard was read: {asked:?}");
        let mut selectors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (place, expression) in asked.iter().chain(&rules.expressions) {
            let names = Names::of(expression);
            for (selector, matched) in names.selectors {
                selectors.entry(selector.clone()).or_default().insert(place.clone());
                let metric = selector.split('{').next().unwrap();
                for label in matched {
                    selectors.entry(format!("{metric}{{{label}!=\"\"}}")).or_default().insert(place.clone());
                }
            }
            labels.extend(names.labels.into_iter().map(|label| (label, place.clone())));
        }

        // Waits until every name in a rule exists and every query of the dashboard has a result.
        let deadline = Instant::now() + PATIENCE;
        loop {
            use_it(&serving).await;
            let mut unanswered = Vec::new();
            for (place, expression) in asked {
                let found = prometheus.get("query", &[("query", &expression)]).await;
                if found["result"].as_array().unwrap().is_empty() {
                    unanswered.push((place, expression));
                }
            }
            asked = unanswered;
            let mut unknown = BTreeMap::new();
            for (selector, places) in selectors {
                let found = prometheus.get("series", &[("match[]", &selector)]).await;
                if found.as_array().unwrap().is_empty() {
                    unknown.insert(selector, places);
                }
            }
            selectors = unknown;
            let known = prometheus.get("labels", &[]).await;
            labels.retain(|label, _| !known.as_array().unwrap().contains(&json!(label)));
            if asked.is_empty() && selectors.is_empty() && labels.is_empty() {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "these queries have no result: {asked:#?}, and these series and labels do not exist: {selectors:#?} \
                 {labels:#?}"
            );
            sleep(PAUSE).await;
        }

        let limits = prometheus.get("query", &[("query", "candle:age_limit:seconds")]).await;
        let limited =
            limits["result"].as_array().unwrap().iter().map(|limit| limit["metric"]["timeframe"].as_str().unwrap());
        assert_eq!(
            limited.collect::<BTreeSet<_>>(),
            Timeframe::ALL.iter().map(|timeframe| timeframe.name()).collect(),
            "every timeframe has a limit"
        );
        check_metrics(&admin).await;
    });
}

/// Makes one request fail by renaming a column for its duration, so that the metrics of failures have series.
async fn fail_once(serving: &Serving, database: &PgDatabase) {
    let url = format!("{}/api/v1/candles?symbol=EURUSD&timeframe=H1", serving.url);
    database.execute("alter table market_data_candles rename column volume to ticks").await;
    send(reqwest::Client::new().get(url).bearer_auth(TOKEN)).await.problem(500, "internal");
    database.execute("alter table market_data_candles rename column ticks to volume").await;
}

/// Sends requests as terminals and charts do, some of which the service refuses.
async fn use_it(serving: &Serving) {
    let candles = "/api/v1/candles";
    let page = "/api/v1/candles?symbol=EURUSD&timeframe=H1";
    let good = json!({"candles": [candle(1_754_215_200)]}).to_string();
    let bad = json!({"candles": [with(candle(1_754_215_200), json!({"volume": -1}))]}).to_string();
    let client = reqwest::Client::new();
    let request = |method, path| client.request(method, format!("{}{path}", serving.url));
    for (request, status) in [
        (request(Method::POST, candles).header("X-API-KEY", KEY).body(good), 201),
        (request(Method::POST, candles).header("X-API-KEY", KEY).body(bad), 422),
        (request(Method::GET, page).bearer_auth(TOKEN), 200),
        (request(Method::HEAD, page).bearer_auth(TOKEN), 200),
        (request(Method::GET, "/api/v1/series").bearer_auth(TOKEN), 200),
        (request(Method::GET, page).header("X-API-KEY", KEY), 403),
    ] {
        assert_eq!(send(request).await.status, status);
    }
}

/// Queries and displayed labels, each with the name of its rule or panel.
struct Asked {
    expressions: Vec<(String, String)>,
    labels: Vec<(String, String)>,
}

/// Waits until Prometheus has evaluated all rules, checks the alerts among them, and returns the queries of the rules
/// and the labels in the texts of the alerts.
async fn rules_once_evaluated(prometheus: &Prometheus, serving: &Serving) -> Asked {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    let rules: Vec<Value> = loop {
        use_it(serving).await;
        let groups = prometheus.get("rules", &[]).await["groups"].take();
        let rules: Vec<_> =
            groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        let failed: Vec<_> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        assert!(failed.is_empty(), "{failed:#?}");
        if !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok") {
            break rules;
        }
        assert!(Instant::now() < deadline, "some rules were never evaluated: {rules:#?}");
        sleep(PAUSE).await;
    };
    let readme = fs::read_to_string(monitoring("README.md")).unwrap();
    let tests =
        fs::read_dir(monitoring("tests")).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let tests: String = tests.collect();
    let mut labels = Vec::new();
    for alert in rules.iter().filter(|rule| rule["type"] == "alerting") {
        let (name, annotations) = (text(&alert["name"]), &alert["annotations"]);
        assert!(["summary", "description"].iter().all(|part| annotations[part].is_string()), "{alert:#?}");
        assert!(
            ["page", "ticket", "none"].iter().any(|severity| alert["labels"]["severity"] == *severity),
            "{alert:#?}"
        );
        assert_eq!(annotations["runbook"], format!("monitoring/README.md#{}", name.to_lowercase()));
        assert!(readme.contains(&format!("\n### {name}\n")), "the README says what to do when {name} fires");
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is tested");
        let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        labels.extend(annotations.to_string().split("$labels.").skip(1).map(|label| (word(label), name.clone())));
        for firing in alert["alerts"].as_array().unwrap() {
            assert!(!firing["annotations"].to_string().contains("<error"), "{firing:#?}");
        }
    }
    Asked { expressions: rules.iter().map(|rule| (text(&rule["name"]), text(&rule["query"]))).collect(), labels }
}

/// Returns the queries and labels of the dashboard's panels and annotations.
fn dashboard() -> Asked {
    let text = fs::read_to_string(monitoring("grafana/dashboards/candlewick.json")).unwrap();
    let content: Value = serde_json::from_str(&text).unwrap();
    let annotations = content["annotations"]["list"].as_array().unwrap();
    let mut found = Asked { expressions: Vec::new(), labels: Vec::new() };
    let panels = content["panels"].as_array().unwrap().iter();
    let targets =
        panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten().map(move |target| (panel, target)));
    for (panel, target) in targets.chain(annotations.iter().map(|annotation| (annotation, annotation))) {
        let place = panel["title"].as_str().or(panel["name"].as_str()).unwrap().to_owned();
        let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "15s");
        assert!(!expression.contains('$'), "{expression} has a variable that is not known here");
        let legends = [&target["legendFormat"], &target["titleFormat"]].into_iter().filter_map(Value::as_str);
        for legend in legends {
            let labels = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().to_owned());
            found.labels.extend(labels.map(|label| (label, place.clone())));
        }
        found.expressions.push((place, expression));
    }
    found
}

/// The names in an expression of Prometheus.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Selectors of series without their ranges, each with the labels that it matches.
    selectors: Vec<(String, Vec<String>)>,
    /// Labels by which the expression groups or joins.
    labels: Vec<String>,
}

impl Names {
    fn of(expression: &str) -> Self {
        const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
        const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
        let mut names = Self::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            let end = |part: fn(char) -> bool| rest.find(|c| !part(c)).unwrap_or(rest.len());
            let length = match first {
                '"' => 2 + rest[1..].find('"').unwrap(),
                '[' => 1 + rest.find(']').unwrap(),
                '0'..='9' => end(|c| c.is_ascii_alphanumeric() || c == '.'),
                'a'..='z' | 'A'..='Z' | '_' | ':' => end(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'),
                _ => first.len_utf8(),
            };
            let (word, after) = rest.split_at(length);
            rest = after;
            if !first.is_ascii_alphabetic() || WORDS.contains(&word) {
                continue;
            }
            let after = after.trim_start();
            if GROUPING.contains(&word) {
                let list = after.strip_prefix('(').unwrap().split(')').next().unwrap();
                names
                    .labels
                    .extend(list.split(',').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned));
                rest = &after[list.len() + 2..];
            } else if let Some(matchers) = after.strip_prefix('{') {
                let matchers = &matchers[..matchers.find('}').unwrap()];
                let label = |matcher: &str| matcher.split(['=', '!']).next().unwrap().trim().to_owned();
                names.selectors.push((format!("{word}{{{matchers}}}"), split_matchers(matchers).map(label).collect()));
                rest = &after[matchers.len() + 2..];
            } else if !after.starts_with('(')
                && !GROUPING.iter().any(|grouping| after.starts_with(&format!("{grouping} (")))
            {
                names.selectors.push((word.to_owned(), Vec::new()));
            }
        }
        names
    }
}

/// Splits at the commas outside of quotes.
fn split_matchers(matchers: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    matchers.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

#[test]
fn metric_names_are_extracted_from_expressions() {
    let found = Names::of(
        r#"sum by (instance, le) (rate(a_total{x=~"b,(c|d)",y!=""}[5m])) / on (instance) group_left () b:c - 2 * time() or min(e) > bool 1h"#,
    );
    let selector =
        |text: &str, labels: &[&str]| (text.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect());
    let selectors =
        vec![selector(r#"a_total{x=~"b,(c|d)",y!=""}"#, &["x", "y"]), selector("b:c", &[]), selector("e", &[])];
    assert_eq!(found, Names { selectors, labels: ["instance", "le", "instance"].map(str::to_owned).to_vec() });
}

/// Checks that `promtool check metrics` accepts a scrape. Its only complaint may be about a name that OpenTelemetry
/// prescribes.
async fn check_metrics(admin: &str) {
    let Some(promtool) = program_of("TEST_PROMTOOL") else { return };
    let scrape = send(reqwest::Client::new().get(format!("{admin}/metrics"))).await.body;
    let mut check = Command::new(promtool);
    let mut check = check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let others: Vec<_> = complaints
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("db_client_connection_count "))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// A Prometheus with the shipped rules that scrapes one instance each second.
struct Prometheus {
    child: Child,
    url: String,
    folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts Prometheus, and tries another port if somebody took the chosen one in the meantime.
    async fn start(program: &str, target: &str) -> Self {
        let shipped = fs::read_to_string(monitoring("prometheus.yml")).unwrap();
        assert!(shipped.contains("job_name: candlewick"), "rules and dashboard rely on this name");
        let rules = monitoring("rules/*.yml");
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules.to_str().unwrap()],
            "scrape_configs": [{"job_name": "candlewick", "static_configs": [{"targets": [target]}]}],
        });
        loop {
            let own = folder();
            // Prometheus reads YAML, and every JSON document is YAML.
            fs::write(own.path().join("prometheus.yml"), config.to_string()).unwrap();
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = Command::new(program);
            command.current_dir(own.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
            command.arg(format!("--web.listen-address={address}"));
            let log = fs::File::create(own.path().join("log")).unwrap();
            let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
            let mut prometheus = Self { child, url: format!("http://{address}"), folder: own };
            if prometheus.is_ready().await {
                return prometheus;
            }
        }
    }

    /// Waits until Prometheus is ready. Returns false if its port was taken, and fails if another reason kept it from
    /// starting.
    async fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
                assert!(log.contains("address already in use"), "{status}: {log}");
                return false;
            }
            let answer = reqwest::Client::new().get(format!("{}/-/ready", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            assert!(Instant::now() < deadline, "Prometheus does not get ready");
            sleep(PAUSE).await;
        }
    }

    /// Returns the data that Prometheus' API has at `path`.
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut url = url::Url::parse(&format!("{}/api/v1/{path}", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let mut answer = send(reqwest::Client::new().get(url)).await.json();
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        answer["data"].take()
    }
}
