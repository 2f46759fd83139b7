//! Faults that last, recur, or concern one series only.

use super::*;

const FAILURE: Fate =
    Fate::Answered("500 Internal Server Error", "", r#"{"detail":"something broke","code":"internal"}"#);
const PAGE: &str = "<html>Please log in</html>";

#[apply(both_store_kinds)]
fn live_candles_leave_time_for_the_history_of_others(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let mut feed = feed;
        let long = Market::new("US30", "M1", 1).with_bars(3000, 60, BROKER_NOW);
        let symbols = ["EURUSD", "GBPUSD", "AUDUSD", "NZDUSD"];
        let mut live = symbols.map(|symbol| Market::new(symbol, "M1", 5).with_bars(50, 60, BROKER_NOW));
        for market in live.iter().chain([&long]) {
            feed.show(market);
        }
        feed.input("Symbols", "EURUSD,GBPUSD,AUDUSD,NZDUSD,US30");
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.terminal.tell("takes 700");
        feed.init();
        // Each timer finds so many changed candles that sending them would take half of the time.
        for _ in 0..60 {
            for market in &mut live {
                market.change(BROKER_NOW, |bar| bar.volume += 1);
                feed.terminal.tell(&market.bar_command(BROKER_NOW));
            }
            feed.advance(5);
        }
        feed.advance(10);
        let wanted: Vec<_> = live.iter().chain([&long]).flat_map(|market| closed(market, ALL)).collect();
        let formings: Vec<_> = live.iter().chain([&long]).flat_map(forming).collect();
        feed.verify(feed.stored().await, &wanted, &formings);
    });
}

#[apply(both_store_kinds)]
fn a_hole_that_the_terminal_fills_while_the_service_fails_is_filled_afterwards(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(50));
        feed.input("ResendCandles", 5);
        feed.show(&market);
        for _ in 0..2 {
            feed.init();
            feed.advance(10);
            feed.terminal.tell("deinit 1");
        }
        feed.init();
        feed.advance(10);
        let (asleep, awake) = sleep_two_hours(&mut feed, &mut market);
        // More candles than the EA sends again in any case.
        for _ in 0..10 {
            minute(&mut feed, &mut market);
        }
        // The EA asks for the newest stored candle after each failure, and that candle is after the hole.
        feed.front.always("POST ", FAILURE);
        minute(&mut feed, &mut market);
        // A round that ends because the broker disconnects starts again from the beginning.
        feed.terminal.tell("connected no");
        feed.advance(5);
        feed.terminal.tell("connected yes");
        minute(&mut feed, &mut market);
        feed.front.no_longer();
        feed.terminal.tell(&format!("load EURUSD M1 {asleep} {awake}"));
        feed.advance(400);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_moment_without_candles_is_not_the_end_of_the_history(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(2500));
        feed.show(&market);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.terminal.tell("takes 700");
        feed.init();
        feed.advance(30);
        assert!(feed.terminal.comment.contains("live, history back to"), "{}", feed.terminal.comment);
        feed.terminal.tell("shown EURUSD M1 no");
        feed.advance(10);
        feed.terminal.tell("shown EURUSD M1 yes");
        feed.advance(120);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged("gap"), 0, "{:?}", feed.terminal.log);
    });
}

#[apply(both_store_kinds)]
fn a_moment_without_candles_is_shown_only_while_it_lasts(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(100));
        feed.show(&market);
        feed.init();
        feed.advance(20);
        let told = "waits until the terminal has loaded its history";
        feed.terminal.tell("shown EURUSD M1 no");
        feed.advance(600);
        assert!(feed.terminal.comment.contains(told), "{}", feed.terminal.comment);
        feed.terminal.tell("shown EURUSD M1 yes");
        minute(&mut feed, &mut market);
        assert!(!feed.terminal.comment.contains(told), "{}", feed.terminal.comment);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged("gap"), 0, "{:?}", feed.terminal.log);
    });
}

#[apply(both_store_kinds)]
fn a_failed_copy_of_candles_does_not_end_the_history(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(2000));
        feed.show(&market);
        feed.input("HistoryCandles", 600);
        feed.terminal.tell("fail-copies 1");
        feed.init();
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, 600), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn an_interrupted_catch_up_resumes_where_it_stopped(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(50));
        feed.show(&market);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.init();
        feed.advance(20);
        feed.terminal.tell("deinit 9");
        let last_seen = *market.times().last().unwrap();
        for _ in 0..2000 {
            open_next(&mut feed, &mut market);
        }
        feed.terminal.tell(&format!("clock {}", NOW + 2000 * 60));
        feed.terminal.tell("takes 700");
        let posts = feed.posts().len();
        feed.init();
        for _ in 0..12 {
            feed.advance(10);
            feed.front.always("POST ", FAILURE);
            feed.advance(5);
            feed.front.no_longer();
        }
        feed.advance(200);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let first = |post: &serde_json::Value| post["candles"][0]["timestamp"].as_i64().unwrap();
        let again = feed.posts()[posts..].iter().filter(|post| first(post) == last_seen - OFFSET).count();
        assert!((1..=2).contains(&again), "it began {again} times");
    });
}

#[apply(both_store_kinds)]
fn a_persistent_login_page_is_requested_less_often_and_logged_once(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        for method in ["GET ", "POST "] {
            feed.front.always(method, Fate::Answered("200 OK", "Content-Type: text/html\r\n", PAGE));
            let requests = feed.front.requests().len();
            feed.init();
            feed.advance(900);
            let made = feed.front.requests().len() - requests;
            assert!((4..=20).contains(&made), "{made} requests");
            assert_eq!(feed.terminal.logged("not as candlewick does; correct Url"), 1, "{:?}", feed.terminal.log);
            assert_eq!(feed.terminal.logged("takes candles again"), 0);
            feed.terminal.log.clear();
            feed.terminal.tell("deinit 1");
        }
        feed.front.no_longer();
        feed.init();
        feed.advance(20);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_series_that_always_fails_does_not_hold_up_the_others(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(100));
        feed.show(&Market::new("GBPUSD", "M1", 5).with_bars(100, 60, BROKER_NOW));
        feed.show(&market);
        feed.input("Symbols", "GBPUSD,EURUSD");
        feed.front.always("GBPUSD", FAILURE);
        feed.init();
        feed.advance(10);
        for _ in 0..50 {
            minute(&mut feed, &mut market);
            feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        }
        let failed = feed.terminal.requests.iter().filter(|request| request.ends_with(" 500 0")).count();
        assert!((5..=20).contains(&failed), "{failed} requests");
        assert_eq!(feed.terminal.logged("answers 500 (something broke)"), 1, "{:?}", feed.terminal.log);
        assert_eq!(feed.terminal.logged("takes candles again"), 0);
        assert!(
            feed.terminal.comment.contains("GBPUSD M1: asks for the stored range, http"),
            "{}",
            feed.terminal.comment
        );
        for _ in 0..50 {
            minute(&mut feed, &mut market);
        }
        assert_eq!(feed.terminal.logged("answers 500 (something broke)"), 2, "once more after an hour");
    });
}

#[apply(both_store_kinds)]
fn prices_wait_for_their_digits(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        feed.terminal.tell("digits EURUSD unknown");
        feed.init();
        feed.advance(20);
        assert!(feed.posts().is_empty());
        feed.terminal.tell("digits EURUSD known");
        feed.advance(20);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_refusal_without_a_body_counts_as_the_services_own(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(700));
        let bad = BROKER_NOW - 321 * 60;
        feed.front
            .always(&format!("\"timestamp\":{},", bad - OFFSET), Fate::Answered("422 Unprocessable Entity", "", ""));
        feed.show(&market);
        feed.init();
        feed.advance(120);
        minute(&mut feed, &mut market);
        market.remove(bad);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let sizes: Vec<_> = feed.posts().iter().map(|post| post["candles"].as_array().unwrap().len()).collect();
        let alone = sizes.iter().position(|size| *size == 1).expect("the bad one was found");
        assert!(sizes[alone..].iter().any(|size| *size > 100), "batches grow again: {sizes:?}");
    });
}

#[apply(both_store_kinds)]
fn a_firewalls_page_pauses_the_feed_and_a_refusal_of_the_service_stops_it(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        feed.front.next(&[Fate::Answered("403 Forbidden", "Content-Type: text/html\r\n", PAGE)]);
        feed.init();
        feed.advance(30);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged("answers 403, but not as candlewick does"), 1, "{:?}", feed.terminal.log);
        feed.terminal.tell("deinit 1");
        feed.front.always("GET ", Fate::Answered("403 Forbidden", "", ""));
        feed.init();
        let requests = feed.front.requests().len();
        feed.advance(3600);
        assert_eq!(feed.front.requests().len(), requests + 1);
        assert!(feed.terminal.comment.contains("stopped: "), "{}", feed.terminal.comment);
    });
}

#[apply(both_store_kinds)]
fn batches_return_to_the_configured_size_within_the_hour(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(1000));
        feed.show(&market);
        feed.front.always("POST ", Fate::Answered("413 Content Too Large", "", ""));
        feed.terminal.tell("takes 1300");
        feed.init();
        feed.advance(10);
        feed.front.no_longer();
        let largest = |feed: &Feed, from: usize| {
            feed.posts()[from..].iter().map(|post| post["candles"].as_array().unwrap().len()).max().unwrap()
        };
        let refused = feed.posts().len();
        feed.advance(3000);
        assert!(largest(&feed, refused) < 500);
        let posts = feed.posts().len();
        feed.advance(3600);
        assert_eq!(largest(&feed, posts), 500);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_slow_timer_waits_no_longer_for_history_and_misses_no_minute(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(300));
        feed.show(&market);
        // The broker has a daily candle for a day of which it has no minutes.
        let day = Market::new("EURUSD", "D1", 5).with_bars(1, 86_400, BROKER_NOW - 30 * 86_400);
        feed.terminal.tell(&day.bar_command(BROKER_NOW - 30 * 86_400));
        feed.input("TimerSeconds", 60);
        feed.init();
        for _ in 0..5 {
            minute(&mut feed, &mut market);
        }
        assert!(feed.terminal.comment.contains("all that the terminal has"), "{}", feed.terminal.comment);
        for _ in 0..5 {
            minute(&mut feed, &mut market);
            feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        }
    });
}

#[apply(both_store_kinds)]
fn a_second_outage_begins_with_the_shortest_pause_and_is_logged_again(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(100));
        begin(&mut feed, &market);
        for outage in 1..=2 {
            feed.front.down().await;
            open_next(&mut feed, &mut market);
            let tries = feed.terminal.requests.len();
            feed.advance(20);
            assert_eq!(feed.terminal.requests.len(), tries + 2, "at once and 5 s later, of outage {outage}");
            feed.advance(600);
            feed.front.up().await;
            feed.advance(310);
            feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
            assert_eq!(feed.terminal.logged("cannot be reached"), outage, "{:?}", feed.terminal.log);
            assert_eq!(feed.terminal.logged("takes candles again"), outage);
        }
    });
}

#[apply(both_store_kinds)]
fn no_service_makes_the_feed_wait_longer_than_an_hour(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        feed.front.next(&[Fate::Answered("429 Too Many Requests", "Retry-After: 999999\r\n", "")]);
        feed.init();
        feed.advance(3600);
        assert_eq!(feed.front.requests().len(), 1);
        feed.advance(20);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn very_many_bad_bars_are_logged_a_few_an_hour_and_never_twice(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(300));
        let bad: Vec<_> = (50..200).map(|back| BROKER_NOW - back * 60).collect();
        for time in &bad {
            market.change(*time, |bar| bar.prices[1] = 1);
        }
        feed.show(&market);
        feed.init();
        feed.advance(40 * 3600);
        for time in &bad {
            market.remove(*time);
        }
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let told = feed.terminal.logged(" is not stored: ");
        assert_eq!(told, 100, "the service names this many in an answer");
    });
}

#[apply(both_store_kinds)]
fn weeks_and_months_are_stored_at_their_own_times(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let mut feed = feed;
        let seconds = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp();
        let weeks = Market::new("EURUSD", "W1", 5).with_bars(6, 7 * 86_400, seconds("2024-02-11T00:00:00Z"));
        let mut months = Market::new("EURUSD", "MN1", 5);
        for month in ["2023-11", "2023-12", "2024-01", "2024-02"] {
            months.open(seconds(&format!("{month}-01T00:00:00Z")));
        }
        feed.show(&weeks);
        feed.show(&months);
        feed.input("Timeframes", "W1,MN1");
        feed.init();
        feed.advance(30);
        // On the first of November, America still had summer time.
        let november = months.row(months.times()[0], 10_800);
        let wanted = [closed(&weeks, ALL), closed(&months, 2), vec![november]].concat();
        feed.verify(feed.stored().await, &wanted, &[forming(&weeks), forming(&months)].concat());
    });
}

#[apply(both_store_kinds)]
fn a_terminal_without_a_timer_is_asked_for_one_with_each_tick(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        feed.terminal.tell("timers no");
        feed.init();
        assert_eq!(feed.terminal.logged("the terminal has no timer for the feed yet"), 1);
        feed.terminal.tell("tick");
        assert!(feed.terminal.comment.contains("waits until the terminal has a timer"), "{}", feed.terminal.comment);
        feed.terminal.tell("timers yes");
        feed.terminal.tell("tick");
        feed.advance(20);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_restart_in_the_same_program_resets_the_state(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(1000));
        feed.show(&market);
        // Every kind of trouble: the EA pauses, sends small batches, has stopped, and considers the clock wrong.
        for (reason, fate) in [
            (6, Fate::Answered("429 Too Many Requests", "Retry-After: 3000\r\n", "")),
            (3, Fate::Answered("413 Content Too Large", "", "")),
            (5, Fate::Answered("401 Unauthorized", "", "")),
        ] {
            feed.front.always("POST ", fate);
            feed.init();
            feed.advance(10);
            feed.terminal.tell(&format!("deinit {reason}"));
        }
        feed.front.no_longer();
        feed.terminal.tell("offset 0");
        feed.init();
        feed.advance(10);
        feed.terminal.tell("deinit 5");
        feed.terminal.tell(&format!("offset {OFFSET}"));
        let posts = feed.posts().len();
        feed.init();
        assert!(
            feed.terminal.comment.contains(": running | EURUSD M1: asks for the stored range"),
            "{}",
            feed.terminal.comment
        );
        feed.advance(30);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.posts()[posts]["candles"].as_array().unwrap().len(), 500);
        // A changed input takes effect at once, although the program keeps running.
        feed.terminal.tell("deinit 5");
        let other = Market::new("GBPUSD", "M1", 5).with_bars(30, 60, BROKER_NOW);
        feed.show(&other);
        feed.input("Symbols", "GBPUSD");
        feed.init();
        feed.advance(30);
        assert!(!feed.terminal.comment.contains("EURUSD"), "{}", feed.terminal.comment);
        let wanted = [closed(&market, ALL), closed(&other, ALL)].concat();
        feed.verify(feed.stored().await, &wanted, &[forming(&market), forming(&other)].concat());
    });
}
