//! The paths of health probes. Middleware that limits or refuses lets them through.

use axum::extract::{MatchedPath, Request};

/// Routes that reveal only whether the service runs or works. They answer anybody, under any host name and load.
pub(crate) const PROBES: [&str; 4] = ["/health", "/api/v1/health", "/health/live", "/healthz"];

/// True if a request is for one of [`PROBES`].
pub(crate) fn is_probe(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| PROBES.contains(&route.as_str()))
}
