//! A running service, which is read over HTTP with a read token, or posted to with an ingest key.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::HistoryError;
use super::source::ExportFailure;

/// The maximum time before an answer begins, and between two parts of it. It is longer than a service may work on a
/// request.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The maximum size of an answer that is not a file.
const MAX_JSON_BYTES: u64 = 64 * 1024 * 1024;

/// An answer to a post.
#[derive(Debug)]
pub(super) struct PostAnswer {
    pub(super) status: u16,
    /// Its body, or null if it is not JSON.
    pub(super) json: Value,
    /// The pause that the service asks for.
    pub(super) retry_after: Option<Duration>,
}

/// A service and the key for it.
#[derive(Debug)]
pub(crate) struct Remote {
    agent: Agent,
    /// The address without a path.
    base: String,
    key: SecretString,
}

impl Remote {
    /// The service at `url`, with the token or the key that a file holds.
    pub(crate) fn new(url: &str, key_file: &Path) -> Result<Self, HistoryError> {
        let base = url.trim_end_matches('/');
        let is_address = ["http://", "https://"].iter().any(|scheme| {
            base.strip_prefix(scheme).is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@']))
        });
        if !is_address {
            return Err(HistoryError::Usage(
                "--url must be an address such as https://candles.example.com, without a path",
            ));
        }
        let key = std::fs::read_to_string(key_file);
        let key = key.map_err(|source| HistoryError::KeyFile { path: key_file.into(), source })?;
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HistoryError::NoKey(key_file.into()));
        }
        let agent = Agent::config_builder()
            .timeout_connect(Some(ANSWER_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            // Redirects are not followed, so that the key is only sent to the named address.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self { agent, base: base.to_owned(), key: key.into() })
    }

    fn get(&self, path: &str) -> Result<Response<Body>, HistoryError> {
        self.get_with("x-internal-token", path)
    }

    /// Checks the ingest key by asking for one series with it.
    pub(super) fn check_ingest_key(&self) -> Result<(), HistoryError> {
        self.get_with("x-api-key", "/api/v1/series?limit=1").map(drop)
    }

    fn get_with(&self, header: &str, path: &str) -> Result<Response<Body>, HistoryError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header(header, self.key.expose_secret()).call();
        let mut answer =
            answer.map_err(|error| HistoryError::Unanswered { url: self.base.clone(), source: error.into() })?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let problem = answer.body_mut().read_to_string().ok().and_then(|text| serde_json::from_str(&text).ok());
        Err(self.answered(status, &problem.unwrap_or(Value::Null)))
    }

    /// The error for an answer other than a success.
    pub(super) fn answered(&self, status: u16, problem: &Value) -> HistoryError {
        match problem["detail"].as_str() {
            Some(detail) => HistoryError::Answered { url: self.base.clone(), status, detail: detail.to_owned() },
            None => self.not_candlewick(),
        }
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// When no whole answer came.
    pub(super) fn post(&self, path: &str, body: &str) -> Result<PostAnswer, HistoryError> {
        let unanswered =
            |source: ureq::Error| HistoryError::Unanswered { url: self.base.clone(), source: source.into() };
        let request = self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        let mut answer = request.header("x-api-key", self.key.expose_secret()).send(body).map_err(unanswered)?;
        let status = answer.status().as_u16();
        let seconds = answer.headers().get("retry-after").and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let text = answer.body_mut().read_to_string().map_err(unanswered)?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(PostAnswer { status, json, retry_after: seconds.map(Duration::from_secs) })
    }

    /// An answer in JSON, and the path of the next page if there is one.
    pub(super) fn json(&self, path: &str) -> Result<(Value, Option<String>), HistoryError> {
        let mut answer = self.get(path)?;
        let link = answer.headers().get("link").and_then(|link| link.to_str().ok());
        let next = link.and_then(|link| link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")).map(str::to_owned);
        let mut bytes = Vec::new();
        let read = answer.body_mut().as_reader().take(MAX_JSON_BYTES).read_to_end(&mut bytes);
        read.map_err(|source| HistoryError::Unanswered { url: self.base.clone(), source: source.into() })?;
        let json = serde_json::from_slice(&bytes).map_err(|_| self.not_candlewick())?;
        Ok((json, next))
    }

    /// Writes an answer of any length to `output`, and returns the number of bytes. An answer without its end is an error.
    pub(super) fn download(&self, path: &str, output: &mut dyn io::Write) -> Result<u64, ExportFailure> {
        let answer = self.get(path).map_err(ExportFailure::Read)?;
        let mut reader = answer.into_body().into_reader();
        let mut part = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            let broke_off = |error: io::Error| ExportFailure::Read(HistoryError::BrokeOff(error.into()));
            let read = reader.read(&mut part).map_err(broke_off)?;
            if read == 0 {
                return Ok(bytes);
            }
            output.write_all(&part[..read]).map_err(ExportFailure::Write)?;
            bytes += read as u64;
        }
    }

    pub(super) fn not_candlewick(&self) -> HistoryError {
        HistoryError::NotCandlewick { url: self.base.clone() }
    }
}
