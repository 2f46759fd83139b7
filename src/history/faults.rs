//! The bad lines of a file: counted, the first of them listed, and if wanted kept in a file with their reasons.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::numbers::{counted, grouped};
use dialects::{Fault, FaultKind, Layout};

/// The maximum number of lines that are listed.
const MAX_LISTED: usize = 20;

/// The bad lines of a file.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) count: u64,
    pub(super) listed: Vec<(u64, String)>,
    by_kind: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(super) fn add(&mut self, line: u64, fault: Fault) {
        self.count += 1;
        *self.by_kind.entry(kind_name(fault.kind)).or_default() += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push((line, fault.message));
        }
    }

    fn of(&self, kind: FaultKind) -> u64 {
        self.by_kind.get(kind_name(kind)).copied().unwrap_or(0)
    }

    /// The reason for which a file of `candles` candles, some of them in bad lines, is refused.
    pub(super) fn refusal(&self, candles: u64, layout: &Layout) -> String {
        let mut text = if self.of(FaultKind::Fraction) == self.count {
            let example = self.listed.first().map(|(line, message)| format!("line {line}: {message}"));
            format!("has volumes with fractions ({}), and a candle counts whole ticks", example.unwrap_or_default())
        } else {
            let mut text = format!("has {} among {}", counted(self.count, "bad line", "bad lines"), grouped(candles));
            for (line, message) in &self.listed {
                let _ = write!(text, "\n  line {}: {message}", grouped(*line));
            }
            if self.count > self.listed.len() as u64 {
                let _ = write!(text, "\n  and {} more", grouped(self.count - self.listed.len() as u64));
            }
            text
        };
        for advice in self.advice(candles, layout) {
            let _ = write!(text, "\n  {advice}");
        }
        text
    }

    /// The advice against the faults.
    fn advice(&self, candles: u64, layout: &Layout) -> Vec<String> {
        let mut advice = Vec::new();
        if self.of(FaultKind::Fraction) > 0 {
            let trades = layout.columns.trades.and_then(|at| layout.columns.names.get(at));
            let trades = trades.map(|name| format!("--volume trades (column {name:?}), ")).unwrap_or_default();
            advice
                .push(format!("choose with {trades}--volume scaled:8 (times 10^8), --volume rounded or --volume none"));
        }
        if self.of(FaultKind::Empty) > 0 {
            advice.push("skip lines without prices with --skip-empty".to_owned());
        }
        if self.of(FaultKind::Prices) * 10 > candles {
            advice.push("are the prices in another order than open, high, low, close?".to_owned());
        }
        if self.of(FaultKind::Symbol) > 0 {
            advice.push("name tickers with --map TICKER=SYMBOL, or take all of them with --all-symbols".to_owned());
        }
        if self.of(FaultKind::Fraction) < self.count {
            advice.push(
                "leave bad lines out with --skip-bad, or with --skip-bad=FILE to keep them with their reasons"
                    .to_owned(),
            );
        }
        advice
    }
}

fn kind_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Shape => "shape",
        FaultKind::Time => "time",
        FaultKind::Prices => "prices",
        FaultKind::Empty => "empty",
        FaultKind::Fraction => "fraction",
        FaultKind::Volume => "volume",
        FaultKind::Skipped => "skipped",
        FaultKind::Ambiguous => "ambiguous",
        FaultKind::Order => "order",
        FaultKind::Opening => "opening",
        FaultKind::Future => "future",
        FaultKind::Symbol => "symbol",
        FaultKind::Timeframe => "timeframe",
        FaultKind::Length => "length",
    }
}

/// A file of bad lines: of each its file, its number, its reason and its text, between tabs.
#[derive(Debug)]
pub(super) struct BadFile(BufWriter<File>);

impl BadFile {
    /// Makes the file, or empties it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::new(File::create(path)?)))
    }

    pub(super) fn add(&mut self, file: &str, line: u64, text: Option<&[u8]>, reason: &str) -> io::Result<()> {
        write!(self.0, "{file}\t{line}\t{reason}\t")?;
        self.0.write_all(text.unwrap_or_default())?;
        self.0.write_all(b"\n")
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
