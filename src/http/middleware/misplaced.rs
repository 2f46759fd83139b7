//! Valid keys that were sent in a way that does not count: in the wrong header, with their name, in quotes, in the address.
//!
//! The refusal says what the holder of a valid key has to change. It counts as a wrong key only if the request also
//! holds an unknown one. It reveals nothing to anybody else, because the compared texts depend only on the request, and
//! all comparisons take equally long.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use url::form_urlencoded;

use crate::http::middleware::credentials::{Caller, Credential, Credentials, Scope};
use crate::http::problem::{Code, Problem};
use crate::telemetry::metrics::AuthFailures;

/// The maximum number of layers that are peeled off a value. A layer is quotes, a word or a name around the key.
const MAX_PEELED_LAYERS: usize = 4;
/// The maximum number of keys in a list that is recognised as a list of keys.
const MAX_LISTED_KEYS: usize = 8;
/// The maximum number of values that are compared in a request without a credential. There is a limit because each
/// comparison is one attempt to guess a key.
const MAX_SEARCHED_VALUES: usize = 8;
/// A header is searched for a key if its name contains one of these.
const SEARCHED_HEADERS: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];

/// A valid key that was sent in a way that does not count.
#[derive(Debug)]
pub(crate) struct Misplaced {
    pub(crate) name: Arc<str>,
    kind: AuthFailures,
    detail: String,
}

/// The mistake that keeps a valid key from counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// It is in the header for keys of the other scope, or in a header that is not read.
    Header,
    /// It is in the address.
    Query,
    /// It is in `Authorization` without the word `Bearer`, or after another word.
    NotBearer,
    /// It is sent as a user name or password.
    Basic,
    /// A word precedes it, such as `Bearer` in `X-API-KEY`.
    Word,
    /// Its name, or the name of a variable, precedes it.
    Name,
    /// It is in quotes, brackets or blanks.
    Quotes,
    /// It is in a list.
    List,
}

impl Misplaced {
    fn new(entry: &Credential, mistake: Mistake, scopes: &[Scope]) -> Self {
        let (kind, what, header) = words(entry.scope);
        let lead = match mistake {
            Mistake::Header => format!("This {kind} came in a header where it does not count"),
            Mistake::Query => {
                format!("This {kind} came in the address, which logs and histories keep, so replace it with a new one")
            }
            Mistake::NotBearer => format!("Authorization takes this {kind} after the word Bearer"),
            Mistake::Basic => format!("This {kind} came as Basic authentication, which is not served"),
            Mistake::Word => format!("This {kind} came with a word before it"),
            Mistake::Name => {
                format!("This {kind} came with a name before it, and only the part after the colon or = is the {what}")
            }
            Mistake::Quotes => format!("This {kind} came in quotes, brackets or blanks"),
            Mistake::List => format!("This {kind} came in a list"),
        };
        let detail = if scopes.contains(&entry.scope) {
            format!("{lead}; send the {what} alone in {header}, or after Bearer in Authorization.")
        } else {
            let (other_kind, _, other_header) = words(scopes.first().copied().unwrap_or(Scope::Read));
            let article = article(other_kind);
            format!("{lead}; it belongs in {header}, and this route takes {article} {other_kind} in {other_header}.")
        };
        Self { name: Arc::clone(&entry.name), kind: AuthFailures::Misplaced, detail }
    }

    /// Several valid keys in one request, of which the service and a proxy could each take a different one. `entry` is
    /// one of them.
    pub(crate) fn several(entry: &Credential) -> Self {
        let (_, what, header) = words(entry.scope);
        let detail = format!(
            "The request holds more than one {what}, and a proxy could take another one than the service; send one, in \
             {header} or after Bearer in Authorization."
        );
        Self { name: Arc::clone(&entry.name), kind: AuthFailures::Several, detail }
    }

    /// An unknown key in `header`, in a request that also holds a valid key of `holder`.
    pub(crate) fn beside_unknown(holder: Arc<str>, header: &str) -> Self {
        let detail = format!(
            "One credential of the request is valid, and {header} holds one that is not known; correct that one or leave it \
             out."
        );
        Self { name: holder, kind: AuthFailures::Unknown, detail }
    }

    /// The label in the metrics.
    pub(crate) fn kind(&self) -> AuthFailures {
        self.kind
    }

    /// The answer to the key's holder. It carries the key's name for the log.
    pub(crate) fn refusal(&self) -> Response {
        let mut response = Problem::new(Code::Unauthorized, self.detail.clone()).into_response();
        response.extensions_mut().insert(Caller(Arc::clone(&self.name)));
        response
    }
}

/// The full and the short name of a scope's keys, and the header that only they use.
fn words(scope: Scope) -> (&'static str, &'static str, &'static str) {
    match scope {
        Scope::Ingest => ("ingest key", "key", "X-API-KEY"),
        Scope::Read => ("read token", "token", "X-Internal-Token"),
        Scope::Maintenance => ("maintenance key", "key", "X-Maintenance-Key"),
        Scope::Research => ("research key", "key", "X-API-KEY"),
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with('i') { "an" } else { "a" }
}

/// Refuses a request in which one header for credentials is empty and no other holds a credential.
pub(crate) fn refuse_empty(empty_header: &str, scopes: &[Scope]) -> Response {
    let (kind, _, header) = words(scopes.first().copied().unwrap_or(Scope::Read));
    let article = article(kind);
    let detail = format!(
        "{empty_header} is empty, perhaps because a variable is not set; send {article} {kind} in {header}, or after Bearer in \
         Authorization."
    );
    Problem::new(Code::Unauthorized, detail).into_response()
}

/// Looks for a valid key in the value of a header for credentials, `Authorization` or another.
pub(crate) fn in_header(
    entries: &Credentials,
    is_authorization: bool,
    value: &[u8],
    scopes: &[Scope],
) -> Option<Misplaced> {
    let whole = if is_authorization { Mistake::NotBearer } else { Mistake::Header };
    let found = if value.contains(&b',') {
        look_for_list(entries, value)
    } else {
        look(entries, value, whole).or_else(|| look_for_basic(entries, value))
    };
    found.map(|(entry, mistake)| Misplaced::new(&entry, mistake, scopes))
}

/// Looks for a valid key in the address and in [`SEARCHED_HEADERS`], for a request that presents no credential.
pub(crate) fn anywhere(entries: &Credentials, request: &Request, scopes: &[Scope]) -> Option<Misplaced> {
    let mut values = 0;
    let mut look_at = |value: &[u8], mistake| {
        values += 1;
        if values > MAX_SEARCHED_VALUES { None } else { look(entries, value, mistake) }
    };
    let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let found = query
        .flat_map(|(name, value)| [name, value])
        .filter(|text| !text.is_empty())
        .find_map(|text| look_at(text.as_bytes(), Mistake::Query).map(|(entry, _)| (entry, Mistake::Query)))
        .or_else(|| {
            let is_searched = |name: &HeaderName| SEARCHED_HEADERS.iter().any(|part| name.as_str().contains(part));
            let headers = request.headers().iter().filter(|(name, _)| is_searched(name));
            let mut parts = headers.flat_map(|(_, value)| value.as_bytes().split(|byte| *byte == b';'));
            parts.find_map(|part| look_at(part, Mistake::Header).map(|(entry, _)| (entry, Mistake::Header)))
        });
    found.map(|(entry, mistake)| Misplaced::new(&entry, mistake, scopes))
}

/// Looks for a valid key in `value`, also inside the layers that people put around keys. `whole` is the mistake if the
/// value as a whole is a key.
fn look(entries: &Credentials, value: &[u8], whole: Mistake) -> Option<(Arc<Credential>, Mistake)> {
    if let Some(entry) = entries.find(value, &Scope::ALL) {
        return Some((entry, whole));
    }
    let mut first = None;
    let mut rest = value;
    for _ in 0..MAX_PEELED_LAYERS {
        let (mistake, inner) = peel(rest)?;
        // The refusal names the outermost mistake. In Authorization a word such as `Bearer` is not a mistake.
        let mistake = if mistake == Mistake::Word && whole == Mistake::NotBearer { None } else { Some(mistake) };
        first = first.or(mistake);
        if let Some(entry) = entries.find(inner, &Scope::ALL) {
            return Some((entry, first.unwrap_or(whole)));
        }
        rest = inner;
    }
    None
}

/// Peels off one of the layers that people put around keys.
fn peel(value: &[u8]) -> Option<(Mistake, &[u8])> {
    const PEELED_CHARACTERS: &[u8] = b" \t\"'`<>[]{}";
    let outer = |byte: &u8| PEELED_CHARACTERS.contains(byte);
    let after = |separator: &[u8]| {
        let at = value.iter().position(|byte| separator.contains(byte))?;
        Some(&value[at + 1..])
    };
    let start = value.iter().position(|byte| !outer(byte))?;
    let end = value.iter().rposition(|byte| !outer(byte))? + 1;
    if end - start < value.len() {
        return Some((Mistake::Quotes, &value[start..end]));
    }
    if let Some(inner) = after(b" \t") {
        return Some((Mistake::Word, inner));
    }
    after(b":=").map(|inner| (Mistake::Name, inner))
}

/// Looks for a list in which every key is valid, because a list with wrong ones could be used to guess keys.
fn look_for_list(entries: &Credentials, value: &[u8]) -> Option<(Arc<Credential>, Mistake)> {
    let mut parts = value.split(|byte| *byte == b',').enumerate();
    let (_, first) = parts.next()?;
    let (first, _) = look(entries, first, Mistake::List)?;
    let valid = |(position, part)| position < MAX_LISTED_KEYS && look(entries, part, Mistake::List).is_some();
    parts.all(valid).then_some((first, Mistake::List))
}

/// Looks for a valid key in `Basic` credentials: as the whole decoded text, as the user name or as the password.
fn look_for_basic(entries: &Credentials, value: &[u8]) -> Option<(Arc<Credential>, Mistake)> {
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    let decoded = scheme.eq_ignore_ascii_case(b"Basic ").then(|| BASE64.decode(encoded.trim_ascii()).ok()).flatten()?;
    let colon = decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len());
    let (user, password) = (&decoded[..colon], decoded.get(colon + 1..).unwrap_or_default());
    let found =
        [&*decoded, user, password].map(|secret| entries.find(secret, &Scope::ALL)).into_iter().flatten().next();
    found.map(|entry| (entry, Mistake::Basic))
}
