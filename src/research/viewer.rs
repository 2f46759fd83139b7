//! Whose jobs and files a caller sees.

use std::sync::Arc;

/// The view of a caller on jobs and files, each of which belongs to the name of a research key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// A read token, which sees everything and changes nothing.
    All,
    /// A research key, by its name.
    Owner(Arc<str>),
}

impl Viewer {
    /// True if the caller sees what belongs to `owner`.
    pub(crate) fn sees(&self, owner: &str) -> bool {
        match self {
            Self::All => true,
            Self::Owner(name) => **name == *owner,
        }
    }
}
