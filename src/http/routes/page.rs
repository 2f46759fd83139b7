//! The answer with a page of candles, of series or of newest candles, or for a chart of TradingView's: its headers, `304`,
//! and encodings.

use axum::http::header::{self, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::middleware::admission::AdmissionControl;
use crate::http::problem::Problem;
use crate::http::routes::accept_encoding;
use crate::query::{Encoding, Page, Query, QueryAnswer, UdfRoute};

/// The route that a page answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageRoute {
    Candles,
    /// A list, which links to a next page but to no previous one.
    Series,
    /// A list likewise.
    Latest,
    /// Of TradingView's protocol.
    Udf(UdfRoute),
}

impl PageRoute {
    fn path(self) -> &'static str {
        match self {
            Self::Candles => "/api/v1/candles",
            Self::Series => "/api/v1/series",
            Self::Latest => "/api/v1/latest",
            Self::Udf(UdfRoute::Config) => "/api/v1/udf/config",
            Self::Udf(UdfRoute::Symbols) => "/api/v1/udf/symbols",
            Self::Udf(UdfRoute::Search) => "/api/v1/udf/search",
            Self::Udf(UdfRoute::History) => "/api/v1/udf/history",
            Self::Udf(UdfRoute::Marks) => "/api/v1/udf/marks",
            Self::Udf(UdfRoute::TimescaleMarks) => "/api/v1/udf/timescale_marks",
        }
    }

    /// True if a page may have a previous one.
    fn leads_back(self) -> bool {
        matches!(self, Self::Candles | Self::Udf(UdfRoute::History | UdfRoute::Marks | UdfRoute::TimescaleMarks))
    }

    /// True if a page may have a next one.
    fn leads_on(self) -> bool {
        !matches!(self, Self::Udf(_))
    }
}

const MORE_BEFORE: HeaderName = HeaderName::from_static("x-more-before");
pub(crate) const MORE_AFTER: HeaderName = HeaderName::from_static("x-more-after");
/// The header that names what an answer leaves out.
pub(crate) const SKIPPED: HeaderName = HeaderName::from_static("x-skipped");
/// The header of answers that no cache may keep.
pub(crate) const NOT_KEPT: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));

pub(crate) const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

/// Answers a request with the page that was found for it, or with 304 if its client has that page.
pub(crate) async fn answer(
    (query, admission): (&Query, &AdmissionControl),
    source: PageRoute,
    headers: &HeaderMap,
    found: QueryAnswer,
) -> Result<Response, Problem> {
    if names_tag(headers, &found.page.etag) {
        return Ok((StatusCode::NOT_MODIFIED, describe(source, &found.page)?).into_response());
    }
    let plain = admission.reserve_response(found.page.body.clone())?;
    let encoding = accept_encoding::choose(headers, plain.len());
    if encoding == Encoding::Identity {
        return Ok((describe(source, &found.page)?, [JSON], plain).into_response());
    }
    // The encoded page may have been made for another request, from a page that was read at another moment. So the
    // headers are those of the encoded page.
    let encoded = Box::pin(query.encoded(found, encoding)).await?;
    let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()))];
    Ok((describe(source, &encoded)?, [JSON], encoding, admission.reserve_response(encoded.body.clone())?)
        .into_response())
}

/// Returns the headers of a page, which are the same if the answer is a 304 without the page.
fn describe(source: PageRoute, page: &Page) -> Result<HeaderMap, Problem> {
    let internal = |error: InvalidHeaderValue| Problem::internal(error.to_string());
    let more = |there: bool| HeaderValue::from_static(if there { "true" } else { "false" });
    // Has room for the headers that the layers add, so that the map does not grow.
    let mut headers = HeaderMap::with_capacity(24);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, HeaderValue::from_str(&page.etag).map_err(internal)?);
    if source.leads_back() {
        headers.insert(MORE_BEFORE, more(page.before.is_some()));
    }
    if source.leads_on() {
        headers.insert(MORE_AFTER, more(page.after.is_some()));
    }
    if let Some(skipped) = &page.skipped {
        headers.insert(SKIPPED, HeaderValue::from_str(skipped).map_err(internal)?);
    }
    for (query, rel) in [(&page.before, "prev"), (&page.after, "next")] {
        if let Some(query) = query {
            let link = format!("<{}?{query}>; rel=\"{rel}\"", source.path());
            headers.append(header::LINK, HeaderValue::try_from(link).map_err(internal)?);
        }
    }
    Ok(headers)
}

/// True if `If-None-Match` names `etag`, by the weak comparison of RFC 9110 section 8.8.3.2.
///
/// It is written by hand and takes 22 ns. `IfNoneMatch` of the crate headers 0.4.2 takes 62 ns with the parsing of our
/// own tag, finds no tag at all if one of several lines holds a byte beyond ASCII, and panics in debug builds if a tag
/// contains a blank. Splitting a tag at its commas does no harm, because then no part has both quotes, as our tag does.
pub(crate) fn names_tag(headers: &HeaderMap, etag: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag)
    }
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_names_a_tag_in_every_form_that_it_may_have() {
        let names = |lines: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_bytes(line).unwrap());
            }
            names_tag(&headers, "W/\"0a1b\"")
        };
        for lines in [
            &[&b"W/\"0a1b\""[..]][..],
            &[b"\"0a1b\""],
            &[b"*"],
            &[b"\"other\" ,\tW/\"0a1b\" , \"more\""],
            &[b"\"a,b\", \"0a1b\""],
            &[b",, \"0a1b\""],
            &[b"\"a blank\", \"0a1b\""],
            &[b"\"other\"", b"W/\"0a1b\""],
            &[b"\"\xe9\"", b"W/\"0a1b\""],
        ] {
            assert!(names(lines), "{lines:?}");
        }
        for lines in [
            &[][..],
            &[&b""[..]],
            &[b"\"other\""],
            &[b"0a1b"],
            &[b"\"0A1B\""],
            &[b"\"x,0a1b\", \"0a1b,x\""],
            &[b"\"*\""],
            &[b"\"0a1b"],
            &[b"\"\xe9\""],
        ] {
            assert!(!names(lines), "{lines:?}");
        }
    }
}
