//! A disk that a test can fill.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub struct SmallDisk {
    folder: TempDir,
    /// Unmounts it when this process ends for any reason.
    holder: Child,
}

impl SmallDisk {
    /// Mounts a file system of this size, or returns the reason why that is impossible.
    pub fn mount(megabytes: usize) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("candlewick-disk.").tempdir_in("/tmp").unwrap();
        let options = format!("size={megabytes}m,mode=1777");
        let mounting = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mounting {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr);
                return Err(format!("a small disk cannot be mounted (only root may): {}", reason.trim()));
            }
            Err(error) => return Err(format!("a small disk cannot be mounted: {error}")),
        }
        // In a process group of its own, because Ctrl-C must not end the process that cleans up.
        let mut holder = Command::new("sh");
        let holder =
            holder.args(["-c", "trap '' INT TERM; cat; umount -l \"$1\" && rmdir \"$1\"", "sh"]).arg(folder.path());
        let holder = holder.process_group(0).stdin(Stdio::piped()).spawn().unwrap();
        Ok(Self { folder, holder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes until the disk is full.
    pub fn fill(&self) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        // Single pages at the end, because a page may fit where a large piece does not.
        for size in [1 << 20, 1 << 12] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees the space again.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
