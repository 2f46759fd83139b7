//! Jobs of research that run during a scenario. Afterwards none may be lost or done twice, and each has to have found what an
//! undisturbed one finds, byte for byte.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::full;
use super::load::client;
use super::oracle::{Broken, Complaints};
use super::report::Figures;
use crate::harness::{Database, KEY, RESEARCH_KEY, eventually};
use crate::jobs::{candles, processes::expire_leases};

/// The symbol of the candles that jobs read, which no batch of the load has.
pub const SYMBOL: &str = "EURUSD";
/// The number of tasks that start jobs, each of which waits for its last one.
const STARTERS: usize = 2;
const ITEMS: usize = 3;
/// The pause between two requests of such a task.
const TICK: Duration = Duration::from_millis(50);
/// The error of a job that three processes have begun and not ended.
const GIVEN_UP: &str = "The job was begun 3 times, and each time the process that worked on it ended, or lost the database, before the job was done.";

/// Small items, because the threads that search yield to all other tests. Many jobs meet a fault in all that the store does for them.
fn request() -> Value {
    let series = |strategy: &str| json!({"strategy": strategy, "symbol": SYMBOL, "timeframe": "H1"});
    json!({
        "items": [series("sma-cross"), series("donchian"), series("macd-signal")],
        "method": "random", "max_evaluations": 8, "min_trades": 1, "seed": 5,
    })
}

/// Clients that start jobs until they are stopped.
pub struct JobLoad {
    stop: watch::Sender<bool>,
    starters: JoinSet<Begun>,
    /// The rows of the candles that jobs read.
    candles: Vec<String>,
    undisturbed: (String, String),
}

/// The jobs that a client has started, and answers that are not in the contract.
#[derive(Default)]
pub struct Begun {
    ids: Vec<String>,
    wrong: Vec<String>,
}

impl JobLoad {
    /// Stores the candles of the jobs, waits for the end of a first job and starts others from then on.
    pub async fn start(url: &watch::Sender<String>, database: &Database) -> Self {
        let client = client();
        let post = client.post(format!("{}/api/v1/candles", url.borrow().clone())).header("X-API-KEY", KEY);
        let body = json!({"symbol": SYMBOL, "timeframe": "H1", "candles": candles()}).to_string();
        assert_eq!(post.body(body).send().await.unwrap().status(), 201);
        let mut first = Begun::default();
        let address = url.borrow().clone();
        assert!(begin(&client, &address, "undisturbed", &mut first).await, "{:?}", first.wrong);
        let id = first.ids.remove(0);
        eventually(async || is_over(&client, &address, &id).await).await;
        let found = found(&client, &address, &id).await;
        let (stop, mut starters) = (watch::Sender::new(false), JoinSet::new());
        for starter in 0..STARTERS {
            starters.spawn(start_jobs(starter, url.subscribe(), stop.subscribe()));
        }
        Self { stop, starters, candles: rows(database).await, undisturbed: (id, found) }
    }

    /// Waits until each client knows the job that it was starting.
    pub async fn stop(mut self) -> Ended {
        self.stop.send_replace(true);
        let mut begun = Begun::default();
        while let Some(of_starter) = self.starters.join_next().await {
            let of_starter = of_starter.unwrap();
            begun.ids.extend(of_starter.ids);
            begun.wrong.extend(of_starter.wrong);
        }
        Ended { begun, candles: self.candles, undisturbed: self.undisturbed }
    }
}

async fn start_jobs(starter: usize, url: watch::Receiver<String>, stop: watch::Receiver<bool>) -> Begun {
    let client = client();
    let mut begun = Begun::default();
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        // Sent again until there is an answer, which must not start another job.
        let key = format!("{starter}-{number}");
        while !begin(&client, &address(&url), &key, &mut begun).await {
            sleep(TICK).await;
        }
        let id = begun.ids.last().cloned().unwrap_or_default();
        while !*stop.borrow() && !is_over(&client, &address(&url), &id).await {
            sleep(TICK).await;
        }
        // The pace of the jobs, which leaves processor time to the tests that run beside them.
        sleep(TICK).await;
    }
    begun
}

fn address(url: &watch::Receiver<String>) -> String {
    url.borrow().clone()
}

/// Asks for a job once. Returns true if there was an answer with its id.
async fn begin(client: &Client, url: &str, key: &str, begun: &mut Begun) -> bool {
    let post = client.post(format!("{url}/api/v1/optimizations")).header("X-API-KEY", RESEARCH_KEY);
    let post = post.header("Idempotency-Key", key).body(request().to_string());
    let Ok(response) = post.send().await else { return false };
    let status = response.status().as_u16();
    let Ok(body) = response.text().await else { return false };
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    match (status, json["id"].as_str(), json["code"].as_str()) {
        (202, Some(id), _) => {
            begun.ids.push(id.to_owned());
            return true;
        }
        (503, _, Some("unavailable" | "overloaded")) => {}
        _ => begun.wrong.push(format!("{status} {body}")),
    }
    false
}

async fn get(client: &Client, url: &str, path: &str) -> Option<String> {
    let answer = client.get(format!("{url}/api/v1/jobs/{path}")).header("X-API-KEY", RESEARCH_KEY).send().await.ok()?;
    if answer.status().is_success() { answer.text().await.ok() } else { None }
}

async fn job(client: &Client, url: &str, id: &str) -> Option<Value> {
    serde_json::from_str(&get(client, url, id).await?).ok()
}

async fn is_over(client: &Client, url: &str, id: &str) -> bool {
    let Some(job) = job(client, url, id).await else { return false };
    ["done", "failed", "cancelled"].contains(&job["state"].as_str().unwrap_or_default())
}

/// The results of a job, without its id.
async fn found(client: &Client, url: &str, id: &str) -> String {
    let mut found = job(client, url, id).await.unwrap_or_default()["items"].to_string();
    for item in 0..ITEMS {
        let path = format!("{id}/results?item={item}&limit=1000&include=objectives");
        found += &get(client, url, &path).await.unwrap_or_default();
    }
    found.replace(id, "[id]")
}

/// The stored candles that jobs read.
async fn rows(database: &Database) -> Vec<String> {
    let mut rows = database.closed().await;
    rows.retain(|row| is_of_jobs(row));
    rows
}

/// True if a row of [`Database::closed`] is a candle that jobs read.
pub fn is_of_jobs(row: &str) -> bool {
    row.split(' ').next() == Some(SYMBOL)
}

/// All jobs that were started.
pub struct Ended {
    begun: Begun,
    candles: Vec<String>,
    undisturbed: (String, String),
}

/// A row of the table of jobs.
struct Kept {
    state: String,
    attempts: usize,
    items: usize,
    error: String,
}

async fn kept(database: &Database) -> BTreeMap<String, Kept> {
    const JOBS: &str = "select j.id || ' ' || j.state || ' ' || cast(j.attempts as text) || ' '
            || cast((select count(*) from research_items i where i.job_id = j.id and i.evaluations is not null) as text)
            || ' ' || coalesce(j.error, '')
        from research_jobs j";
    let rows = database.rows(JOBS).await;
    let kept = |row: &String| {
        let mut parts = row.splitn(5, ' ').map(str::to_owned);
        let mut part = || parts.next().unwrap();
        let id = part();
        let (state, attempts, items) = (part(), part().parse().unwrap(), part().parse().unwrap());
        (id, Kept { state, attempts, items, error: part() })
    };
    rows.iter().map(kept).collect()
}

impl Ended {
    /// Waits until every job is over, and compares each with the one that nothing disturbed.
    pub async fn judge(
        self,
        database: &Database,
        url: &str,
        broken: Broken,
        figures: &mut Figures,
        complaints: &mut Complaints,
    ) {
        for answer in self.begun.wrong {
            complaints.add(format!("a request for a job got neither a 202 nor a 503 of the contract, but {answer}"));
        }
        // The long form waits until the leases expire by themselves that a process or an answer took with it.
        if !full() {
            expire_leases(database).await;
        }
        let is_over = |kept: &Kept| kept.state != "queued" && kept.state != "running";
        eventually(async || kept(database).await.values().all(is_over)).await;
        let mut kept = kept(database).await;
        let (id, undisturbed) = self.undisturbed;
        if kept.remove(&id).is_none_or(|kept| kept.state != "done" || kept.items != ITEMS) {
            complaints.add("the job before all faults is not stored as done".to_owned());
        }
        let client = client();
        for id in self.begun.ids {
            figures.jobs += 1;
            let Some(kept) = kept.remove(&id) else {
                complaints.add(format!("the job {id} was acknowledged and is lost, or another request got it too"));
                continue;
            };
            figures.jobs_begun_again += kept.attempts.saturating_sub(1);
            match &*kept.state {
                "done" if kept.items != ITEMS => complaints.add(format!("a job is done with {} results", kept.items)),
                "done" if found(&client, url, &id).await != undisturbed => {
                    complaints.add(format!("the job {id} has found something else than the undisturbed one"));
                }
                "done" => {}
                // Only a process that ends takes an attempt with it, or an answer about an attempt that was lost.
                "failed" if kept.error == GIVEN_UP && kept.attempts == 3 && broken == Broken::Anything => {}
                state => complaints.add(format!("a job is {state} after {} attempts: {}", kept.attempts, kept.error)),
            }
        }
        for id in kept.into_keys() {
            complaints.add(format!("the job {id} is stored, and no request has got it"));
        }
        if rows(database).await != self.candles {
            complaints.add("the candles that jobs read are not those that were stored".to_owned());
        }
    }
}
