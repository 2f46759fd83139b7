//! The command `export`: series into files. A file appears under its name only once it is whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use url::form_urlencoded;

use super::source::ExportFailure;
use super::{HistoryError, Source};
use crate::query::FileFormat;
use crate::store::SeriesKey;
use candle::{Symbol, Timeframe};

/// The target of an export.
#[derive(Debug)]
pub(crate) enum Target {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// A file that was written.
#[derive(Debug)]
pub(crate) struct Exported {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Exports one series. Returns the number of bytes.
pub(crate) async fn export_series(
    source: &Source,
    parameters: &[(&str, String)],
    format: FileFormat,
    target: &Target,
) -> Result<u64, HistoryError> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    match target {
        Target::Stdout => {
            let mut output = io::stdout();
            let bytes = match source.export(&query, format, &mut output).await {
                // A reader that closes the pipe early is not a failure.
                Err(ExportFailure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
                result => result.map_err(|failure| failed("standard output", failure))?,
            };
            output.flush().map_err(|error| failed("standard output", ExportFailure::Write(error)))?;
            Ok(bytes)
        }
        Target::File(path) => export_file(source, &query, format, path).await,
    }
}

/// The series that are exported together.
#[derive(Debug)]
pub(crate) struct SeriesFilter {
    /// Those of one symbol, if it is given.
    pub(crate) symbol: Option<Symbol>,
    /// Those that are stored in one timeframe, if it is given.
    pub(crate) stored: Option<Timeframe>,
    /// The timeframe to build from them; `None` if they are exported as they are stored.
    pub(crate) built: Option<Timeframe>,
}

/// Exports each series into a file of a folder, which is created if it does not exist. `done` is called after each
/// file.
pub(crate) async fn export_all(
    source: &Source,
    filter: &SeriesFilter,
    parameters: &[(&str, String)],
    format: FileFormat,
    folder: &Path,
    mut done: impl FnMut(&Exported),
) -> Result<usize, HistoryError> {
    let shown = folder.display().to_string();
    fs::create_dir_all(folder).map_err(|source| HistoryError::Write { path: shown, source })?;
    let mut names = Names::default();
    let mut keys = source.series(filter.symbol.as_ref(), filter.stored).await?;
    for key in &mut keys {
        key.timeframe = filter.built.unwrap_or(key.timeframe);
        let path = folder.join(names.name(key, format));
        let of_series = [("symbol", key.symbol.as_str().to_owned()), ("timeframe", key.timeframe.name().to_owned())];
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(of_series).extend_pairs(parameters).finish();
        let bytes = export_file(source, &query, format, &path).await?;
        done(&Exported { path, bytes });
    }
    Ok(keys.len())
}

/// Writes a file under a temporary name, and renames it once it is whole and on disk.
async fn export_file(source: &Source, query: &str, format: FileFormat, path: &Path) -> Result<u64, HistoryError> {
    let shown = path.display().to_string();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = async {
        let mut file = File::create(&part).map_err(ExportFailure::Write)?;
        let bytes = source.export(query, format, &mut file).await?;
        file.sync_all().map_err(ExportFailure::Write)?;
        fs::rename(&part, path).map_err(ExportFailure::Write)?;
        Ok(bytes)
    };
    written.await.map_err(|failure| {
        // A partial file is useless, and another attempt would replace it.
        let _ = fs::remove_file(&part);
        failed(&shown, failure)
    })
}

fn failed(path: &str, failure: ExportFailure) -> HistoryError {
    match failure {
        ExportFailure::Read(error) => error,
        ExportFailure::Write(source) => HistoryError::Write { path: path.to_owned(), source },
    }
}

/// The names of files in one folder. Each is used once: symbols that differ only in case, or in characters that names
/// may not hold, would share one.
#[derive(Debug, Default)]
struct Names(HashSet<String>);

impl Names {
    fn name(&mut self, key: &SeriesKey, format: FileFormat) -> String {
        let is_safe = |c: char| !c.is_control() && !"/\\:*?\"<>|%".contains(c);
        let symbol: String = key.symbol.as_str().chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
        let name = |suffix: &str| format!("{symbol}_{}{suffix}.{}", key.timeframe, format.extension());
        let mut chosen = name("");
        let mut number = 2;
        while !self.0.insert(chosen.to_lowercase()) {
            chosen = name(&format!("-{number}"));
            number += 1;
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_a_file_of_its_own() {
        let mut names = Names::default();
        let mut name = |symbol: &str| {
            let key = SeriesKey { symbol: Symbol::parse(symbol).unwrap(), timeframe: Timeframe::M1 };
            names.name(&key, FileFormat::Csv)
        };
        assert_eq!(name("EUR/USD"), "EUR_USD_M1.csv");
        assert_eq!(name("EUR_USD"), "EUR_USD_M1-2.csv");
        assert_eq!(name("eur:usd"), "eur_usd_M1-3.csv");
        assert_eq!(name("EURUSDm"), "EURUSDm_M1.csv");
        assert_eq!(name("EURUSDM"), "EURUSDM_M1-2.csv");
        assert_eq!(name("..\\x"), ".._x_M1.csv");
    }
}
