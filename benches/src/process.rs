//! What the kernel tells about a process.

use std::collections::HashMap;
use std::fs;

/// MiB of memory that a process has now.
pub fn memory(id: u32) -> f64 {
    status(id, "VmRSS:")
}

/// MiB of memory that a process had when it had most.
pub fn peak_memory(id: u32) -> f64 {
    status(id, "VmHWM:")
}

fn status(id: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// Processor time that a process and the processes that it started have used.
pub fn cpu_seconds(id: u32) -> f64 {
    /// The unit of the kernel's figures, on every Linux.
    const TICKS_A_SECOND: f64 = 100.0;
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // Of a process that has ended by now nothing is left to read.
    let processes: HashMap<u32, (u32, f64)> = ids.filter_map(|id| Some((id, parent_and_ticks(id)?))).collect();
    let belongs = |mut other: u32| {
        while other != id {
            match processes.get(&other) {
                Some((parent, _)) => other = *parent,
                None => return false,
            }
        }
        true
    };
    let ticks: f64 = processes.iter().filter(|(other, _)| belongs(**other)).map(|(_, (_, ticks))| ticks).sum();
    ticks / TICKS_A_SECOND
}

fn parent_and_ticks(id: u32) -> Option<(u32, f64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Its name, in brackets, may hold blanks; of what follows, the 2nd is its parent, the 12th and 13th are its time.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |field: usize| fields.get(field)?.parse::<u32>().ok();
    Some((number(1)?, f64::from(number(11)?) + f64::from(number(12)?)))
}
