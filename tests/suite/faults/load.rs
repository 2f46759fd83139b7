//! Terminals that post one batch after the other, record every answer and never retry a batch.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Random;
use super::batch::Batch;
use crate::harness::KEY;

/// The number of tasks that post. The pool has fewer connections, so that some of the posts wait for one.
pub const WORKERS: usize = 6;
/// The service answers within 10 s of a whole request; the rest is room for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// One in this many batches is sent twice at once.
const TWICE: usize = 7;

#[derive(Debug, Clone)]
pub enum Answer {
    /// 201 with its count of added candles.
    Stored(usize),
    /// 503 with a code of the contract and `Retry-After`.
    Unavailable,
    /// Any other answer.
    Wrong(String),
    /// No answer: the connection broke, or the deadline passed.
    Broken(String),
    /// The client disconnected before the answer, after it had sent all of the batch or a part.
    Left { sent_all: bool },
}

#[derive(Debug, Clone)]
pub struct Attempt {
    pub batch: Batch,
    pub began: Instant,
    pub ended: Instant,
    pub answer: Answer,
}

/// The service's address, which changes when it starts again, and every attempt so far.
#[derive(Clone)]
pub struct Log {
    pub url: watch::Sender<String>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    acknowledged: watch::Sender<Acknowledged>,
    refused: watch::Sender<Instant>,
}

struct Acknowledged {
    batches: usize,
    last: Instant,
    /// The time at which each worker's last acknowledged request began.
    began: [Instant; WORKERS],
}

impl Log {
    pub fn write(&self, attempt: Attempt) {
        match attempt.answer {
            Answer::Stored(_) => self.acknowledged.send_modify(|acknowledged| {
                acknowledged.batches += 1;
                acknowledged.last = attempt.ended.max(acknowledged.last);
                if let Some(began) = acknowledged.began.get_mut(attempt.batch.worker) {
                    *began = attempt.began;
                }
            }),
            Answer::Unavailable => drop(self.refused.send_replace(attempt.ended)),
            _ => {}
        }
        self.attempts.lock().unwrap().push(attempt);
    }
}

pub struct Load {
    pub log: Log,
    stop: watch::Sender<bool>,
    /// Held shared by each worker that posts.
    posting: Arc<RwLock<()>>,
    workers: JoinSet<()>,
}

impl Load {
    pub fn start(url: &str, random: &mut Random) -> Self {
        let now = Instant::now();
        let log = Log {
            url: watch::Sender::new(url.to_owned()),
            attempts: Arc::default(),
            acknowledged: watch::Sender::new(Acknowledged { batches: 0, last: now, began: [now; WORKERS] }),
            refused: watch::Sender::new(now),
        };
        let stop = watch::Sender::new(false);
        let posting = Arc::new(RwLock::new(()));
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let random = Random(random.next());
            workers.spawn(work(worker, log.clone(), stop.subscribe(), Arc::clone(&posting), random));
        }
        Self { log, stop, posting, workers }
    }

    /// Returns the time at which a batch was acknowledged, once one is after `since`.
    pub async fn acknowledged_after(&self, since: Instant) -> Instant {
        self.log.acknowledged.subscribe().wait_for(|acknowledged| acknowledged.last > since).await.unwrap().last
    }

    /// Returns once every worker had a batch acknowledged that it posted after `since`, so that no request from before
    /// is still unanswered.
    pub async fn all_acknowledged_after(&self, since: Instant) {
        let all = |acknowledged: &Acknowledged| acknowledged.began.iter().all(|began| *began > since);
        drop(self.log.acknowledged.subscribe().wait_for(all).await.unwrap());
    }

    /// Returns once a batch was refused after `since`.
    pub async fn refused_after(&self, since: Instant) {
        self.log.refused.subscribe().wait_for(|last| *last > since).await.unwrap();
    }

    /// Returns once `more` batches have been acknowledged.
    pub async fn flows(&self, more: usize) {
        let mut acknowledged = self.log.acknowledged.subscribe();
        let enough = acknowledged.borrow_and_update().batches + more;
        acknowledged.wait_for(|acknowledged| acknowledged.batches >= enough).await.unwrap();
    }

    /// Returns once nothing is in flight. No worker posts until the result is dropped.
    pub async fn pause(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.posting).write_owned().await
    }

    /// Waits for the requests in flight, and returns all attempts in the order in which they ended.
    pub async fn stop(&mut self) -> Vec<Attempt> {
        self.stop.send_replace(true);
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.log.attempts.lock().unwrap())
    }
}

async fn work(worker: usize, log: Log, stop: watch::Receiver<bool>, posting: Arc<RwLock<()>>, mut random: Random) {
    let client = client();
    for sequence in 0.. {
        if *stop.borrow() {
            return;
        }
        let batch = Batch::random(worker, sequence, &mut random);
        let now_i_may = posting.read().await;
        let url = log.url.borrow().clone();
        if sequence % TWICE == TWICE - 1 {
            let (one, other) = tokio::join!(post(&client, &url, batch), post(&client, &url, batch));
            log.write(one);
            log.write(other);
        } else {
            log.write(post(&client, &url, batch).await);
        }
        drop(now_i_may);
        // The pace of the load, which leaves processor time to the tests that run beside it.
        sleep(random.millis(5..40)).await;
    }
}

pub fn client() -> Client {
    Client::builder().timeout(DEADLINE).build().unwrap()
}

pub async fn post(client: &Client, url: &str, batch: Batch) -> Attempt {
    let post = client.post(format!("{url}/api/v1/candles")).header("X-API-KEY", KEY).body(batch.body());
    let began = Instant::now();
    let answer = match post.send().await {
        Ok(response) => read(response).await,
        Err(error) => Answer::Broken(format!("{error:?}")),
    };
    Attempt { batch, began, ended: Instant::now(), answer }
}

async fn read(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let waits = response.headers().get("retry-after").and_then(|seconds| seconds.to_str().ok()?.parse::<u32>().ok());
    let body = match response.text().await {
        Ok(body) => body,
        Err(error) => return Answer::Broken(format!("{error:?}")),
    };
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    match (status, json["records_added"].as_u64(), json["code"].as_str()) {
        (201, Some(added), _) => Answer::Stored(added as usize),
        (503, _, Some("unavailable" | "overloaded")) if waits.is_some_and(|seconds| seconds >= 1) => {
            Answer::Unavailable
        }
        _ => Answer::Wrong(format!("{status} {body}")),
    }
}
