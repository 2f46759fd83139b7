//! Sign-in to the console: `/console/session`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::openapi::RefOr;
use utoipa::{IntoResponses, ToSchema};

use crate::clock::Clock;
use crate::http::middleware::auth::Keyring;
use crate::http::middleware::credentials::{Caller, Credential, Scope};
use crate::http::middleware::host;
use crate::http::middleware::rate_limit::{Limiter, RateLimitExceeded};
use crate::http::middleware::session::{self, GRANT_SECONDS, Grant, Session};
use crate::http::net::client_address::{Client, Proxies};
use crate::http::problem::{self, Code, Problem};
use crate::http::routes::console::sign_ins::SignIns;
use crate::http::timeouts::SIGN_IN_TIMEOUT;

/// The maximum size of a sign-in's body, in bytes. A longer key fits into no header either.
const MAX_SIGN_IN_BYTES: usize = 16 * 1024;
/// Headers by which proxies name the client, or begin to. A request with one of them has not come from this machine alone.
const FORWARDING_HEADERS: [&str; 8] = [
    "forwarded",
    "x-forwarded-",
    "x-real-ip",
    "x-client-ip",
    "via",
    "cf-connecting-ip",
    "true-client-ip",
    "fly-client-ip",
];

/// The parts of the service that sessions need. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    pub(crate) keyring: Keyring,
    pub(crate) limiter: Limiter,
    pub(crate) proxies: Proxies,
    pub(crate) clock: Clock,
    pub(crate) sign_ins: SignIns,
    /// True if a client on this machine may sign in without a credential.
    pub(crate) in_development: bool,
}

/// The credential to add to the session: one of the two fields.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// A read token, a maintenance key or a research key, without its name.
    #[schema(example = "uLxJ3Yt2v0bB1mQm6kq2V9cQ1f8m7x0D")]
    #[serde(default)]
    credential: Option<String>,
    /// In development, from the machine of the service itself: `true` adds the first credential of each scope.
    #[serde(default)]
    development: Option<bool>,
}

/// The session of a browser.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsoleSession)]
pub(crate) struct SessionAnswer {
    /// The scopes that requests with the session have.
    #[schema(example = json!(["read"]))]
    scopes: Vec<&'static str>,
    /// The credential of each of them.
    credentials: Vec<HeldCredential>,
    /// When the first of them ends, in epoch milliseconds; null without any.
    #[schema(example = 1_754_258_400_000_i64)]
    ends: Option<i64>,
    /// True if `{"development":true}` would sign this browser in.
    development: bool,
}

/// A credential of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldCredential {
    /// `read`, `maintenance` or `research`.
    #[schema(example = "read")]
    scope: &'static str,
    /// Its name in the settings.
    #[schema(example = "chart")]
    name: String,
    /// When it ends, in epoch milliseconds: 12 hours after it was entered.
    #[schema(example = 1_754_258_400_000_i64)]
    ends: i64,
}

/// The refusal of a request about a session.
#[derive(Debug)]
pub(crate) enum SessionRefusal {
    Problem(Problem),
    /// A problem with a known key, whose name goes into the log.
    OfKey(Problem, Caller),
    RateLimited(RateLimitExceeded),
}

impl From<Problem> for SessionRefusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<RateLimitExceeded> for SessionRefusal {
    fn from(exceeded: RateLimitExceeded) -> Self {
        Self::RateLimited(exceeded)
    }
}

impl IntoResponse for SessionRefusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::OfKey(problem, caller) => (Extension(caller), problem).into_response(),
            Self::RateLimited(exceeded) => exceeded.into_response(),
        }
    }
}

impl Console {
    /// The session of a request. A wrong cookie counts as a wrong key, and as no session.
    async fn session(&self, client: Client, headers: &HeaderMap) -> Result<Session, SessionRefusal> {
        if let Ok(session) = self.keyring.session(client, headers) {
            return Ok(session);
        }
        self.limiter.take_wrong_key(client).await?;
        Ok(Session::default())
    }

    /// The credentials that a sign-in adds.
    async fn entered(
        &self,
        client: Client,
        is_on_this_machine: bool,
        sign_in: SignIn,
    ) -> Result<Vec<Arc<Credential>>, SessionRefusal> {
        match sign_in {
            SignIn { credential: Some(secret), development: None } => Ok(vec![self.find(client, &secret).await?]),
            SignIn { credential: None, development: Some(true) } if is_on_this_machine => {
                Ok(self.keyring.entries().for_console())
            }
            SignIn { credential: None, development: Some(true) } => {
                const DETAIL: &str = "Only in development, and only from the machine of the service under localhost, a \
                                      sign-in needs no key; enter one.";
                Err(Problem::new(Code::Unauthorized, DETAIL).into())
            }
            _ => {
                const DETAIL: &str =
                    "The body holds neither one credential nor development; send {\"credential\":\"…\"}.";
                Err(Problem::new(Code::InvalidValues, DETAIL).into())
            }
        }
    }

    /// The credential with this value. A wrong one counts as a wrong key.
    async fn find(&self, client: Client, secret: &str) -> Result<Arc<Credential>, SessionRefusal> {
        let Some(credential) = self.keyring.entries().find(secret.trim_ascii().as_bytes(), &Scope::ALL) else {
            self.limiter.take_wrong_key(client).await?;
            let detail = "No such key is known; enter a read token, a maintenance key or a research key alone, without its name.";
            return Err(Problem::new(Code::Unauthorized, detail).into());
        };
        if credential.session_key().is_none() {
            let detail = "This is an ingest key, which posts candles; the console takes read tokens, maintenance keys and research keys.";
            let caller = Caller(Arc::clone(&credential.name));
            return Err(SessionRefusal::OfKey(Problem::new(Code::WrongScope, detail), caller));
        }
        Ok(credential)
    }

    /// True if a client on this machine asks, where that is enough to sign in. The host has to be a name that only this machine
    /// has, because a web page can reach the service under a name of its own (DNS rebinding).
    fn is_on_this_machine(&self, client: Client, request: &Request) -> bool {
        self.in_development
            && client.address.is_loopback()
            // nginx speaks HTTP/1.0 to what it forwards to, and names no client unless its configuration says so.
            && request.version() != Version::HTTP_10
            && !request.headers().keys().any(|name| FORWARDING_HEADERS.iter().any(|header| name.as_str().starts_with(header)))
            && matches!(host::named(request), Ok(Some(host)) if host::is_loopback(&host))
    }
}

impl SessionAnswer {
    fn new(session: &Session, development: bool) -> Self {
        let held = session.grants().iter().filter_map(|Grant { credential, ends }| {
            let scope = credential.scope.in_console()?;
            Some(HeldCredential { scope, name: credential.name.to_string(), ends: ends * 1000 })
        });
        let credentials: Vec<_> = held.collect();
        let ends = credentials.iter().map(|credential| credential.ends).min();
        Self { scopes: credentials.iter().map(|credential| credential.scope).collect(), credentials, ends, development }
    }
}

/// The problems of a sign-in.
pub(crate) struct SignInProblems;

impl IntoResponses for SignInProblems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        problem::responses(&[
            Code::Malformed,
            Code::Unauthorized,
            Code::WrongScope,
            Code::TooSlow,
            Code::TooLarge,
            Code::InvalidValues,
        ])
    }
}

/// The console's session
///
/// Answers the scopes that the cookie of this browser gives to requests from the console.
#[utoipa::path(
    get, path = "/console/session", tag = "Console", operation_id = "get_session", security(()),
    responses(
        (status = 200, description = "The session, which has no scopes for a browser that is not signed in.", body = SessionAnswer,
         headers(("cache-control" = String, description = "`no-store`."))),
    )
)]
pub(crate) async fn get(State(console): State<Console>, request: Request) -> Result<Response, SessionRefusal> {
    let (client, headers) = (console.proxies.client(&request), request.headers());
    let session = console.session(client, headers).await?;
    let is_stale = session.grants().is_empty()
        && session::is_from_own_page(headers, client)
        && session::cookies(headers, client).next().is_some();
    let mut response = Json(SessionAnswer::new(&session, console.is_on_this_machine(client, &request))).into_response();
    if is_stale {
        set_cookie(&mut response, &session, client, console.clock.now().seconds());
    }
    Ok(response)
}

/// Sign in to the console
///
/// Adds the scope of a credential to the session of this browser, for 12 hours. A credential of a scope that the session has
/// replaces the earlier one. Only pages of the service itself may call.
#[utoipa::path(
    post, path = "/console/session", tag = "Console", operation_id = "post_session", security(()),
    request_body(content = SignIn, content_type = "application/json"),
    responses(
        (status = 200, description = "The session with the new scope.", body = SessionAnswer,
         headers(
            ("set-cookie" = String, description = "The session. No script can read it."),
            ("cache-control" = String, description = "`no-store`."),
         )),
        SignInProblems,
    )
)]
pub(crate) async fn post(State(console): State<Console>, request: Request) -> Result<Response, SessionRefusal> {
    let client = console.proxies.client(&request);
    require_own_page(&request, client)?;
    let is_on_this_machine = console.is_on_this_machine(client, &request);
    // A browser with a stale cookie may sign in even while its address sends too many wrong keys.
    let mut session = console.session(client, request.headers()).await.unwrap_or_default();
    let place = console.sign_ins.begin(client)?;
    let sign_in = read(request.into_body()).await?;
    drop(place);
    let entered = console.entered(client, is_on_this_machine, sign_in).await?;
    let now = console.clock.now().seconds();
    let caller = entered.first().map(|credential| Caller(Arc::clone(&credential.name)));
    for credential in entered {
        session.add(Grant { credential, ends: now + GRANT_SECONDS });
    }
    let mut response = Json(SessionAnswer::new(&session, is_on_this_machine)).into_response();
    set_cookie(&mut response, &session, client, now);
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    Ok(response)
}

/// Sign out of the console
///
/// Removes the session from this browser. Only pages of the service itself may call.
#[utoipa::path(
    delete, path = "/console/session", tag = "Console", operation_id = "delete_session", security(()),
    responses(
        (status = 204, description = "The browser has no session.",
         headers(("set-cookie" = String, description = "Removes the session."))),
    )
)]
pub(crate) async fn delete(State(console): State<Console>, request: Request) -> Result<Response, SessionRefusal> {
    let client = console.proxies.client(&request);
    require_own_page(&request, client)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, &Session::default(), client, console.clock.now().seconds());
    Ok(response)
}

/// Refuses a request that does not come from a page of this service, so that no other page can sign a browser in or out.
fn require_own_page(request: &Request, client: Client) -> Result<(), Problem> {
    if session::is_from_own_page(request.headers(), client) {
        return Ok(());
    }
    let detail = "Only pages of this service may change a session, and this request does not say that it comes from one; open \
                  /console, and send a key with requests of your own.";
    Err(Problem::new(Code::ForeignOrigin, detail))
}

/// Reads the body of a sign-in. No error quotes it, because it holds a key.
async fn read(body: Body) -> Result<SignIn, Problem> {
    let malformed = || Problem::new(Code::Malformed, "The body is not valid JSON; send {\"credential\":\"…\"}.");
    let bytes = match timeout(SIGN_IN_TIMEOUT, Limited::new(body, MAX_SIGN_IN_BYTES).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail =
                format!("The body is larger than the {MAX_SIGN_IN_BYTES} bytes that are taken; no key is that long.");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        Ok(Err(_)) => return Err(malformed()),
        Err(_) => return Err(Problem::new(Code::TooSlow, "The body took longer than 2 s; send it again.")),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        if error.is_data() {
            Problem::new(
                Code::InvalidValues,
                "The body is JSON and not a sign-in; send {\"credential\":\"…\"}, with the key as a string.",
            )
        } else {
            malformed()
        }
    })
}

fn set_cookie(response: &mut Response, session: &Session, client: Client, now: i64) {
    if let Some(cookie) = session.set_cookie(client, now) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}
