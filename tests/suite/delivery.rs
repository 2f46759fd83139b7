//! The scripts of `deploy/` that a deployment depends on, run as shipped: the smoke test, backups and restores.

mod backup;
pub mod backups;
mod restore;
mod shapes;
mod smoke;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A script of `deploy/`, with only `variables` in its environment and the tests' programs first on its path.
fn script(name: &str, programs: &[PathBuf], variables: &[(&str, &str)]) -> Command {
    let inherited = std::env::var_os("PATH").unwrap();
    let path = programs.iter().cloned().chain(std::env::split_paths(&inherited));
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name));
    command.env_clear().env("PATH", std::env::join_paths(path).unwrap()).envs(variables.iter().copied());
    command
}

/// The command lines of all processes, as everybody on the machine can read them.
fn command_lines() -> Vec<String> {
    command_lines_of(|_| true)
}

/// The command lines of the processes whose folders in /proc are `wanted`.
fn command_lines_of(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|process| process.path());
    let lines = processes.filter(|path| wanted(path)).filter_map(|path| std::fs::read(path.join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| !line.is_empty()).collect()
}
