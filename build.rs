//! Makes cargo rebuild the binary when a migration changes, and lists the files of the console for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The folder of the console's files.
const CONSOLE: &str = "src/http/routes/console/assets";

fn main() -> io::Result<()> {
    // Macros read the migrations and the console at compile time, which cargo cannot know.
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed={CONSOLE}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(CONSOLE);
    let mut files = Vec::new();
    list(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let name = name.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        let _ = writeln!(table, "    ({name:?}, include_bytes!(r\"{}\")),", file.display());
    }
    table.push(']');
    #[expect(clippy::disallowed_methods, reason = "cargo says by this variable where a build script may write")]
    let folder = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(folder.join("console.rs"), table)
}

/// Lists the files in `folder` and in the folders within it.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
