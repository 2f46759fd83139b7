//! Keeps the history of the signals that `SIGNALS` names: computes a signal when a closed candle comes, and stores it if it is another
//! one than before. A candle that is corrected while it is the newest one, or one of the last before it, is evaluated again.
//!
//! Every process with threads watches. The same candles give the same signal, and the store takes each change of it once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::signals::{self, SignalsRequest, SymbolSignal};
use super::{Research, ResearchError, Strategies};
use crate::errors::chain;
use crate::store::{MAX_TAILS, NewSignal, SeriesKey, StoreError};
use candle::{Symbol, Timeframe};

/// A value of the setting, for messages.
const EXAMPLE: &str = "symbols=EURUSD,XAUUSD&timeframe=H1&strategies=ema-cross,donchian";
/// The pause between two looks at the newest candles.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The pause between two looks for symbols that have no signal yet, and for timeframes where each symbol's is chosen.
const LIST_INTERVAL: Duration = Duration::from_mins(1);
/// The number of symbols that a message names.
const MAX_NAMED: usize = 5;

/// Parses the setting `SIGNALS`.
///
/// # Errors
/// With a text that shows a value that can be used.
fn parse(setting: &str, strategies: &Strategies) -> Result<SignalsRequest, String> {
    SignalsRequest::parse_setting(setting, strategies).map_err(|error| {
        let why = match error {
            ResearchError::Fields(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            other => other.to_string(),
        };
        format!("SIGNALS cannot be used: {why}; write it as {EXAMPLE}")
    })
}

/// Describes the signals that the setting `SIGNALS` has watched, if it is set.
///
/// # Errors
/// With a text that shows a value that can be used.
pub(crate) fn watched_signals(setting: Option<&str>, strategies: &Strategies) -> Result<Option<String>, SettingError> {
    let Some(setting) = setting else { return Ok(None) };
    let request = parse(setting, strategies).map_err(SettingError)?;
    let symbols = request.symbols();
    let mut named = symbols.iter().take(MAX_NAMED).map(Symbol::as_str).collect::<Vec<_>>().join(", ");
    if symbols.len() > MAX_NAMED {
        named = format!("{named} and {} more", symbols.len() - MAX_NAMED);
    }
    let timeframe = request.timeframe().map_or("D1 or the longest below it", Timeframe::name);
    let ids = request.strategy_ids().collect::<Vec<_>>().join(", ");
    Ok(Some(format!("{named} at {timeframe} are watched, by {ids}")))
}

/// The setting `SIGNALS` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SettingError(String);

/// Watches signals.
#[derive(Debug)]
pub(crate) struct SignalWatch {
    research: Research,
    request: SignalsRequest,
    symbols: BTreeMap<Symbol, Seen>,
    /// The last look at all symbols.
    listed: Option<Instant>,
    /// The last failure, so that one that repeats is logged once.
    failure: Option<String>,
}

/// The state of a symbol at the last look.
#[derive(Debug, Default)]
struct Seen {
    /// The timeframe of its signal; `None` while none can be chosen.
    timeframe: Option<Timeframe>,
    /// The newest closed candle that was looked at, in epoch milliseconds.
    newest: Option<i64>,
    /// The newest closed candles at the last look, with their values.
    tail: Option<String>,
    change: Change,
    /// The timeframes that are stored, if one of them is chosen.
    stored: Vec<Timeframe>,
    /// The reason for which it has no signal, which is logged when it changes.
    error: Option<&'static str>,
}

/// The state of the newest candles since the last signal.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Change {
    #[default]
    None,
    /// This look is the first that sees them changed. Columns that were read up to a second ago may lack the change.
    Seen,
    /// The look before saw it too, so that columns have it, and the signal may replace the one that was found before.
    Settled,
}

/// The newest closed candles of symbols, in epoch milliseconds; `None` where it is not known.
type Newest = BTreeMap<Symbol, Option<i64>>;

impl SignalWatch {
    /// Watches what a setting names.
    ///
    /// # Errors
    /// With a text that shows a value that can be used.
    pub(super) fn new(setting: &str, research: Research) -> Result<Self, String> {
        let request = parse(setting, research.strategies())?;
        let seen = || Seen { timeframe: request.timeframe(), ..Seen::default() };
        let symbols = request.symbols().iter().map(|symbol| (symbol.clone(), seen())).collect();
        Ok(Self { research, request, symbols, listed: None, failure: None })
    }

    /// Watches once the store is `ready`. Never returns.
    pub(crate) async fn run(mut self, mut ready: watch::Receiver<bool>) -> Infallible {
        if self.research.threads().count() == 0 {
            info!("SIGNALS is set, and this replica watches none, because RESEARCH_THREADS is 0");
            return std::future::pending().await;
        }
        if ready.wait_for(|ready| *ready).await.is_err() {
            return std::future::pending().await;
        }
        loop {
            match self.look().await {
                Ok(()) if self.failure.take().is_some() => info!("signals are watched again"),
                // The threads may compute for others first.
                Ok(()) | Err(ResearchError::Busy) => {}
                Err(error) => {
                    let failure = chain(&error).to_string();
                    if self.failure.as_ref() != Some(&failure) {
                        warn!(cause = failure, "could not look at the signals that are watched; trying again");
                        self.failure = Some(failure);
                    }
                }
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Computes the signals of symbols that have another newest closed candle than before.
    async fn look(&mut self) -> Result<(), ResearchError> {
        let mut wanted = self.newly_closed().await?;
        let is_listing = self.listed.is_none_or(|listed| listed.elapsed() >= LIST_INTERVAL);
        if is_listing {
            self.list(&mut wanted).await?;
        }
        if !wanted.is_empty() {
            let request = self.request.about(wanted.keys().cloned().collect());
            let (found, errors) = self.research.outcomes(&request).await?;
            for signal in found {
                self.note(signal, &wanted).await?;
            }
            for error in errors {
                self.note_error(&error.symbol, error.code, &wanted);
            }
        }
        if is_listing {
            self.listed = Some(Instant::now());
        }
        Ok(())
    }

    /// The symbols whose newest closed candle was not looked at yet, or whose newest candles were changed.
    async fn newly_closed(&mut self) -> Result<Newest, StoreError> {
        let series = |(symbol, seen): (&Symbol, &Seen)| {
            seen.timeframe.map(|timeframe| SeriesKey { symbol: symbol.clone(), timeframe })
        };
        let keys: Vec<_> = self.symbols.iter().filter_map(series).collect();
        let mut found = Newest::new();
        for keys in keys.chunks(MAX_TAILS) {
            let tails = self.research.0.store.tails(keys).await?;
            for (key, tail) in keys.iter().zip(tails) {
                let closed = tail.candles.range(0..tail.candles.len()).filter(|candle| candle.closed);
                let closed: Vec<_> = closed.map(|candle| (candle.time, candle.prices, candle.volume)).collect();
                let newest = closed.last().map(|(time, ..)| *time);
                let Some(seen) = self.symbols.get_mut(&key.symbol).filter(|_| newest.is_some()) else { continue };
                seen.compare(format!("{closed:?}"));
                if newest != seen.newest || seen.change == Change::Settled {
                    found.insert(key.symbol.clone(), newest);
                }
            }
        }
        Ok(found)
    }

    /// Adds the symbols that have no candle and no timeframe yet, and those of which other timeframes are stored than before.
    async fn list(&mut self, wanted: &mut Newest) -> Result<(), ResearchError> {
        let chooses = self.request.timeframe().is_none();
        let mut stored =
            if chooses { signals::stored(&self.request, &self.research.0.store).await? } else { BTreeMap::new() };
        for (symbol, seen) in &mut self.symbols {
            let timeframes = stored.remove(symbol).unwrap_or_default();
            if seen.timeframe.is_none() || seen.newest.is_none() || seen.stored != timeframes {
                wanted.entry(symbol.clone()).or_default();
            }
            seen.stored = timeframes;
        }
        Ok(())
    }

    /// Stores a signal, if it is another one than before, or its candle was corrected and has another one since.
    async fn note(&mut self, signal: SymbolSignal, wanted: &Newest) -> Result<(), ResearchError> {
        let Some((symbol, seen)) = find(&mut self.symbols, &signal.symbol) else { return Ok(()) };
        let new = NewSignal {
            key: SeriesKey { symbol: symbol.clone(), timeframe: signal.timeframe },
            candle: signal.candle,
            close: signal.close.text(),
            signal: signal.signal,
            score: signal.score.0,
            votes: serde_json::to_string(&signal.votes).map_err(StoreError::internal)?,
        };
        // Candles that were read up to a second ago may lack the newest one. Then the next look computes it.
        let expected = wanted.get(&symbol).copied().flatten().filter(|_| seen.timeframe == Some(signal.timeframe));
        let is_newest = expected.is_none_or(|expected| signal.candle >= expected);
        let is_corrected = is_newest && seen.change == Change::Settled;
        let store = &self.research.0.store;
        let noted = if store.add_signal(new.clone()).await? {
            Some("a signal was added to the history")
        } else if is_corrected && store.correct_signal(new).await? {
            Some("a signal of the history was replaced, because candles were corrected")
        } else {
            None
        };
        if let Some(noted) = noted {
            info!(symbol = signal.symbol, timeframe = signal.timeframe.name(), signal = signal.signal, "{noted}");
        }
        seen.error = None;
        if seen.newest != Some(signal.candle) || is_corrected {
            seen.change = Change::None;
        }
        if is_newest {
            seen.newest = Some(signal.candle);
        }
        if seen.timeframe != Some(signal.timeframe) {
            (seen.timeframe, seen.tail) = (Some(signal.timeframe), None);
        }
        Ok(())
    }

    fn note_error(&mut self, symbol: &str, code: &'static str, wanted: &Newest) {
        let timeframe = self.request.timeframe();
        let Some((symbol, seen)) = find(&mut self.symbols, symbol) else { return };
        // The next candle may be the one that was missing.
        (seen.timeframe, seen.newest) = (timeframe, wanted.get(&symbol).copied().flatten());
        seen.change = Change::None;
        if seen.error.replace(code) != Some(code) {
            warn!(symbol = symbol.as_str(), code, "a symbol of SIGNALS has no signal");
        }
    }
}

impl Seen {
    /// Compares the newest closed candles with those of the look before.
    fn compare(&mut self, tail: String) {
        let is_same = self.tail.as_ref().is_none_or(|before| *before == tail);
        self.change = match self.change {
            _ if !is_same => Change::Seen,
            Change::Seen => Change::Settled,
            change => change,
        };
        self.tail = Some(tail);
    }
}

fn find<'s>(symbols: &'s mut BTreeMap<Symbol, Seen>, symbol: &str) -> Option<(Symbol, &'s mut Seen)> {
    let symbol = Symbol::parse(symbol).ok()?;
    let seen = symbols.get_mut(&symbol)?;
    Some((symbol, seen))
}
