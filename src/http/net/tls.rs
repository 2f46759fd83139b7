//! The certificate, if HTTPS is served directly, and the health check that meets it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use crate::config::TlsFiles;
use crate::errors;

/// How often the files are read again, since certificates are renewed while the service runs.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// Files that HTTPS cannot be served with.
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

/// Takes over renewed certificates, as soon as `asked` is notified at the latest. Never ends.
pub(crate) async fn renew(current: RustlsConfig, files: TlsFiles, asked: Arc<Notify>) {
    let contents = || (std::fs::read(&files.cert).ok(), std::fs::read(&files.key).ok());
    let mut known = contents();
    loop {
        let is_asked = tokio::select! {
            () = sleep(RELOAD_INTERVAL) => false,
            () = asked.notified() => true,
        };
        let now = contents();
        if now == known && !is_asked {
            continue;
        }
        match read(&files) {
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

/// For a health check from the same machine, which sends nothing secret and knows the service by its address alone.
pub(crate) fn insecure_connector() -> TlsConnector {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NoCertificateVerification(
            default_provider().signature_verification_algorithms,
        )))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Checks that the peer holds the key of the certificate it shows, and nothing else.
#[derive(Debug)]
struct NoCertificateVerification(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for NoCertificateVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
