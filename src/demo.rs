//! The command `demo`: the service on a store of its own in a temporary folder, with years of invented history and a feed
//! that forms candles as a terminal would.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use market::{INSTRUMENTS, Market};
use secrecy::ExposeSecret as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::config::{ApiKey, Config};
use crate::ingest::{Handling, Ingest, Poster};
use crate::store::{Store, StoreError};
use crate::telemetry::spans::spawn_blocking;
use candle::{BatchBuilder, Candle, OhlcField, Phase};

/// The milliseconds of a minute.
const MINUTE: i64 = 60_000;
/// The minutes of the newest part of the history, which is stored before anything else.
const NEWEST_MINUTES: i64 = 31 * 1440;
/// The minutes of the whole history: three years.
const ALL_MINUTES: i64 = 3 * 365 * 1440;
/// The minutes of a batch.
const BATCH_MINUTES: i64 = 10_000;
/// The pause between two posts of the feed.
const FEED_INTERVAL: Duration = Duration::from_secs(1);
/// The time within which the writing of a batch has to begin.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A folder that is deleted with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes a folder that nobody else can read.
    pub(crate) fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("candlewick-demo-{}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The banner: the addresses to open, and the keys.
pub(crate) fn banner(url: &str, config: &Config, maintenance: &str, folder: &Path) -> String {
    let secret = |keys: &[ApiKey]| keys.first().map(|key| key.secret.expose_secret().to_owned()).unwrap_or_default();
    let (key, token, research) =
        (secret(&config.ingest_keys), secret(&config.read_tokens), secret(&config.research_keys));
    let symbols = INSTRUMENTS.map(|instrument| instrument.symbol).join(", ");
    format!(
        r#"
  candlewick demo: an invented market on {url}

  {symbols}: M1, the newest month is stored and forms live, and the rest of three years is being stored.
  Everything lies in {folder} and is deleted when you press Ctrl-C.

  The console, to look around:    {url}/
  The API, to try in a browser:   {url}/api/docs
    read token        {token}
    ingest key        {key}
    maintenance key   {maintenance}
    research key      {research}

  The newest candles, built into hours:
    curl "{url}/api/v1/candles?symbol=EURUSD&timeframe=H1&source=M1&limit=5" -H "X-Internal-Token: {token}"
  The newest candle of every series, while it forms:
    curl "{url}/api/v1/latest" -H "X-Internal-Token: {token}"
  A strategy on these hours:
    curl {url}/api/v1/backtests -H "X-Internal-Token: {token}" -d '{{"strategy":"donchian","symbol":"EURUSD","timeframe":"H1","source":"M1"}}'
  A month as a file:
    curl -OJ "{url}/api/v1/export.csv?symbol=XAUUSD&timeframe=M1" -H "X-Internal-Token: {token}"
"#,
        folder = folder.display(),
    )
}

/// Stores the newest month of the history.
///
/// # Errors
/// When the store cannot be written.
pub(crate) async fn fill_newest(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let end = minute_of(clock);
    fill(store, end - NEWEST_MINUTES * MINUTE, end).await
}

/// Stores the rest of the history, newest first.
///
/// # Errors
/// When the store cannot be written.
pub(crate) async fn fill_rest(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let mut end = minute_of(clock) - NEWEST_MINUTES * MINUTE;
    let first = end - (ALL_MINUTES - NEWEST_MINUTES) * MINUTE;
    while end > first {
        let start = (end - NEWEST_MINUTES * MINUTE).max(first);
        fill(store, start, end).await?;
        end = start;
    }
    Ok(())
}

/// The beginning of the running minute, in epoch milliseconds.
fn minute_of(clock: &Clock) -> i64 {
    clock.now().millis().div_euclid(MINUTE) * MINUTE
}

async fn fill(store: &Store, start: i64, end: i64) -> Result<(), StoreError> {
    for instrument in &INSTRUMENTS {
        let mut from = start;
        while from < end {
            let to = (from + BATCH_MINUTES * MINUTE).min(end);
            let invented = spawn_blocking(move || {
                let (mut market, mut builder) = (Market::new(), BatchBuilder::default());
                let minutes = (from..to).step_by(usize::try_from(MINUTE).unwrap_or(usize::MAX));
                let candles = minutes.filter_map(|opened| market.candle(instrument, opened));
                candles.enumerate().for_each(|(index, candle)| builder.push(index, candle, Phase::Closed.into()));
                builder.build().batch
            });
            let batch = Arc::new(invented.await.map_err(StoreError::internal)?);
            if !batch.is_empty() {
                store.append(batch, Instant::now() + WRITE_TIMEOUT).await?;
            }
            from = to;
        }
    }
    Ok(())
}

/// Posts the forming candles of all instruments every second, and each closed candle once its minute is over.
pub(crate) async fn feed(ingest: Ingest, clock: Clock) {
    let (mut market, poster) = (Market::new(), Poster::from("demo"));
    let mut ticks = interval(FEED_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = minute_of(&clock) - MINUTE;
    loop {
        ticks.tick().await;
        let (now, opened) = (clock.now().millis(), minute_of(&clock));
        let mut candles = Vec::new();
        for instrument in &INSTRUMENTS {
            let closed = (last..opened).step_by(usize::try_from(MINUTE).unwrap_or(usize::MAX));
            candles.extend(closed.filter_map(|minute| Some((market.candle(instrument, minute)?, true))));
            candles.extend(market.forming(instrument, opened, now + 1).map(|candle| (candle, false)));
        }
        if !candles.is_empty() && ingest.submit(body(&candles), Handling::Strict, &poster).await.is_ok() {
            last = opened;
        }
    }
}

/// The body of a post.
fn body(candles: &[(Candle, bool)]) -> Vec<u8> {
    let mut text = String::from("{\"candles\":[");
    for (index, (candle, complete)) in candles.iter().enumerate() {
        let prices = OhlcField::ALL.map(|field| format!("\"{}\":{}", field.name(), candle.ohlc.get(field))).join(",");
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"symbol\":\"{}\",\"timeframe\":\"M1\",\"timestamp\":{},{prices},\"volume\":{},\"complete\":{complete}}}",
            candle.key.symbol(),
            candle.key.time().millis(),
            candle.volume.get(),
        );
    }
    text.push_str("]}");
    text.into_bytes()
}
