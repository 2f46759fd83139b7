//! A problem, and its body.

use std::borrow::Cow;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::code::Code;
use crate::validation::FieldError;

/// The media type of a problem.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// An answer that is not a success. [`crate::http::middleware::access_log`] writes its body, because that needs the request's
/// id.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// The cause, for the log alone.
    pub(crate) cause: Option<String>,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// One sentence that says what to do.
    detail: &'a str,
    /// The kind of the problem, for programs.
    #[schema(example = "invalid_values")]
    code: &'static str,
    /// The request's id, as in the header `x-request-id` and in the log.
    request_id: &'a str,
    /// For 422: what is wrong with each value, the first 100.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), cause: None }
    }

    pub(crate) fn internal(cause: String) -> Self {
        const DETAIL: &str = "The service failed on this request; try again, and report the request_id if it persists.";
        Self::new(Code::Internal, DETAIL).caused_by(cause)
    }

    /// Adds the cause for the log.
    pub(crate) fn caused_by(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// The refusal of one value.
    pub(crate) fn of_field(field_error: FieldError) -> Self {
        Self::invalid(format!("The request is not valid: {field_error}."), vec![field_error])
    }

    pub(super) fn invalid(detail: String, errors: Vec<FieldError>) -> Self {
        Self::new(Code::InvalidValues, detail).with_errors(errors)
    }

    /// Adds what is wrong with each value.
    pub(super) fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    pub(crate) fn body(&self, request_id: &str) -> String {
        let body = Body {
            kind: "about:blank",
            title: self.code.status().canonical_reason().unwrap_or_default(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.name(),
            request_id,
            errors: &self.errors,
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        for (name, value, _) in self.code.headers() {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        response.extensions_mut().insert(self);
        response
    }
}
