//! A bare axum server: it answers with a page in memory, or with 304 to a client that has the page, and drops batches.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Bytes;
use tokio::net::TcpListener;

use crate::client;

/// The tag of the only page.
pub const TAG: &str = r#"W/"bare""#;

/// The bytes to serve, and their encoding.
#[derive(Clone)]
struct Page {
    body: Bytes,
    coding: HeaderValue,
}

/// Serves the bytes in the file `page`, and prints the address.
pub async fn serve(page: &Path, coding: &str) {
    let page = Page { body: Bytes::from(std::fs::read(page).unwrap()), coding: coding.parse().unwrap() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/v1/candles", get(answer).post(take)).with_state(page);
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).unwrap()), router)
        .await
        .unwrap();
}

async fn answer(State(page): State<Page>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == TAG) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, TAG)]).into_response();
    }
    let mut answer = ([(header::CONTENT_TYPE, "application/json"), (header::ETAG, TAG)], page.body).into_response();
    if page.coding != "identity" {
        answer.headers_mut().insert(header::CONTENT_ENCODING, page.coding);
    }
    answer
}

/// Reads a batch and drops it, which is the cost of HTTP alone.
async fn take(_batch: Bytes) -> Response {
    const ANSWER: &str = r#"{"status":"success","message":"Data ingested successfully.","records_received":1,"records_added":1,"records_duplicate":0,"records_live":0}"#;
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], ANSWER).into_response()
}

/// The bare server as a process, which is killed when this is dropped.
pub struct BareServer {
    child: Child,
    pub address: SocketAddr,
}

impl BareServer {
    /// Starts a server for exactly the bytes of `page`.
    pub fn start(page: &client::Page) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &page.body).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(crate::BARE_SERVER).arg(file.path()).arg(&page.coding);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
