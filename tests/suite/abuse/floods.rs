//! Floods of connections. The long form needs thousands of file descriptors and belongs to `make abuse`.

use std::fs;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::attack::get;
use super::slow::GoodClients;
use super::target::Target;
use super::wire::{Door, EXCHANGE_TIMEOUT, Stream};
use crate::harness::{Database, eventually, run};

/// The number of connections from one address, which is above the limit of 512.
const FROM_ONE: usize = 600;

async fn started() -> Target {
    Target::start(Database::sqlite(), &[("RATE_LIMIT_ANONYMOUS", "off")]).await
}

/// Connects `count` times through `door` and sends `bytes` on each.
async fn flood(door: &Door, count: usize, bytes: &'static [u8]) -> Vec<Box<dyn Stream>> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        let door = door.clone();
        connecting.spawn(async move {
            let mut stream = door.connect().await.ok()?;
            // The service closes refused connections at once or a moment later.
            stream.write_all(bytes).await.ok()?;
            Some(stream)
        });
    }
    connecting.join_all().await.into_iter().flatten().collect()
}

/// Waits until the other side has closed all connections, and returns the times of the first and the last close.
async fn all_closed(streams: Vec<Box<dyn Stream>>) -> (Duration, Duration) {
    let start = Instant::now();
    let mut closing = JoinSet::new();
    for mut stream in streams {
        closing.spawn(async move {
            let mut rest = Vec::new();
            // An orderly close and a reset are the same here.
            let _ = timeout(EXCHANGE_TIMEOUT, stream.read_to_end(&mut rest)).await.expect("it is closed");
            start.elapsed()
        });
    }
    let closed = closing.join_all().await;
    (closed.iter().min().copied().unwrap_or_default(), closed.iter().max().copied().unwrap_or_default())
}

fn resident_mebibytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn one_address_cannot_take_every_connection() {
    run(async {
        let target = started().await;
        let direct = &target.doors()[0];
        let asked_once = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let held = flood(&direct.from([127, 0, 4, 1]), FROM_ONE, asked_once).await;
        let start = Instant::now();
        let answers = direct.from([127, 0, 4, 2]).exchange(&get("/health", "")).await.unwrap();
        assert_eq!(answers.0[0].status, 200, "another address is served");
        println!("one address holds {} connections; another is served within {:.0?}", held.len(), start.elapsed());
        // Each connection is admitted by a task of its own, so on a busy machine this one may arrive before the last of
        // them.
        let one_more = async || direct.from([127, 0, 4, 1]).exchange(&get("/health", "")).await;
        let refused = eventually(async || one_more().await.is_ok_and(|answers| answers.0.is_empty()));
        timeout(EXCHANGE_TIMEOUT, refused).await.expect("connections beyond the limit of an address are refused");
        drop(held);
        target.ends_unharmed(Vec::new()).await;
    });
}

#[test]
#[ignore = "needs thousands of open files and a minute: make abuse"]
fn a_thousand_slow_heads_do_not_delay_other_requests() {
    run(async {
        let target = started().await;
        let doors = target.doors();
        let good = GoodClients::of(&doors);
        for door in &doors {
            let mut held = Vec::new();
            for address in 1..=4 {
                held.extend(flood(&door.from([127, 0, 5, address]), 250, b"GET / HTTP/1.1\r\nx: y").await);
            }
            let count = held.len();
            let (first, last) = all_closed(held).await;
            println!("{}: {count} slow heads closed after {first:.1?} to {last:.1?}", door.name);
        }
        println!("{}", good.were_served().await);
        target.ends_unharmed(Vec::new()).await;
    });
}

#[test]
#[ignore = "needs thousands of open files and a minute: make abuse"]
fn ten_thousand_idle_connections_cost_little() {
    run(async {
        let wanted = affordable(10_000);
        let target = started().await;
        let direct = &target.doors()[0];
        let before = resident_mebibytes(target.process.pid);
        let mut held = Vec::new();
        for address in 1..=25 {
            held.extend(flood(&direct.from([127, 0, 6, address]), wanted / 25, b"").await);
        }
        let during = resident_mebibytes(target.process.pid);
        println!("{} connections opened: {before} MiB before, {during} MiB with them", held.len());
        assert!(during <= before + 100, "they take {} MiB", during - before);
        let start = Instant::now();
        let good = direct.from([127, 0, 7, 1]);
        let is_served = async || good.exchange(&get("/health", "")).await.is_ok_and(|answers| !answers.0.is_empty());
        timeout(EXCHANGE_TIMEOUT, eventually(is_served)).await.expect("a good client is served while they last");
        println!("a good client is served {:.1?} later", start.elapsed());
        let (first, last) = all_closed(held).await;
        println!("idle connections closed after {first:.1?} to {last:.1?}");
        target.ends_unharmed(Vec::new()).await;
    });
}

/// The part of `wanted` connections that this process may open, with file descriptors left for its other work.
fn affordable(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let most = line.split_whitespace().nth(3).unwrap().parse::<usize>().unwrap_or(usize::MAX);
    let affordable = wanted.min(most.saturating_sub(1000));
    if affordable < wanted {
        println!("only {affordable} of {wanted} connections: this process may open {most} files (ulimit -n)");
    }
    affordable
}
