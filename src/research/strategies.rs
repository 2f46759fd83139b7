//! The strategies that can be run: those of the catalogue, and definitions in a folder of the user's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use research::{Strategy, catalogue};

use super::ResearchError;

/// The maximum number of bytes of a file.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// The maximum number of characters of an unknown id that an answer repeats.
const MAX_QUOTED_CHARS: usize = 64;

/// The catalogue, then the user's own strategies by the names of their files. They are read once and live as long as
/// the process, so that they can be borrowed like those of the catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Strategies {
    own: &'static [Strategy],
}

impl Strategies {
    /// Reads the `.toml` and `.json` files of a folder, each of which defines one strategy.
    ///
    /// # Errors
    /// [`ResearchError::Invalid`] with a line for each fault in a file, and its place.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self, ResearchError> {
        let Some(folder) = folder else { return Ok(Self { own: &[] }) };
        let cannot_read =
            |path: &Path, error| ResearchError::Invalid(format!("cannot read {}: {error}", path.display()));
        let entries = fs::read_dir(folder).map_err(|error| cannot_read(folder, error))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| cannot_read(folder, error))?.path();
            if path.extension().is_some_and(|ending| ending == "toml" || ending == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        let (mut own, mut faults) = (Vec::new(), Vec::new());
        let mut ids: BTreeSet<String> = catalogue::all().iter().map(|strategy| strategy.id().to_owned()).collect();
        for path in &paths {
            let shown = path.display();
            let size = fs::metadata(path).map_err(|error| cannot_read(path, error))?.len();
            if size > MAX_FILE_BYTES {
                faults.push(format!("{shown} has {size} bytes, and a definition has at most {MAX_FILE_BYTES}"));
                continue;
            }
            let text = fs::read_to_string(path).map_err(|error| cannot_read(path, error))?;
            let is_toml = path.extension().is_some_and(|ending| ending == "toml");
            let read = if is_toml { Strategy::from_toml(&text) } else { Strategy::from_json(&text) };
            match read {
                Ok(strategy) if ids.insert(strategy.id().to_owned()) => own.push(strategy),
                Ok(strategy) => {
                    faults.push(format!("{shown}: there is a strategy {} already; choose another id", strategy.id()));
                }
                Err(errors) => faults.extend(errors.iter().map(|error| format!("{shown}: {error}"))),
            }
        }
        if faults.is_empty() { Ok(Self { own: own.leak() }) } else { Err(ResearchError::Invalid(faults.join("\n"))) }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Strategy> + use<> {
        catalogue::all().iter().chain(self.own)
    }

    /// The strategy with this id.
    ///
    /// # Errors
    /// [`ResearchError::UnknownStrategy`] with the three ids that are most similar.
    pub(crate) fn find(&self, id: &str) -> Result<&'static Strategy, ResearchError> {
        self.all().find(|strategy| strategy.id() == id).ok_or_else(|| self.unknown(id))
    }

    /// The error for an id that no strategy has.
    pub(super) fn unknown(&self, id: &str) -> ResearchError {
        let id: String = id.chars().take(MAX_QUOTED_CHARS).collect();
        let lower = id.to_lowercase();
        let mut near: Vec<_> =
            self.all().map(|strategy| (strsim::jaro_winkler(&lower, strategy.id()), strategy.id())).collect();
        near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let nearest = near.into_iter().take(3).map(|(_, id)| id).collect::<Vec<_>>().join(", ");
        ResearchError::UnknownStrategy { id, nearest }
    }
}
