//! The files of the console, served from the binary. `clients/console` builds them into the folder `assets`.

use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use xxhash_rust::xxh3::xxh3_64;

use crate::http::problem::{Code, Problem};
use crate::http::routes::accept_encoding;
use crate::http::routes::page::names_tag;
use crate::query::Encoding;

/// The console's files by their paths below `/console/`. The build script lists them.
static EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console.rs"));
/// The path of the page itself.
const PAGE: &str = "index.html";
/// The folder of files whose names contain a hash of their content.
const HASHED_FOLDER: &str = "assets/";
/// The content security policy of the page: its own scripts, styles and pictures, pictures that it has drawn, and calls of the
/// service that served it.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Keeps pages of other origins that the console opens, or that open it, from reaching its window.
const OPENER_POLICY: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
/// A file whose content never changes under its name.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A file that a browser has to ask for each time.
const ASKED_FOR: HeaderValue = HeaderValue::from_static("no-cache");

/// A file of the console.
struct ConsoleFile {
    name: &'static str,
    kind: HeaderValue,
    plain: Bytes,
    etag: String,
    gzip: OnceLock<Bytes>,
    zstd: OnceLock<Bytes>,
}

static FILES: LazyLock<Vec<ConsoleFile>> =
    LazyLock::new(|| EMBEDDED.iter().map(|(name, bytes)| ConsoleFile::new(name, bytes)).collect());

/// Serves the page, whatever the view that its address names.
pub(crate) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    let page = FILES.iter().find(|file| file.name == PAGE);
    page.ok_or_else(|| Problem::internal(format!("{PAGE} is not in the binary")))?.answer(&headers)
}

/// Serves the file that an address below `/console/` names. Every other address is a view of the page, except those with dot
/// segments: proxies that resolve these before they compare an address with `/console/` would let it pass where the console is
/// closed.
pub(crate) async fn file(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let name = uri.path().strip_prefix("/console/").unwrap_or_default();
    if has_dot_segment(name) {
        return Err(Problem::new(
            Code::NotFound,
            "No view of the console has an address with . or .. in it; open /console.",
        ));
    }
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => file.answer(&headers),
        None if name.starts_with(HASHED_FOLDER) => {
            Err(Problem::new(Code::NotFound, "This release of the console has no such file; load its page again."))
        }
        None => page(headers).await,
    }
}

/// True if a segment of a path is `.` or `..` once its percent-encoding is decoded, encoded slashes included.
fn has_dot_segment(path: &str) -> bool {
    let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
    decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."))
}

impl ConsoleFile {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            name,
            kind: media_type(name),
            plain: Bytes::from_static(bytes),
            etag: format!("W/\"{:016x}\"", xxh3_64(bytes)),
            gzip: OnceLock::new(),
            zstd: OnceLock::new(),
        }
    }

    fn answer(&self, request: &HeaderMap) -> Result<Response, Problem> {
        let internal = |error: &dyn std::fmt::Display| Problem::internal(error.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_str(&self.etag).map_err(|error| internal(&error))?);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CACHE_CONTROL, if self.name.starts_with(HASHED_FOLDER) { KEPT } else { ASKED_FOR });
        if self.name == PAGE {
            headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
            headers.extend([OPENER_POLICY]);
        }
        if names_tag(request, &self.etag) {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        headers.insert(header::CONTENT_TYPE, self.kind.clone());
        let encoding = accept_encoding::choose(request, self.plain.len());
        if encoding != Encoding::Identity {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        Ok((headers, self.encoded(encoding).map_err(|error| internal(&error))?).into_response())
    }

    /// The file in an encoding, which is made once.
    fn encoded(&self, encoding: Encoding) -> std::io::Result<Bytes> {
        let made = match encoding {
            Encoding::Identity => return Ok(self.plain.clone()),
            Encoding::Gzip => &self.gzip,
            Encoding::Zstd => &self.zstd,
        };
        if let Some(bytes) = made.get() {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(encoding.encode(&self.plain)?);
        Ok(made.get_or_init(|| bytes).clone())
    }
}

/// The media type of a file, by the end of its name.
fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        _ => UNKNOWN_TYPE,
    })
}

const UNKNOWN_TYPE: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_in_every_spelling() {
        for path in
            [".", "..", "../api", "a/..", "a/./b", "%2e", "%2E%2e/x", "..%2fx", "a%2f.%2e%2fb", "..%5cx", "a/.%2F"]
        {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in
            ["", "series", "assets/main-0123abcd.js", "a..b/.c/...", "a%2fb", "%252e%252e", "%", "%2", "\u{2025}"]
        {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn every_file_has_a_type_and_every_name_below_assets_has_a_hash() {
        assert!(EMBEDDED.iter().any(|(name, _)| *name == PAGE));
        for (name, bytes) in EMBEDDED {
            assert_ne!(media_type(name), UNKNOWN_TYPE, "{name}");
            assert!(!bytes.is_empty(), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)), "{name}");
            if let Some(hashed) = name.strip_prefix(HASHED_FOLDER) {
                let stem = hashed.split_once('.').map_or(hashed, |(stem, _)| stem);
                assert!(stem.len() > 8 && stem.is_char_boundary(stem.len() - 8), "{name}");
                assert_eq!(stem.as_bytes()[stem.len() - 9], b'-', "{name} ends in - and a hash of 8 characters");
            }
        }
    }

    #[test]
    fn the_page_names_only_files_that_are_there_and_has_no_script_or_style_in_itself() {
        let (_, page) = EMBEDDED.iter().find(|(name, _)| *name == PAGE).unwrap();
        let page = std::str::from_utf8(page).unwrap();
        let mut named = 0;
        for link in page.split(['"', '\'']).filter_map(|text| text.strip_prefix("/console/")) {
            assert!(EMBEDDED.iter().any(|(name, _)| *name == link), "{link}");
            named += 1;
        }
        assert!(named > 0);
        for (start, _) in page.match_indices("<script") {
            let element = &page[start..];
            let (tag, rest) = element.split_once('>').unwrap();
            assert!(tag.contains("src=\"/console/") && rest.starts_with("</script>"), "{tag}");
        }
        for inline in ["<style", " style=", " onclick", " onload", " onerror", "javascript:", "http://", "https://"] {
            assert!(!page.contains(inline), "{inline}");
        }
    }
}
