//! The console's sessions: signed cookies that say which credentials were entered. Nothing else remembers a session.
//!
//! A session is a list of grants. Each names a credential and the time at which it ends, and is signed with the
//! [`SessionKey`](super::session_key::SessionKey) of that credential. A grant is accepted by every replica that has the
//! credential, and by none once the credential was changed or removed.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::http::middleware::credentials::{Credential, Credentials, Scope};
use crate::http::middleware::session_key::{NAME_BYTES, SIGNATURE_BYTES};
use crate::http::net::client_address::{Client, Transport};

/// The time for which a credential stays in a session, in seconds.
pub(crate) const GRANT_SECONDS: i64 = 12 * 3600;
/// The time by which the clocks of two replicas may differ, in seconds.
const CLOCK_DIFFERENCE_SECONDS: i64 = 120;
/// The maximum number of grants of a cookie, more than there are scopes.
const MAX_GRANTS: usize = 8;
/// The length of the time at which a grant ends, in epoch seconds and big-endian.
const TIME_BYTES: usize = 8;
/// A grant: the name of its key, the time at which it ends, and the signature of that time.
const GRANT_BYTES: usize = NAME_BYTES + TIME_BYTES + SIGNATURE_BYTES;
/// The maximum length of a cookie's value in base64url, which has 4 characters for 3 bytes.
const MAX_VALUE_LENGTH: usize = MAX_GRANTS * GRANT_BYTES * 4 / 3;
/// Attributes of the cookie that do not depend on the connection. No script reads it, and no other site's page sends it.
const COOKIE_ATTRIBUTES: &str = "Path=/; HttpOnly; SameSite=Strict";

/// A credential of a session, and the time at which it ends in epoch seconds.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) credential: Arc<Credential>,
    pub(crate) ends: i64,
}

/// The credentials that were entered in the console, at most one of each scope.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session(Vec<Grant>);

/// A cookie that no service with these credentials has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongSession;

impl Session {
    /// Reads a cookie's value at `now`, in epoch seconds. Grants that have ended are left out, and so are those of credentials
    /// that are no longer accepted, and those that end later than a service lets them, which somebody with the credential can sign.
    ///
    /// # Errors
    /// When a grant has a wrong signature, when no grant names an accepted credential, and when the value is not a session at
    /// all.
    pub(crate) fn read(value: &[u8], credentials: &Credentials, now: i64) -> Result<Self, WrongSession> {
        if value.len() > MAX_VALUE_LENGTH {
            return Err(WrongSession);
        }
        let bytes = BASE64URL.decode(value).map_err(|_| WrongSession)?;
        let (grants, rest) = bytes.as_chunks::<GRANT_BYTES>();
        let (mut session, mut is_verified) = (Self::default(), false);
        for grant in grants {
            let (name, signed) = grant.split_at(NAME_BYTES);
            let (time, signature) = signed.split_at(TIME_BYTES);
            let Some((credential, key)) = credentials.of_session(name) else { continue };
            let ends = <[u8; TIME_BYTES]>::try_from(time).map(i64::from_be_bytes).map_err(|_| WrongSession)?;
            if !key.has_signed(time, signature) {
                return Err(WrongSession);
            }
            is_verified = true;
            if now < ends && ends <= now + GRANT_SECONDS + CLOCK_DIFFERENCE_SECONDS {
                session.add(Grant { credential, ends });
            }
        }
        if is_verified && rest.is_empty() { Ok(session) } else { Err(WrongSession) }
    }

    /// The value of the cookie. Credentials that have no place in a session are left out.
    fn value(&self) -> String {
        let mut bytes = Vec::with_capacity(self.0.len() * GRANT_BYTES);
        for Grant { credential, ends } in &self.0 {
            if let Some(key) = credential.session_key() {
                let time = ends.to_be_bytes();
                bytes.extend_from_slice(&key.name());
                bytes.extend_from_slice(&time);
                bytes.extend_from_slice(&key.sign(&time));
            }
        }
        BASE64URL.encode(bytes)
    }

    /// Adds a grant in place of the one of the same scope.
    pub(crate) fn add(&mut self, grant: Grant) {
        self.0.retain(|other| other.credential.scope != grant.credential.scope);
        self.0.push(grant);
    }

    pub(crate) fn grants(&self) -> &[Grant] {
        &self.0
    }

    /// The grant for a route that takes one of `scopes`, the preferred one first. If the session has none of them, any grant, whose
    /// scope the route then refuses.
    pub(crate) fn grant_for(&self, scopes: &[Scope]) -> Option<&Grant> {
        let of = |scope: &Scope| self.0.iter().find(|grant| grant.credential.scope == *scope);
        scopes.iter().find_map(of).or(self.0.first())
    }

    /// The header that gives a browser this session in place of the one that it has. A session without grants signs it out.
    pub(crate) fn set_cookie(&self, client: Client, now: i64) -> Option<HeaderValue> {
        let name = cookie_name(client);
        let seconds = self.0.iter().map(|grant| grant.ends - now).max().unwrap_or(0).max(0);
        let secure = if client.transport == Transport::Https { "; Secure" } else { "" };
        let cookie = format!("{name}={}; {COOKIE_ATTRIBUTES}; Max-Age={seconds}{secure}", self.value());
        HeaderValue::try_from(cookie).ok()
    }
}

/// The cookie's name. Over TLS it has a prefix with which browsers let neither a page over plain HTTP nor another host of the
/// same domain set it (RFC 6265bis section 4.1.3.2).
fn cookie_name(client: Client) -> &'static str {
    if client.transport == Transport::Https { "__Host-candlewick-session" } else { "candlewick-session" }
}

/// The values of the session's cookie in a request, of which a browser sends one.
pub(crate) fn cookies(headers: &HeaderMap, client: Client) -> impl Iterator<Item = &[u8]> {
    let name = cookie_name(client).as_bytes();
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value)
    })
}

/// True if the browser says that the request comes from a page of this service: by `Sec-Fetch-Site`, which it sends over HTTPS
/// and to this machine, or by `Origin`, which it sends with posts. What is there has to agree, and one of them has to be there.
pub(crate) fn is_from_own_page(headers: &HeaderMap, client: Client) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (site, origin) = (sites.next(), origins.next());
    let only = sites.next().is_none() && origins.next().is_none();
    let is_same_origin = site.is_none_or(|site| site == "same-origin");
    let is_own_origin = origin.is_none_or(|origin| client.is_own_origin(headers, origin));
    only && is_same_origin && is_own_origin && (site.is_some() || origin.is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::*;
    use crate::config::ApiKey;

    const NOW: i64 = 1_772_625_600;

    fn key(name: &str, secret: &str) -> ApiKey {
        ApiKey { name: name.to_owned(), secret: SecretString::from(secret), generated: false }
    }

    fn credentials(read: &str, maintenance: &str) -> Credentials {
        Credentials::new(&[key("terminal", "ingest")], &[key("chart", read)], &[key("desk", maintenance)], &[])
    }

    fn session(credentials: &Credentials, secrets: &[(&str, i64)]) -> Session {
        let mut session = Session::default();
        for (secret, ends) in secrets {
            session.add(Grant { credential: credentials.find(secret.as_bytes(), &Scope::ALL).unwrap(), ends: *ends });
        }
        session
    }

    fn names(session: &Session) -> Vec<(&str, i64)> {
        session.grants().iter().map(|grant| (&*grant.credential.name, grant.ends)).collect()
    }

    #[test]
    fn a_session_is_read_by_every_service_with_its_credentials() {
        let value = session(&credentials("r", "m"), &[("r", NOW + 10), ("m", NOW + 20)]).value();
        let read = |credentials, now| Session::read(value.as_bytes(), &credentials, now).map(|s| names(&s).len());
        assert_eq!(read(credentials("r", "m"), NOW), Ok(2));
        assert_eq!(read(credentials("r", "m"), NOW + 10), Ok(1), "the first has ended");
        assert_eq!(read(credentials("r", "m"), NOW + 20), Ok(0));
        assert_eq!(read(credentials("r", "changed"), NOW), Ok(1), "the other credential still counts");
        assert_eq!(read(credentials("changed", "changed"), NOW), Err(WrongSession));
        assert_eq!(read(credentials("m", "r"), NOW), Err(WrongSession), "they have other scopes now");
    }

    #[test]
    fn a_grant_that_ends_too_late_does_not_count_even_if_it_is_signed() {
        let accepted = credentials("r", "m");
        let counted = |ends| {
            let value = session(&accepted, &[("r", ends)]).value();
            Session::read(value.as_bytes(), &accepted, NOW).unwrap().grants().len()
        };
        assert_eq!([NOW + GRANT_SECONDS, NOW + GRANT_SECONDS + 121, i64::MAX].map(counted), [1, 0, 0]);
    }

    #[test]
    fn a_later_grant_of_a_scope_replaces_the_earlier_one_and_ingest_keys_have_no_place() {
        let accepted = credentials("r", "m");
        let both = session(&accepted, &[("r", NOW + 1), ("m", NOW + 2), ("r", NOW + 3), ("ingest", NOW + 4)]);
        let read = Session::read(both.value().as_bytes(), &accepted, NOW).unwrap();
        assert_eq!(names(&read), [("desk", NOW + 2), ("chart", NOW + 3)]);
    }

    proptest! {
        /// Whatever is changed in a cookie, nothing is granted that was not granted before.
        #[test]
        fn a_changed_cookie_grants_nothing_more(position in 0_usize..128, byte in any::<u8>(), length in 0_usize..160) {
            let accepted = credentials("r", "m");
            let granted = session(&accepted, &[("r", NOW + 10), ("m", NOW + 20)]);
            let mut value = granted.value().into_bytes();
            value.resize(length, b'A');
            if let Some(place) = value.get_mut(position) {
                *place = byte;
            }
            if let Ok(read) = Session::read(&value, &accepted, NOW) {
                for grant in names(&read) {
                    prop_assert!(names(&granted).contains(&grant));
                }
            }
        }

        #[test]
        fn any_value_is_answered(value in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(Session::read(&value, &credentials("r", "m"), NOW).is_err());
        }
    }
}
