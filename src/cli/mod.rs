//! The command line.

mod arguments;
mod database;
mod error;
mod history;
mod operate;
mod output;
mod research;
mod serve;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};

use self::arguments::{Arguments, Command};
use self::error::CommandError;
use self::history::{
    correct_history, delete_history, export_history, import_history, report_gaps, show_retention, verify_history,
};
use self::operate::{check, healthcheck, keygen, migrate};
use self::output::{complain, print};
use self::research::{list_strategies, print_pine, run_backtest};
use self::serve::{demonstrate, serve, work};
use crate::config::{VARIABLES, Variables};
use crate::http;

/// Runs the program: exit code 0 if all went well, 1 if something failed, 2 if something must be changed first.
#[must_use]
pub fn run() -> ExitCode {
    let command = Arguments::command().after_help(environment_help());
    let arguments = command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(error) => return explain_usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CommandError::Runtime(error).report(),
    };
    let result = runtime.block_on(async {
        match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
            Command::Serve(flags) => serve(flags.flags()).await,
            Command::Worker(flags) => work(&Variables::from_process(&flags.flags())).await,
            Command::Migrate(flags) => migrate(&Variables::from_process(&flags.flags())).await,
            Command::Check(flags) => check(&Variables::from_process(&flags.flags())).await,
            Command::Healthcheck { url, listen, environment } => {
                healthcheck(url, &Variables::from_process(&listen.add_to(environment.flags()))).await
            }
            Command::Export { export, database } => export_history(&export, database).await,
            Command::Gaps { gaps, database } => report_gaps(&gaps, database).await,
            Command::Delete { delete, database } => delete_history(&delete, database).await,
            Command::Strategies { strategies, environment } => {
                list_strategies(&strategies, &Variables::from_process(&environment.flags()))
            }
            Command::Pine { pine, environment } => print_pine(&pine, &Variables::from_process(&environment.flags())),
            Command::Backtest { backtest, database } => run_backtest(&backtest, database).await,
            Command::Demo(flags) => demonstrate(flags).await,
            Command::Retention(flags) => show_retention(&Variables::from_process(&flags.flags())).await,
            Command::Import { import, database } => import_history(&import, database).await,
            Command::Verify { verify, database } => verify_history(&verify, database).await,
            Command::Correct { correct, database } => correct_history(&correct, database).await,
            Command::Openapi => print(&http::openapi()),
            Command::Keygen => keygen(),
        }
    });
    // A name look-up that hangs must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Prints help if it was asked for, or else the mistake in the command line.
fn explain_usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // The error quotes what clap does not understand, which may be an address with a password.
        complain(without_passwords(&error.to_string()).trim_end());
        return ExitCode::from(2);
    }
    // A reader that closes the pipe early is not a failure.
    let _ = error.print();
    ExitCode::SUCCESS
}

/// Removes the text between `//` and the last `@` of the same word, which in an address is login and password.
fn without_passwords(text: &str) -> String {
    let hide = |word: &str| match (word.find("//"), word.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}//…{}", &word[..start], &word[end..]),
        _ => word.to_owned(),
    };
    text.split_inclusive(char::is_whitespace).map(hide).collect()
}

fn environment_help() -> String {
    let mut help = String::from(
        "Environment variables, in development also lines of .env (secrets may also be in a file that NAME_FILE names):\n",
    );
    for variable in VARIABLES {
        let _ = write!(help, "  {:<25} {}", variable.name, variable.meaning);
        if !variable.default.is_empty() {
            let _ = write!(help, " [default: {}]", variable.default);
        }
        help.push('\n');
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_quoted_without_its_password() {
        for (text, shown) in [
            ("unexpected argument 'postgres://u:geheim@h/d' found\n", "unexpected argument 'postgres://…@h/d' found\n"),
            ("tip: --database-url=postgres://u:ge@heim@h/d", "tip: --database-url=postgres://…@h/d"),
            ("nothing http://h/d a@b", "nothing http://h/d a@b"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
