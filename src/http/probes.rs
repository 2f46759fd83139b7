//! The paths of health, which every layer that limits or refuses lets through.

use axum::extract::{MatchedPath, Request};

/// Routes that tell no more than whether the service lives or works: to anybody, under any host name and whatever the load.
pub(crate) const PROBES: [&str; 4] = ["/health", "/api/v1/health", "/health/live", "/healthz"];

/// True if a request is for one of [`PROBES`].
pub(crate) fn is_probe(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| PROBES.contains(&route.as_str()))
}
