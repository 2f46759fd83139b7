//! The keys that are accepted, and the scope of each.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use crate::config::ApiKey;
use crate::http::middleware::session_key::SessionKey;

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

    /// Its name in the console's sessions; `None` for a scope that the console has no use for.
    pub(crate) fn in_console(self) -> Option<&'static str> {
        match self {
            Self::Ingest => None,
            Self::Read => Some("read"),
            Self::Maintenance => Some("maintenance"),
            Self::Research => Some("research"),
        }
    }
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
    session_key: Option<SessionKey>,
    revoked: CancellationToken,
}

impl Credential {
    /// The key that signs sessions in which this credential was entered; `None` if it has no place in them.
    pub(crate) fn session_key(&self) -> Option<&SessionKey> {
        self.session_key.as_ref()
    }

    /// Is cancelled once the key is no longer accepted, or accepted for another use.
    pub(crate) fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

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
        let entry = |key: &ApiKey, scope: Scope| {
            let digest: [u8; 32] = Sha256::digest(key.secret.expose_secret()).into();
            let session_key = scope.in_console().map(|name| SessionKey::new(&digest, name));
            let name = key.name.as_str().into();
            Arc::new(Credential { name, digest, scope, session_key, revoked: CancellationToken::new() })
        };
        let kinds = [
            (ingest, Scope::Ingest),
            (read, Scope::Read),
            (maintenance, Scope::Maintenance),
            (research, Scope::Research),
        ];
        Self(kinds.into_iter().flat_map(|(keys, scope)| keys.iter().map(move |key| entry(key, scope))).collect())
    }

    /// These credentials in place of `former` ones, which are revoked unless the same key is accepted for the same use again, under
    /// whatever name.
    pub(crate) fn replacing(mut self, former: &Self) -> Self {
        for former in &former.0 {
            let is_same = |entry: &&mut Credential| (entry.digest, entry.scope) == (former.digest, former.scope);
            // Nobody else has these entries yet.
            let stays = self.0.iter_mut().filter_map(Arc::get_mut).find(is_same);
            match stays {
                Some(entry) => entry.revoked = former.revoked.clone(),
                None => former.revoked.cancel(),
            }
        }
        self
    }

    /// The credential that sessions call `name`, and its key.
    pub(crate) fn of_session(&self, name: &[u8]) -> Option<(Arc<Credential>, &SessionKey)> {
        let mut keys = self.0.iter().filter_map(|entry| Some((entry, entry.session_key()?)));
        keys.find(|(_, key)| key.name() == name).map(|(entry, key)| (Arc::clone(entry), key))
    }

    /// The first credential of each scope that has a place in sessions.
    pub(crate) fn for_console(&self) -> Vec<Arc<Credential>> {
        let mut firsts: Vec<Arc<Credential>> = Vec::new();
        for entry in self.0.iter().filter(|entry| entry.session_key.is_some()) {
            if firsts.iter().all(|first| first.scope != entry.scope) {
                firsts.push(Arc::clone(entry));
            }
        }
        firsts
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
