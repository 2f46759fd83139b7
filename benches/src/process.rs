//! Memory and processor time of a process, from the kernel.

use std::collections::HashMap;
use std::fs;

/// The resident memory of a process, in MiB.
pub fn memory(id: u32) -> f64 {
    status(id, "VmRSS:")
}

/// The peak resident memory of a process, in MiB.
pub fn peak_memory(id: u32) -> f64 {
    status(id, "VmHWM:")
}

fn status(id: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// The unit of the kernel's figures, on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// The processor time that a process and its descendants have used.
pub fn cpu_seconds(id: u32) -> f64 {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A process that has ended in the meantime cannot be read and is skipped.
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

/// The processor time that a process has used itself.
pub fn own_cpu_seconds(id: u32) -> f64 {
    parent_and_ticks(id).unwrap().1 / TICKS_A_SECOND
}

fn parent_and_ticks(id: u32) -> Option<(u32, f64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may hold blanks. Of the fields after it, the 2nd is the parent, the 12th and 13th are the
    // time.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |field: usize| fields.get(field)?.parse::<u32>().ok();
    Some((number(1)?, f64::from(number(11)?) + f64::from(number(12)?)))
}
