//! The origins of requests that are accepted: the hosts that are served, TLS in production, and the origins whose pages may call (CORS).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Access;
use crate::http::middleware::host;
use crate::http::net::client_address::{Client, Transport};
use crate::http::probes;
use crate::http::problem::{Code, Problem};

/// The time for which a browser may cache the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_mins(10);

/// The rules for hosts, transport and origins. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct OriginPolicy(Arc<OriginRules>);

#[derive(Debug)]
struct OriginRules {
    hosts: Vec<String>,
    origins: Vec<String>,
    https_only: bool,
    cors: CorsLayer,
}

impl OriginPolicy {
    pub(crate) fn new(access: &Access) -> Self {
        let origins = access.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
        // No `allow_credentials`, because the session's cookie counts for this service's own pages alone.
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers(names(&[
                "authorization",
                "content-type",
                "if-none-match",
                "prefer",
                "traceparent",
                "x-api-key",
                "x-internal-token",
                "x-request-id",
            ]))
            .expose_headers(names(&[
                "etag",
                "link",
                "preference-applied",
                "ratelimit-limit",
                "ratelimit-remaining",
                "ratelimit-reset",
                "retry-after",
                "x-more-after",
                "x-more-before",
                "x-request-id",
                "x-skipped",
            ]))
            // `check` adds `Vary` to every answer, not only to those to allowed origins.
            .vary(Vec::<HeaderName>::new())
            .max_age(PREFLIGHT_MAX_AGE);
        let (hosts, origins, https_only) = (access.hosts.clone(), access.origins.clone(), access.https_only);
        Self(Arc::new(OriginRules { hosts, origins, https_only, cors }))
    }

    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let host = host::named(request)?;
        if self.0.hosts.is_empty() {
            return Ok(());
        }
        // A request line may name a host, too, which then takes precedence (RFC 9112 section 3.2.2).
        let by_line = request.uri().authority().map(host::host_of);
        let mut names = host.map(Some).into_iter().chain(by_line).peekable();
        let served = |name: Option<String>| name.is_some_and(|name| self.0.hosts.contains(&name));
        if names.peek().is_some() && names.all(served) {
            return Ok(());
        }
        let detail = "This service is not served under that host name; use one of ALLOWED_HOSTS.";
        Err(Problem::new(Code::ForeignHost, detail))
    }

    fn check_transport(&self, client: Client) -> Result<(), Problem> {
        if self.0.https_only && client.transport == Transport::ForwardedHttp {
            const DETAIL: &str =
                "This came over plain HTTP, where keys can be read on the way; use https:// and change the key.";
            return Err(Problem::new(Code::PlainHttp, DETAIL));
        }
        Ok(())
    }

    /// Judges a request by its `Origin`.
    fn judge_origin(&self, request: &Request, client: Client) -> Result<RequestOrigin, Problem> {
        let mut named = request.headers().get_all(header::ORIGIN).iter();
        let Some(origin) = named.next() else { return Ok(RequestOrigin::SameOrNone) };
        let only = named.next().is_none();
        if only && client.is_own_origin(request.headers(), origin) {
            return Ok(RequestOrigin::SameOrNone);
        }
        if only && self.0.origins.iter().any(|allowed| origin == allowed) {
            return Ok(RequestOrigin::Allowed);
        }
        let detail = "Pages of this origin may not call; add it to ALLOWED_ORIGINS, or call from a server.";
        Err(Problem::new(Code::ForeignOrigin, detail))
    }
}

/// The kind of page that a request comes from.
enum RequestOrigin {
    /// No page at all, or one that this service has served itself.
    SameOrNone,
    /// A page of an origin that the operator allows.
    Allowed,
}

/// Refuses requests from other hosts, transports and origins, and adds the CORS headers to the rest. A preflight is answered
/// here, because it carries no key.
pub(crate) async fn check(
    origins: &OriginPolicy,
    client: Client,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let judged = if probes::is_probe(&request) {
        // Anybody may ask for health, but only pages of allowed origins can read the answer.
        host::named(&request).map(|_| origins.judge_origin(&request, client).unwrap_or(RequestOrigin::SameOrNone))
    } else {
        let reached = origins.check_host(&request).and_then(|()| origins.check_transport(client));
        reached.and_then(|()| origins.judge_origin(&request, client))
    };
    let mut response = match judged {
        Ok(RequestOrigin::SameOrNone) => next(request).await,
        Ok(RequestOrigin::Allowed) => {
            let mut next = Some(next);
            let once = service_fn(move |request| {
                let next = next.take();
                async move {
                    match next {
                        Some(next) => Ok::<_, Infallible>(next(request).await),
                        None => Ok(Problem::internal("asked twice".to_owned()).into_response()),
                    }
                }
            });
            let Ok(response) = Box::pin(origins.0.cors.layer(once).oneshot(request)).await;
            response
        }
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}
