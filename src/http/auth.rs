//! Who may call: one layer per group of routes, run before the body is read.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::{Code, Problem};
use crate::config::ApiKey;
use crate::telemetry::metrics::AuthFailures;

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

/// A key that is accepted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    digest: [u8; 32],
    pub(super) scope: Scope,
}

/// Whom a request comes from, by the credential that it presents.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// The holder of a key.
    Known(Arc<Entry>),
    /// Nobody: there is no credential.
    Anonymous,
    /// Somebody whose credential is none of ours.
    Unknown,
    /// Somebody with several credentials: which of them counts would be decided by whoever reads first, us or a proxy.
    Several,
}

/// The keys that are accepted, as digests: a comparison takes as long whatever was sent.
#[derive(Debug, Clone)]
pub(super) struct Keyring(Arc<[Arc<Entry>]>);

/// Where a key may be, and for what it can then be used. A name that is given as text is taken apart at each look.
static PLACES: [(HeaderName, Option<Scope>); 3] = [
    (HeaderName::from_static("x-api-key"), Some(Scope::Ingest)),
    (HeaderName::from_static("x-internal-token"), Some(Scope::Read)),
    (header::AUTHORIZATION, None),
];

impl Keyring {
    pub(super) fn new(ingest: &[ApiKey], read: &[ApiKey]) -> Self {
        let entry = |key: &ApiKey, scope| {
            let digest = Sha256::digest(key.secret.expose()).into();
            Arc::new(Entry { name: key.name.as_str().into(), digest, scope })
        };
        let ingest = ingest.iter().map(|key| entry(key, Scope::Ingest));
        Self(ingest.chain(read.iter().map(|key| entry(key, Scope::Read))).collect())
    }

    /// Whose credential `headers` hold.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Identity {
        let mut presented =
            PLACES.iter().flat_map(|(name, scope)| headers.get_all(name).iter().map(move |value| (value, *scope)));
        let Some((value, scope)) = presented.next() else { return Identity::Anonymous };
        if presented.next().is_some() {
            return Identity::Several;
        }
        let secret = if scope.is_some() { Some(value.as_bytes()) } else { bearer(value.as_bytes()) };
        secret.and_then(|secret| self.find(secret, scope)).map_or(Identity::Unknown, Identity::Known)
    }

    /// Looks at every key, so that the time taken tells nothing.
    fn find(&self, secret: &[u8], scope: Option<Scope>) -> Option<Arc<Entry>> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let mut found = None;
        for entry in self.0.iter() {
            let equal: bool = entry.digest.ct_eq(&digest).into();
            if equal && scope.is_none_or(|scope| scope == entry.scope) {
                found = Some(Arc::clone(entry));
            }
        }
        found
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// Lets a request through if its key has one of `scopes`, and leaves the key's name for the log. Runs before the body is
/// read.
pub(super) async fn require(
    State(scopes): State<&'static [Scope]>,
    Extension(identity): Extension<Identity>,
    request: Request,
    next: Next,
) -> Response {
    let Identity::Known(entry) = identity else {
        if matches!(identity, Identity::Anonymous) {
            AuthFailures::Missing.count(1);
        }
        return Problem::new(Code::Unauthorized, "Invalid or missing API Key").into_response();
    };
    let mut response = if scopes.contains(&entry.scope) {
        next.run(request).await
    } else {
        AuthFailures::WrongScope.count(1);
        let detail = match entry.scope {
            Scope::Ingest => "This key may post candles and list series; read with the internal token.",
            Scope::Read => "This token may read; post candles with an ingest key in X-API-KEY.",
        };
        Problem::new(Code::WrongScope, detail).into_response()
    };
    response.extensions_mut().insert(Caller(Arc::clone(&entry.name)));
    response
}
