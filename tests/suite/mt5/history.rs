//! History that the terminal has already, and history that it loads late.

use super::*;

#[apply(both_store_kinds)]
fn first_history_is_stored_to_the_wanted_depth_newest_first(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(2000));
        feed.show(&market);
        feed.input("HistoryCandles", 1200);
        feed.input("BatchSize", 200);
        feed.batch = 200;
        feed.init();
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, 1200), &forming(&market));
        let oldest: Vec<_> =
            feed.posts().iter().map(|post| (NOW - post["candles"][0]["timestamp"].as_i64().unwrap()) / 60).collect();
        assert_eq!(oldest, [500, 300, 100, 700, 900, 1100, 1200], "minutes ago");
        assert!(feed.terminal.comment.contains("EURUSD M1: live, sent up to 2024.02.14 11:59 UTC"));

        // The next start finds all candles stored and sends only the newest ones again.
        let posts = feed.posts().len();
        feed.terminal.tell("deinit 1");
        feed.init();
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, 1200), &forming(&market));
        assert_eq!(feed.posts().len(), posts + 3);
    });
}

#[apply(both_store_kinds)]
fn history_that_loads_late_and_with_holes_is_stored_whole(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(1500));
        feed.show(&market);
        feed.terminal.tell(&format!("unload EURUSD M1 0 {BROKER_NOW}"));
        feed.terminal.tell("synchronized EURUSD M1 no");
        feed.init();
        feed.advance(30);
        assert!(feed.posts().is_empty(), "there is nothing to send yet");
        assert!(
            feed.terminal.comment.contains("waits until the terminal has loaded its history"),
            "{}",
            feed.terminal.comment
        );
        // The newest candles and some older ones are loaded, with a hole between them.
        feed.terminal.tell(&format!("load EURUSD M1 {} {BROKER_NOW}", BROKER_NOW - 100 * 60));
        feed.terminal.tell(&format!("load EURUSD M1 {} {}", BROKER_NOW - 900 * 60, BROKER_NOW - 400 * 60));
        feed.advance(30);
        assert!(feed.posts().is_empty(), "the loaded history has a hole");
        feed.terminal.tell(&format!("load EURUSD M1 {} {BROKER_NOW}", BROKER_NOW - 400 * 60));
        feed.terminal.tell("synchronized EURUSD M1 yes");
        // From here on the terminal loads older candles 70 at a time, each time after a request for them.
        feed.terminal.tell("portion EURUSD M1 70");
        feed.advance(120);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_hole_that_the_terminal_fills_later_is_filled_within_the_hour(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(50));
        feed.input("ResendCandles", 5);
        begin(&mut feed, &market);
        // The terminal loads the missed bars after the first new ones.
        let (asleep, awake) = sleep_two_hours(&mut feed, &mut market);
        minute(&mut feed, &mut market);
        feed.terminal.tell(&format!("load EURUSD M1 {asleep} {awake}"));
        feed.advance(2 * 3600);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn history_missing_at_the_broker_is_not_waited_for_and_requested_again_later(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(300));
        feed.show(&market);
        // The broker has a daily candle for a day of which it has no minutes.
        let day = Market::new("EURUSD", "D1", 5).with_bars(1, 86_400, BROKER_NOW - 30 * 86_400);
        feed.terminal.tell(&day.bar_command(BROKER_NOW - 30 * 86_400));
        feed.terminal.tell(&format!("unload EURUSD M1 0 {}", BROKER_NOW - 200 * 60));
        feed.init();
        // New bars open meanwhile.
        for _ in 0..5 {
            minute(&mut feed, &mut market);
        }
        feed.verify(feed.stored().await, &closed(&market, 204), &forming(&market));
        assert!(feed.terminal.comment.contains("all that the terminal has"), "{}", feed.terminal.comment);
        let requests = feed.front.requests().len();
        feed.advance(600);
        assert_eq!(feed.front.requests().len(), requests, "nothing new, nothing asked");
        feed.terminal.tell(&format!("load EURUSD M1 0 {BROKER_NOW}"));
        feed.advance(3600);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_new_terminal_loads_candles_older_than_the_stored_ones(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(3000));
        feed.show(&market);
        feed.input("HistoryCandles", 2000);
        feed.init();
        feed.advance(60);
        feed.terminal.tell("deinit 9");
        feed.terminal.tell(&format!("unload EURUSD M1 0 {}", BROKER_NOW - 600 * 60));
        feed.terminal.tell("portion EURUSD M1 40");
        feed.input("HistoryCandles", 5000);
        feed.init();
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn an_old_hole_is_filled_by_sending_more_candles_again(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(900));
        feed.show(&market);
        feed.terminal.tell(&format!("unload EURUSD M1 {} {}", BROKER_NOW - 700 * 60, BROKER_NOW - 651 * 60));
        feed.init();
        feed.advance(60);
        assert_eq!(feed.database.closed().await.len(), 849);
        feed.terminal.tell(&format!("load EURUSD M1 0 {BROKER_NOW}"));
        feed.terminal.tell("deinit 5");
        feed.input("ResendCandles", 100_000);
        feed.init();
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn candles_that_the_terminal_no_longer_keeps_are_reported_missing(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(100));
        begin(&mut feed, &market);
        feed.terminal.tell("deinit 9");
        let (before, last_seen) = (closed(&market, ALL), forming(&market));
        for _ in 0..300 {
            open_next(&mut feed, &mut market);
        }
        feed.terminal.tell(&format!("clock {}", NOW + 300 * 60));
        feed.terminal.tell("maxbars 150");
        feed.init();
        feed.advance(60);
        let wanted = [before, closed(&market, 149)].concat();
        feed.verify(feed.stored().await, &wanted, &[last_seen, forming(&market)].concat());
        assert_eq!(feed.terminal.logged("so the service gets a gap there; see Max bars in chart"), 1);
    });
}
