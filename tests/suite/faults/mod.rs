//! Faults while terminals post. The service, its database, the link between them and the disk fail in every way that a
//! single machine can arrange, and the database shows afterwards whether the service kept its guarantees.
//!
//! A test is a [`scenario`]: [`load`] posts [`batch`]es and records every answer, the test causes a fault and ends it,
//! and the [`oracle`] compares the answers with the stored rows. Most scenarios also start [`jobs`] of research.
//!
//! `CANDLEWICK_FAULTS=full` makes every scenario run longer and cause more faults. `CANDLEWICK_FAULTS_SEED` repeats a
//! run's choices, though not the machine's timing.

mod batch;
pub mod database_server;
mod disconnects;
mod jobs;
mod live;
mod load;
mod oracle;
mod report;
mod scenario;
pub mod small_disk;

mod capacity;
mod combined;
mod database;
mod network;
mod pgbouncer;
mod service;
mod sqlite;

use std::sync::LazyLock;
use std::time::Duration;

/// Returns whether the long form runs.
fn full() -> bool {
    std::env::var("CANDLEWICK_FAULTS").is_ok_and(|form| form == "full")
}

/// The number of times that a scenario causes its fault.
fn rounds(short: usize, long: usize) -> usize {
    if full() { long } else { short }
}

static SEED: LazyLock<u64> = LazyLock::new(|| {
    if let Ok(seed) = std::env::var("CANDLEWICK_FAULTS_SEED") {
        return seed.parse().expect("CANDLEWICK_FAULTS_SEED is a whole number");
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).unwrap();
    u32::from_ne_bytes(random).into()
});

/// Numbers that follow from the seed and a name (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    fn of(name: &str) -> Self {
        name.bytes().fold(Self(*SEED), |random, byte| Self(mix(random.0 ^ u64::from(byte))))
    }

    /// Other numbers, which follow from these.
    fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A random time, for the moment or the length of a fault.
    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.next() % (range.end - range.start))
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
