//! The format of a line of the log, for people or for programs: the event, followed by its operation and its request as
//! ordinary fields. tracing-subscriber's own formats put spans elsewhere: in text before the message, in JSON into an
//! object of their own.

use std::fmt;
use std::sync::Arc;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format};
use tracing_subscriber::registry::LookupSpan;

use super::spans::{LineFields, OPERATION, REQUEST_ID, REQUEST_IDS};
use crate::config::LogFormat;

/// Writes events as lines.
pub(super) enum Lines {
    Text,
    Json(Format<Json>),
}

impl Lines {
    pub(super) fn new(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => {
                let json = format::json().with_target(false).flatten_event(true);
                Self::Json(json.with_current_span(false).with_span_list(false))
            }
        }
    }
}

/// Formats nothing when a span begins, because most spans end without a line. [`Lines`] formats the fields when it
/// writes a line.
pub(super) struct NoSpanFields;

impl FormatFields<'_> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'_>, _: R) -> fmt::Result {
        Ok(())
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let fields = context.event_scope().map(LineFields::within).unwrap_or_default();
        match self {
            Self::Text => write_text(writer, event, &fields),
            Self::Json(json) => {
                let mut object = String::new();
                json.format_event(context, Writer::new(&mut object), event)?;
                write_json(writer, &object, &fields)
            }
        }
    }
}

fn write_text(mut writer: Writer<'_>, event: &Event<'_>, fields: &LineFields) -> fmt::Result {
    let style = |code: &'static str| if writer.has_ansi_escapes() { code } else { "" };
    let (dimmed, italic, plain) = (style("\x1b[2m"), style("\x1b[3m"), style("\x1b[0m"));
    let (color, level) = match *event.metadata().level() {
        Level::ERROR => (style("\x1b[31m"), "ERROR"),
        Level::WARN => (style("\x1b[33m"), " WARN"),
        Level::INFO => (style("\x1b[32m"), " INFO"),
        Level::DEBUG => (style("\x1b[34m"), "DEBUG"),
        Level::TRACE => (style("\x1b[35m"), "TRACE"),
    };
    writer.write_str(dimmed)?;
    SystemTime.format_time(&mut writer)?;
    write!(writer, "{plain} {color}{level}{plain} ")?;
    DefaultFields::new().format_fields(writer.by_ref(), event)?;
    let mut write =
        |name: &str, value: &dyn fmt::Debug| write!(writer, " {italic}{name}{plain}{dimmed}={plain}{value:?}");
    if let Some(operation) = &fields.operation {
        write(OPERATION, operation)?;
    }
    match &*fields.request_ids {
        [] => {}
        [request_id] => write(REQUEST_ID, request_id)?,
        request_ids => write(REQUEST_IDS, &request_ids)?,
    }
    writeln!(writer)
}

/// Writes `object`, a line of JSON, with the fields at its end.
fn write_json(mut writer: Writer<'_>, object: &str, fields: &LineFields) -> fmt::Result {
    let quoted = |text: &Arc<str>| serde_json::to_string(&**text).map_err(|_| fmt::Error);
    let Some(event) = object.trim_end().strip_suffix('}') else { return writer.write_str(object) };
    writer.write_str(event)?;
    if let Some(operation) = &fields.operation {
        write!(writer, r#","{OPERATION}":{}"#, quoted(operation)?)?;
    }
    match &*fields.request_ids {
        [] => {}
        [request_id] => write!(writer, r#","{REQUEST_ID}":{}"#, quoted(request_id)?)?,
        request_ids => {
            let quoted = request_ids.iter().map(quoted).collect::<Result<Vec<_>, _>>()?;
            write!(writer, r#","{REQUEST_IDS}":[{}]"#, quoted.join(","))?;
        }
    }
    writeln!(writer, "}}")
}
