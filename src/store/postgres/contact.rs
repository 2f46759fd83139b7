//! The first connection to a server. If it fails, the error names the server that was tried, its answer, and what the
//! operator should do.

use std::fmt;
use std::io;

use rustls::CertificateError;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::access::Duties;
use super::connect::{CONNECT_TIMEOUT, is_local, open};
use crate::store::error::sql_state;
use crate::store::{Cause, StoreError};

/// The SQLSTATEs of a refused login and of a missing database (PostgreSQL documentation, appendix A).
const WRONG_PASSWORD: &str = "28P01";
const LOGIN_REFUSED: &str = "28000";
const NO_SUCH_DATABASE: &str = "3D000";

/// The advice about passwords in an address.
const ENCODING: &str =
    "there every character of a password but letters, digits and -._~ is percent-encoded, as # is %23";

/// A failure about which nothing is known but its source.
#[derive(Debug, thiserror::Error)]
#[error("{place}")]
struct ContactFailure {
    place: String,
    source: Cause,
}

/// A server, and the setting that holds its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) options: &'a PgConnectOptions,
    /// The name of the setting, for messages.
    pub(super) setting: &'a str,
    /// The work for which the login needs privileges.
    pub(super) duties: Duties,
}

impl Server<'_> {
    /// Opens the first connection.
    pub(super) async fn connect(self) -> Result<PgConnection, StoreError> {
        match open(self.options).await {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(error)) => Err(self.explain(error)),
            None => Err(StoreError::unavailable(format!(
                "{} does not answer within {} s; look for a firewall in between, or correct host and port in {}",
                self.place(),
                CONNECT_TIMEOUT.as_secs(),
                self.setting
            ))),
        }
    }

    /// The place at which the server listens.
    pub(super) fn place(self) -> String {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        match self.options.get_socket() {
            Some(folder) => format!("the socket of port {port} in {}", folder.display()),
            None if host.starts_with('/') => format!("the socket of port {port} in {host}"),
            None => format!("{host}:{port}"),
        }
    }

    fn explain(self, error: sqlx::Error) -> StoreError {
        let (place, setting) = (self.place(), self.setting);
        let login = self.options.get_username();
        if let Some(answer) = error.as_database_error()
            && let Some(state @ (WRONG_PASSWORD | LOGIN_REFUSED | NO_SUCH_DATABASE)) = sql_state(answer)
        {
            let message = answer.message();
            let remedy = match state {
                WRONG_PASSWORD => format!("correct the login {login} or its password in {setting}; {ENCODING}"),
                NO_SUCH_DATABASE => {
                    let database = self.options.get_database().unwrap_or(login);
                    format!("create the database {database} there, or correct its name in {setting}")
                }
                _ if message.contains("no encryption") || message.contains("SSL off") => {
                    format!("the server demands TLS: add sslmode=require to {setting}")
                }
                _ => format!("correct the login {login} in {setting}, or make it there or admit it in pg_hba.conf"),
            };
            return StoreError::denied(format!("{place} says: {message} ({state}); {remedy}"));
        }
        if let Some(fault) = unusable_certificate(&error) {
            return StoreError::misconfigured(format!(
                "{place} has a certificate that cannot be used under any sslmode but disable: {fault}; give the server a \
                 certificate of X.509 version 3 (openssl req -x509 makes one), or, if nobody can listen on the way, add \
                 sslmode=disable to {setting}"
            ));
        }
        let text = match &error {
            sqlx::Error::Io(error) if is_look_up_failure(error) => {
                let host = self.options.get_host();
                format!(
                    "the host name {host} cannot be looked up ({error}); correct it in {setting}, or check this \
                     machine's name server; {ENCODING}"
                )
            }
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("{place} refuses connections; start the server, or correct host and port in {setting}")
            }
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::NotFound && is_local(self.options) => {
                format!("nothing listens on {place}; start the server, or name its host in {setting}")
            }
            sqlx::Error::Tls(error) if error.to_string().contains("does not support TLS") => format!(
                "{place} has no TLS, and {setting} demands it; switch it on there, or, if nobody can listen on the \
                 way, add sslmode=disable"
            ),
            sqlx::Error::Tls(error) => self.tls_failure(error),
            sqlx::Error::Io(failure) if tls_error(&error).is_some() => self.tls_failure(failure),
            _ => match StoreError::from(error) {
                StoreError::Unavailable(source) => return StoreError::unavailable(ContactFailure { place, source }),
                other => return other,
            },
        };
        StoreError::unavailable(text)
    }

    fn tls_failure(self, error: &dyn fmt::Display) -> String {
        let (place, setting) = (self.place(), self.setting);
        format!(
            "TLS with {place} failed: {error}; set sslrootcert in {setting} to the certificate of the server's \
             authority"
        )
    }
}

/// The failure of TLS behind an error, if it is one.
fn tls_error(error: &sqlx::Error) -> Option<&rustls::Error> {
    match error {
        sqlx::Error::Tls(error) => error.downcast_ref(),
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// The fault of a certificate that the TLS library cannot read or cannot check signatures of. It does so even if the
/// address asks for no verification. A new certificate is needed, and waiting does not bring one. Citus makes such a
/// certificate, of X.509 version 1, when its extension is created.
fn unusable_certificate(error: &sqlx::Error) -> Option<&CertificateError> {
    match tls_error(error)? {
        rustls::Error::InvalidCertificate(
            fault @ (CertificateError::BadEncoding
            | CertificateError::UnhandledCriticalExtension
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            | CertificateError::Other(_)),
        ) => Some(fault),
        _ => None,
    }
}

/// True if a name server did not know a name, or did not answer.
fn is_look_up_failure(error: &io::Error) -> bool {
    /// Codes of Windows: the host is not found, it is not found for now, the answer has no address.
    const LOOK_UP_FAILURES: [i32; 3] = [11001, 11002, 11004];
    error.raw_os_error().is_some_and(|code| cfg!(windows) && LOOK_UP_FAILURES.contains(&code))
        || error.to_string().starts_with("failed to lookup address information")
}
