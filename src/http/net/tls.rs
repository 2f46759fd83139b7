//! The certificate, if HTTPS is served directly.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::TlsFiles;
use crate::errors;
use crate::telemetry::spans::spawn_blocking;

/// The interval at which the files are read again, because certificates are renewed while the service runs.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// An error in the certificate's files, with which HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{setting} cannot be used")]
pub struct CertificateError {
    /// The settings that name the files.
    setting: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl CertificateError {
    fn new(setting: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { setting, source: source.into() }
    }
}

/// Reads the certificate: TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// When the files cannot be read, or do not belong together.
pub(crate) fn load(files: &TlsFiles) -> Result<RustlsConfig, CertificateError> {
    read(files).map(|config| RustlsConfig::from_config(Arc::new(config)))
}

/// Loads renewed certificates at an interval, and at once if `asked` is notified. Never returns.
pub(crate) async fn renew(current: RustlsConfig, files: TlsFiles, asked: Arc<Notify>) {
    let files = Arc::new(files);
    let mut known = aside(&files, contents).await;
    loop {
        let is_asked = tokio::select! {
            () = sleep(RELOAD_INTERVAL) => false,
            () = asked.notified() => true,
        };
        let now = aside(&files, contents).await;
        if now == known && !is_asked {
            continue;
        }
        match aside(&files, read).await {
            Ok(config) => {
                current.reload_from_config(Arc::new(config));
                tracing::info!("the certificate was renewed");
            }
            // Perhaps only one of the files has been replaced yet.
            Err(error) => {
                let problem = errors::chain(&error).to_string();
                tracing::warn!(problem, "the certificate cannot be used; the old one still serves");
            }
        }
        known = now;
    }
}

/// Reads the files on a thread that may block, because a disk or share that hangs must not delay requests.
async fn aside<T: Send + 'static>(files: &Arc<TlsFiles>, look: fn(&TlsFiles) -> T) -> T {
    let files = Arc::clone(files);
    spawn_blocking(move || look(&files)).await.expect("looking at files does not panic")
}

/// The contents of the files; `None` for a file that cannot be read.
fn contents(files: &TlsFiles) -> [Option<Vec<u8>>; 2] {
    [&files.cert, &files.key].map(|file| std::fs::read(file).ok())
}

fn read(files: &TlsFiles) -> Result<ServerConfig, CertificateError> {
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| CertificateError::new("TLS_CERT", error))?;
    if chain.is_empty() {
        return Err(CertificateError::new("TLS_CERT", "the file holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| CertificateError::new("TLS_KEY", error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| CertificateError::new("TLS_CERT with TLS_KEY", error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
