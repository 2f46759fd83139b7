//! Series that others stored under names that nobody can ask for, such as the timeframe `1h`: reported at start, with the
//! statement that mends them.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::connect::connect;
use crate::candle::{Symbol, Timeframe};
use crate::store::StoreError;

/// Longest that looking may take, here and in the spelling of the server's setting.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
const LOOK_TIMEOUT_SETTING: &str = "set statement_timeout = '2s'; set jit = off";
/// Names of each kind that are reported.
const MAX_REPORTED: usize = 20;

/// Hops from one series to the next over the key's index.
const SELECT_NEXT: &str = r"
    with recursive series as (
        (select symbol, timeframe from market_data_candles
         where (symbol, timeframe) > ($1, $2)
         order by symbol, timeframe limit 1)
        union all
        select next.symbol, next.timeframe
        from series, lateral (
            select c.symbol, c.timeframe from market_data_candles c
            where (c.symbol, c.timeframe) > (series.symbol, series.timeframe)
            order by c.symbol, c.timeframe limit 1) next
    )
    select symbol::text, timeframe::text from series limit 500";

/// Looks at the names of all series, for a bounded time and on a connection of its own, and logs those that are none of ours.
pub(super) async fn report(options: PgConnectOptions) {
    let mut found = Found::default();
    let look = async {
        let mut connection = connect(&options).await?;
        let result = found.look(&mut connection).await;
        // Its outcome changes nothing: the connection is not used again.
        let _ = connection.close().await;
        result
    };
    let is_complete = match timeout(LOOK_TIMEOUT * 2, look).await {
        Ok(Ok(is_complete)) => is_complete,
        Ok(Err(error)) => {
            debug!(cause = %error, "could not look for series that nobody can ask for");
            false
        }
        Err(_) => false,
    };
    found.log(is_complete);
}

/// Names that nobody can ask for.
#[derive(Default)]
struct Found {
    timeframes: BTreeSet<String>,
    symbols: BTreeSet<String>,
    series: usize,
}

impl Found {
    /// Says whether it came to the end of the table.
    async fn look(&mut self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let start = Instant::now();
        connection.execute(LOOK_TIMEOUT_SETTING).await?;
        let mut last = (String::new(), String::new());
        while start.elapsed() < LOOK_TIMEOUT {
            let next = sqlx::query_as::<_, (String, String)>(SELECT_NEXT).bind(&last.0).bind(&last.1);
            let next = next.fetch_all(&mut *connection).await?;
            let Some(newest) = next.last() else { return Ok(true) };
            last.clone_from(newest);
            self.series += next.len();
            for (symbol, timeframe) in next {
                if !Timeframe::ALL.iter().any(|known| known.name() == timeframe) {
                    keep(&mut self.timeframes, timeframe);
                }
                if Symbol::parse(&symbol).is_err() {
                    keep(&mut self.symbols, symbol);
                }
            }
        }
        Ok(false)
    }

    fn log(&self, is_complete: bool) {
        for timeframe in self.timeframes.iter().take(MAX_REPORTED) {
            if let Some(right) = meant(timeframe) {
                warn!(
                    "candles are stored with the timeframe {timeframe:?}, which nobody can ask for; as the table's owner, run: \
                     {}; it leaves rows for whose time a candle of {right} is stored, so compare and delete those",
                    rename("timeframe", timeframe, right.name())
                );
            } else {
                warn!(
                    "candles are stored with the timeframe {timeframe:?}, which nobody can ask for; give them one of {} or \
                     delete them",
                    Timeframe::ALL.map(Timeframe::name).join(" ")
                );
            }
        }
        for symbol in self.symbols.iter().take(MAX_REPORTED) {
            match Symbol::parse(symbol.trim()) {
                Ok(right) => warn!(
                    "candles are stored with the symbol {symbol:?}, which nobody can ask for; as the table's owner, run: {}; it \
                     leaves rows for whose time a candle of {:?} is stored, so compare and delete those",
                    rename("symbol", symbol, right.as_str()),
                    right.as_str()
                ),
                Err(invalid) => warn!(
                    "candles are stored with a symbol that nobody can ask for, because it {}: {:?}; rename or delete them",
                    invalid.message,
                    symbol.chars().take(Symbol::MAX_CHARS).collect::<String>()
                ),
            }
        }
        if self.timeframes.len() > MAX_REPORTED || self.symbols.len() > MAX_REPORTED {
            warn!("more than {MAX_REPORTED} such names are stored; the others are reported once these are mended");
        }
        if !is_complete {
            warn!(
                series = self.series,
                "the look for series that nobody can ask for was cut after {} s",
                LOOK_TIMEOUT.as_secs()
            );
        }
    }
}

/// One more than is reported says that there are more.
fn keep(names: &mut BTreeSet<String>, name: String) {
    if names.len() <= MAX_REPORTED {
        names.insert(name);
    }
}

/// The timeframe that a name of others stands for: another spelling of ours, or minutes.
fn meant(name: &str) -> Option<Timeframe> {
    const MINUTE: i64 = 60;
    let name = name.trim();
    let seconds = name.parse::<i64>().ok().and_then(|minutes| minutes.checked_mul(MINUTE));
    let by_length = |seconds| Timeframe::ALL.into_iter().find(|timeframe| timeframe.length() == Some(seconds));
    match (seconds, name) {
        (Some(seconds), _) => by_length(seconds),
        (None, "D") => Some(Timeframe::D1),
        (None, "W") => Some(Timeframe::W1),
        (None, _) => Timeframe::parse(name).ok(),
    }
}

/// A statement that gives rows another name in a column of the key, where that name is free.
fn rename(column: &str, from: &str, to: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (from, to) = (quoted(from), quoted(to));
    let other = if column == "symbol" { "timeframe" } else { "symbol" };
    format!(
        "update market_data_candles c set {column} = {to} where {column} = {from} and not exists (select from \
         market_data_candles o where o.{column} = {to} and o.{other} = c.{other} and o.\"timestamp\" = c.\"timestamp\")"
    )
}
