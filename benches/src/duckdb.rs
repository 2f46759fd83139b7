//! DuckDB, which does the work of exports and of built candles in its own memory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/duckdb/measure.py");

/// A running DuckDB with a table of candles, which ends when this is dropped.
pub struct DuckDb {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl DuckDb {
    /// Loads the candles of a CSV file, if `DUCKDB` names a Python that has DuckDB.
    pub fn start(candles: &Path) -> Option<Self> {
        let Ok(python) = std::env::var("DUCKDB") else {
            eprintln!("bench: DUCKDB names no Python with DuckDB, so DuckDB is skipped; make bench installs it");
            return None;
        };
        let mut command = Command::new(python);
        command.args(["-B", SCRIPT]).arg(candles).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (commands, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut duckdb = Self { child, commands, answers };
        assert_eq!(tokio::task::block_in_place(|| duckdb.answer()), "ready");
        Some(duckdb)
    }

    /// The seconds that a command takes.
    pub fn seconds(&mut self, command: &str) -> f64 {
        tokio::task::block_in_place(|| {
            writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
            self.answer().parse().unwrap()
        })
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
