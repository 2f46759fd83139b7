//! HTTPS without a proxy.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{KEY, TOKEN, run};
use crate::program::{Serving, folder, output, program};

const CERT: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Writes a certificate for localhost that signs itself, and its key, and returns the certificate.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join(CERT), made.cert.pem()).unwrap();
    std::fs::write(folder.join(KEY_FILE), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

const VARIABLES: [(&str, &str); 5] =
    [("PORT", "0"), ("TLS_CERT", CERT), ("TLS_KEY", KEY_FILE), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)];

fn start() -> (TempDir, CertificateDer<'static>, Serving) {
    let folder = folder();
    let certificate = write_certificate(folder.path());
    let mut serving = Serving::start(folder.path(), &VARIABLES);
    serving.is_ready();
    (folder, certificate, serving)
}

async fn connect(
    serving: &Serving,
    certificate: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate.clone()).unwrap();
    let mut config =
        ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(serving.url.trim_start_matches("http://")).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn https_is_served_with_tls_1_2_and_1_3_and_hsts() {
    run(async {
        let (_folder, certificate, serving) = start();
        for version in BOTH {
            let mut stream = connect(&serving, &certificate, &[version]).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "no HTTP/2");
            let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
        }
        // Plain text is not TLS, and its answer must not look like HTTP.
        let mut stream = TcpStream::connect(serving.url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    });
}

#[test]
fn a_renewed_certificate_is_reloaded_without_a_restart() {
    run(async {
        let (folder, old, serving) = start();
        connect(&serving, &old, &BOTH).await.unwrap();
        // An unusable certificate leaves the old one in place.
        std::fs::write(folder.path().join(CERT), "no certificate").unwrap();
        let mut serving = tokio::task::spawn_blocking(move || {
            let mut serving = serving;
            serving.line_with("the old one still serves");
            serving
        })
        .await
        .unwrap();
        connect(&serving, &old, &BOTH).await.unwrap();
        let renewed = write_certificate(folder.path());
        serving.line_with("the certificate was renewed");
        connect(&serving, &renewed, &BOTH).await.unwrap();
        assert!(connect(&serving, &old, &BOTH).await.is_err());
    });
}

#[test]
fn the_banner_and_the_healthcheck_use_https() {
    let (folder, _, mut serving) = start();
    let [posting, reading] = serving.curl_lines();
    assert!(
        posting.contains("curl -i https://127.0.0.1:") && reading.contains("https://127.0.0.1:"),
        "{posting} {reading}"
    );
    let port = serving.url.rsplit(':').next().unwrap().to_owned();
    let mut variables = VARIABLES;
    variables[0] = ("PORT", &port);
    let (code, printed, _) = output(program(folder.path(), &variables).arg("healthcheck"));
    assert_eq!((code, printed.trim()), (0, &*format!("https://127.0.0.1:{port}/health is healthy.")));
    let url = format!("https://127.0.0.1:{port}/nowhere");
    let (code, _, complaint) = output(program(folder.path(), &[]).args(["healthcheck", &url]));
    assert!(code == 1 && complaint.contains("404"), "{complaint}");
}

#[test]
fn an_unusable_certificate_is_exit_code_2() {
    let folder = folder();
    write_certificate(folder.path());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("other.pem"), other.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    for (cert, key, named) in [
        ("missing.pem", KEY_FILE, "TLS_CERT"),
        ("empty.pem", KEY_FILE, "TLS_CERT"),
        (CERT, "missing.pem", "TLS_KEY"),
        (CERT, "empty.pem", "TLS_KEY"),
        (CERT, "other.pem", "TLS_CERT with TLS_KEY"),
        (CERT, "", "TLS_CERT and TLS_KEY belong together"),
    ] {
        let (code, _, complaint) = output(&mut program(
            folder.path(),
            &[("PORT", "0"), ("TLS_CERT", cert), ("TLS_KEY", key), ("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN)],
        ));
        assert!(code == 2 && complaint.contains(named), "{cert} {key}: {code} {complaint}");
    }
}
