//! The metrics of requests: how many there are and how long they take.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Gauge, Histogram, gauge, histogram};

use crate::telemetry::metrics::{ACTIVE_REQUESTS, REQUEST_DURATION};

/// The metrics of a listener's requests. Each route, method and status keeps the handle of its histogram, because a lookup by
/// labels would take longer than all other counting of a request.
pub(crate) struct RequestMetrics {
    active: Gauge,
    /// By route.
    durations: RwLock<HashMap<String, Outcomes>>,
}

/// By method and status.
type Outcomes = HashMap<(&'static str, u16), Histogram>;

impl fmt::Debug for RequestMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestMetrics").finish_non_exhaustive()
    }
}

impl RequestMetrics {
    pub(crate) fn new() -> Self {
        Self { active: gauge!(ACTIVE_REQUESTS), durations: RwLock::default() }
    }

    /// Registers a route's 5xx series at zero. `rate()` needs a previous sample, so that a series that began with its first
    /// failure would hide that failure.
    pub(crate) fn expect_failures(&self, method: &Method, route: &str) {
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE] {
            drop(self.histogram(route, name(method), status.as_u16()));
        }
    }

    /// Counts a request as active until the guard is dropped.
    pub(crate) fn begin(&self) -> Active {
        self.active.increment(1);
        Active(self.active.clone())
    }

    /// Counts a request that was answered, or whose client disconnected.
    pub(crate) fn end(&self, method: &Method, route: &str, status: u16, duration: Duration) {
        let method = name(method);
        let durations = self.durations.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = durations.get(route).and_then(|route| route.get(&(method, status))) {
            known.record(duration);
        } else {
            drop(durations);
            self.histogram(route, method, status).record(duration);
        }
    }

    fn histogram(&self, route: &str, method: &'static str, status: u16) -> Histogram {
        let mut durations = self.durations.write().unwrap_or_else(PoisonError::into_inner);
        let of_route = durations.entry(route.to_owned()).or_default();
        let made = || {
            histogram!(
                REQUEST_DURATION,
                "http_request_method" => method,
                "http_route" => route.to_owned(),
                "http_response_status_code" => status.to_string()
            )
        };
        of_route.entry((method, status)).or_insert_with(made).clone()
    }
}

/// The methods that have a label of their own. If clients could choose labels, the number of series would have no bound.
fn name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

/// Counts a request as active until it is dropped.
pub(crate) struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
