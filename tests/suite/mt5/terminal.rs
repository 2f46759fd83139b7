//! The compiled EA in its terminal, as a process that gets a market and a time by commands.

use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::harness::program_of;
use crate::program::kill;

/// The maximum time that a terminal runs, so that a test which hangs on it fails.
const LIFETIME: Duration = Duration::from_secs(110);

/// A running terminal, killed with this value.
pub struct Terminal {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The lines that the EA wrote into the log.
    pub log: Vec<String>,
    /// The text on the chart.
    pub comment: String,
    /// The requests as the EA saw them: method, address, status, error.
    pub requests: Vec<String>,
    /// The last return value of `OnInit`.
    pub init_code: String,
    _watched: mpsc::Sender<()>,
}

impl Terminal {
    /// Returns `None`, and prints the reason, where no terminal was built.
    pub fn start(authority: Option<&Path>) -> Option<Self> {
        let mut command = Command::new(program_of("TEST_TERMINAL")?);
        if let Some(authority) = authority {
            command.env("TERMINAL_CACERT", authority);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (watched, ended) = mpsc::channel();
        let pid = child.id();
        std::thread::spawn(move || {
            if ended.recv_timeout(LIFETIME) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill(pid, "KILL");
            }
        });
        Some(Self {
            child,
            commands,
            answers: BufReader::new(answers).lines(),
            log: Vec::new(),
            comment: String::new(),
            requests: Vec::new(),
            init_code: String::new(),
            _watched: watched,
        })
    }

    /// Runs a command, and reads its output up to the end.
    #[track_caller]
    pub fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        loop {
            let line = self.answers.next().expect("the terminal runs").unwrap();
            let (kind, text) = line.split_once(' ').unwrap_or((&line, ""));
            match kind {
                "ok" => return,
                "log" => self.log.push(text.to_owned()),
                "comment" => text.clone_into(&mut self.comment),
                "request" => self.requests.push(text.to_owned()),
                "init" => text.clone_into(&mut self.init_code),
                _ => panic!("{command}: {line}; log: {:#?}", self.log),
            }
        }
    }

    /// The number of lines in the log that contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log.iter().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
