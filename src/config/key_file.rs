//! The file of keys that are generated for development.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use secrecy::SecretString;

use super::database::MissingFolder;

/// Permission to generate missing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyGeneration {
    Allowed,
    /// Only an existing file is read.
    Forbidden,
    /// No key is needed.
    NotRead,
}

/// The pause between reads of a file that another process has created but not filled yet.
const READ_PAUSE: Duration = Duration::from_millis(10);
/// The maximum number of such reads.
const MAX_READ_ATTEMPTS: u32 = 200;

/// The names of the keys in the file. Releases before research left the last one out.
const NAMES: [&str; 3] = ["MT5_API_KEY", "INTERNAL_API_TOKEN", "RESEARCH_API_KEY"];

/// Reads the ingest key, the read token and the research key from the file at `path`. If it does not exist, creates it with new
/// keys, and if it has no research key, adds one. If that is forbidden, a file that is missing is `None`, and so is a missing
/// research key.
pub(super) fn keys(path: &Path, generation: KeyGeneration) -> Result<Option<[Option<SecretString>; 3]>, String> {
    let failed = |error: io::Error| {
        format!(
            "{} cannot keep generated keys ({error}); set MT5_API_KEY, INTERNAL_API_TOKEN and RESEARCH_API_KEY, or make it \
             writable.",
            path.display()
        )
    };
    if !path.exists() {
        if generation == KeyGeneration::Forbidden {
            return Ok(None);
        }
        if let Some(folder) = MissingFolder::of(path) {
            return Err(format!("{} cannot keep generated keys: {folder}", path.display()));
        }
        generate(path).map_err(failed)?;
    }
    let mut text = read(path).map_err(failed)?;
    if NAMES[..2].iter().any(|name| find(&text, name).is_none()) {
        return Err(format!("{} does not hold all keys; delete it and start again.", path.display()));
    }
    if find(&text, NAMES[2]).is_none() && generation == KeyGeneration::Allowed {
        text = with_research_key(path).map_err(failed)?;
    }
    Ok(Some(NAMES.map(|name| find(&text, name))))
}

fn find(text: &str, name: &str) -> Option<SecretString> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.map(str::trim).filter(|value| !value.is_empty()).map(SecretString::from)
}

/// Adds a research key to a file that has none, and returns the file's text. The lock lets one of several processes add it.
fn with_research_key(path: &Path) -> io::Result<String> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if find(&text, NAMES[2]).is_none() {
        let line_break = if text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{line_break}{}={}\n", NAMES[2], strong_key()?);
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        text.push_str(&line);
    }
    Ok(text)
}

/// Creates the file with new keys. If several processes do so at once, one of them succeeds.
///
/// That process creates an empty file and then renames a complete draft over it, so that no process reads half of the
/// file, and the file system need not support hard links.
fn generate(path: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("keys.{}", std::process::id()));
    let mut text = "# Made for development by candlewick; delete this file to get new keys.\n".to_owned();
    for name in NAMES {
        let _ = writeln!(text, "{name}={}", strong_key()?);
    }
    match create(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    // A process with the same id may have left a draft, if it was killed here.
    let _ = fs::remove_file(&draft);
    let filled = create(&draft).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&draft, path)
    });
    if filled.is_err() {
        // Errors of the clean-up are ignored, because the failure itself is returned.
        let _ = fs::remove_file(&draft);
        let _ = fs::remove_file(path);
    }
    filled
}

/// Creates a file that only its owner can read, and fails if the file exists.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // On Windows the folder's access control list decides who may read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Reads the file, waiting until the process that created it has filled it.
fn read(path: &Path) -> io::Result<String> {
    for _ in 0..MAX_READ_ATTEMPTS {
        let text = fs::read_to_string(path)?;
        if !text.is_empty() {
            return Ok(text);
        }
        sleep(READ_PAUSE);
    }
    // The process that created the file was killed before it could fill it.
    Ok(String::new())
}

/// Generates a key: 256 random bits in hexadecimal.
///
/// # Errors
/// When the system's random generator fails.
pub fn strong_key() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn text(keys: Option<[Option<SecretString>; 3]>) -> [String; 3] {
        keys.unwrap().map(|key| key.unwrap().expose_secret().to_owned())
    }

    #[test]
    fn processes_that_start_at_once_share_the_keys_of_one() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let (path, start) = (folder.path().join("my data.keys"), Barrier::new(8));
            let read = || {
                start.wait();
                text(keys(&path, KeyGeneration::Allowed).unwrap())
            };
            let found: Vec<_> = thread::scope(|scope| {
                let reading: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
                reading.into_iter().map(|reading| reading.join().unwrap()).collect()
            });
            assert!(found.iter().all(|keys| *keys == found[0] && keys[0].len() == 64), "{found:?}");
            let left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["my data.keys"], "no draft is left");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.keys");
        let made = text(keys(&path, KeyGeneration::Allowed).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(text(keys(&path, KeyGeneration::Allowed).unwrap()), made);
        assert_eq!(text(keys(&path, KeyGeneration::Forbidden).unwrap()), made);
    }

    #[test]
    fn no_file_is_created_if_that_is_forbidden_or_the_folder_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(keys(&folder.path().join("c.keys"), KeyGeneration::Forbidden).unwrap().is_none());
        let problem = keys(&folder.path().join("data/c.keys"), KeyGeneration::Allowed).unwrap_err();
        assert!(problem.contains("does not exist; correct the path, or make the folder: mkdir"), "{problem}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_lacks_a_key_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.keys");
        fs::write(&path, "MT5_API_KEY=a\n").unwrap();
        let problem = keys(&path, KeyGeneration::Allowed).unwrap_err();
        assert!(problem.contains("does not hold all keys; delete it"), "{problem}");
    }

    #[test]
    fn a_file_of_an_earlier_release_gains_one_research_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.keys");
        fs::write(&path, "MT5_API_KEY=a\nINTERNAL_API_TOKEN=b").unwrap();
        let [key, token, research] = keys(&path, KeyGeneration::Forbidden).unwrap().unwrap();
        assert!(key.is_some() && token.is_some() && research.is_none());
        let start = Barrier::new(8);
        let read = || {
            start.wait();
            text(keys(&path, KeyGeneration::Allowed).unwrap())
        };
        let found: Vec<_> = thread::scope(|scope| {
            let reading: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
            reading.into_iter().map(|reading| reading.join().unwrap()).collect()
        });
        assert!(found.iter().all(|keys| *keys == found[0]), "{found:?}");
        assert_eq!((&*found[0][0], &*found[0][1], found[0][2].len()), ("a", "b", 64));
    }
}
