//! The two streams that commands write to.

use std::io::{self, Write as _};

use super::error::CommandError;
use crate::history::Printer;

/// Writes a line. A reader that closes the pipe early is not a failure.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Print(error)),
        _ => Ok(()),
    }
}

/// Writes the reason for which the program ends. A failure to write it is ignored.
pub(super) fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Writes what a command says while it runs. A reader that closes the pipe early is not a failure.
pub(super) const PRINTER: Printer = Printer {
    print: |text| {
        let _ = writeln!(io::stdout(), "{text}");
    },
    print_error: complain,
};
