//! Programs that do the bench's work on strategies in a process of their own, so that nothing else is in their memory: this program
//! with the crate `research`, and Python with vectorbt and backtesting.py. Both read the same file and understand the same commands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::process;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectorbt/measure.py");
/// Libraries that would use more than one thread.
const ONE_THREAD: [(&str, &str); 4] =
    [("NUMBA_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1")];

/// A running program, which ends when this is dropped.
pub struct Worker {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The work of a command.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub seconds: f64,
    /// The closed trades of all sets of parameters, by which two programs show that they did the same.
    pub trades: usize,
}

impl Worker {
    /// This program, with the candles of a CSV file.
    pub fn ours(candles: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(crate::WORKER).arg(candles);
        Self::start(command)
    }

    /// vectorbt and backtesting.py, if `VECTORBT` names a Python that has them.
    pub fn python(candles: &Path) -> Option<Self> {
        let Ok(python) = std::env::var("VECTORBT") else {
            eprintln!("bench: VECTORBT names no Python with vectorbt, so it is skipped; make bench installs it");
            return None;
        };
        let mut command = Command::new(python);
        // A bar of progress would be written in the time that is measured.
        command.args(["-B", SCRIPT]).arg(candles).envs(ONE_THREAD).env("TQDM_DISABLE", "1");
        Some(Self::start(command))
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (commands, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut worker = Self { child, commands, answers };
        assert_eq!(worker.answer(), "ready");
        worker
    }

    /// Carries out a command.
    pub fn work(&mut self, command: &str) -> Work {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let answer = self.answer();
        let work = answer
            .split_once(' ')
            .and_then(|(seconds, trades)| Some(Work { seconds: seconds.parse().ok()?, trades: trades.parse().ok()? }));
        work.unwrap_or_else(|| panic!("{command} was answered with {answer:?}"))
    }

    /// The peak resident memory so far, in MiB.
    pub fn peak_memory(&self) -> f64 {
        process::peak_memory(self.child.id())
    }

    fn answer(&mut self) -> String {
        // The caller is a task, whose thread this takes for as long as it waits.
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            line.trim().to_owned()
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
