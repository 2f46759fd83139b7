//! Bodies, read under a limit whose breach is a problem with a sentence.

use std::error::Error as _;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::LengthLimitError;

use super::AppState;
use super::problem::{Code, Problem};

/// The bytes of a posted batch, whatever its Content-Type: terminals name a form unless told otherwise (MQL5 article
/// 16043).
#[derive(Debug)]
pub(super) struct BatchBody(pub(super) Bytes);

impl FromRequest<AppState> for BatchBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let headers = request.headers();
        let plain = |encoding: &axum::http::HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
            return Err(Problem::new(
                Code::UnsupportedEncoding,
                "The body is compressed, and only plain JSON is taken; send it without Content-Encoding.",
            ));
        }
        let max = state.max_body_bytes;
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced > max as u64) {
            return Err(too_large(max));
        }
        read(request.into_body(), max).await.map(Self)
    }
}

async fn read(body: Body, max: usize) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, max).await.map_err(|error| {
        if error.source().is_some_and(<dyn std::error::Error + 'static>::is::<LengthLimitError>) {
            return too_large(max);
        }
        Problem::new(Code::Malformed, "The body broke off or its chunks are not valid HTTP; send it again.")
    })
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("The body is larger than the {max} bytes that are taken; send fewer candles a post."),
    )
}
