//! Finds the dialect of a file in the table. Exactly one must match; otherwise the error lists the candidates.

use std::fmt;

use crate::dialect::{DIALECTS, Dialect, Look, Position, Role, Shape, ZoneRule};
use crate::fields::{Fields, quoted, text};
use crate::layout::{Columns, Layout, ZoneOfFile};
use crate::times::{DateForm, DayMonth, FileTime, day_and_month, parse_time};
use crate::zone::named_in_header;

/// The number of lines of candles by which a file without a header is recognised.
const SAMPLE_LINES: usize = 50;
/// The minimum number of digits of an epoch number. Nine digits of seconds begin on 3 March 1973.
const MIN_EPOCH_DIGITS: usize = 9;
const DELIMITERS: [u8; 3] = [b'\t', b';', b','];

/// The reason for which no dialect was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectError {
    /// There is no line.
    Empty,
    /// Several dialects look like this.
    Several(Vec<&'static Dialect>),
    /// No dialect looks like this. Holds the first line.
    None(String),
    /// The dialect that was named does not look like this. Holds the dialect and the first line.
    NotNamed(&'static Dialect, String),
    /// The file has no candles. Holds the dialect and what to do.
    Refused(&'static Dialect, &'static str),
}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Several(dialects) => {
                let titles: Vec<_> = dialects.iter().map(|dialect| dialect.title).collect();
                let options: Vec<_> = dialects.iter().map(|dialect| format!("--dialect {}", dialect.name)).collect();
                write!(f, "may be {}; say which with {}", titles.join(" or "), options.join(" or "))
            }
            Self::None(line) => write!(
                f,
                "is of no known dialect; it begins with: {line}\n  \
                 name its columns with --columns time=0,open=1,high=2,low=3,close=4,volume=5"
            ),
            Self::NotNamed(dialect, line) => {
                write!(f, "is not {} (--dialect {}); it begins with: {line}", dialect.title, dialect.name)
            }
            Self::Refused(dialect, advice) => write!(f, "is of {} and {advice}", dialect.title),
        }
    }
}

impl std::error::Error for DetectError {}

/// Finds the layout of a file by its first lines: one dialect of the table must match, `named` if it is given.
///
/// Two dialects match where their files are the same: `mt4` and `histdata` in HistData's form for MetaTrader, and
/// `dukascopy-node` and `candlewick` where times are milliseconds and volumes are whole.
///
/// ```
/// use dialects::detect;
///
/// let layout = detect(b"20250804 000100;1.158100;1.158150;1.158000;1.158010;0\n", None)?;
/// assert_eq!(layout.title(), "HistData M1");
/// # Ok::<(), dialects::DetectError>(())
/// ```
///
/// # Errors
/// When no dialect matches, or more than one does.
pub fn detect(head: &[u8], named: Option<&'static Dialect>) -> Result<Layout, DetectError> {
    let lines: Vec<&[u8]> = lines(head).take(SAMPLE_LINES + 2).collect();
    let first = lines.iter().find(|line| !line.trim_ascii().is_empty()).ok_or(DetectError::Empty)?;
    let known = DIALECTS.iter().filter(|dialect| named.is_none_or(|named| *dialect == named));
    let mut found: Vec<Layout> = known.filter_map(|dialect| matching(dialect, &lines)).collect();
    match (found.len(), named) {
        (1, _) => {
            let layout = found.remove(0);
            match layout.dialect.and_then(|dialect| Some((dialect, dialect.refusal?))) {
                Some((dialect, advice)) => Err(DetectError::Refused(dialect, advice)),
                None => Ok(layout),
            }
        }
        (0, Some(named)) => {
            // A file of ticks is refused by its own name, even if it was taken for something else.
            let mut ticks = DIALECTS.iter().filter(|dialect| dialect.refusal.is_some());
            match ticks.find_map(|dialect| matching(dialect, &lines)?.dialect) {
                Some(dialect) => Err(DetectError::Refused(dialect, dialect.refusal.unwrap_or_default())),
                None => Err(DetectError::NotNamed(named, quoted(first))),
            }
        }
        (0, None) => Err(DetectError::None(quoted(first))),
        _ => Err(DetectError::Several(found.iter().filter_map(|layout| layout.dialect).collect())),
    }
}

/// The lines of a text, without their line endings.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The layout of the lines, if a shape of the dialect fits them.
fn matching(dialect: &'static Dialect, lines: &[&[u8]]) -> Option<Layout> {
    let mut found = dialect.shapes.iter().flat_map(|shape| DELIMITERS.map(|delimiter| (shape, delimiter)));
    found.find_map(|(shape, delimiter)| fit(dialect, shape, delimiter, lines))
}

fn fit(dialect: &'static Dialect, shape: &Shape, delimiter: u8, lines: &[&[u8]]) -> Option<Layout> {
    let (columns, head_lines) = match shape {
        Shape::Header { notes, .. } => {
            let header = Fields::split(lines.get(*notes)?, delimiter).ok()?;
            (by_header(shape, header.without_empty_end())?, notes + 1)
        }
        Shape::Positions(positions) => (by_position(positions), 0),
        Shape::Hst => return None,
    };
    let rows = || {
        let filled = lines.iter().skip(head_lines).filter(|line| !line.trim_ascii().is_empty()).take(SAMPLE_LINES);
        filled.map(|line| Fields::split(line, delimiter))
    };
    if let Shape::Positions(positions) = shape {
        // Every line of the sample has to fit, and there has to be one.
        let mut fitting = 0;
        for fields in rows() {
            if !looks_like(positions, fields.ok()?.without_empty_end()) {
                return None;
            }
            fitting += 1;
        }
        if fitting == 0 {
            return None;
        }
    }
    let first = rows().find_map(Result::ok);
    let time = first.as_ref().and_then(|fields| first_time(&columns, fields));
    let decimal = decimal_mark(delimiter, &columns, rows().filter_map(Result::ok));
    let volumes_are_whole = columns.volume.is_some_and(|volume| {
        rows().filter_map(Result::ok).all(|fields| fields.get(volume).iter().all(u8::is_ascii_digit))
    });
    if !fits_values(dialect, time, volumes_are_whole) {
        return None;
    }
    let order = dialect.day_first.then_some(DayMonth::DayFirst);
    let zone = zone_of(dialect, &columns, time);
    Some(Layout {
        dialect: Some(dialect),
        delimiter,
        decimal,
        head_lines,
        columns,
        form: time.map(|time| time.form),
        order,
        time_format: None,
        zone,
    })
}

/// Distinguishes dialects that have the same header.
fn fits_values(dialect: &Dialect, time: Option<FileTime>, volumes_are_whole: bool) -> bool {
    let is_millis = |time: FileTime| time.form.date == DateForm::Epoch;
    match dialect.name {
        // Exports of candlewick are in ISO 8601 unless numbers were requested, and their volumes are whole.
        "candlewick" => volumes_are_whole && time.is_none_or(|time| time.offset.is_some()),
        // Numbers, or text without a zone if a format was asked for.
        "dukascopy-node" => time.is_none_or(|time| is_millis(time) || time.offset.is_none()),
        _ => true,
    }
}

fn zone_of(dialect: &Dialect, columns: &Columns, time: Option<FileTime>) -> ZoneOfFile {
    if dialect.zone == ZoneRule::UnsaidEpoch {
        return ZoneOfFile::Unsaid;
    }
    if time.is_some_and(|time| time.offset.is_some()) {
        return ZoneOfFile::InValue;
    }
    match dialect.zone {
        ZoneRule::Says(zone) => ZoneOfFile::Says(zone.to_owned()),
        ZoneRule::InHeader => named_in_header(columns.names.get(columns.date).map_or("", String::as_str))
            .map_or(ZoneOfFile::Unsaid, |zone| ZoneOfFile::Says(zone.to_owned())),
        ZoneRule::Unsaid | ZoneRule::UnsaidEpoch => ZoneOfFile::Unsaid,
    }
}

/// True if the name of a column is `wanted`, a name of the table that may end in a `*` or begin with one.
fn is_named(name: &str, wanted: &str) -> bool {
    match (wanted.strip_suffix('*'), wanted.strip_prefix('*')) {
        (Some(start), _) => name.starts_with(start),
        (None, Some(end)) => name.ends_with(end),
        (None, None) => name == wanted,
    }
}

fn by_header(shape: &Shape, fields: &[&[u8]]) -> Option<Columns> {
    let Shape::Header { required, optional, allows_others, without, .. } = shape else { return None };
    let names: Vec<String> = fields.iter().map(|field| text(field).into_owned()).collect();
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    if lower.iter().any(|name| without.contains(&name.as_str())) {
        return None;
    }
    let mut columns = Columns { count: Some(names.len()), names, ..Columns::default() };
    let mut taken = Vec::new();
    let mut used = vec![false; lower.len()];
    for (specified, is_required) in
        required.iter().map(|entry| (entry, true)).chain(optional.iter().map(|entry| (entry, false)))
    {
        let (wanted, role) = specified;
        let at = (0..lower.len()).find(|&at| !used[at] && is_named(&lower[at], wanted));
        match at {
            Some(at) => {
                used[at] = true;
                columns.put(*role, at, &mut taken);
            }
            None if is_required => return None,
            None => {}
        }
    }
    // A column without a name is the index that pandas writes.
    let is_known = |at: usize| used[at] || lower[at].is_empty() || *allows_others;
    (0..lower.len()).all(is_known).then_some(columns)
}

fn by_position(positions: &[Position]) -> Columns {
    let names = positions.iter().map(|Position(name, ..)| (*name).to_owned()).collect();
    let mut columns = Columns { count: Some(positions.len()), names, ..Columns::default() };
    let mut taken = Vec::new();
    for (at, Position(_, role, _)) in positions.iter().enumerate() {
        columns.put(*role, at, &mut taken);
    }
    columns
}

fn looks_like(positions: &[Position], fields: &[&[u8]]) -> bool {
    fields.len() == positions.len()
        && positions.iter().zip(fields).all(|(Position(_, role, look), field)| {
            let is_empty_price =
                matches!(role, Role::Open | Role::High | Role::Low | Role::Close | Role::Volume) && is_nothing(field);
            is_empty_price || has_look(field, *look)
        })
}

/// True for the texts that programs write in place of a missing value.
#[must_use]
pub(crate) fn is_nothing(field: &[u8]) -> bool {
    field.is_empty()
        || [&b"nan"[..], b"null", b"none", b"n/a", b"na"].iter().any(|word| field.eq_ignore_ascii_case(word))
}

fn has_look(field: &[u8], look: Look) -> bool {
    let time = || parse_time(field, DayMonth::DayFirst).ok();
    let year_first = |mark: u8, has_time: Option<bool>| {
        time().is_some_and(|time| {
            time.form.date == DateForm::YearFirst(mark)
                && has_time.is_none_or(|has_time| time.form.has_time == has_time)
        })
    };
    match look {
        Look::Date(mark) => year_first(mark, Some(false)),
        Look::DateTime(mark) => year_first(mark, Some(true)) || has_fraction(field, mark),
        Look::DateMaybeTime(mark) => year_first(mark, None),
        Look::CompactTime => {
            field.len() == 15 && time().is_some_and(|time| time.form.date == DateForm::Compact && time.form.has_time)
        }
        Look::CompactMillis => {
            field.len() == 18 && field[8] == b' ' && field[..8].iter().chain(&field[9..]).all(u8::is_ascii_digit)
        }
        Look::Clock => field.contains(&b':') && time_after_a_date(field),
        // The time at which a candle closes has a fraction of a second.
        Look::Epoch => {
            let digits = field.strip_suffix(b".0").unwrap_or(field);
            digits.len() >= MIN_EPOCH_DIGITS && digits.iter().all(u8::is_ascii_digit)
        }
        Look::Number => is_number(field),
        Look::Whole => !field.is_empty() && field.iter().all(u8::is_ascii_digit),
        Look::Pair => field.len() < 16 && field.contains(&b'/') && field[0].is_ascii_alphabetic(),
        Look::Any => true,
    }
}

/// True for a time of ticks, which has a fraction of a second.
fn has_fraction(field: &[u8], mark: u8) -> bool {
    field.len() > 19
        && field[4] == mark
        && field[19] == b'.'
        && parse_time(&field[..19], DayMonth::DayFirst).is_ok_and(|time| time.form.date == DateForm::YearFirst(mark))
}

fn time_after_a_date(field: &[u8]) -> bool {
    parse_time(&[b"2000-01-01 ", field].concat(), DayMonth::DayFirst).is_ok()
}

fn is_number(field: &[u8]) -> bool {
    let digits = field.strip_prefix(b"-").unwrap_or(field);
    let exponent = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_digit() || b"+-".contains(byte));
    let end = digits.iter().position(|byte| b"eE".contains(byte)).unwrap_or(digits.len());
    let marks = digits[..end].iter().filter(|byte| b".,".contains(byte)).count();
    digits.first().is_some_and(u8::is_ascii_digit)
        && marks <= 1
        && digits[..end].iter().all(|byte| byte.is_ascii_digit() || b".,".contains(byte))
        && digits.get(end + 1..).is_none_or(exponent)
}

/// The time of a line, from one column or two.
pub(crate) fn first_time(columns: &Columns, fields: &Fields<'_>) -> Option<FileTime> {
    let mut text = fields.get(columns.date).to_vec();
    if let Some(time) = columns.time {
        text.push(b' ');
        text.extend_from_slice(fields.get(time));
    }
    // The form is the same in either order.
    let day_first = day_and_month(&text).is_none_or(|(_, second)| second <= 12);
    let order = if day_first { DayMonth::DayFirst } else { DayMonth::MonthFirst };
    parse_time(&text, order).ok()
}

/// The decimal mark: a comma only if it does not delimit fields, and if prices of the sample have commas and none has
/// a point.
pub(crate) fn decimal_mark<'a>(delimiter: u8, columns: &Columns, rows: impl Iterator<Item = Fields<'a>>) -> u8 {
    if delimiter == b',' {
        return b'.';
    }
    let (mut commas, mut points) = (false, false);
    for fields in rows {
        for &at in &columns.prices {
            commas |= fields.get(at).contains(&b',');
            points |= fields.get(at).contains(&b'.');
        }
    }
    if commas && !points { b',' } else { b'.' }
}
