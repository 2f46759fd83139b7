//! A lock beside the SQLite file, which shows that a service uses the file. It does not keep other services out: two
//! services on one file lose nothing, but they are not intended, except while one takes over from the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::{debug, info, warn};

use super::file::beside;
use crate::errors::chain;

/// The suffix that is appended to the file's name.
const SUFFIX: &str = "-lock";

/// The lock of one SQLite file, and the holder that this service last found.
#[derive(Debug, Default)]
pub(super) struct ServiceLock(Mutex<LockState>);

#[derive(Debug, Default)]
enum LockState {
    #[default]
    Free,
    /// Another service holds the lock, and has written this into it.
    Taken(String),
    /// This service holds the lock. The system releases it when the value is dropped, or the process is killed. The
    /// file stays, and its existence means nothing.
    Held { _lock: File },
}

impl ServiceLock {
    /// Takes the lock if it is free, and otherwise logs a warning that names the holder, once for each holder.
    pub(super) fn take(&self, database: &Path) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, LockState::Held { .. }) {
            return;
        }
        match try_take(database) {
            Ok(Ok(lock)) => {
                if matches!(*state, LockState::Taken(_)) {
                    info!("the other service no longer uses the SQLite file");
                }
                *state = LockState::Held { _lock: lock };
            }
            Ok(Err(holder)) => {
                if !matches!(&*state, LockState::Taken(known) if *known == holder) {
                    warn!(
                        file = %database.display(),
                        process = holder,
                        "another running candlewick uses this SQLite file: the posts of two terminals to them can \
                         conflict, and of two different candles the first one stays. Stop one of the two, unless this \
                         one is just taking over"
                    );
                }
                *state = LockState::Taken(holder);
            }
            // A folder that may not be written, or a file system without locks.
            Err(error) => {
                debug!(cause = chain(&error).to_string(), "the lock of the SQLite file cannot be taken");
            }
        }
    }

    pub(super) fn release(&self) {
        // Does not wait while the lock is being taken, because the file system may not answer.
        if let Ok(mut state) = self.0.try_lock() {
            *state = LockState::Free;
        }
    }
}

/// Takes the lock, or returns the process that holds it, as far as it is known.
fn try_take(database: &Path) -> io::Result<Result<File, String>> {
    let path = lock_path(database)?;
    let options = |write| {
        let mut options = OpenOptions::new();
        options.read(true).write(write).create(write).truncate(false);
        options
    };
    // A lock file of another user can be locked even if it cannot be written.
    let mut lock = options(true).open(&path).or_else(|_| options(false).open(&path))?;
    match lock.try_lock() {
        Ok(()) => {
            let _ = name_process(&mut lock);
            Ok(Ok(lock))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The file cannot be read if locks are mandatory, as on Windows.
            let _ = lock.take(20).read_to_string(&mut holder);
            let holder = holder.trim();
            let is_number = !holder.is_empty() && holder.bytes().all(|byte| byte.is_ascii_digit());
            Ok(Err(if is_number { holder.to_owned() } else { "unknown".to_owned() }))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock is beside the file itself, so that all symbolic links to the file lead to one lock.
fn lock_path(database: &Path) -> io::Result<PathBuf> {
    database.canonicalize().map(|file| beside(&file, SUFFIX))
}

/// Writes the number of this process into the lock.
fn name_process(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_lock_can_be_taken_once_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("test.db");
        std::fs::write(&database, "").unwrap();
        let [first, second, third] = std::array::from_fn(|_| ServiceLock::default());
        let holder = |lock: &ServiceLock| match &*lock.0.lock().unwrap() {
            LockState::Free => "nobody".to_owned(),
            LockState::Taken(holder) => holder.clone(),
            LockState::Held { .. } => "this one".to_owned(),
        };
        // If locks are mandatory, the number of the process cannot be read.
        let other = if cfg!(windows) { "unknown".to_owned() } else { std::process::id().to_string() };
        first.take(&database);
        second.take(&database);
        assert_eq!([holder(&first), holder(&second)], ["this one".to_owned(), other.clone()]);
        first.release();
        second.take(&database);
        third.take(&database);
        assert_eq!([holder(&second), holder(&third)], ["this one".to_owned(), other]);
    }
}
