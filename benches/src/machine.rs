//! A description of the machine on which the figures were measured.

use std::io::{Seek, SeekFrom, Write};
use std::process::Command;
use std::time::Instant;

/// Load average of the last minute.
pub fn load_average() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Date, processor, disk and versions.
pub fn description(postgres: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} cores ({}), fsync {} µs, Linux {}, PostgreSQL {postgres}, SQLite {}, {}, candlewick {}{}.",
        chrono::Utc::now().format("%d %b %Y"),
        processor(),
        fsync_micros(),
        first_line(Command::new("uname").arg("-r")),
        rusqlite::version(),
        first_line(Command::new("rustc").arg("--version")),
        env!("CARGO_PKG_VERSION"),
        revision(),
    )
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("unknown processor").to_owned()
}

fn revision() -> String {
    let revision = first_line(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
    if revision.is_empty() { revision } else { format!(" ({revision})") }
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    output.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// The time in which the disk of the databases makes a page durable: the median of 200.
fn fsync_micros() -> u128 {
    let mut file = tempfile::tempfile_in("/tmp").unwrap();
    let mut times = Vec::new();
    for _ in 0..200 {
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&[0; 8192]).unwrap();
        let began = Instant::now();
        file.sync_data().unwrap();
        times.push(began.elapsed().as_micros());
    }
    times.sort_unstable();
    times[times.len() / 2]
}
