//! The identity of the SQLite file: checks that the path still leads to the file that it led to at first contact.
//!
//! A connection keeps the file that it opened, even if the file is moved or deleted. A write into a deleted file is
//! lost, and a write after another file took its place goes into the write-ahead log that SQLite would apply to the new
//! file (SQLite documentation, "How To Corrupt An SQLite Database File", 2.4). So nothing is written, and no new
//! connection opened, while the path leads elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{error, info, warn};

use crate::errors::chain;
use crate::store::{Missing, StoreError};

/// The suffixes of the files that SQLite keeps beside a database in WAL mode.
const SIDE_FILES: [&str; 2] = ["-wal", "-shm"];

/// A SQLite file by its path.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    opened: OnceLock<OpenFiles>,
    /// True if the log's last line about this says that the path leads elsewhere.
    is_lost: AtomicBool,
}

/// The files that the connections have open.
#[derive(Debug, PartialEq, Eq)]
struct OpenFiles {
    database: FileIdentity,
    /// Each of [`SIDE_FILES`] by its path, which is that of the database with symbolic links resolved.
    side_files: [(PathBuf, FileIdentity); 2],
}

/// The identity of a file, whatever its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    #[cfg(unix)]
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).map(|file| Self { device: file.dev(), inode: file.ino() })
    }

    /// On other systems, a file that SQLite has open can be neither moved nor deleted, and the standard library has no
    /// number that identifies it.
    #[cfg(not(unix))]
    fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|_| Self { device: 0, inode: 0 })
    }
}

impl OpenFiles {
    fn at(path: &Path) -> io::Result<Self> {
        let real = fs::canonicalize(path)?;
        let side_file = |suffix: &str| {
            let path = beside(&real, suffix);
            FileIdentity::of(&path).map(|identity| (path, identity))
        };
        let [log, index] = SIDE_FILES;
        Ok(Self { database: FileIdentity::of(path)?, side_files: [side_file(log)?, side_file(index)?] })
    }
}

impl DatabaseFile {
    /// A relative path is resolved against the current working directory.
    pub(super) fn new(path: &Path) -> Self {
        let path = absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, opened: OnceLock::new(), is_lost: AtomicBool::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers the file at the path as the one that the connections have open. Fails if another file is remembered
    /// already. To be called while a connection is open that stays open, because as long as it does, no other file can
    /// get the same inode.
    pub(super) fn pin(&self) -> Result<(), StoreError> {
        let found = || OpenFiles::at(&self.path).map_err(|error| self.gone(error));
        let first = found()?;
        if *self.opened.get_or_init(|| first) != found()? {
            return Err(self.replaced());
        }
        let names = names(&self.path);
        if names > 1 {
            warn!(
                file = %self.path.display(),
                names,
                "the SQLite file has more than one name (hard links): use it by this one only, because SQLite keeps \
                 the write-ahead log beside the name by which a file is opened, and two logs damage it"
            );
        }
        Ok(())
    }

    /// Checks that the path leads to the open file, and that SQLite's files beside it are there too, because a commit
    /// is in the write-ahead log before it is in the file.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let result = self.opened.get().map_or(Ok(()), |opened| self.find(opened));
        // Logged when it changes, because without requests nothing else would show it.
        let is_lost = result.is_err();
        if self.is_lost.load(Ordering::Relaxed) != is_lost && self.is_lost.swap(is_lost, Ordering::Relaxed) != is_lost {
            match &result {
                Ok(()) => info!("the SQLite file is back where it was"),
                Err(lost) => error!(cause = chain(lost).to_string(), "the SQLite file is not where it was"),
            }
        }
        result
    }

    fn find(&self, opened: &OpenFiles) -> Result<(), StoreError> {
        match FileIdentity::of(&self.path) {
            Ok(found) if found == opened.database => {}
            Ok(_) => return Err(self.replaced()),
            Err(error) => return Err(self.gone(error)),
        }
        match opened.side_files.iter().find(|(path, identity)| FileIdentity::of(path).ok() != Some(*identity)) {
            None => Ok(()),
            Some((path, _)) => Err(missing(format!(
                "{} was moved or deleted under the running service, which writes nothing more; put it back, or restart \
                 the service, which saves the content of that file as it stops",
                path.display()
            ))),
        }
    }

    fn gone(&self, error: io::Error) -> StoreError {
        let path = self.path.display();
        if error.kind() == io::ErrorKind::NotFound {
            missing(format!(
                "the SQLite file {path} was moved or deleted under the running service, which writes nothing more; put \
                 it back, or stop the service, restore a backup, and restart it"
            ))
        } else {
            StoreError::unavailable(UnreadableFile { path: self.path.clone(), source: error })
        }
    }

    fn replaced(&self) -> StoreError {
        let path = self.path.display();
        missing(format!(
            "the SQLite file {path} was moved or deleted under the running service and another one is in its place, so \
             nothing more is written; put the old one back, or stop the service, move {path}-wal and {path}-shm away, \
             which belong to the old one and would damage the new one, and restart it"
        ))
    }
}

/// A file that the system can neither find nor report as missing.
#[derive(Debug, thiserror::Error)]
#[error("the SQLite file {} cannot be accessed", .path.display())]
struct UnreadableFile {
    path: PathBuf,
    source: io::Error,
}

fn missing(text: String) -> StoreError {
    StoreError::missing(Missing::File, text)
}

/// The number of hard links to a file.
#[cfg(unix)]
fn names(path: &Path) -> u64 {
    fs::metadata(path).map_or(1, |file| std::os::unix::fs::MetadataExt::nlink(&file))
}

/// The standard library does not know the number of hard links here.
#[cfg(not(unix))]
fn names(_: &Path) -> u64 {
    1
}

/// The path beside `path` that has `suffix` appended to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
