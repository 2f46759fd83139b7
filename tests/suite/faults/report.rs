//! The measurements of a scenario: a sentence beside the other tests, a row of a table in the long form.

use std::io::Write;
use std::time::Duration;

use super::SEED;
use crate::harness::leave_out;

#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub scenario: &'static str,
    pub faults: usize,
    pub requests: usize,
    pub acknowledged: usize,
    /// Answered with another status.
    pub refused: usize,
    /// Not answered.
    pub unknown: usize,
    /// Batches that were stored without an acknowledgement, which a client must be able to send again.
    pub stored_all_the_same: usize,
    pub lost: usize,
    pub partial: usize,
    pub wrong: usize,
    pub phantom: usize,
    pub jobs: usize,
    /// The attempts at jobs beyond the first of each.
    pub jobs_begun_again: usize,
    pub longest_gap: Duration,
    pub heals: Vec<Duration>,
    pub longest_request: Duration,
}

const HEADINGS: [&str; 17] = [
    "scenario",
    "faults",
    "requests",
    "acknowledged",
    "refused",
    "unknown",
    "stored though not acknowledged",
    "lost",
    "partial",
    "wrong",
    "phantom",
    "jobs",
    "jobs begun again",
    "longest gap",
    "healed in (median)",
    "healed in (longest)",
    "longest request",
];

impl Figures {
    pub fn slowest_heal(&self) -> Duration {
        self.heals.iter().max().copied().unwrap_or_default()
    }

    pub fn median_heal(&self) -> Duration {
        let mut heals = self.heals.clone();
        heals.sort();
        heals.get(heals.len() / 2).copied().unwrap_or_default()
    }

    /// Prints them, and adds them to the table if there is one.
    pub fn tell(&self) {
        let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
        let mut values = vec![self.scenario.to_owned()];
        let counts = [self.faults, self.requests, self.acknowledged, self.refused, self.unknown];
        values.extend(counts.iter().map(ToString::to_string));
        let counts = [self.stored_all_the_same, self.lost, self.partial, self.wrong, self.phantom];
        values.extend(counts.iter().map(ToString::to_string));
        let counts = [self.jobs, self.jobs_begun_again];
        values.extend(counts.iter().map(ToString::to_string));
        values.extend([self.longest_gap, self.median_heal(), self.slowest_heal(), self.longest_request].map(seconds));
        let told: Vec<String> =
            HEADINGS.iter().zip(&values).skip(1).map(|(heading, value)| format!("{heading} {value}")).collect();
        say(&format!("{}: {} (seed {})", self.scenario, told.join(", "), *SEED));
        add_to_table(&values.join(" | "));
    }
}

/// Reports that a scenario cannot run here, and why.
pub fn left_out(scenario: &str, reason: &str) {
    say(&format!("{scenario}: LEFT OUT, because {reason}"));
    add_to_table(&format!("{scenario} | left out: {reason}"));
    leave_out(reason);
}

/// Bypasses the capture of a test's output, which is shown only if the test fails.
pub fn say(line: &str) {
    std::io::stderr().write_all(format!("faults: {line}\n").as_bytes()).unwrap();
}

pub fn add_to_table(row: &str) {
    let Some(path) = std::env::var_os("CANDLEWICK_FAULTS_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    if table.metadata().unwrap().len() == 0 {
        writeln!(table, "{}", HEADINGS.join(" | ")).unwrap();
    }
    writeln!(table, "{row}").unwrap();
}
