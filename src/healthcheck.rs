//! A question for the health of a running service, and the address at which something on its machine reaches it.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::StatusCode;
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::telemetry::spans::spawn_blocking;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("did not answer within {} s", .0.as_secs())]
    TooLate(Duration),
    #[error("does not answer")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// Gets `url`, at most for so long, and returns the answer's status. Nothing secret is sent, so the certificate may be
/// anybody's: a service on the same machine is known by its address alone.
///
/// # Errors
/// When there is no answer.
pub(crate) async fn ask(url: String, patience: Duration) -> Result<StatusCode, AskError> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(patience))
        // The service that has the address, and no other: not through a proxy, nor where an answer points.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .build()
        .into();
    let answer = spawn_blocking(move || agent.get(url).call()).await;
    match answer.map_err(|broken| AskError::Failed(broken.into()))? {
        Ok(answer) => Ok(answer.status()),
        Err(ureq::Error::Timeout(_)) => Err(AskError::TooLate(patience)),
        Err(ureq::Error::Io(error)) => Err(AskError::Failed(error.into())),
        Err(error) => Err(AskError::Failed(error.into())),
    }
}

/// The URL at which something on this machine reaches the service, by the address that it listens on and whether it speaks
/// TLS.
pub(crate) fn own_url((listen, tls): (SocketAddr, bool)) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, reachable(listen))
}

/// The address at which something on this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
