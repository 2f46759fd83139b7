//! Properties that hold for all input from outside. Each function panics if a property does not hold, and returns
//! whether the input was accepted.
//!
//! The fuzz targets call these functions, and so do the proptests in the service's test suite.

use candle::{Candle, Closing, Forming, OhlcField, Price, Sorted, Timeframe, Timestamp, Volume};
use candlewick::ingest::{Refusal, ValidatedBatch, check};
use candlewick::query::Selection;
use candlewick::store::Direction;
use candlewick::validation::{FieldError, MAX_REPORTED_ERRORS, PathSegment};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// 2026-03-04T12:00:00Z.
const NOW: i64 = 1_772_625_600;
/// A small number, so that inputs reach it.
const MAX_CANDLES: usize = 50;
const MAX_LIMIT: usize = 10_000;
/// The maximum length of a sentence about one value and of its name, in bytes: long input is not sent back.
const LONGEST_SENTENCE: usize = 400;
const LONGEST_NAME: usize = 300;

/// A posted body is stored according to the rules, or refused with a sentence.
pub fn batch_body(body: &[u8]) -> bool {
    let now = Timestamp::from_seconds(NOW).expect("a time in range");
    match check(body, now, MAX_CANDLES) {
        Ok(checked) => {
            check_counts(&checked);
            let trimmed = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
            let end =
                trimmed.iter().rposition(|&byte| byte != 0 && !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
            if serde_json::from_slice::<&RawValue>(&trimmed[..end]).is_err() {
                check_bare_words(&trimmed[..end], &checked, now);
            }
            let batch = &checked.sorted.batch;
            for candle in batch.closed().iter().chain(batch.forming().iter().map(AsRef::as_ref)) {
                check_candle(candle);
            }
            assert!(batch.closed().is_sorted_by(|a, b| a.key < b.key), "closed keys ascend, each once");
            let ascend = |a: &Forming, b: &Forming| a.candle.key < b.candle.key;
            assert!(batch.forming().is_sorted_by(ascend), "forming keys ascend, each once");
            for Forming { candle, closing } in batch.forming() {
                let closed = batch.closed().binary_search_by(|closed| closed.key.cmp(&candle.key));
                assert!(closed.is_err(), "a candle is closed or forming, not both");
                if let Closing::Ended(time) | Closing::Early(time) = closing {
                    assert!(*time > now, "a candle that the clock may close now is closed");
                }
            }
            check_indexes(&checked);
            check_read_back(&checked, now);
            !batch.is_empty()
        }
        Err(refusal) => {
            check_refusal(body, &refusal);
            false
        }
    }
}

/// A query string selects candles and pages according to the rules, or is refused with a sentence for each parameter.
pub fn query_string(query: &[u8]) -> bool {
    let Ok(query) = std::str::from_utf8(query) else { return false };
    match Selection::parse(query, MAX_LIMIT) {
        Ok(selection) => {
            let range = &selection.range;
            assert!(range.start < range.end, "the span is not empty");
            assert!((1..=MAX_LIMIT).contains(&range.limit), "the limit is within bounds");
            check_symbol(range.symbol.as_str());
            let edge = range.start + (range.end - range.start) / 2;
            if edge > range.start {
                let before = parsed(&selection.before(edge));
                assert_eq!((before.range.end, before.range.direction), (edge, Direction::Descending));
                assert_same_series(&before, &selection);
            }
            if edge + 1 < range.end {
                let after = parsed(&selection.after(edge));
                assert_eq!((after.range.start, after.range.direction), (edge + 1, Direction::Ascending));
                assert_same_series(&after, &selection);
            }
            true
        }
        Err(field_errors) => {
            check_violations(&field_errors, "query");
            false
        }
    }
}

/// A text becomes a price with exactly its value and digits, or is refused because it is not a number or does not fit.
/// The same holds for a volume.
pub fn decimal(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let number = Number::read(text);
    let price = Price::parse(text);
    match (&price, &number) {
        (Ok(price), Some(number)) => {
            assert_eq!(Some(price.to_string()), number.price(), "{text}");
            check_canonical(*price);
        }
        (Ok(price), None) => panic!("{text} is not a number, but became the price {price}"),
        (Err(invalid), number) => {
            assert_eq!(number.as_ref().and_then(Number::price), None, "{text} is refused: {invalid:?}");
            let kind = if number.is_some() { "too_precise" } else { "not_a_number" };
            assert_eq!(invalid.rule.name(), kind, "{text}");
            check_sentence(&invalid.message);
        }
    }
    match Volume::parse(text) {
        Ok(volume) => assert_eq!(Some(volume.get()), number.and_then(|number| number.volume()), "{text}"),
        Err(invalid) => {
            assert_eq!(number.and_then(|number| number.volume()), None, "{text} is refused: {invalid:?}");
            check_sentence(&invalid.message);
        }
    }
    price.is_ok()
}

/// Text of a file is of one dialect, or is refused with a sentence. Each of its lines becomes a valid candle, or is counted
/// under one reason.
pub fn candle_file(text: &[u8]) -> bool {
    let mut layout = match dialects::detect(text, None) {
        Ok(layout) => layout,
        Err(error) => {
            check_sentence(&error.to_string());
            return false;
        }
    };
    layout.order.get_or_insert(dialects::DayMonth::DayFirst);
    let head_lines = layout.head_lines;
    let options = dialects::RowOptions {
        volume: dialects::VolumeChoice::Rounded,
        order: dialects::DayMonth::DayFirst,
        skip_empty: true,
        drop_flat: true,
    };
    let rows = dialects::RowReader::new(layout, options);
    let sample = dialects::Sample::read(text, &rows);
    let clock = match &rows.layout().zone {
        dialects::ZoneOfFile::InValue => None,
        dialects::ZoneOfFile::Says(zone) => Some(dialects::parse_zone(zone).expect("a zone of the table")),
        dialects::ZoneOfFile::Unsaid => Some(dialects::parse_zone("ny+7").expect("a known zone")),
    };
    let symbols = match rows.layout().columns.ticker {
        Some(_) => dialects::Symbols::ByTicker { named: std::collections::BTreeMap::new(), all: true },
        None => dialects::Symbols::One(candle::Symbol::parse("EURUSD").expect("a symbol")),
    };
    let options = dialects::ReadOptions {
        clock,
        timeframe: sample.steps.timeframe().map_or(Timeframe::M1, |told| told.timeframe),
        falling: sample.falling,
        labels_close: false,
        ambiguous: None,
        symbols,
        now: Timestamp::from_seconds(NOW).expect("a time in range"),
    };
    let mut reader = dialects::FileReader::new(rows, options);
    let mut found = FileContent::default();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')).skip(head_lines) {
        reader.line(number, line, &mut found);
    }
    reader.finish(&mut found);
    let counts = reader.counts();
    let sum = counts.read + counts.repeated + counts.empty + counts.flat + counts.unfinished + counts.faults;
    assert_eq!(counts.candles, sum, "every line is counted once: {counts:?}");
    assert_eq!((counts.read, counts.faults), (found.candles, found.faults));
    found.candles > 0
}

#[derive(Default)]
struct FileContent {
    candles: u64,
    faults: u64,
}

impl dialects::Output for FileContent {
    fn candle(&mut self, candle: Candle) {
        check_candle(&candle);
        self.candles += 1;
    }

    fn fault(&mut self, _: u64, _: Option<&[u8]>, fault: dialects::Fault) {
        check_sentence(&fault.message);
        self.faults += 1;
    }
}

fn check_counts(checked: &ValidatedBatch) {
    let ValidatedBatch { sorted: Sorted { batch, .. }, received, rejected } = checked;
    assert!((1..=MAX_CANDLES).contains(received));
    assert!(rejected.candles <= *received);
    let (kept, stored) = (received - rejected.candles, batch.len());
    assert!(stored <= kept, "no candle is added");
    assert_eq!(stored == 0, kept == 0, "candles that are kept are stored, each key once");
    assert_eq!(rejected.listed.is_empty(), rejected.candles == 0, "candles that are left out are listed");
    assert!(rejected.listed.len() <= MAX_REPORTED_ERRORS);
    for (index, field_error) in &rejected.listed {
        assert!(index < received);
        check_violation(field_error, "body");
        assert_eq!(field_error.loc[1..3], [PathSegment::from("candles"), PathSegment::from(*index)]);
    }
}

fn check_candle(candle: &Candle) {
    check_symbol(candle.key.symbol().as_str());
    assert!(candle.key.time().seconds() <= NOW + 60, "no candle lies in the future");
    assert!(candle.key.timeframe().check_opening(candle.key.time()).is_ok());
    assert!(candle.volume.get() >= 0);
    let (high, low) = (candle.ohlc.get(OhlcField::High), candle.ohlc.get(OhlcField::Low));
    for side in OhlcField::ALL {
        let price = candle.ohlc.get(side);
        check_canonical(price);
        assert!(low <= price && price <= high);
    }
}

/// An accepted body that is not JSON is JSON apart from some bare words. Only its valid values are stored, so the body
/// with null in place of each word has the same result.
fn check_bare_words(body: &[u8], checked: &ValidatedBatch, now: Timestamp) {
    let json = bare_words_as_null(std::str::from_utf8(body).expect("it was accepted"));
    let Ok(again) = check(json.as_bytes(), now, MAX_CANDLES) else { panic!("not JSON apart from its words: {json}") };
    assert!(serde_json::from_str::<&RawValue>(&json).is_ok(), "{json}");
    let outcome =
        |checked: &ValidatedBatch| (checked.received, checked.rejected.candles, format!("{:?}", checked.sorted));
    assert_eq!(outcome(checked), outcome(&again), "{json}");
}

/// The text with null in place of every token outside of strings that is neither a JSON value nor a bracket, comma or
/// colon.
fn bare_words_as_null(text: &str) -> String {
    let mut json = String::new();
    let mut rest = text;
    let mut lacks_value = false;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let mut is_escaped = true;
                let closes = |c: char| {
                    let closes = c == '"' && !is_escaped;
                    is_escaped = c == '\\' && !is_escaped;
                    closes
                };
                rest.find(closes).map_or(rest.len(), |quote| quote + 1)
            }
            '{' | '}' | '[' | ']' | ',' | ':' | '\'' | '\\' | ..=' ' => 1,
            _ => rest
                .find(|c: char| matches!(c, '{' | '}' | '[' | ']' | ',' | '"' | '\'' | '\\' | ..'\u{20}'))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        let is_blank = token.trim_ascii().is_empty();
        let is_mark = matches!(token, "{" | "}" | "[" | "]" | "," | ":");
        if lacks_value && matches!(token, "}" | ",") {
            json.push_str("null");
        }
        lacks_value = token == ":" || lacks_value && is_blank;
        if is_blank || is_mark || serde_json::from_str::<&RawValue>(token).is_ok() {
            json.push_str(token);
        } else {
            json.push_str("null");
        }
    }
    json
}

/// Indexes name candles of the body, and the key of each superseded closed candle is among those that are kept.
fn check_indexes(checked: &ValidatedBatch) {
    let Sorted { batch, closed_indexes, superseded, early } = &checked.sorted;
    assert_eq!(closed_indexes.len(), batch.closed().len());
    for index in closed_indexes.iter().chain(superseded.iter().map(|(index, _)| index)).chain(early) {
        assert!(*index < checked.received);
    }
    for (_, candle) in superseded {
        assert!(batch.closed().binary_search_by(|closed| closed.key.cmp(&candle.key)).is_ok());
    }
}

/// Candles that are kept can be posted again in their canonical form, with the same result.
fn check_read_back(checked: &ValidatedBatch, now: Timestamp) {
    const LONGEST_MONTH: i64 = 31 * 24 * 3600;
    let written = |candles: &[Candle], complete: bool| -> Vec<Value> {
        let write = |candle: &Candle| {
            let mut fields = json!({
                "symbol": candle.key.symbol().as_str(), "timeframe": candle.key.timeframe().name(),
                "timestamp": candle.key.time().to_string(), "volume": candle.volume.get(), "complete": complete,
            });
            for side in OhlcField::ALL {
                fields[side.name()] = candle.ohlc.get(side).to_string().into();
            }
            fields
        };
        candles.iter().map(write).collect()
    };
    let forming = |checked: &ValidatedBatch| -> Vec<Candle> {
        checked.sorted.batch.forming().iter().map(|forming| forming.candle.clone()).collect()
    };
    let closed = checked.sorted.batch.closed();
    let candles: Vec<Value> = written(closed, true).into_iter().chain(written(&forming(checked), false)).collect();
    // The end of a month that has just ended depends on the offset, which the canonical form does not have.
    let is_young_month = |Candle { key, .. }: &Candle| {
        key.timeframe() == Timeframe::MN1 && key.time().seconds() > now.seconds() - 2 * LONGEST_MONTH
    };
    if candles.is_empty() || closed.iter().any(is_young_month) {
        return;
    }
    let again = check(json!({ "candles": candles }).to_string().as_bytes(), now, MAX_CANDLES).expect("it was accepted");
    assert_eq!(again.rejected.candles, 0, "{:?}", again.rejected);
    assert_eq!((again.sorted.batch.closed(), forming(&again)), (closed, forming(checked)));
}

fn check_refusal(body: &[u8], refusal: &Refusal) {
    match refusal {
        Refusal::Malformed(malformed) => {
            check_sentence(&malformed.0);
            let duplicate = malformed.0.contains("duplicate field");
            assert!(duplicate || serde_json::from_slice::<Value>(body).is_err(), "well-formed, yet {}", malformed.0);
        }
        Refusal::TooMany { count, max } => assert!(count > max && *max == MAX_CANDLES),
        Refusal::Invalid { summary, field_errors } => {
            assert!(!summary.is_empty() && summary.len() <= LONGEST_SENTENCE + LONGEST_NAME, "{summary}");
            check_violations(field_errors, "body");
        }
        Refusal::Store(error) => panic!("there is no store, but it failed: {error}"),
    }
}

fn check_violations(field_errors: &[FieldError], origin: &str) {
    assert!((1..=MAX_REPORTED_ERRORS).contains(&field_errors.len()));
    for field_error in field_errors {
        check_violation(field_error, origin);
    }
}

fn check_violation(field_error: &FieldError, origin: &str) {
    assert_eq!(field_error.loc[0], PathSegment::from(origin));
    for step in &field_error.loc {
        assert!(
            matches!(step, PathSegment::Index(_))
                || matches!(step, PathSegment::Field(name) if name.len() <= LONGEST_NAME)
        );
    }
    assert!(!field_error.kind.is_empty());
    check_sentence(&field_error.msg);
}

fn check_sentence(sentence: &str) {
    assert!(!sentence.is_empty() && sentence.len() <= LONGEST_SENTENCE, "{sentence}");
}

fn check_symbol(symbol: &str) {
    assert!((1..=64).contains(&symbol.chars().count()), "{symbol:?}");
    assert!(symbol.trim() == symbol && !symbol.contains(char::is_control), "{symbol:?}");
}

fn parsed(query: &str) -> Selection {
    Selection::parse(query, MAX_LIMIT).unwrap_or_else(|field_errors| panic!("our own link {query}: {field_errors:?}"))
}

fn assert_same_series(one: &Selection, other: &Selection) {
    assert_eq!(one.range.symbol, other.range.symbol);
    assert_eq!(one.range.timeframe, other.range.timeframe);
    assert_eq!(one.range.limit, other.range.limit);
    assert_eq!(one.resampling, other.resampling);
}

fn check_canonical(price: Price) {
    let text = price.to_string();
    assert_eq!(Number::read(&text).and_then(|number| number.price()).as_deref(), Some(&*text));
    assert_eq!(Price::parse(&text), Ok(price));
}

/// A JSON number, read only with string operations: its digits without the point, and how many of them follow the
/// point.
struct Number {
    negative: bool,
    digits: String,
    scale: i128,
}

impl Number {
    fn read(text: &str) -> Option<Self> {
        // serde_json decides whether the text is a number, because it is independent of our parser.
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        if raw.get() != text || !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // An exponent that does not fit an i128 does not fit any price or volume.
        let beyond = if exponent.starts_with('-') { i128::MIN / 2 } else { i128::MAX / 2 };
        let exponent = exponent.parse().unwrap_or(beyond).clamp(i128::MIN / 2, i128::MAX / 2);
        let digits = format!("{}{fraction}", integer.trim_start_matches('-'));
        let scale = i128::try_from(fraction.len()).ok()? - exponent;
        Some(Self { negative: integer.starts_with('-'), digits, scale })
    }

    /// The digits without leading zeros.
    fn significant(&self) -> &str {
        self.digits.trim_start_matches('0')
    }

    /// The canonical form of the contract: plain, scale = max(0, fraction digits − exponent), no leading zeros, no
    /// minus on zero; `None` for more than 28 digits in all or after the point.
    fn price(&self) -> Option<String> {
        let zeros = if self.significant().is_empty() { 0 } else { -self.scale.min(0) };
        if self.scale > 28 || zeros > 28 {
            return None;
        }
        let (zeros, scale) = (usize::try_from(zeros).ok()?, usize::try_from(self.scale.max(0)).ok()?);
        if self.significant().len() + zeros > 28 {
            return None;
        }
        let coefficient = format!("{}{}", self.significant(), "0".repeat(zeros));
        let padded = format!("{coefficient:0>width$}", width = scale + 1);
        let (integer, fraction) = padded.split_at(padded.len() - scale);
        let sign = if self.negative && !self.significant().is_empty() { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        Some(format!("{sign}{integer}{point}{fraction}"))
    }

    /// The number, if it is a whole number from 0 to 2^63 − 1.
    fn volume(&self) -> Option<i64> {
        let trimmed = self.significant().trim_end_matches('0');
        if trimmed.is_empty() {
            return Some(0);
        }
        let zeros = i128::try_from(self.significant().len() - trimmed.len()).ok()? - self.scale;
        let zeros = usize::try_from(zeros).ok().filter(|&zeros| zeros < 20)?;
        if self.negative { None } else { format!("{trimmed}{}", "0".repeat(zeros)).parse().ok() }
    }
}
