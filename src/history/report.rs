//! The description of a file that a command prints before it goes on: its look, its columns, its times, its zone and its series.

use std::fmt::Write as _;

use super::numbers::{counted, grouped};
use super::reading::{Look, Plan, ZoneSource};
use candle::format_millis;
use dialects::{DayMonth, FileReader, VolumeChoice, length_in_words, zone_title};

/// The lines about a file. `read` is its reader after the first reading, if there was one.
pub(super) fn block(plan: &Plan, read: Option<&FileReader>) -> String {
    let mut text = format!("{}   {}\n", plan.input.name(), look(plan, read));
    if let Look::Text { .. } = plan.look {
        let _ = writeln!(text, "  columns   {}", columns(plan));
    }
    let _ = writeln!(text, "  times     {}", times(plan));
    if let Some(reader) = read {
        text.push_str(&evidence(plan, reader));
    }
    text.truncate(text.trim_end().len());
    text
}

/// The lines about zone and series, which only a whole file shows.
pub(super) fn evidence(plan: &Plan, reader: &FileReader) -> String {
    format!("  zone      {}\n  series    {}", zone(plan, reader), series(plan, reader))
}

fn look(plan: &Plan, read: Option<&FileReader>) -> String {
    let lines = read.map(|reader| reader.counts().lines + reader.rows().layout().head_lines as u64);
    let compression = plan.compression.map(|name| format!("{name}, ")).unwrap_or_default();
    match &plan.look {
        Look::Binary(header) => {
            let candles = lines.map(|lines| format!(", {}", counted(lines, "candle", "candles")));
            format!("{}: {compression}binary{}", header.title(), candles.unwrap_or_default())
        }
        Look::Text { encoding, line_end } => {
            let layout = plan.reader.rows().layout();
            let decimal = if layout.decimal == b',' { "decimal commas, " } else { "" };
            let lines = lines.map(|lines| format!(", {}", counted(lines, "line", "lines")));
            format!(
                "{}: {compression}{}, {decimal}{encoding}, {line_end}{}",
                layout.title(),
                layout.delimiter_name(),
                lines.unwrap_or_default()
            )
        }
    }
}

fn columns(plan: &Plan) -> String {
    let rows = plan.reader.rows();
    let mut text = rows.layout().columns_text(rows.volume_column());
    if rows.volume_column().is_none() {
        text.push_str("; volumes are 0");
    }
    match rows.options().volume {
        VolumeChoice::Scaled(power) => {
            let _ = write!(text, "; volumes times 10^{power}");
        }
        VolumeChoice::Rounded => text.push_str("; volumes are rounded"),
        VolumeChoice::Whole | VolumeChoice::Trades | VolumeChoice::None => {}
    }
    text
}

fn times(plan: &Plan) -> String {
    let layout = plan.reader.rows().layout();
    let options = plan.reader.options();
    let order = layout.order.unwrap_or(DayMonth::DayFirst);
    let form = match (&layout.time_format, layout.form) {
        (Some(format), _) => format!("as --time-format {format}"),
        (None, Some(form)) => form.name(order),
        (None, None) => "epoch numbers".to_owned(),
    };
    let zone = match (&options.clock, plan.zone_source) {
        (Some(clock), ZoneSource::Flag) => format!(" at {} (--tz)", zone_title(clock)),
        (Some(clock), ZoneSource::File) => format!(" at {}, as {} has them", zone_title(clock), layout.title()),
        (Some(_) | None, _) => String::new(),
    };
    let closes = if options.labels_close { ", stamped when candles close" } else { "" };
    let order = if plan.sample.falling { ", newest first" } else { "" };
    let example = plan.sample.first_time.as_ref().map(|(written, reading, offset)| {
        let mut clock = options.clock.clone();
        let instant = match clock.as_mut().map(|clock| clock.instant(*reading)) {
            None => Some(reading - offset.unwrap_or(0)),
            Some(calendar::ClockReading::Once(instant)) => Some(instant),
            Some(_) => None,
        };
        let instant = instant.and_then(|instant| format_millis(instant * 1000));
        instant.map(|instant| format!(": {written} is {instant}")).unwrap_or_default()
    });
    format!("{form}{zone}{closes}{order}{}", example.unwrap_or_default())
}

/// The evidence of the weekends about the zone.
fn zone(plan: &Plan, reader: &FileReader) -> String {
    let options = reader.options();
    if options.timeframe.opens_with_a_day() {
        return format!("cannot be checked with candles of {}", options.timeframe);
    }
    let utc = calendar::WallClock::utc();
    let clock = options.clock.as_ref().unwrap_or(&utc);
    let Some(evidence) = reader.weekends().evidence(Some(clock)) else {
        return "cannot be checked, because the file has no weekends like those of foreign exchange".to_owned();
    };
    let fit = evidence.fit.unwrap_or(0);
    let found = format!(
        "{} of {} begin at 17:00 in New York",
        if fit == 0 { "none".to_owned() } else { grouped(fit as u64) },
        counted(evidence.weekends as u64, "weekend", "weekends")
    );
    match evidence.better() {
        None => format!("fits: {found}"),
        Some((better, count)) => {
            let title = dialects::parse_zone(better).map_or_else(|_| better.to_owned(), |clock| zone_title(&clock));
            let advice = match plan.zone_source {
                ZoneSource::Flag => format!("; is it --tz {better}?"),
                ZoneSource::File | ZoneSource::Value => "; has somebody changed the times of the file?".to_owned(),
            };
            format!("is doubtful: {found}; with {title} {}{advice}", grouped(count as u64))
        }
    }
}

fn series(plan: &Plan, reader: &FileReader) -> String {
    let timeframe = reader.options().timeframe;
    let mut symbols: Vec<_> = reader.symbols().map(ToString::to_string).collect();
    let count = symbols.len();
    symbols.truncate(5);
    let names = match count {
        0 => "no".to_owned(),
        1..=5 => symbols.join(", "),
        _ => format!("{} and {} more", symbols.join(", "), grouped(count as u64 - 5)),
    };
    let steps = match reader.steps().timeframe() {
        Some(told) if told.timeframe == timeframe => {
            let share = told.share();
            let share = if share == "all" { "all steps are".to_owned() } else { format!("{share} of steps are") };
            format!("{share} {}", length_in_words(timeframe))
        }
        _ if plan.timeframe_was_given => "by --timeframe".to_owned(),
        _ => "as the file says".to_owned(),
    };
    format!("{names} {timeframe}: {steps}")
}
