//! The EA of `clients/mt5`, compiled with a terminal of our own, feeds the real program. Whatever happens, the database tells
//! whether every closed candle arrived once, at the right time and with the right digits.

mod feed;
mod front;
mod market;
mod terminal;

use feed::{BROKER_NOW, Feed, NOW, OFFSET};
use front::{Fate, header};
use market::Market;
use terminal::Terminal;

use crate::harness::{Database, KEY, TOKEN, run};
use crate::program::{Serving, folder};

/// Runs one body with a feed on either store.
macro_rules! on_both_stores {
    ($($(#[$meta:meta])* async fn $name:ident($feed:ident: Feed) $body:block)+) => {
        $($(#[$meta])* mod $name {
            use super::*;

            async fn body(database: Database) {
                let Some($feed) = Feed::prepare(database, &[]).await else { return };
                $body
            }

            #[test]
            fn sqlite() {
                run(async { body(Database::sqlite()).await });
            }

            #[test]
            fn postgres() {
                run(async { body(Database::postgres().await).await });
            }
        })+
    };
}

mod answers;
mod clocks;
mod history;
mod inputs;
mod live;
mod symbols;
mod trouble;

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

/// A minute passes: a bar opens, and the EA has its timers.
fn minute(feed: &mut Feed, market: &mut Market) {
    open_next(feed, market);
    feed.advance(60);
}

fn open_next(feed: &mut Feed, market: &mut Market) {
    let next = market.times().last().unwrap() + 60;
    market.open(next);
    feed.terminal.tell(&market.bar_command(next));
}
