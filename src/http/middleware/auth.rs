//! Authentication: identifies the key that a request presents, itself or by the cookie of a console's session. One layer per group
//! of routes refuses other keys before the body is read.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::RateLimit;
use crate::http::middleware::credentials::{Caller, Credential, Credentials, Scope};
use crate::http::middleware::keyed_limiter::AddressLimiter;
use crate::http::middleware::misplaced::{self, Misplaced};
use crate::http::middleware::session::{self, Grant, Session, WrongSession};
use crate::http::middleware::shared_limits::{Bucket, SharedLimits};
use crate::http::net::client_address::Client;
use crate::http::problem::{Code, Problem};
use crate::research::Viewer;
use crate::telemetry::metrics::AuthFailures;

/// The caller of a request, by the credentials that it presents.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// The holder of a key, itself or by a session. Where a request has an ingest key and a read token, the one that the route takes.
    Known(Arc<Credential>, Option<SessionEnd>),
    /// The request has no credential where one is read. The keyring can look for a valid key elsewhere in the request, at a
    /// limited rate for each client.
    Anonymous(Keyring, Client),
    /// One of the credentials is unknown. If a valid one came with it, the refusal says which of them is unknown.
    Unknown(Option<Arc<Misplaced>>),
    /// The holder of a valid key that was sent in a way that does not count.
    Misplaced(Arc<Misplaced>),
}

/// The end of the session that a credential was presented by.
#[derive(Debug, Clone)]
pub(crate) struct SessionEnd {
    /// In epoch seconds.
    ends: i64,
    clock: Clock,
}

/// The time for which an answer may go on to its caller.
#[derive(Debug, Clone)]
pub(crate) struct Validity {
    revoked: CancellationToken,
    session: Option<SessionEnd>,
}

impl Validity {
    /// Is cancelled once the caller's key is no longer accepted.
    pub(crate) fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    /// True once the session has ended that the caller presented.
    pub(crate) fn has_session_ended(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.ends <= session.clock.now().seconds())
    }
}

impl Identity {
    /// True for a key of this scope.
    pub(crate) fn is_of(&self, scope: Scope) -> bool {
        matches!(self, Self::Known(credential, _) if credential.scope == scope)
    }

    /// The time for which an answer may go on to the caller: none for callers that [`require`] refuses.
    pub(crate) fn validity(&self) -> Validity {
        match self {
            Self::Known(credential, session) => {
                Validity { revoked: credential.revoked().clone(), session: session.clone() }
            }
            Self::Anonymous(..) | Self::Unknown(_) | Self::Misplaced(_) => {
                let revoked = CancellationToken::new();
                revoked.cancel();
                Validity { revoked, session: None }
            }
        }
    }

    /// The caller's view on jobs and files. Only a route that takes read tokens and research keys asks for it.
    pub(crate) fn viewer(&self) -> Viewer {
        if self.is_of(Scope::Research) { Viewer::Owner(self.name()) } else { Viewer::All }
    }

    /// The name of the caller's key. Callers that [`require`] refuses share the empty one.
    pub(crate) fn name(&self) -> Arc<str> {
        match self {
            Self::Known(credential, _) => Arc::clone(&credential.name),
            Self::Anonymous(..) | Self::Unknown(_) | Self::Misplaced(_) => Arc::default(),
        }
    }
}

/// The keys that are accepted. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    entries: Arc<RwLock<Arc<Credentials>>>,
    /// The rate at which the requests of a client without a credential are searched for one. Each search tries keys.
    searches: Arc<AddressLimiter>,
    shared: SharedLimits,
    /// The clock by which sessions end; `None` where no console is served, and no session counts.
    sessions: Option<Clock>,
}

/// The scopes of the keys that each operation takes. Operations that are not listed take none.
#[derive(Debug, Default)]
pub(crate) struct Guards(HashMap<String, Vec<(Method, &'static [Scope])>>);

/// A header that may hold a key.
struct Place {
    /// A `HeaderName`, because a `&str` would be parsed on every lookup.
    header: HeaderName,
    /// The header's name in answers.
    shown: &'static str,
    /// The scopes that the key may have.
    scopes: &'static [Scope],
}

impl Place {
    fn is_authorization(&self) -> bool {
        self.header == header::AUTHORIZATION
    }
}

static PLACES: [Place; 4] = [
    Place {
        header: HeaderName::from_static("x-api-key"),
        shown: "X-API-KEY",
        scopes: &[Scope::Ingest, Scope::Research],
    },
    Place { header: HeaderName::from_static("x-internal-token"), shown: "X-Internal-Token", scopes: &[Scope::Read] },
    Place {
        header: HeaderName::from_static("x-maintenance-key"),
        shown: "X-Maintenance-Key",
        scopes: &[Scope::Maintenance],
    },
    Place { header: header::AUTHORIZATION, shown: "Authorization", scopes: &Scope::ALL },
];

/// Marks a request for an operation that takes research keys alone, where none is accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResearchDisabled;

impl Guards {
    /// Registers an operation that takes keys with one of `scopes`.
    pub(crate) fn insert(&mut self, method: Method, path: &str, scopes: &'static [Scope]) {
        self.0.entry(path.to_owned()).or_default().push((method, scopes));
    }

    /// The scopes that the operation of `request` takes, the preferred one first.
    pub(crate) fn scopes(&self, request: &Request) -> &'static [Scope] {
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let operations = request.extensions().get::<MatchedPath>().and_then(|path| self.0.get(path.as_str()));
        let operation = operations.and_then(|all| all.iter().find(|(of, _)| of == method));
        operation.map_or(&[], |(_, scopes)| scopes)
    }
}

impl Keyring {
    /// `searches` limits how often the requests of one address are searched for a misplaced key.
    pub(crate) fn new(accepted: Credentials, searches: RateLimit, shared: SharedLimits) -> Self {
        let entries = Arc::new(RwLock::new(Arc::new(accepted)));
        Self { entries, searches: Arc::new(AddressLimiter::new(searches, 1)), shared, sessions: None }
    }

    /// Accepts sessions of the console, which end by `clock`.
    pub(crate) fn with_sessions(self, clock: Clock) -> Self {
        Self { sessions: Some(clock), ..self }
    }

    /// Replaces the keys from the next request on, and ends the streams of those that are no longer accepted.
    pub(crate) fn replace(&self, accepted: Credentials) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        *entries = Arc::new(accepted.replacing(&entries));
    }

    /// Tells that an operation which takes keys with one of `scopes` takes none, because it is for research keys alone and
    /// there is none.
    pub(crate) fn research_disabled(&self, scopes: &[Scope]) -> Option<ResearchDisabled> {
        (scopes == [Scope::Research] && !self.entries().has(Scope::Research)).then_some(ResearchDisabled)
    }

    /// True unless `client` is over its limit of searches.
    async fn may_search(&self, client: Client) -> bool {
        self.shared.confirm(Bucket::Searches(client.group()), self.searches.take(client)).await.is_ok()
    }

    /// A valid key in a place where keys are not read.
    fn search(&self, request: &Request, scopes: &[Scope]) -> Option<Misplaced> {
        misplaced::anywhere(&self.entries(), request, scopes)
    }

    /// The session of a request from a page of this service. Without grants if there is none, or if it has ended.
    ///
    /// # Errors
    /// When the cookie is not a session of these credentials, and when there are several.
    pub(crate) fn session(&self, client: Client, headers: &HeaderMap) -> Result<Session, WrongSession> {
        let Some(clock) = &self.sessions else { return Ok(Session::default()) };
        let mut cookies = session::cookies(headers, client);
        let Some(cookie) = cookies.next() else { return Ok(Session::default()) };
        if !session::is_from_own_page(headers, client) {
            return Ok(Session::default());
        }
        if cookies.next().is_some() {
            return Err(WrongSession);
        }
        Session::read(cookie, &self.entries(), clock.now().seconds())
    }

    pub(crate) fn entries(&self) -> Arc<Credentials> {
        Arc::clone(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Identifies `client` by the credentials in `headers`, on a route that takes keys with one of `scopes`.
    ///
    /// Of keys of several scopes the route takes the one that it is for. Two keys of one scope, or two in one header, are
    /// refused even if both are valid, because a proxy may read the other one. A session counts only on a route that takes
    /// keys, and only for a request that presents none itself.
    pub(crate) fn identify(&self, client: Client, headers: &HeaderMap, scopes: &[Scope]) -> Identity {
        let entries = self.entries();
        let (mut misplaced, mut unknown) = (None, None);
        let mut valid: Vec<Arc<Credential>> = Vec::new();
        for place in &PLACES {
            for (position, value) in presented(headers, &place.header).enumerate() {
                let secret = if place.is_authorization() { bearer(value) } else { Some(value) };
                let Some(entry) = secret.and_then(|secret| entries.find(secret, place.scopes)) else {
                    match misplaced::in_header(&entries, place.is_authorization(), value, scopes) {
                        Some(found) => _ = misplaced.get_or_insert(found),
                        None if is_crowded(headers) => return Identity::Unknown(None),
                        None => _ = unknown.get_or_insert(place.shown),
                    }
                    continue;
                };
                if position > 0 || valid.iter().any(|other| other.scope == entry.scope) {
                    misplaced.get_or_insert(Misplaced::several(&entry));
                }
                valid.push(entry);
            }
        }
        if let Some(header) = unknown {
            let valid = valid.first().map(|entry| Arc::clone(&entry.name));
            let holder = valid.or_else(|| misplaced.map(|misplaced| misplaced.name));
            return Identity::Unknown(holder.map(|holder| Arc::new(Misplaced::beside_unknown(holder, header))));
        }
        if let Some(misplaced) = misplaced {
            return Identity::Misplaced(Arc::new(misplaced));
        }
        let taken = scopes.iter().find_map(|scope| valid.iter().position(|entry| entry.scope == *scope)).unwrap_or(0);
        if !valid.is_empty() {
            return Identity::Known(valid.swap_remove(taken), None);
        }
        let session = if scopes.is_empty() { Ok(Session::default()) } else { self.session(client, headers) };
        match session.map(|session| session.grant_for(scopes).cloned()) {
            Ok(Some(Grant { credential, ends })) => {
                let end = self.sessions.clone().map(|clock| SessionEnd { ends, clock });
                Identity::Known(credential, end)
            }
            Ok(None) => Identity::Anonymous(self.clone(), client),
            Err(WrongSession) => Identity::Unknown(None),
        }
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// The credentials in the lines of a header. An empty value counts as absent, because scripts send it where a variable is not
/// set.
fn presented<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).filter(|value| !is_empty(value))
}

/// The maximum number of credentials of a request whose refusal says which of them is unknown.
const MAX_CREDENTIALS: usize = 3;

/// True if a request has more credentials than a client has reason to send. The refusal then does not say which one is unknown,
/// because a request could try as many keys as it has header lines, and the answer would reveal whether one of them is valid.
fn is_crowded(headers: &HeaderMap) -> bool {
    PLACES.iter().map(|place| presented(headers, &place.header).count()).sum::<usize>() > MAX_CREDENTIALS
}

/// The answer to a request whose only credential is a session that has no effect.
const SESSION_DOES_NOT_COUNT: &str = "The session of the console has ended, or the request does not come from a page of this service, which browsers say over \
     HTTPS and on localhost; sign in again at /console.";

/// True for no value, and for the word `Bearer` without a token. Header values have no blanks around them.
fn is_empty(value: &[u8]) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case(b"Bearer")
}

/// Refuses a request whose key has none of `scopes`, before its body is read. Leaves the key's name for the log.
pub(crate) async fn require(
    State(scopes): State<&'static [Scope]>,
    Extension(identity): Extension<Identity>,
    disabled: Option<Extension<ResearchDisabled>>,
    request: Request,
    next: Next,
) -> Response {
    if disabled.is_some() {
        const DETAIL: &str = "No jobs can be started here, because the operator of the service has set no RESEARCH_API_KEY; \
                              backtests and signals are answered without jobs.";
        return Problem::new(Code::ResearchDisabled, DETAIL).into_response();
    }
    let entry = match identity {
        Identity::Known(entry, _) => entry,
        Identity::Misplaced(misplaced) => return misplaced.refusal(),
        Identity::Unknown(holder) => return holder.map_or_else(unauthorized, |holder| holder.refusal()),
        Identity::Anonymous(keyring, client) => {
            let may_search = keyring.may_search(client).await;
            let misplaced = if may_search { keyring.search(&request, scopes) } else { None };
            misplaced.as_ref().map_or(AuthFailures::Missing, Misplaced::kind).count(1);
            let has_session =
                keyring.sessions.is_some() && session::cookies(request.headers(), client).next().is_some();
            return match misplaced {
                Some(misplaced) => misplaced.refusal(),
                None if has_session => Problem::new(Code::Unauthorized, SESSION_DOES_NOT_COUNT).into_response(),
                None => missing(request.headers(), scopes),
            };
        }
    };
    let mut response = if scopes.contains(&entry.scope) {
        next.run(request).await
    } else {
        AuthFailures::WrongScope.count(1);
        let detail = match entry.scope {
            _ if scopes.contains(&Scope::Maintenance) => {
                "This route takes a maintenance key in X-Maintenance-Key, and this key is another one; the operator of the \
                 service sets such keys as MAINTENANCE_KEY, and without one nothing is corrected or deleted over HTTP."
            }
            _ if scopes == [Scope::Research] => {
                "This route takes a research key in X-API-KEY, and this key is another one; the operator of the service sets \
                 such keys as RESEARCH_API_KEY."
            }
            Scope::Maintenance => {
                "This key may correct and delete candles; post with an ingest key in X-API-KEY, and read with the internal \
                 token."
            }
            Scope::Ingest => "This key may post candles and list series; read with the internal token.",
            Scope::Read => "This token may read; post candles with an ingest key in X-API-KEY.",
            Scope::Research => {
                "This key may test strategies and start jobs; post candles with an ingest key in X-API-KEY, and read them with \
                 the internal token."
            }
        };
        Problem::new(Code::WrongScope, detail).into_response()
    };
    response.extensions_mut().insert(Caller(Arc::clone(&entry.name)));
    response
}

/// The answer to a request without a credential. It names a header for credentials that is there and empty.
fn missing(headers: &HeaderMap, scopes: &[Scope]) -> Response {
    match PLACES.iter().find(|place| headers.contains_key(&place.header)) {
        Some(place) => misplaced::refuse_empty(place.shown, scopes),
        None => unauthorized(),
    }
}

fn unauthorized() -> Response {
    Problem::new(Code::Unauthorized, "Invalid or missing API Key").into_response()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::config::ApiKey;

    #[test]
    fn routes_for_research_keys_alone_are_disabled_where_there_is_none() {
        let key = |name: &str| {
            vec![ApiKey { name: name.to_owned(), secret: SecretString::from("0123456789abcdef"), generated: false }]
        };
        let keyring = |research: &[ApiKey]| {
            let accepted = Credentials::new(&[], &[], &key("ops"), research);
            Keyring::new(accepted, RateLimit::Off, SharedLimits::default())
        };
        assert!(keyring(&[]).research_disabled(&[Scope::Research]).is_some());
        assert!(keyring(&[]).research_disabled(&[Scope::Read, Scope::Research]).is_none());
        assert!(keyring(&key("quant")).research_disabled(&[Scope::Research]).is_none());
    }
}
