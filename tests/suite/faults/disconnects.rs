//! Clients that close their connection in the middle of the body or before the answer.

use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Random;
use super::batch::Batch;
use super::load::{Answer, Attempt, Log};
use crate::harness::KEY;

/// The worker number of these batches, which no worker of the load has.
const WORKER: usize = 1000;

/// Lets `count` clients connect and disconnect, a few at a time.
pub async fn come_and_leave(log: &Log, count: usize, random: &mut Random) {
    const AT_ONCE: usize = 4;
    let mut clients = tokio::task::JoinSet::new();
    // Unlike every other batch of this process, however often a scenario calls this function.
    let first = random.next() as usize >> 32;
    for sequence in first..first + count {
        if clients.len() == AT_ONCE {
            clients.join_next().await.unwrap().unwrap();
        }
        clients.spawn(leave(log.clone(), Batch::random(WORKER, sequence, random), Random(random.next())));
    }
    clients.join_all().await;
}

async fn leave(log: Log, batch: Batch, mut random: Random) {
    let body = batch.body();
    let address = log.url.borrow().trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /api/v1/candles HTTP/1.1\r\nHost: {address}\r\nX-API-KEY: {KEY}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sent_all = random.below(2) == 0;
    let sent = if sent_all { body.len() } else { random.below(body.len()) };
    let began = Instant::now();
    // A service that is down has no clients to disconnect.
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let sending = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body.as_bytes()[..sent]).await
    };
    let _ = sending.await;
    // Some disconnect at once, some while the batch is being stored.
    sleep(random.millis(0..20)).await;
    if random.below(2) == 0 {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
    log.write(Attempt { batch, began, ended: Instant::now(), answer: Answer::Left { sent_all } });
}
