//! The commands of operators: migrating, checking, asking for health, and making keys.

use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use super::error::CommandError;
use super::output::print;
use crate::check;
use crate::clock::Clock;
use crate::config::{self, Config, Variables};
use crate::healthcheck::{ask, own_url};
use crate::store::{Severity, Store};
use crate::telemetry;

pub(super) async fn migrate(variables: &Variables) -> Result<(), CommandError> {
    let (database, log, warnings) = Config::read_for_migration(variables)?;
    let _log = telemetry::init(log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let store = Store::open(&database)?;
    store.prepare(true).await?;
    store.close().await;
    print("The tables are up to date.")
}

pub(super) async fn check(variables: &Variables) -> Result<(), CommandError> {
    let checked = check::check(variables, &Clock::system()).await;
    print(&checked.report)?;
    match checked.severity {
        Severity::Fine | Severity::Warning => Ok(()),
        severity @ (Severity::Unavailable | Severity::MustChange) => Err(CommandError::Reported(severity)),
    }
}

pub(super) fn keygen() -> Result<(), CommandError> {
    print(&config::strong_key().map_err(CommandError::Randomness)?)
}

pub(super) async fn healthcheck(url: Option<String>, variables: &Variables) -> Result<(), CommandError> {
    const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);
    let url = match url {
        Some(url) => url,
        None => own_url(Config::read_address(variables)?) + "/health",
    };
    let uri: Uri = url
        .parse()
        .map_err(|_| CommandError::BadQuestion("is not a URL; give one such as http://127.0.0.1:8000/health"))?;
    let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(CommandError::BadQuestion("must start with http:// or https:// and name a host"));
    };
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let path = match uri.path_and_query().map(PathAndQuery::as_str) {
        None | Some("/") => "/health",
        Some(path) => path,
    };
    // Not the address as given, because it may hold a password.
    let shown = format!("{scheme}://{host}:{port}{path}");
    match ask(shown.clone(), HEALTHCHECK_TIMEOUT).await {
        Err(source) => Err(CommandError::Unanswered { url: shown, source }),
        Ok(status) if status.is_success() => print(&format!("{shown} is healthy.")),
        Ok(status) => Err(CommandError::Unhealthy { url: shown, status }),
    }
}
