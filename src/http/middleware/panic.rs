//! Answers requests whose handler panics.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::http::problem::Problem;
use crate::telemetry::panic_text;

/// Turns a panic of a handler into a problem.
pub(crate) async fn catch_panic(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let answer = AssertUnwindSafe(next(request)).catch_unwind().await;
    answer.unwrap_or_else(|panic| Problem::internal(format!("panic: {}", panic_text(&*panic))).into_response())
}
