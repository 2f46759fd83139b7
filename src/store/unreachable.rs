//! Names in the log the series that others stored under a timeframe or a symbol that nobody can ask for, such as `1h`, with
//! the statement that mends them where it is known what they mean.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::series::{MAX_HOPS, Position};
use super::{Database, Store, StoreError};
use candle::{Symbol, Timeframe};

/// Deadline of the look at all series.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Names that are reported. The others are found at the next start, once these are mended.
const MAX_REPORTED: usize = 20;
/// Bytes of a name that are shown: more than a name has that can be asked for.
const MAX_SHOWN_BYTES: usize = 4 * Symbol::MAX_CHARS;

/// Looks at the names of all series along the key, in steps and for a bounded time, and reports those of no use.
pub(super) async fn report(store: &Store) {
    let mut found = UnreachableNames::default();
    match timeout(SEARCH_TIMEOUT, found.look(store)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => found.log_cut(&error.to_string()),
        Err(_) => found.log_cut(&format!("{} s were not enough", SEARCH_TIMEOUT.as_secs())),
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

/// Names that nobody can ask for.
#[derive(Default)]
struct UnreachableNames {
    names: BTreeSet<KeyValue>,
    /// True if there are names that are not among them.
    are_more: bool,
    /// Series that were looked at.
    series: usize,
}

impl UnreachableNames {
    async fn look(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut position = Position::default();
        loop {
            let keys = store.keys_after(position, MAX_HOPS).await?;
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

    /// Keeps those that come first in their order.
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

    fn log_cut(&self, cause: &str) {
        info!(cause, series = self.series, "the look for series that nobody can ask for was cut after so many of them");
    }
}

/// A column of the key. Timeframes come first, because one of them names more series than a symbol does.
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

    /// The name of ours that it stands for: another spelling of it, or the minutes of a timeframe. None where it is too long to
    /// be shown in a statement.
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

    /// Says what to do about it. A statement stands at the end, where a line is easily copied from. There is none where the
    /// meaning is unknown, since one to fill in could merge series that have nothing to do with each other.
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
                "{start}; if {right} is meant, run the following{owner}, then compare and delete what it leaves, for whose time a \
                 candle of {right} is stored: {}",
                dialect.rename(self.column, &dialect.literal(&self.text), &right)
            );
        }
        let right = match self.column {
            KeyColumn::Timeframe => format!("one of {}", Timeframe::ALL.map(Timeframe::name).join(" ")),
            KeyColumn::Symbol => {
                format!("1 to {} printable characters that neither start nor end with a blank", Symbol::MAX_CHARS)
            }
        };
        format!("{start}; rename it to what it means, {right}, or delete them")
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

/// The words that an operator has to use in a statement.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// The login that may run it: the service's own login may not update closed candles everywhere.
    fn owner(self) -> &'static str {
        match self {
            Self::Postgres => " as the table's owner",
            Self::Sqlite => "",
        }
    }

    /// A text in SQL, in letters that a log shows as they are, whatever its format.
    fn literal(self, text: &[u8]) -> String {
        let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'"');
        match (str::from_utf8(text), self) {
            (Ok(plain), _) if text.iter().all(is_plain) => format!("'{}'", plain.replace('\'', "''")),
            (_, Self::Postgres) => format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex::encode(text)),
            (_, Self::Sqlite) => format!("cast(x'{}' as text)", hex::encode(text)),
        }
    }

    /// The statement that gives rows another name where that is free.
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
