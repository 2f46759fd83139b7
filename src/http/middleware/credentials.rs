//! The keys that are accepted, and the scope of each.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::ApiKey;

/// The use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Post candles, and ask which series are stored.
    Ingest,
    /// Read everything.
    Read,
    /// Correct and delete stored candles.
    Maintenance,
    /// Test strategies, and start jobs of research.
    Research,
}

impl Scope {
    pub(crate) const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Maintenance, Self::Research];
}

/// The name of the key that a request came with. The response carries it to the log.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Arc<str>);

/// An accepted key.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) name: Arc<str>,
    digest: [u8; 32],
    pub(crate) scope: Scope,
}

impl Credential {
    /// The first 64 bits of the key's digest, by which replicas know that they mean the same key.
    pub(crate) fn digest_start(&self) -> &[u8] {
        &self.digest[..8]
    }
}

/// The accepted keys as digests, so that a comparison takes equally long whatever was sent.
#[derive(Debug, Default)]
pub(crate) struct Credentials(Vec<Arc<Credential>>);

impl Credentials {
    pub(crate) fn new(ingest: &[ApiKey], read: &[ApiKey], maintenance: &[ApiKey], research: &[ApiKey]) -> Self {
        let entry = |key: &ApiKey, scope| {
            let digest = Sha256::digest(key.secret.expose_secret()).into();
            Arc::new(Credential { name: key.name.as_str().into(), digest, scope })
        };
        let kinds = [
            (ingest, Scope::Ingest),
            (read, Scope::Read),
            (maintenance, Scope::Maintenance),
            (research, Scope::Research),
        ];
        Self(kinds.into_iter().flat_map(|(keys, scope)| keys.iter().map(move |key| entry(key, scope))).collect())
    }

    /// True if a key of the scope is accepted at all.
    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.0.iter().any(|entry| entry.scope == scope)
    }

    /// The key of one of `scopes` that is `secret`. Compares with every key, so that the time taken reveals nothing.
    pub(crate) fn find(&self, secret: &[u8], scopes: &[Scope]) -> Option<Arc<Credential>> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let mut found = None;
        for entry in &self.0 {
            let equal: bool = entry.digest.ct_eq(&digest).into();
            if equal && scopes.contains(&entry.scope) {
                found = Some(Arc::clone(entry));
            }
        }
        found
    }
}
