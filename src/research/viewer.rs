//! The view of a caller on jobs and files.

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
    /// The owner whose jobs and files the caller sees; `None` if everybody's.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Owner(name) => Some(name),
        }
    }
}
