//! Logs series that other programs stored under a timeframe or a symbol that no request can name, such as `1h`, with
//! the statement that repairs them if their meaning is known.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::reading::ReadServer;
use super::series::{MAX_HOPS, Position};
use super::{Database, Store, StoreError};
use candle::{Symbol, Timeframe};

/// The maximum time for the search through all series.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of names that are reported. The others are found at the next start, once these are repaired.
const MAX_REPORTED: usize = 20;
/// The maximum number of bytes of a name that are shown. No valid name is longer.
const MAX_SHOWN_BYTES: usize = 4 * Symbol::MAX_CHARS;

/// Reads the names of all series along the key, in steps and for a bounded time, and reports those that are
/// unreachable.
pub(super) async fn report(store: &Store) {
    let mut found = UnreachableNames::default();
    match timeout(SEARCH_TIMEOUT, found.search(store)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => found.log_stopped(&error.to_string()),
        Err(_) => found.log_stopped(&format!("{} s were not enough", SEARCH_TIMEOUT.as_secs())),
    }
    let dialect = match store.database {
        Database::Postgres(_) => Dialect::Postgres,
        Database::Sqlite(_) => Dialect::Sqlite,
    };
    for name in &found.names {
        warn!("{}", name.sentence(dialect));
    }
    if found.are_more {
        warn!("more than {MAX_REPORTED} such names are stored; start again once these are mended to see the others");
    }
}

/// The names that were found to be unreachable.
#[derive(Default)]
struct UnreachableNames {
    names: BTreeSet<KeyValue>,
    /// True if there are more than [`MAX_REPORTED`].
    are_more: bool,
    /// The number of series that were read.
    series: usize,
}

impl UnreachableNames {
    async fn search(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut position = Position::default();
        loop {
            let keys = store.keys_after(ReadServer::Primary, position, MAX_HOPS).await?;
            self.series += keys.len();
            let is_last = keys.len() < MAX_HOPS;
            let Some(last) = keys.last().cloned() else { return Ok(()) };
            for Position { symbol, timeframe } in keys {
                self.note(KeyValue { column: KeyColumn::Timeframe, text: timeframe });
                self.note(KeyValue { column: KeyColumn::Symbol, text: symbol });
            }
            if is_last {
                return Ok(());
            }
            position = last;
        }
    }

    /// Keeps the first [`MAX_REPORTED`] names in their order.
    fn note(&mut self, name: KeyValue) {
        if name.is_reachable() {
            return;
        }
        self.names.insert(name);
        if self.names.len() > MAX_REPORTED {
            self.names.pop_last();
            self.are_more = true;
        }
    }

    fn log_stopped(&self, cause: &str) {
        info!(cause, series = self.series, "the search for series that nobody can ask for was cut after some of them");
    }
}

/// A column of the key. Timeframes come first, because a timeframe is in the names of more series than a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeyColumn {
    Timeframe,
    Symbol,
}

impl KeyColumn {
    fn name(self) -> &'static str {
        match self {
            Self::Timeframe => "timeframe",
            Self::Symbol => "symbol",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Timeframe => Self::Symbol,
            Self::Symbol => Self::Timeframe,
        }
    }
}

/// The value of a column of the key. On SQLite it need not be UTF-8.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct KeyValue {
    column: KeyColumn,
    text: Vec<u8>,
}

impl KeyValue {
    fn is_reachable(&self) -> bool {
        str::from_utf8(&self.text).is_ok_and(|text| match self.column {
            KeyColumn::Timeframe => Timeframe::named(text).is_some(),
            KeyColumn::Symbol => Symbol::parse(text).is_ok(),
        })
    }

    /// The valid name of which this is another spelling, or a timeframe's length in minutes. `None` if there is no such
    /// name, or if this value is too long to be shown in a statement.
    fn meant(&self) -> Option<String> {
        if self.text.len() > MAX_SHOWN_BYTES {
            return None;
        }
        let text = str::from_utf8(&self.text).ok()?.trim();
        match self.column {
            KeyColumn::Timeframe => timeframe_meant(text).map(|timeframe| timeframe.name().to_owned()),
            KeyColumn::Symbol => Symbol::parse(text).ok().map(|symbol| symbol.as_str().to_owned()),
        }
    }

    /// The advice to the operator. It ends in a statement, because the end of a line is easily copied. If the meaning
    /// is unknown it has none, because a statement to fill in could merge unrelated series.
    fn sentence(&self, dialect: Dialect) -> String {
        let column = self.column.name();
        let stored = match self.text.split_at_checked(MAX_SHOWN_BYTES) {
            Some((start, rest)) if !rest.is_empty() => {
                format!("of {} bytes that begins with {}", self.text.len(), dialect.literal(start))
            }
            _ => dialect.literal(&self.text),
        };
        let start = format!("candles are stored with the {column} {stored}, which nobody can ask for");
        if let Some(right) = self.meant() {
            let (right, owner) = (dialect.literal(right.as_bytes()), dialect.owner());
            return format!(
                "{start}; if {right} is meant, run the following statement{owner}, then compare and delete the rows that it \
                 leaves because {right} has a candle with their time: {}",
                dialect.rename(self.column, &dialect.literal(&self.text), &right)
            );
        }
        let right = match self.column {
            KeyColumn::Timeframe => format!("one of {}", Timeframe::ALL.map(Timeframe::name).join(" ")),
            KeyColumn::Symbol => {
                format!("1 to {} printable characters that neither start nor end with a blank", Symbol::MAX_CHARS)
            }
        };
        format!("{start}; rename it to what it means ({right}), or delete these candles")
    }
}

fn timeframe_meant(text: &str) -> Option<Timeframe> {
    const MINUTE_SECONDS: i64 = 60;
    match text {
        "D" => Some(Timeframe::D1),
        "W" => Some(Timeframe::W1),
        _ => match text.parse::<i64>() {
            Ok(minutes) => {
                let seconds = minutes.checked_mul(MINUTE_SECONDS)?;
                Timeframe::ALL.into_iter().find(|timeframe| timeframe.length() == Some(seconds))
            }
            Err(_) => Timeframe::parse(text).ok(),
        },
    }
}

/// The SQL dialect of the statements that are shown.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// Names the login that may run the statement, because the service's own may lack the right to update closed
    /// candles.
    fn owner(self) -> &'static str {
        match self {
            Self::Postgres => " as the table's owner",
            Self::Sqlite => "",
        }
    }

    /// A text literal in characters that a log of any format shows unescaped.
    fn literal(self, text: &[u8]) -> String {
        let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'"');
        match (str::from_utf8(text), self) {
            (Ok(plain), _) if text.iter().all(is_plain) => format!("'{}'", plain.replace('\'', "''")),
            (_, Self::Postgres) => format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex::encode(text)),
            (_, Self::Sqlite) => format!("cast(x'{}' as text)", hex::encode(text)),
        }
    }

    /// The statement that renames rows wherever the new key is free.
    fn rename(self, column: KeyColumn, from: &str, to: &str) -> String {
        let (name, other) = (column.name(), column.other().name());
        match self {
            Self::Postgres => format!(
                "update market_data_candles c set {name} = {to} where {name} = {from} and not exists (select from \
                 market_data_candles o where o.{name} = {to} and o.{other} = c.{other} and o.timestamp = c.timestamp)"
            ),
            Self::Sqlite => format!("update or ignore market_data_candles set {name} = {to} where {name} = {from}"),
        }
    }
}
