//! The loop that measures every row: clients that each do one step after the other, until time is up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;

/// Work in steps, each of which begins when the one before is done.
pub trait Client: Send + 'static {
    /// Does the next step; false if there is none left.
    fn step(&mut self) -> impl Future<Output = bool> + Send;
}

/// The steps of all clients, and the time that they took.
pub struct Done {
    pub steps: usize,
    pub took: Duration,
}

impl Done {
    /// Steps a second.
    pub fn rate(&self) -> f64 {
        self.steps as f64 / self.took.as_secs_f64()
    }
}

/// Runs all clients concurrently for `length`, or until their work is done.
pub async fn run<C: Client>(clients: Vec<C>, length: Duration) -> Done {
    let start = Arc::new(Barrier::new(clients.len()));
    let workers: Vec<_> = clients.into_iter().map(|client| tokio::spawn(work(client, start.clone(), length))).collect();
    let mut done = Done { steps: 0, took: Duration::ZERO };
    for worker in workers {
        let (steps, took) = worker.await.unwrap();
        done.steps += steps;
        done.took = done.took.max(took);
    }
    done
}

async fn work(mut client: impl Client, start: Arc<Barrier>, length: Duration) -> (usize, Duration) {
    start.wait().await;
    let began = Instant::now();
    let mut steps = 0;
    while began.elapsed() < length && client.step().await {
        steps += 1;
    }
    (steps, began.elapsed())
}
