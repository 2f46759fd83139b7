//! Closed candles that the service has with other values, and candles that it does not accept as closed yet.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

const STAYS: &str = ", and keeps its own: two terminals feed this name, or this terminal's history changed";

/// Changes the close, or the close and the volume, of the closed bars that opened this many minutes ago.
fn change(feed: &mut Feed, market: &mut Market, minutes: impl Iterator<Item = i64>, volume: i64) {
    for back in minutes {
        let time = BROKER_NOW - back * 60;
        market.change(time, |bar| {
            bar.prices[3] += 3;
            bar.volume += volume;
        });
        feed.terminal.tell(&market.bar_command(time));
    }
}

/// Restarts the EA, which then sends the newest candles again.
fn restart(feed: &mut Feed) {
    feed.terminal.tell("deinit 1");
    feed.init();
    feed.advance(10);
}

#[apply(both_store_kinds)]
fn a_conflicting_candle_is_logged_once_and_not_replaced(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(400));
        begin(&mut feed, &market);
        let stored = closed(&market, ALL);
        assert_eq!(feed.terminal.logged("the service has"), 0, "{:?}", feed.terminal.log);
        change(&mut feed, &mut market, 60..=60, 0);
        restart(&mut feed);
        // The EA sends the newest candles again every hour.
        feed.advance(3 * 3600);
        let told = format!("EURUSD M1: the service has another close for 2024.02.14 11:00 UTC{STAYS}");
        assert_eq!(feed.terminal.logged(&told), 1, "{:?}", feed.terminal.log);
        assert_eq!(feed.terminal.logged("the service has"), 1, "{:?}", feed.terminal.log);
        let line = "EURUSD M1: live, sent up to 2024.02.14 11:59 UTC, conflicting candles: 1 (see the log)";
        assert!(feed.terminal.comment.contains(line), "{}", feed.terminal.comment);
        feed.verify(feed.stored().await, &stored, &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn many_conflicting_candles_are_summarised(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(900));
        begin(&mut feed, &market);
        feed.advance(30);
        change(&mut feed, &mut market, 60..100, 5);
        restart(&mut feed);
        let told = "EURUSD M1: the service has other values for 40 candles, the first of 2024.02.14 10:21 UTC (close and volume)";
        assert_eq!(feed.terminal.logged(&format!("{told}{STAYS}")), 1, "{:?}", feed.terminal.log);
        // The service names at most 100 conflicts of a request.
        change(&mut feed, &mut market, 200..400, 0);
        restart(&mut feed);
        let told = "EURUSD M1: the service has other values for at least 100 candles, the first of 2024.02.14 05:21 UTC (close)";
        assert_eq!(feed.terminal.logged(&format!("{told}{STAYS}")), 1, "{:?}", feed.terminal.log);
        assert_eq!(feed.terminal.logged("the service has"), 2, "{:?}", feed.terminal.log);
        assert!(
            feed.terminal.comment.contains("conflicting candles: at least 100 (see the log)"),
            "{}",
            feed.terminal.comment
        );
    });
}

#[apply(both_store_kinds)]
fn a_second_terminal_of_the_same_name_is_reported_at_once_and_then_hourly(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(50));
        begin(&mut feed, &market);
        // The other terminal posts each minute first.
        let service = feed.serving.as_ref().unwrap().url.clone();
        for _ in 0..130 {
            open_next(&mut feed, &mut market);
            let closed = market.times()[market.times().len() - 2];
            let candle = serde_json::json!({
                "timestamp": closed - OFFSET, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "complete": true,
            });
            let body = serde_json::json!({"symbol": "EURUSD", "timeframe": "M1", "candles": [candle]});
            let post = reqwest::Client::new().post(format!("{service}/api/v1/candles")).header("x-api-key", KEY);
            assert_eq!(post.body(body.to_string()).send().await.unwrap().status(), 201);
            feed.advance(60);
        }
        let log: Vec<_> = feed.terminal.log.iter().filter(|line| line.contains("the service has")).collect();
        assert_eq!(log.len(), 3, "{log:?}");
        assert!(log[0].contains("another open, high, low, close and volume for 2024.02.14 12:00 UTC"), "{log:?}");
        assert!(log[1].contains("other values for 60 candles, the first of 2024.02.14 12:01 UTC"), "{log:?}");
        // By then the EA sends more than 100 conflicting candles again each hour, of which the service names 100.
        assert!(log[2].contains("other values for at least 60 candles, the first of 2024.02.14 13:01 UTC"), "{log:?}");
        assert!(
            feed.terminal.comment.contains("conflicting candles: at least 130 (see the log)"),
            "{}",
            feed.terminal.comment
        );
    });
}

#[apply(both_store_kinds)]
fn rejected_and_conflicting_candles_of_one_answer_are_distinguished(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(100));
        begin(&mut feed, &market);
        let stored = closed(&market, ALL);
        change(&mut feed, &mut market, [10, 30].into_iter(), 0);
        for back in [20, 40] {
            let time = BROKER_NOW - back * 60;
            market.change(time, |bar| bar.volume = -1);
            feed.terminal.tell(&market.bar_command(time));
        }
        restart(&mut feed);
        for time in ["11:20", "11:40"] {
            assert_eq!(
                feed.terminal.logged(&format!("the candle of 2024.02.14 {time} UTC is not stored: ")),
                1,
                "{time}"
            );
        }
        assert_eq!(feed.terminal.logged("is not stored"), 2, "{:?}", feed.terminal.log);
        let told = "EURUSD M1: the service has other values for 2 candles, the first of 2024.02.14 11:30 UTC (close)";
        assert_eq!(feed.terminal.logged(told), 1, "{:?}", feed.terminal.log);
        feed.verify(feed.stored().await, &stored, &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn brackets_and_quotes_in_a_reason_and_a_failed_comparison_are_parsed(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(50));
        begin(&mut feed, &market);
        open_next(&mut feed, &mut market);
        feed.front.next(&[Fate::Answered(
            "201 Created",
            "",
            r#"{"records_received":2,"rejected":[{"index":0,"loc":["body","candles",0],"msg":"] \"conflicts\":[{\"index\":1}] \\"}],"records_rejected":1,"conflicts":[{"index":1,"fields":["low"]},{"index":7,"fields":["high"]}],"records_conflicting":1}"#,
        )]);
        feed.advance(10);
        let rejected = r#"the candle of 2024.02.14 12:00 UTC is not stored: ] "conflicts":[{"index":1}] \"#;
        assert_eq!(feed.terminal.logged(rejected), 1, "{:?}", feed.terminal.log);
        assert_eq!(feed.terminal.logged("is not stored"), 1, "{:?}", feed.terminal.log);
        assert_eq!(
            feed.terminal.logged("the service has another low for 2024.02.14 12:01 UTC"),
            1,
            "{:?}",
            feed.terminal.log
        );
        let failed = r#"{"records_received":2,"rejected":[],"records_rejected":0,"records_conflicting":null}"#;
        open_next(&mut feed, &mut market);
        feed.front.next(&[Fate::Answered("201 Created", "", failed)]);
        let lines = feed.terminal.log.len();
        feed.advance(10);
        assert_eq!(feed.terminal.log.len(), lines, "{:?}", feed.terminal.log);
    });
}

#[apply(both_store_kinds)]
fn a_day_that_ends_early_is_stored_as_forming_and_logged_once(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let mut feed = feed;
        // The service decides by the real clock whether a candle can be over.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 3600 * 3600;
        let mut market = Market::new("US30", "D1", 1).with_bars(5, 86_400, now + OFFSET - 23 * 3600);
        market.open(now + OFFSET);
        feed.terminal.tell(&format!("clock {now}"));
        feed.input("Timeframes", "D1");
        feed.input("BrokerClock", 2);
        begin(&mut feed, &market);
        // The candle is sent again, and is early again.
        feed.advance(2 * 3600);
        restart(&mut feed);
        let times = market.times();
        let rows: Vec<_> = times.iter().map(|time| market.row(*time, OFFSET)).collect();
        feed.verify(feed.stored().await, &rows[..4], &rows[4..]);
        let told = "US30 D1: the candle of ";
        assert_eq!(feed.terminal.logged(told), 2, "once a start: {:?}", feed.terminal.log);
        assert_eq!(
            feed.terminal.logged(" UTC should last longer by the service's clock"),
            2,
            "{:?}",
            feed.terminal.log
        );
        assert_eq!(feed.terminal.logged("is not stored"), 0, "{:?}", feed.terminal.log);
    });
}
