//! Files of results: `/api/v1/exports` makes one, `/api/v1/files/{id}` sends it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::header;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::detach_on_drop::detach_on_drop;
use crate::http::middleware::admission::{self, AdmissionControl};
use crate::http::middleware::auth::Identity;
use crate::http::problem::{ExportProblems, FileProblems, Problem};
use crate::http::routes::batch_body::JsonBody;
use crate::http::routes::page::{JSON, NOT_KEPT, names_tag};
use crate::research::Jobs;

const TOO_LONG: &str = "Making the file takes long, and goes on; send the same request again after Retry-After, which then finds the file.";

/// A file to be made. A field that is not listed here is refused.
#[derive(Debug, ToSchema)]
#[schema(as = Export)]
#[expect(dead_code, reason = "documents the body that research::jobs parses")]
pub(crate) struct ExportBody {
    /// The id of a job of the key.
    #[schema(example = "0j3fw8q2z5v1m9k4x7c6b8n0pd")]
    job: String,
    /// The place of an item in the job's request; 0 if absent.
    #[schema(required = false, minimum = 0, maximum = 499, example = 0)]
    item: u64,
    /// The rank of the point whose parameters a script or a report has; 1, the winner, if absent. A table has all ranks.
    #[schema(required = false, minimum = 1, maximum = 1000, example = 1)]
    rank: u64,
    /// `pine` for a script for TradingView, `pdf` for a report of at most 12 pages, or `csv` for a table of the results.
    #[schema(example = "pine", pattern = "^(pine|pdf|csv)$")]
    format: String,
}

/// A file that was made.
#[derive(Debug, ToSchema)]
#[schema(as = ExportedFile)]
#[expect(dead_code, reason = "documents what research::jobs serializes")]
pub(crate) struct ExportAnswer {
    #[schema(example = "7w2k9x4c8v1m5z0j3fq6b8n0pd")]
    id: String,
    /// The name under which browsers save it.
    #[schema(example = "sma-cross-EURUSD-H1.pine")]
    name: String,
    #[schema(example = "text/plain; charset=utf-8")]
    mime: String,
    #[schema(example = 2412)]
    bytes: usize,
    /// The hash of its bytes, in hexadecimal digits.
    sha256: String,
    /// Its address.
    #[schema(example = "/api/v1/files/7w2k9x4c8v1m5z0j3fq6b8n0pd")]
    href: String,
}

/// Make a file of results
///
/// A script for TradingView or a report (PDF) of one of the ranked points, or a table of all of them. A report runs the point once more
/// on the candles of the item. The same job gives the same bytes, and the same request the same file. It is deleted after
/// `RESEARCH_RETENTION`, or with its job.
#[utoipa::path(
    post, path = "/api/v1/exports", tag = "Research", operation_id = "post_export",
    security(("research_key" = []), ("bearer" = [])),
    request_body(content = ExportBody, content_type = "application/json",
        example = json!({"job": "0j3fw8q2z5v1m9k4x7c6b8n0pd", "item": 0, "rank": 1, "format": "pine"})),
    responses(
        (status = 201, description = "The file is kept.", body = ExportAnswer,
         headers(
            ("location" = String, description = "The address of the file."),
            ("cache-control" = String, description = "`private, no-store`."),
         )),
        ExportProblems,
    )
)]
pub(crate) async fn post(
    State(jobs): State<Jobs>,
    Extension(identity): Extension<Identity>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let owner = identity.name();
    let work = detach_on_drop(async move {
        let JsonBody { bytes, permits: _permits } = body;
        jobs.export(&bytes, &owner).await
    });
    let exported = admission::in_time_or(TOO_LONG, work).await??;
    let location = HeaderValue::try_from(&exported.href).map_err(|error| Problem::internal(error.to_string()))?;
    let body = serde_json::to_vec(&exported).map_err(|error| Problem::internal(error.to_string()))?;
    Ok((StatusCode::CREATED, [JSON], [NOT_KEPT], [(header::LOCATION, location)], body).into_response())
}

/// A report.
#[derive(Debug)]
pub(crate) struct PdfFile;

impl PartialSchema for PdfFile {
    fn schema() -> RefOr<Schema> {
        // `binary` is OpenAPI 3.0's word for it, by which generators of clients tell bytes from text.
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).content_media_type("application/pdf").into()
    }
}

impl ToSchema for PdfFile {}

/// Download a file of results
///
/// Answers HEAD too.
#[utoipa::path(
    get, path = "/api/v1/files/{id}", tag = "Research", operation_id = "get_file",
    security(("internal_token" = []), ("research_key" = []), ("bearer" = [])),
    params(
        ("id" = String, Path, example = "7w2k9x4c8v1m5z0j3fq6b8n0pd", description = "The id of the file."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag of an earlier answer."),
    ),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/plain"),
            (String = "text/csv"),
            (PdfFile = "application/pdf"),
         ),
         headers(
            ("content-disposition" = String, description = "`attachment`, with the name of the file."),
            ("etag" = String, description = "Strong tag of its bytes."),
            ("cache-control" = String, description = "`private, no-cache`."),
         )),
        (status = 304, description = "The client has the file.",
         headers(("etag" = String, description = "Strong tag of its bytes."))),
        FileProblems,
    )
)]
pub(crate) async fn get(
    State(jobs): State<Jobs>,
    State(admission): State<Arc<AdmissionControl>>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let file = jobs.file(&id, identity.viewer().owner()).await?;
    let etag = format!("\"{}\"", hex::encode(&file.sha256));
    let value = |text: &str| HeaderValue::try_from(text).map_err(|error| Problem::internal(error.to_string()));
    let kept = [(header::ETAG, value(&etag)?), (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    if names_tag(&request, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let described = [
        (header::CONTENT_TYPE, value(&file.mime)?),
        // Names are letters, digits, hyphens and points.
        (header::CONTENT_DISPOSITION, value(&format!("attachment; filename=\"{}\"", file.name))?),
    ];
    Ok((kept, described, admission.reserve_response(file.body.into())?).into_response())
}
