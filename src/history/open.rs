//! Files as texts: plain or compressed, alone or in an archive, in any encoding ([`super::decode`]).

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use zip::{CompressionMethod, ZipArchive};

/// The number of bytes that may come out of any archive, however small it is.
const MIN_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The factor by which the content of an archive may be longer than the archive.
const MAX_EXPANSION: u64 = 100;
/// The maximum number of members of an archive.
const MAX_MEMBERS: usize = 10_000;

const ZIP: &[u8] = b"PK\x03\x04";
const EMPTY_ZIP: &[u8] = b"PK\x05\x06";
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// A text to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// A member of a zip archive.
    Member {
        /// The archive.
        archive: PathBuf,
        /// The position of the member.
        index: usize,
        /// Its name.
        name: String,
    },
}

impl Input {
    /// Its name for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Member { archive, name, .. } => format!("{}:{name}", archive.display()),
        }
    }

    /// The ending of its name, in lower case, without that of a compression.
    pub(super) fn ending(&self) -> String {
        let name = self.name().to_lowercase();
        let name = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_owned())
    }
}

/// The texts of a path: the file itself, standard input for `-`, or the members of an archive that match `member`.
pub(super) fn inputs(path: &Path, member: Option<&str>) -> io::Result<Vec<Input>> {
    if path.as_os_str() == "-" {
        return Ok(vec![Input::Stdin]);
    }
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name its files"));
    }
    let mut magic = [0; 4];
    let length = read_fully(&mut file, &mut magic)?;
    if !(magic[..length] == *ZIP || magic[..length] == *EMPTY_ZIP) {
        return Ok(vec![Input::File(path.to_owned())]);
    }
    file.rewind()?;
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    if archive.len() > MAX_MEMBERS {
        return Err(io::Error::other(format!("the archive has more than {MAX_MEMBERS} members")));
    }
    let mut inputs = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let name = entry.name()?.into_owned();
        let file_name = name.rsplit('/').next().unwrap_or_default();
        let is_wanted = member.is_none_or(|glob| matches(glob, &name) || matches(glob, file_name));
        if !entry.is_dir() && is_wanted {
            inputs.push(Input::Member { archive: path.to_owned(), index, name });
        }
    }
    if inputs.is_empty() {
        let which = if member.is_some() { "no member that --member selects" } else { "no members" };
        return Err(io::Error::other(format!("the archive has {which}")));
    }
    Ok(inputs)
}

/// True if a name matches a pattern in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // The state to go back to if the text behind the last star does not fit: the position of the star, and of the
    // first character that it does not take.
    let mut star = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, in_name) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

/// The bytes of an input, decompressed.
pub(super) struct Opened {
    pub(super) bytes: Box<dyn Read + Send>,
    /// The bytes of the file that were read so far, before decompression.
    pub(super) position: Arc<AtomicU64>,
    /// The length of the file, if it is known.
    pub(super) length: Option<u64>,
    /// The kind of compression, if there is one.
    pub(super) compression: Option<&'static str>,
}

/// Opens an input. The content of an archive is at most `max_bytes` long; by default 100 times as long as the
/// archive, but at least 16 MiB.
pub(super) fn open(input: &Input, max_bytes: Option<u64>) -> io::Result<Opened> {
    let position = Arc::new(AtomicU64::new(0));
    let (mut source, length): (Box<dyn Read + Send>, Option<u64>) = match input {
        Input::Stdin => (Box::new(io::stdin()), None),
        Input::File(path) => {
            let file = File::open(path)?;
            // A pipe has no length.
            let length = Some(file.metadata()?).filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
            (Box::new(file), length)
        }
        Input::Member { archive, index, .. } => return open_member(archive, *index, max_bytes, position),
    };
    let mut magic = [0; 4];
    let read = read_fully(&mut source, &mut magic)?;
    if magic[..read] == *ZIP {
        return Err(io::Error::other("a zip archive cannot be read from a pipe; name the file"));
    }
    let source = io::Cursor::new(magic[..read].to_vec()).chain(source);
    let counted = Counted { inner: source, position: Arc::clone(&position) };
    let (bytes, compression): (Box<dyn Read + Send>, _) = if magic[..read].starts_with(GZIP) {
        (Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, counted))), Some("gzip"))
    } else if magic[..read] == *ZSTD {
        (Box::new(zstd::stream::read::Decoder::new(counted)?), Some("zstd"))
    } else {
        return Ok(Opened { bytes: Box::new(counted), position, length, compression: None });
    };
    let limit = Limit::new(max_bytes, length, Arc::clone(&position));
    Ok(Opened { bytes: Box::new(Limited { inner: bytes, limit, taken: 0 }), position, length, compression })
}

fn open_member(archive: &Path, index: usize, max_bytes: Option<u64>, position: Arc<AtomicU64>) -> io::Result<Opened> {
    let mut zip = ZipArchive::new(BufReader::new(File::open(archive)?))?;
    let (start, compressed, method, crc) = {
        let entry = zip.by_index_raw(index)?;
        if entry.encrypted() {
            return Err(io::Error::other("it is encrypted; unpack it first"));
        }
        let start = entry.data_start().ok_or_else(|| io::Error::other("the archive does not say where it begins"))?;
        (start, entry.compressed_size(), entry.compression(), entry.crc32())
    };
    let mut file = File::open(archive)?;
    file.seek(SeekFrom::Start(start))?;
    let counted = Counted { inner: file.take(compressed), position: Arc::clone(&position) };
    let inner: Box<dyn Read + Send> = match method {
        CompressionMethod::Stored => Box::new(counted),
        CompressionMethod::Deflated => Box::new(DeflateDecoder::new(counted)),
        other => {
            return Err(io::Error::other(format!("it is compressed by {other}, which is not known; unpack it first")));
        }
    };
    let checked = Checked { inner, crc: Crc::new(), expected: crc };
    let limit = Limit::new(max_bytes, Some(compressed), Arc::clone(&position));
    let bytes = Box::new(Limited { inner: Box::new(checked), limit, taken: 0 });
    Ok(Opened { bytes, position, length: Some(compressed), compression: Some("zip") })
}

/// Fills a buffer as far as there are bytes, and returns their number.
fn read_fully(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Counts the bytes that are read.
struct Counted<R> {
    inner: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The maximum number of bytes that come out of an archive.
enum Limit {
    Fixed(u64),
    /// [`MAX_EXPANSION`] times the number of bytes that were read so far, for an archive whose length is not known.
    ByPosition(Arc<AtomicU64>),
}

impl Limit {
    fn new(max_bytes: Option<u64>, length: Option<u64>, position: Arc<AtomicU64>) -> Self {
        match (max_bytes, length) {
            (Some(max_bytes), _) => Self::Fixed(max_bytes),
            (None, Some(length)) => Self::Fixed(length.saturating_mul(MAX_EXPANSION).max(MIN_MAX_BYTES)),
            (None, None) => Self::ByPosition(position),
        }
    }

    fn get(&self) -> u64 {
        match self {
            Self::Fixed(limit) => *limit,
            Self::ByPosition(position) => {
                position.load(Ordering::Relaxed).saturating_mul(MAX_EXPANSION).max(MIN_MAX_BYTES)
            }
        }
    }
}

/// Refuses to become longer than its limit.
struct Limited {
    inner: Box<dyn Read + Send>,
    limit: Limit,
    taken: u64,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken += read as u64;
        let limit = self.limit.get();
        if self.taken > limit {
            return Err(io::Error::other(format!(
                "more than {limit} bytes come out of it; if that is right, allow more with --max-bytes"
            )));
        }
        Ok(read)
    }
}

/// Compares a member of an archive with its checksum at its end.
struct Checked {
    inner: Box<dyn Read + Send>,
    crc: Crc,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.crc.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && self.crc.sum() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong, so the archive is damaged"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_names() {
        for (pattern, name, fits) in [
            ("*.csv", "a/b.csv", true),
            ("*.csv", "a.csv.txt", false),
            ("DAT_*_M1_????.csv", "DAT_ASCII_EURUSD_M1_2025.csv", true),
            ("DAT_*_M1_????.csv", "DAT_ASCII_EURUSD_M1_202508.csv", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
