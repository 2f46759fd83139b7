//! Runs one statement on a pool, and repeats it where that may help.

/// The maximum number of times that a statement is repeated after the server cancelled it because of another
/// transaction.
pub(super) const MAX_RETRIES: usize = 3;

/// Runs one statement that reads. It runs once more if the server had closed the connection, which is not pinged before
/// every statement, or if a standby cancelled the statement because it conflicted with changes from the primary. A
/// macro, because the compiler cannot prove that a function that takes such a closure by reference is `Send`.
macro_rules! read_with {
    ($pool:expr, |$connection:ident| $statement:expr) => {{
        match $pool.run($crate::store::postgres::pool::Purpose::Read, async |$connection| $statement.await).await {
            Err(error) if error.is_of_the_connection() || error.is_conflict() => {
                tracing::debug!(cause = $crate::errors::chain(&error).to_string(), "trying the statement again");
                $pool.run($crate::store::postgres::pool::Purpose::ReadAgain, async |$connection| $statement.await).await
            }
            result => result,
        }
    }};
}

/// Runs one statement that writes. It is repeated after a conflict with another transaction, each time on a connection
/// that is acquired anew.
macro_rules! write_with {
    ($pool:expr, $purpose:expr, |$connection:ident| $statement:expr) => {{
        let mut attempt = 0;
        loop {
            match $pool.run($purpose, async |$connection| $statement.await).await {
                Err(error) if attempt < $crate::store::postgres::retry::MAX_RETRIES && error.is_conflict() => {
                    attempt += 1;
                    tracing::debug!(
                        cause = $crate::errors::chain(&error).to_string(),
                        attempt,
                        "trying the statement again, because another transaction was in its way"
                    );
                }
                result => break result,
            }
        }
    }};
}

pub(super) use {read_with, write_with};
