//! The EA of `clients/mt5`, compiled with a terminal of our own, feeds the real program. After every test the database
//! shows whether each closed candle arrived once, at the right time and with the right digits.

mod feed;
mod front;
mod market;
mod terminal;

use feed::{BROKER_NOW, Feed, NOW, OFFSET};
use front::{Fate, header};
use market::Market;
use rstest_reuse::apply;
use terminal::Terminal;

use crate::harness::{Database, KEY, StoreKind, TOKEN, both_store_kinds, run};
use crate::program::{Serving, folder};

mod answers;
mod clocks;
mod conflicts;
mod history;
mod inputs;
mod live;
mod symbols;
mod trouble;

/// Runs a test with a feed on a store of this kind, or skips it where the programs that a feed needs are missing.
fn with_feed(kind: StoreKind, test: impl AsyncFnOnce(Feed)) {
    run(async {
        let Some(feed) = Feed::prepare(kind.database().await, &[]).await else { return };
        test(feed).await;
    });
}

/// The chart's symbol with minutes up to now.
fn minutes(count: i64) -> Market {
    Market::new("EURUSD", "M1", 5).with_bars(count, 60, BROKER_NOW)
}

/// Rows of a market's closed candles, the newest `count` or all, in the broker's winter.
fn closed(market: &Market, count: usize) -> Vec<String> {
    let times = market.times();
    times.iter().rev().skip(1).take(count).map(|time| market.row(*time, OFFSET)).collect()
}

/// The row of a market's forming candle.
fn forming(market: &Market) -> Vec<String> {
    vec![market.row(*market.times().last().unwrap(), OFFSET)]
}

const ALL: usize = usize::MAX;

/// Lets a minute pass: a bar opens, and the EA gets its timer events.
fn minute(feed: &mut Feed, market: &mut Market) {
    open_next(feed, market);
    feed.advance(60);
}

fn open_next(feed: &mut Feed, market: &mut Market) {
    let next = market.times().last().unwrap() + 60;
    market.open(next);
    feed.terminal.tell(&market.bar_command(next));
}

/// Starts the EA on a market, and gives it time to send the existing candles.
fn begin(feed: &mut Feed, market: &Market) {
    feed.show(market);
    feed.init();
    feed.advance(10);
}

/// The computer sleeps for two hours, and the terminal has not loaded the missed bars when it wakes. Returns the times
/// of the last bars before and after.
fn sleep_two_hours(feed: &mut Feed, market: &mut Market) -> (i64, i64) {
    let asleep = *market.times().last().unwrap();
    for _ in 0..120 {
        open_next(feed, market);
    }
    let awake = *market.times().last().unwrap();
    feed.terminal.tell(&format!("unload EURUSD M1 {} {}", asleep + 60, awake - 60));
    feed.terminal.tell(&format!("clock {}", awake - OFFSET));
    feed.advance(10);
    (asleep, awake)
}
