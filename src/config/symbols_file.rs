//! The file that describes symbols to charts: their names, types, exchanges and sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::reader::Reader;
use calendar::Alignment;
use candle::Symbol;
use sessions::Hours;

const SYMBOLS_FILE: &str = "SYMBOLS_FILE";

/// The maximum number of bytes of the file.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// The maximum number of characters of a value.
const MAX_VALUE_CHARS: usize = 128;
/// The maximum number of problems of a file that are listed.
const MAX_LISTED_PROBLEMS: usize = 20;

const FIELDS: [&str; 5] = ["description", "type", "exchange", "session", "timezone"];
/// The session of a market that never closes, in TradingView's notation.
const ALWAYS: &str = "24x7";
const UTC: &str = "Etc/UTC";

/// The descriptions of symbols. Those that are not in it have the default one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    described: BTreeMap<Symbol, SymbolDescription>,
    default: SymbolDescription,
}

/// The description of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolDescription {
    /// The name in words; the symbol itself if there is none.
    pub description: Option<String>,
    /// The type of the instrument, such as `forex`.
    pub kind: String,
    /// The exchange, or an empty text.
    pub exchange: String,
    /// The hours of trading.
    pub session: MarketSession,
}

/// The hours in which a market trades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketSession {
    /// The hours in TradingView's notation.
    pub hours: String,
    /// The zone of the IANA database by whose clock they are given.
    pub timezone: String,
    /// The start of its trading days; `None` if that differs from day to day.
    pub alignment: Option<Alignment>,
}

impl Default for SymbolDescription {
    fn default() -> Self {
        Self {
            description: None,
            kind: "cfd".to_owned(),
            exchange: String::new(),
            session: MarketSession {
                hours: ALWAYS.to_owned(),
                timezone: UTC.to_owned(),
                alignment: Some(Alignment::UTC),
            },
        }
    }
}

impl Symbols {
    /// The description of a symbol.
    #[must_use]
    pub fn of(&self, symbol: &Symbol) -> &SymbolDescription {
        self.described.get(symbol).unwrap_or(&self.default)
    }

    /// The exchanges of the file, by name.
    #[must_use]
    pub fn exchanges(&self) -> BTreeSet<&str> {
        self.described.values().map(|described| &*described.exchange).filter(|exchange| !exchange.is_empty()).collect()
    }

    /// The types of the file and, beside these, that of all other symbols; none if the file describes nothing.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<&str> {
        let default = self.described.values().next().map(|_| &*self.default.kind);
        self.described.values().map(|described| &*described.kind).chain(default).collect()
    }

    /// Parses the text of a file: a JSON object with an object for each symbol.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let file: Pairs<Pairs<Value>> = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| vec![format!("is not a JSON object with an object for each symbol: {error}")])?;
        let (mut symbols, mut problems) = (Self::default(), Vec::new());
        for (name, fields) in file.0 {
            let symbol = match Symbol::parse(&name) {
                Ok(symbol) => symbol,
                Err(invalid) => {
                    problems.push(format!("the symbol {name:?} {}", invalid.message));
                    continue;
                }
            };
            let description = SymbolDescription::parse(&name, &fields, &mut problems);
            if symbols.described.insert(symbol, description).is_some() {
                problems.push(format!("{name} stands more than once"));
            }
        }
        if problems.is_empty() { Ok(symbols) } else { Err(problems) }
    }
}

impl SymbolDescription {
    fn parse(symbol: &str, fields: &Pairs<Value>, problems: &mut Vec<String>) -> Self {
        let mut refuse = |field: &str, problem: String| problems.push(format!("{symbol}.{field} {problem}"));
        let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in &fields.0 {
            if !FIELDS.contains(&&**name) {
                refuse(name, format!("is not a field of a symbol, which are {}", FIELDS.join(", ")));
                continue;
            }
            match text(value) {
                Ok(_) if texts.contains_key(&**name) => refuse(name, "stands more than once".to_owned()),
                Ok(text) => drop(texts.insert(name, text)),
                Err(problem) => refuse(name, problem),
            }
        }
        let default = Self::default();
        let timezone = texts.get("timezone").copied().unwrap_or(UTC);
        let hours = texts.get("session").copied().unwrap_or(ALWAYS);
        let zone = check_zone(timezone).map_err(|problem| refuse("timezone", problem));
        let day_start = day_start(hours).map_err(|problem| refuse("session", problem));
        let alignment = zone
            .ok()
            .zip(day_start.ok().flatten())
            .and_then(|((), start)| Alignment::parse(&format!("{timezone}@{:02}:{:02}", start / 60, start % 60)).ok());
        let owned = |name: &str| texts.get(name).map(|&text| text.to_owned());
        Self {
            description: owned("description"),
            kind: owned("type").unwrap_or(default.kind),
            exchange: owned("exchange").unwrap_or_default(),
            session: MarketSession { hours: hours.to_owned(), timezone: timezone.to_owned(), alignment },
        }
    }
}

/// The text of a value.
fn text(value: &Value) -> Result<&str, String> {
    let text = value.as_str().ok_or_else(|| "is not a text in quotes".to_owned())?;
    if text.trim().is_empty() {
        return Err("is empty; write a text, or leave the field out".to_owned());
    }
    if text.chars().count() > MAX_VALUE_CHARS {
        return Err(format!("has more than {MAX_VALUE_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("contains a line break or another control character; remove it".to_owned());
    }
    Ok(text)
}

/// Checks that a zone is spelt as in the IANA database, because charts compare its name.
fn check_zone(name: &str) -> Result<(), String> {
    if name == UTC {
        return Ok(());
    }
    if !name.contains('/') || name.contains('@') {
        return Err(format!("{name:?} is not the name of a zone, such as {UTC} or America/New_York"));
    }
    let zone = Alignment::parse(name).map_err(|error| error.to_string())?;
    // Written back, the name has the spelling of the database.
    let known = zone.to_string();
    if known == name { Ok(()) } else { Err(format!("{name:?} is spelt {known} in the IANA database")) }
}

/// The minute of the day at which the days of a session begin; `None` if that differs from day to day.
fn day_start(hours: &str) -> Result<Option<i64>, String> {
    if hours == ALWAYS {
        return Ok(Some(0));
    }
    Hours::parse(hours).map(|hours| hours.day_start()).map_err(|error| format!("{hours:?} {error}, or {ALWAYS}"))
}

/// The members of a JSON object in their order, including repeated ones.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl Reader<'_> {
    /// Reads the file that describes symbols, if there is one.
    pub(super) fn symbols(&mut self) -> Symbols {
        let Some(path) = self.variables.get(SYMBOLS_FILE).map(str::to_owned) else { return Symbols::default() };
        let size = fs::metadata(&path).map(|metadata| metadata.len());
        if let Ok(size @ MAX_FILE_BYTES..) = size {
            self.refuse(
                SYMBOLS_FILE,
                format_args!(" names a file of {size} bytes, and at most {MAX_FILE_BYTES} are read."),
            );
            return Symbols::default();
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.refuse(SYMBOLS_FILE, format_args!(" names a file that cannot be read: {error}."));
                return Symbols::default();
            }
        };
        let problems = match Symbols::parse(&text) {
            Ok(symbols) => return symbols,
            Err(problems) => problems,
        };
        for problem in problems.iter().take(MAX_LISTED_PROBLEMS) {
            self.refuse(SYMBOLS_FILE, format_args!(": {path}: {problem}."));
        }
        if let Some(more @ 1..) = problems.len().checked_sub(MAX_LISTED_PROBLEMS) {
            self.refuse(SYMBOLS_FILE, format_args!(": {path}: {more} more problems are not listed."));
        }
        Symbols::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> SymbolDescription {
        Symbols::parse(text).unwrap().of(&Symbol::parse("EURUSD").unwrap()).clone()
    }

    #[test]
    fn a_symbol_has_what_the_file_says_and_else_the_default() {
        let euro = described(
            r#"{"EURUSD": {"description": "Euro / US Dollar", "type": "forex", "exchange": "ICM",
                           "session": "1700-1700", "timezone": "America/New_York"}}"#,
        );
        assert_eq!(
            (euro.description.as_deref(), &*euro.kind, &*euro.exchange),
            (Some("Euro / US Dollar"), "forex", "ICM")
        );
        assert_eq!(euro.session.alignment, Alignment::parse("ny17").ok());
        assert_eq!(described("{}"), SymbolDescription::default());
        let athens = described(r#"{"EURUSD": {"timezone": "Europe/Athens"}}"#);
        assert_eq!(athens.session.hours, "24x7");
        assert_eq!(athens.session.alignment, Alignment::parse("Europe/Athens").ok());
        let uneven = described(r#"{"EURUSD": {"session": "0930-1600|1000-1300:6"}}"#);
        assert_eq!(uneven.session.alignment, None);
        let file = Symbols::parse(r#"{"A": {"exchange": "X"}, "B": {"exchange": "W", "type": "stock"}}"#).unwrap();
        assert_eq!(file.exchanges().into_iter().collect::<Vec<_>>(), ["W", "X"]);
        assert_eq!(file.kinds().into_iter().collect::<Vec<_>>(), ["cfd", "stock"]);
        assert!(Symbols::default().kinds().is_empty());
    }

    #[test]
    fn a_problem_is_named_with_its_place() {
        for (text, expected) in [
            ("", "line 1 column 0"),
            ("{\"A\": {\"type\": \"forex\",}\n}", "line 1 column 24"),
            ("{\"A\":\n\"forex\"}", "expected an object at line 2 column 7"),
            ("[]", "expected an object"),
            (r#"{" A": {}}"#, "the symbol \" A\" starts or ends with a blank"),
            (r#"{"A": {}, "A": {}}"#, "A stands more than once"),
            (r#"{"A": {"type": "x", "type": "y"}}"#, "A.type stands more than once"),
            (r#"{"A": {"name": "x"}}"#, "A.name is not a field of a symbol, which are description,"),
            (r#"{"A": {"type": 5}}"#, "A.type is not a text in quotes"),
            (r#"{"A": {"exchange": " "}}"#, "A.exchange is empty"),
            (r#"{"A": {"description": "x\ny"}}"#, "A.description contains a line break"),
            (r#"{"A": {"session": "9:30-16:00"}}"#, "A.session \"9:30-16:00\" is not a session"),
            (r#"{"A": {"timezone": "Europe/Athen"}}"#, "A.timezone names Europe/Athen, which is not a zone"),
            (r#"{"A": {"timezone": "europe/athens"}}"#, "A.timezone \"europe/athens\" is spelt Europe/Athens"),
            (r#"{"A": {"timezone": "UTC"}}"#, "A.timezone \"UTC\" is not the name of a zone, such as Etc/UTC"),
            (r#"{"A": {"timezone": "ny17"}}"#, "A.timezone \"ny17\" is not the name of a zone"),
            (r#"{"A": {"timezone": "+03:00"}}"#, "A.timezone \"+03:00\" is not the name of a zone"),
            (
                r#"{"A": {"timezone": "Europe/Athens@17:00"}}"#,
                "A.timezone \"Europe/Athens@17:00\" is not the name of a zone",
            ),
        ] {
            let problems = Symbols::parse(text).unwrap_err();
            assert!(problems[0].contains(expected), "{text}: {problems:?}");
        }
        let all = Symbols::parse(r#"{"A": {"session": "x", "timezone": "y"}, "B": {"z": ""}}"#).unwrap_err();
        assert_eq!(all.len(), 3, "{all:?}");
    }
}
