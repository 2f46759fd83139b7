//! Health check of a running service, and the address at which a program on the same machine reaches it.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::StatusCode;
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::telemetry::spans::spawn_blocking;

/// The reason for a missing answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("did not answer within {} s", .0.as_secs())]
    TooLate(Duration),
    #[error("does not answer")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// Gets `url` within `patience` and returns the answer's status. The certificate is not verified, because nothing
/// secret is sent and a service on the same machine is identified by its address alone.
///
/// # Errors
/// When there is no answer.
pub(crate) async fn ask(url: String, patience: Duration) -> Result<StatusCode, AskError> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(patience))
        // Only the service at the address may answer, so proxies and redirects are not followed.
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

/// The URL at which a program on this machine reaches the service, from the address that it listens on and a flag that
/// is true if it speaks TLS.
pub(crate) fn own_url((listen, tls): (SocketAddr, bool)) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, reachable(listen))
}

/// The address at which a program on this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
