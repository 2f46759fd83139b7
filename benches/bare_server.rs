//! What axum alone needs to answer with a page that it holds, or with 304 to who holds it too.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Bytes;
use tokio::net::TcpListener;

/// The tag of the only page.
pub const TAG: &str = r#"W/"bare""#;

/// Serves the bytes in the file `page`, and prints where.
pub async fn serve(page: &Path) {
    let page = Bytes::from(std::fs::read(page).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/v1/candles", get(answer)).with_state(page);
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).unwrap()), router)
        .await
        .unwrap();
}

async fn answer(State(page): State<Bytes>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == TAG) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, TAG)]).into_response();
    }
    ([(header::CONTENT_TYPE, "application/json"), (header::ETAG, TAG)], page).into_response()
}

/// The bare server as a process, which ends with this value.
pub struct BareServer {
    child: Child,
    pub address: SocketAddr,
}

impl BareServer {
    /// Starts it with what the file `page` holds.
    pub fn start(page: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(crate::BARE_SERVER).arg(page).stdout(Stdio::piped()).spawn().unwrap();
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
