//! Spans, from which a line of the log takes its request and its operation of the store.
//!
//! A `request` span is around the work on each request, and a `statement` span around each operation of the store. Work
//! keeps its span when it leaves its task or thread: in the task that finishes it after its caller has gone
//! ([`detach_on_drop`](crate::detach_on_drop)), on a thread that may block ([`spawn_blocking`]), and in work that one
//! caller does for several ([`joined`]).

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Span, Subscriber, error_span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

/// The names of the fields, in the log too.
pub(super) const REQUEST_ID: &str = "request_id";
pub(super) const REQUEST_IDS: &str = "request_ids";
pub(super) const OPERATION: &str = "operation";

/// The maximum number of requests that one line names, since a statement may hold the posts of a thousand.
const MAX_NAMED_REQUESTS: usize = 20;

// These spans have the level ERROR, because a span is made only if LOG_LEVEL includes its level, and lines of every
// level need them.

/// The span of the work on a request.
pub(crate) fn request(request_id: &str) -> Span {
    error_span!("request", request_id)
}

/// The span of an operation of the store, within that of its request.
pub(crate) fn statement(operation: &'static str) -> Span {
    error_span!("statement", operation)
}

/// The span of an operation that is done once for several callers: that of the only one, or one that names the requests
/// of all of them.
pub(crate) fn joined<'a>(operation: &'static str, mut callers: impl ExactSizeIterator<Item = &'a Span>) -> Span {
    if callers.len() == 1 {
        return callers.next().cloned().unwrap_or_else(Span::none);
    }
    let span = error_span!(parent: None, "joined", operation);
    for caller in callers.take(MAX_NAMED_REQUESTS) {
        span.follows_from(caller);
    }
    span
}

/// Runs `work` on a thread that may block, in the span of the caller.
#[expect(clippy::disallowed_methods, reason = "all others are to use this")]
pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

/// The fields that a span adds to the lines within it.
#[derive(Debug, Default)]
struct SpanFields {
    request_id: Option<Arc<str>>,
    operation: Option<Arc<str>>,
    /// The requests of all callers, where the work in the span is done for several.
    request_ids: Vec<Arc<str>>,
}

impl Visit for SpanFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            REQUEST_ID => self.request_id = Some(value.into()),
            OPERATION => self.operation = Some(value.into()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Keeps the [`SpanFields`] of each span with it, as values instead of text, because most spans end without a line but
/// the request's own.
#[derive(Debug)]
pub(super) struct SpanFieldsLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanFieldsLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_follows_from(&self, id: &Id, followed: &Id, context: Context<'_, S>) {
        let (Some(span), Some(followed)) = (context.span(id), context.span(followed)) else { return };
        let requests = LineFields::within(followed.scope()).request_ids;
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            fields.request_ids.extend(requests);
            fields.request_ids.truncate(MAX_NAMED_REQUESTS);
        }
    }
}

/// The fields that a line has from the spans around it. If two spans have the same field, that of the inner one counts.
#[derive(Debug, Default)]
pub(super) struct LineFields {
    pub(super) operation: Option<Arc<str>>,
    /// One, unless the work is done for several requests.
    pub(super) request_ids: Vec<Arc<str>>,
}

impl LineFields {
    /// Reads the fields of spans, from the innermost on.
    pub(super) fn within<'a, S: Subscriber + LookupSpan<'a>>(spans: Scope<'a, S>) -> Self {
        let mut line = Self::default();
        for span in spans {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<SpanFields>() else { continue };
            line.operation = line.operation.or_else(|| fields.operation.clone());
            if line.request_ids.is_empty() {
                line.request_ids.extend(fields.request_id.iter().chain(&fields.request_ids).cloned());
            }
        }
        line
    }
}
