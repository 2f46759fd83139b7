//! Who may call: one layer per group of routes, run before the body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};
use crate::config::ApiKey;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Post candles, and ask which series are stored.
    Ingest,
    /// Read everything.
    Read,
}

/// The name of the key that a request came with. Stands in its response too, for the log.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<str>);

/// The keys that are accepted, as digests: a comparison takes as long whatever was sent.
#[derive(Debug, Clone)]
pub(super) struct Keyring(Arc<[Entry]>);

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    digest: [u8; 32],
    scope: Scope,
}

impl Keyring {
    pub(super) fn new(ingest: &[ApiKey], read: &[ApiKey]) -> Self {
        let entries = |keys: &[ApiKey], scope| -> Vec<Entry> {
            let entry = |key: &ApiKey| Entry {
                name: key.name.as_str().into(),
                digest: Sha256::digest(key.secret.expose()).into(),
                scope,
            };
            keys.iter().map(entry).collect()
        };
        Self(entries(ingest, Scope::Ingest).into_iter().chain(entries(read, Scope::Read)).collect())
    }

    /// The key that `headers` present.
    fn find(&self, headers: &HeaderMap) -> Option<&Entry> {
        let (secret, presented_as) = credential(headers)?;
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let mut found = None;
        for entry in self.0.iter() {
            let equal: bool = entry.digest.ct_eq(&digest).into();
            if equal && presented_as.is_none_or(|scope| scope == entry.scope) {
                found = Some(entry);
            }
        }
        found
    }
}

/// The one credential in `headers`, and the scope that its header stands for. More than one is none: which of them
/// counts would be decided by whoever reads first, us or a proxy.
fn credential(headers: &HeaderMap) -> Option<(&[u8], Option<Scope>)> {
    const HEADERS: [(&str, Option<Scope>); 3] =
        [("x-api-key", Some(Scope::Ingest)), ("x-internal-token", Some(Scope::Read)), ("authorization", None)];
    let mut presented =
        HEADERS.iter().flat_map(|(name, scope)| headers.get_all(*name).iter().map(move |value| (value, *scope)));
    let (value, scope) = presented.next()?;
    if presented.next().is_some() {
        return None;
    }
    if scope.is_some() {
        return Some((value.as_bytes(), scope));
    }
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some((token.trim_ascii(), None))
}

/// What a group of routes demands of its callers.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) keyring: Keyring,
    pub(super) scopes: &'static [Scope],
}

/// Lets a request through if its key has one of the guard's scopes, and leaves the key's name for the log.
pub(super) async fn require(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Some(entry) = guard.keyring.find(request.headers()) else {
        return Problem::new(Code::Unauthorized, "Invalid or missing API Key").into_response();
    };
    let mut response = if guard.scopes.contains(&entry.scope) {
        next.run(request).await
    } else {
        let detail = match entry.scope {
            Scope::Ingest => "This key may post candles and list series; read with the internal token.",
            Scope::Read => "This token may read; post candles with an ingest key in X-API-KEY.",
        };
        Problem::new(Code::WrongScope, detail).into_response()
    };
    response.extensions_mut().insert(Caller(Arc::clone(&entry.name)));
    response
}
