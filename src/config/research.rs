//! The settings of research: strategies, and the threads and the memory that compute.

use std::path::PathBuf;
use std::thread::available_parallelism;

use super::reader::Reader;

/// The maximum of `RESEARCH_THREADS`.
const MAX_THREADS: usize = 512;
/// The bounds of `RESEARCH_MEMORY` in bytes. Less would hold no series of 100,000 candles with a few indicators.
const MIN_MEMORY_BYTES: u64 = 16 << 20;
const MAX_MEMORY_BYTES: u64 = 1 << 40;
const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;
/// The units of sizes.
const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// The settings of research.
#[derive(Debug, Clone)]
pub struct ResearchConfig {
    /// The number of threads that compute. With 0 this replica serves candles and computes nothing.
    pub threads: usize,
    /// The maximum number of bytes of candles and indicators that are kept in memory.
    pub memory_bytes: u64,
    /// The folder of the user's own strategies, if there is one.
    pub strategies_dir: Option<PathBuf>,
    /// The signals whose history is kept, as the query string of `/api/v1/signals.csv`. It is parsed where strategies are known.
    pub signals: Option<String>,
}

impl Reader<'_> {
    pub(super) fn research(&mut self) -> ResearchConfig {
        ResearchConfig {
            threads: self.size("RESEARCH_THREADS", default_threads(), 0..=MAX_THREADS),
            memory_bytes: self.parsed("RESEARCH_MEMORY", DEFAULT_MEMORY_BYTES, memory),
            strategies_dir: self.variables.get("STRATEGIES_DIR").map(PathBuf::from),
            signals: self.variables.get("SIGNALS").map(str::to_owned),
        }
    }
}

/// All cores but one, which is left to candles.
fn default_threads() -> usize {
    available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1)
}

fn memory(text: &str) -> Result<u64, String> {
    let (number, unit) =
        UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes))).unwrap_or((text, 1));
    let bytes = number.trim_end().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| (MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(bytes))
        .ok_or_else(|| "must be a size from 16MiB to 1024GiB, such as 256MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_or_are_bytes() {
        assert_eq!(memory("256MiB"), Ok(DEFAULT_MEMORY_BYTES));
        assert_eq!(memory("16384 KiB"), Ok(MIN_MEMORY_BYTES));
        assert_eq!(memory("268435456"), Ok(DEFAULT_MEMORY_BYTES));
        assert_eq!(memory("1024GiB"), Ok(MAX_MEMORY_BYTES));
        for refused in ["", "0", "15MiB", "256MB", "256mib", "-1GiB", "1.5GiB", "1025GiB", "17179869185GiB", "MiB"] {
            assert!(memory(refused).is_err(), "{refused}");
        }
    }
}
