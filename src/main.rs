//! The `candlewick` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    candlewick::cli::run()
}
