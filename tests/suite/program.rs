//! The built program, as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{KEY, RESEARCH_KEY, TEST_TIMEOUT, TOKEN};

/// The program in a folder of its own, with nothing but `variables` in its environment.
pub fn program(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
    command.current_dir(folder).env_clear().envs(variables.iter().copied());
    // Writes coverage of the program itself, if it is measured.
    if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    command
}

pub fn output(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().expect("no signal"), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A running `serve`, killed with this value, or by its watchdog if a test hangs on it.
pub struct Serving {
    pub child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    pub url: String,
    /// Its whole output so far.
    pub printed: String,
    _watched: mpsc::Sender<()>,
}

impl Serving {
    pub fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_for(TEST_TIMEOUT, folder, variables)
    }

    /// Starts a process that may run for `lifetime` before its watchdog kills it.
    pub fn start_for(lifetime: Duration, folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::of(lifetime, &mut program(folder, variables))
    }

    /// Starts a process whose virtual memory is limited to `memory` KiB.
    pub fn start_within(memory: usize, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let program = program(folder, variables);
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", &format!("ulimit -v {memory} && exec {}", program.get_program().display())]);
        limited
            .current_dir(folder)
            .env_clear()
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::of(TEST_TIMEOUT, &mut limited)
    }

    /// Starts a process with `arguments`.
    pub fn with_arguments(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(TEST_TIMEOUT, program(folder, variables).args(arguments))
    }

    fn of(lifetime: Duration, command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (watched, ended) = mpsc::channel();
        let pid = child.id();
        std::thread::spawn(move || {
            if ended.recv_timeout(lifetime) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill(pid, "KILL");
            }
        });
        let mut serving = Self { child, lines, url: String::new(), printed: String::new(), _watched: watched };
        let line = serving.line_with("listening");
        let address = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        serving.url = format!("http://127.0.0.1:{port}");
        serving
    }

    /// Starts on a database with the keys of all tests, and waits until it is ready.
    pub fn on(folder: &Path, database_url: &str) -> Self {
        let keys = [("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN), ("RESEARCH_API_KEY", RESEARCH_KEY)];
        let mut serving = Self::start(folder, &[&keys[..], &[("PORT", "0"), ("DATABASE_URL", database_url)]].concat());
        serving.is_ready();
        serving
    }

    /// Returns once its store has been reached, which it may log before or after it listens.
    pub fn is_ready(&mut self) {
        if !self.printed.contains(" ready") && !self.printed.contains("\"ready\"") {
            self.line_with("ready");
        }
    }

    /// A line that contains `text`, printed before or after it listened.
    pub fn first_line_with(&mut self, text: &str) -> String {
        match self.printed.lines().find(|line| line.contains(text)) {
            Some(line) => line.to_owned(),
            None => self.line_with(text),
        }
    }

    /// Reads on until a line contains `text`.
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.next().expect("it still runs").unwrap();
            self.printed.push_str(&line);
            self.printed.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The banner's lines to paste, which may come before or after the log's first lines, because a thread writes
    /// those.
    pub fn curl_lines(&mut self) -> [String; 2] {
        loop {
            let mut found = self.printed.lines().map(str::trim).filter(|line| line.starts_with("curl -i"));
            if let (Some(post), Some(get)) = (found.next(), found.next()) {
                return [post.to_owned(), get.to_owned()];
            }
            self.line_with("curl -i");
        }
    }

    /// The banner, without the parts that differ between runs and releases.
    pub fn banner(&mut self) -> String {
        let keys = self.curl_lines().map(|line| line.split("X-").nth(1).unwrap().split('"').next().unwrap().to_owned());
        self.first_line_with("API documentation");
        let lines = self
            .printed
            .lines()
            .skip_while(|line| !line.contains(" listens on "))
            .filter(|line| line.is_empty() || line.starts_with(' '));
        let mut banner = lines.collect::<Vec<_>>().join("\n");
        for key in keys {
            let (name, key) = key.split_once(": ").unwrap();
            banner = banner.replace(key, &format!("[{name}]"));
        }
        banner.replace(&self.url, "[url]").replace(env!("CARGO_PKG_VERSION"), "[version]")
    }

    pub fn signal(&self, name: &str) {
        kill(self.child.id(), name);
    }

    /// Waits for its end and returns the exit code and its whole output.
    pub fn end(mut self) -> (Option<i32>, String) {
        for line in self.lines.by_ref() {
            self.printed.push_str(&line.unwrap());
            self.printed.push('\n');
        }
        self.child.stderr.take().unwrap().read_to_string(&mut self.printed).unwrap();
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.printed))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shell's built-in `kill`, because slim systems have no other.
pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
    assert!(status.success());
}
