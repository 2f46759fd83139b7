//! Hints between the processes that share a Postgres database: after a write, a process names the series that it has written to,
//! so that the streams of others need not wait for their next look. A hint carries no candles and may be lost.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::changes::Correction;
use super::{Database, SeriesKey, Store};
use candle::{Batch, Candle, Key, Symbol, Timeframe, Written};

/// Series that were written to, each with the opening times of the first and the last closed candle that was added, in epoch
/// milliseconds; `None` if none was.
pub type WrittenSeries = HashMap<SeriesKey, Option<(i64, i64)>>;

/// The time for which hints are gathered, so that many posts share one.
const GATHERING_TIME: Duration = Duration::from_millis(50);
/// The maximum number of bytes of a payload: Postgres accepts fewer than 8,000.
const MAX_PAYLOAD_BYTES: usize = 7_900;
/// The maximum number of series that wait to be sent. Hints about others are lost.
const MAX_WAITING_SERIES: usize = 20_000;
/// The version of the payload's form. A process ignores payloads of another form.
const FORM: &str = "1";

/// The series about which hints are to be sent. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox(Arc<OutboxState>);

#[derive(Debug, Default)]
struct OutboxState {
    is_wanted: AtomicBool,
    written: Mutex<WrittenSeries>,
    waiting: Notify,
}

impl Outbox {
    pub(super) fn is_wanted(&self) -> bool {
        self.0.is_wanted.load(Ordering::Relaxed)
    }

    fn written(&self) -> MutexGuard<'_, WrittenSeries> {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch of which it is not known which of its candles are new.
    pub(super) fn add_whole(&self, batch: &Batch) {
        let series = batch.closed().chunk_by(|one, next| one.key.same_series(&next.key));
        let ends = series.flat_map(|candles| candles.first().into_iter().chain(candles.last()));
        self.add(ends.map(|candle| (&candle.key, true)).chain(forming(batch.forming().iter().map(|it| &it.candle))));
    }

    /// Adds the candles of a batch that were written.
    pub(super) fn add_written(&self, batch: &Batch, written: &Written) {
        let closed = written.closed.iter().filter_map(|&position| batch.closed().get(position));
        let states = written.forming.iter().filter_map(|&position| batch.forming().get(position));
        self.add(closed.map(|candle| (&candle.key, true)).chain(forming(states.map(|it| &it.candle))));
    }

    pub(super) fn add_corrections(&self, corrections: &[Correction]) {
        self.add(corrections.iter().map(|correction| (&correction.candle.key, false)));
    }

    pub(super) fn add_series(&self, key: &SeriesKey) {
        self.written().entry(key.clone()).or_default();
        self.0.waiting.notify_one();
    }

    /// Adds candles by their keys, each with whether it was added as a closed one.
    fn add<'k>(&self, keys: impl Iterator<Item = (&'k Key, bool)>) {
        let mut written = self.written();
        for (key, is_added) in keys {
            let series = SeriesKey { symbol: key.symbol().clone(), timeframe: key.timeframe() };
            if written.len() >= MAX_WAITING_SERIES && !written.contains_key(&series) {
                continue;
            }
            let span = written.entry(series).or_default();
            if is_added {
                let time = key.time().millis();
                let (first, last) = span.unwrap_or((time, time));
                *span = Some((first.min(time), last.max(time)));
            }
        }
        drop(written);
        self.0.waiting.notify_one();
    }

    /// Waits for writes, and takes those of the next [`GATHERING_TIME`] together. May be cancelled.
    pub(super) async fn next(&self) -> WrittenSeries {
        while self.written().is_empty() {
            self.0.waiting.notified().await;
        }
        sleep(GATHERING_TIME).await;
        std::mem::take(&mut *self.written())
    }
}

fn forming<'c>(candles: impl Iterator<Item = &'c Candle>) -> impl Iterator<Item = (&'c Key, bool)> {
    candles.map(|candle| (&candle.key, false))
}

/// A payload that was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// The process that sent it.
    pub(super) sender: &'a str,
    pub(super) written: WrittenSeries,
}

/// Writes payloads of at most [`MAX_PAYLOAD_BYTES`]: a line with the sender, then one for each series. There is at least one, with no
/// series if none was written.
pub(super) fn encode(sender: &str, written: &WrittenSeries) -> Vec<String> {
    let head = format!("{FORM} {sender}");
    let mut payloads = vec![head.clone()];
    for (SeriesKey { symbol, timeframe }, span) in written {
        let span = span.map_or_else(|| "- -".to_owned(), |(first, last)| format!("{first} {last}"));
        let line = format!("\n{timeframe} {span} {symbol}");
        match payloads.last_mut() {
            Some(payload) if payload.len() + line.len() <= MAX_PAYLOAD_BYTES => payload.push_str(&line),
            _ => payloads.push(format!("{head}{line}")),
        }
    }
    payloads
}

/// Reads a payload back; `None` for a text that is not one.
pub(super) fn decode(text: &str) -> Option<Payload<'_>> {
    let mut lines = text.split('\n');
    let sender = lines.next()?.strip_prefix(FORM)?.strip_prefix(' ').filter(|sender| !sender.is_empty())?;
    let series = |line: &str| {
        let mut parts = line.splitn(4, ' ');
        let (timeframe, first, last, symbol) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let span = match (first, last) {
            ("-", "-") => None,
            _ => Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last): &(i64, i64)| first <= last),
        };
        let is_whole = span.is_some() || first == "-";
        let key = SeriesKey { symbol: Symbol::parse(symbol).ok()?, timeframe: Timeframe::named(timeframe)? };
        is_whole.then_some((key, span))
    };
    let written = lines.map(series).collect::<Option<_>>()?;
    Some(Payload { sender, written })
}

impl Store {
    /// Sends hints about the writes of this process, and hands those of others to `receive`. Never returns; on SQLite, whose file one
    /// service uses, it does nothing.
    pub async fn exchange_hints(&self, receive: impl Fn(WrittenSeries)) -> Infallible {
        if let Database::Postgres(postgres) = &self.database {
            self.outbox.0.is_wanted.store(true, Ordering::Relaxed);
            postgres.exchange_hints(&self.outbox, receive).await;
        }
        std::future::pending().await
    }
}

/// A name that tells processes apart.
pub(super) fn sender_name() -> String {
    let mut random = [0; 8];
    // Without randomness the zeros stay, and the process takes the hints of others that have none for its own.
    let _ = getrandom::fill(&mut random);
    random.iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series() -> impl Strategy<Value = (SeriesKey, Option<(i64, i64)>)> {
        let symbol = r"[A-Za-z€𐍈:/#. -]{1,64}".prop_filter_map("a symbol", |text| Symbol::parse(&text).ok());
        let timeframe = prop::sample::select(Timeframe::ALL.to_vec());
        let span = prop::option::of((-8_520_336_000_000_i64..253_402_300_799_999, 0_i64..1_000_000_000));
        (symbol, timeframe, span).prop_map(|(symbol, timeframe, span)| {
            (SeriesKey { symbol, timeframe }, span.map(|(first, length)| (first, first + length)))
        })
    }

    proptest! {
        #[test]
        fn payloads_hold_every_series_and_fit(written in prop::collection::hash_map(Just(()).prop_flat_map(|()| series()), Just(()), 0..400)) {
            let written: WrittenSeries = written.into_keys().collect();
            let payloads = encode("0a1b", &written);
            let mut read = WrittenSeries::new();
            for payload in &payloads {
                prop_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
                let payload = decode(payload).unwrap();
                prop_assert_eq!(payload.sender, "0a1b");
                read.extend(payload.written);
            }
            prop_assert_eq!(read, written);
        }

        #[test]
        fn any_text_is_read(text in "(1 [0-9a-f]{0,4})?(\n?(M1|X1|MN1)? ?[0-9-]{0,20} ?[0-9-]{0,20} ?[ -~]{0,20}){0,3}|\\PC{0,40}") {
            if let Some(payload) = decode(&text) {
                prop_assert!(!payload.sender.is_empty());
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "1",
            "1 ",
            "2 0a1b",
            "nonsense",
            "1 0a1b\n",
            "1 0a1b\nM1 - EURUSD",
            "1 0a1b\nM1 - 5 EURUSD",
            "1 0a1b\nM1 6 5 EURUSD",
            "1 0a1b\nM1 x y EURUSD",
            "1 0a1b\nX1 - - EURUSD",
            "1 0a1b\nM1 - - ",
            "1 0a1b\nM1 - - EURUSD\nM1 - - A\tB",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert!(decode("1 0a1b").unwrap().written.is_empty());
    }
}
