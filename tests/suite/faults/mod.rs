//! Faults while terminals post: the service, its database, the link between them and the disk fail in every way that a
//! single machine can arrange, and the database itself says afterwards whether the service kept its word.
//!
//! A test is a [`scenario`]: [`load`] posts [`batch`]es and writes down every answer, the test breaks something and mends
//! it, and the [`oracle`] compares what was answered with what is stored.
//!
//! `CANDLEWICK_FAULTS=full` has every scenario go on for longer and break more; `CANDLEWICK_FAULTS_SEED` repeats a run's
//! choices, though not the machine's timing.

mod batch;
pub mod database_server;
mod disconnects;
mod load;
mod oracle;
mod report;
mod scenario;
pub mod small_disk;

mod capacity;
mod combined;
mod database;
mod network;
mod service;
mod sqlite;

use std::sync::LazyLock;
use std::time::Duration;

/// Whether this is the long form.
fn full() -> bool {
    std::env::var("CANDLEWICK_FAULTS").is_ok_and(|form| form == "full")
}

/// How often a scenario breaks something.
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

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// The moment of a fault or how long it lasts.
    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.next() % (range.end - range.start))
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
