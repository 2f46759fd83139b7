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

mod trouble;

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

on_both_stores! {
    async fn first_history_is_stored_to_the_wanted_depth_newest_first(feed: Feed) {
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

        // The next start finds everything there and sends only the newest candles again.
        let posts = feed.posts().len();
        feed.terminal.tell("deinit 1");
        feed.init();
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, 1200), &forming(&market));
        assert_eq!(feed.posts().len(), posts + 3);
    }

    async fn history_that_loads_late_and_with_holes_is_stored_whole(feed: Feed) {
        let (mut feed, market) = (feed, minutes(1500));
        feed.show(&market);
        feed.terminal.tell(&format!("unload EURUSD M1 0 {BROKER_NOW}"));
        feed.terminal.tell("synchronized EURUSD M1 no");
        feed.init();
        feed.advance(30);
        assert!(feed.posts().is_empty(), "there is nothing to send yet");
        assert!(feed.terminal.comment.contains("waits for the terminal to load history"), "{}", feed.terminal.comment);
        // The newest and some older ones are there, and a hole is between them.
        feed.terminal.tell(&format!("load EURUSD M1 {} {BROKER_NOW}", BROKER_NOW - 100 * 60));
        feed.terminal.tell(&format!("load EURUSD M1 {} {}", BROKER_NOW - 900 * 60, BROKER_NOW - 400 * 60));
        feed.advance(30);
        assert!(feed.posts().is_empty(), "what is there is not whole");
        feed.terminal.tell(&format!("load EURUSD M1 {} {BROKER_NOW}", BROKER_NOW - 400 * 60));
        feed.terminal.tell("synchronized EURUSD M1 yes");
        // From here on, older ones come 70 at a time, each time after they were asked for.
        feed.terminal.tell("portion EURUSD M1 70");
        feed.advance(120);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_hole_that_the_terminal_fills_after_it_was_passed_is_filled_within_the_hour(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(50));
        feed.input("ResendCandles", 5);
        feed.show(&market);
        feed.init();
        feed.advance(10);
        // The computer slept for two hours, and the terminal loads what it missed after the first new bars.
        let asleep = *market.times().last().unwrap();
        for _ in 0..120 {
            open_next(&mut feed, &mut market);
        }
        let awake = *market.times().last().unwrap();
        feed.terminal.tell(&format!("unload EURUSD M1 {} {}", asleep + 60, awake - 60));
        feed.terminal.tell(&format!("clock {}", awake - OFFSET));
        feed.advance(10);
        minute(&mut feed, &mut market);
        feed.terminal.tell(&format!("load EURUSD M1 {asleep} {awake}"));
        feed.advance(2 * 3600);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn history_that_the_broker_does_not_have_is_not_waited_for_and_asked_for_again_later(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(300));
        feed.show(&market);
        // The broker has a day of the symbol, but not in minutes.
        let day = Market::new("EURUSD", "D1", 5).with_bars(1, 86_400, BROKER_NOW - 30 * 86_400);
        feed.terminal.tell(&day.bar_command(BROKER_NOW - 30 * 86_400));
        feed.terminal.tell(&format!("unload EURUSD M1 0 {}", BROKER_NOW - 200 * 60));
        feed.init();
        // The market moves meanwhile.
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
    }

    async fn a_new_terminal_loads_what_is_older_than_the_services_first(feed: Feed) {
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
    }

    async fn an_old_hole_is_filled_by_sending_more_candles_again(feed: Feed) {
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
    }

    async fn what_the_terminal_keeps_no_longer_is_said_to_be_missing(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(100));
        feed.show(&market);
        feed.init();
        feed.advance(10);
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
        assert_eq!(feed.terminal.logged("so the service gets a hole there; see Max bars in chart"), 1);
    }

    async fn live_minutes_are_forming_until_they_close(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(20));
        feed.show(&market);
        feed.init();
        feed.advance(10);
        for _ in 0..5 {
            open_next(&mut feed, &mut market);
            let now = *market.times().last().unwrap();
            for _ in 0..3 {
                market.change(now, |bar| {
                    bar.prices[1] += 3;
                    bar.prices[3] += 2;
                    bar.volume += 11;
                });
                feed.terminal.tell(&market.bar_command(now));
                feed.advance(20);
                feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
            }
        }
        // A quiet market costs no requests, a weekend neither; the last bar stays at position 0 until the next tick.
        let requests = feed.front.requests().len();
        feed.advance(1800);
        assert_eq!(feed.front.requests().len(), requests);
        feed.advance(49 * 3600);
        let monday = market.times().last().unwrap() + 50 * 3600;
        market.open(monday);
        feed.terminal.tell(&market.bar_command(monday));
        feed.advance(10);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_bar_that_opens_while_the_ea_counts_is_no_reason_for_a_hole(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(20));
        feed.show(&market);
        feed.init();
        feed.advance(10);
        open_next(&mut feed, &mut market);
        let next = market.times().last().unwrap() + 60;
        market.open(next);
        feed.terminal.tell(&market.bar_command(next).replacen("bar", "late-bar", 1));
        feed.advance(10);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_candle_that_lost_its_connection_is_sent_when_it_is_whole(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(20));
        feed.show(&market);
        feed.init();
        feed.advance(10);
        open_next(&mut feed, &mut market);
        feed.advance(20);
        let cut = *market.times().last().unwrap();
        feed.terminal.tell("connected no");
        feed.advance(600);
        assert!(feed.terminal.comment.contains("waits for the terminal to be connected"), "{}", feed.terminal.comment);
        // With the broker, a new bar comes at once, and what happened in between a little later.
        for _ in 0..10 {
            open_next(&mut feed, &mut market);
        }
        let back = *market.times().last().unwrap();
        feed.terminal.tell(&format!("unload EURUSD M1 {} {}", cut + 60, back - 60));
        feed.terminal.tell("synchronized EURUSD M1 no");
        feed.terminal.tell("connected yes");
        feed.advance(20);
        market.change(cut, |bar| {
            bar.prices[1] += 40;
            bar.volume += 90;
        });
        feed.terminal.tell(&market.bar_command(cut));
        feed.terminal.tell(&format!("load EURUSD M1 {cut} {back}"));
        feed.terminal.tell("synchronized EURUSD M1 yes");
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn without_forming_candles_only_closed_ones_are_sent(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(20));
        feed.show(&market);
        feed.input("SendForming", "false");
        feed.init();
        feed.advance(10);
        for _ in 0..3 {
            minute(&mut feed, &mut market);
        }
        feed.verify(feed.stored().await, &closed(&market, ALL), &[]);
    }

    async fn an_hour_without_the_service_loses_nothing(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(100));
        feed.show(&market);
        feed.init();
        feed.advance(30);
        feed.kill_service();
        feed.front.down().await;
        for _ in 0..60 {
            minute(&mut feed, &mut market);
        }
        assert_eq!(feed.terminal.logged("cannot be reached"), 1, "{:?}", feed.terminal.log);
        assert!(feed.terminal.comment.contains("tries again in"), "{}", feed.terminal.comment);
        let tries = feed.terminal.requests.iter().filter(|request| request.ends_with("-1 5201")).count();
        assert!((12..=20).contains(&tries), "{tries} tries: often at first, every five minutes later");
        feed.serve(&[]);
        feed.front.up().await;
        feed.advance(310);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged("takes candles again"), 1);
    }

    async fn a_service_that_is_killed_amid_the_history_gets_the_rest_later(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(3000));
        feed.show(&market);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.terminal.tell("takes 700");
        feed.init();
        for _ in 0..3 {
            feed.advance(15);
            feed.kill_service();
            feed.advance(15);
            feed.serve(&[]);
        }
        assert!(feed.database.closed().await.len() < 2999, "it was amid the history");
        assert!(feed.terminal.logged("broke off") > 0, "{:?}", feed.terminal.log);
        minute(&mut feed, &mut market);
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_terminal_that_was_closed_sends_what_it_missed_and_goes_on_with_the_history(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(2500));
        feed.show(&market);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.terminal.tell("takes 700");
        feed.init();
        feed.advance(20);
        let stored = feed.database.closed().await.len();
        assert!((500..2499).contains(&stored), "{stored}");
        feed.terminal.tell("deinit 9");
        // More than what is sent again in any case.
        for _ in 0..700 {
            open_next(&mut feed, &mut market);
        }
        feed.terminal.tell(&format!("clock {}", NOW + 700 * 60));
        feed.init();
        // It is closed again while it catches up.
        feed.advance(7);
        feed.terminal.tell("deinit 9");
        feed.init();
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_program_that_is_told_to_stop_makes_no_further_request(feed: Feed) {
        let (mut feed, market) = (feed, minutes(2500));
        feed.show(&market);
        feed.terminal.tell("stop 3");
        feed.init();
        feed.advance(60);
        assert_eq!(feed.front.requests().len(), 3);
        feed.terminal.tell("deinit 1");
        assert_eq!(feed.terminal.comment, "", "the chart is left clean");
    }

    async fn batches_are_halved_until_they_are_taken(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(1000));
        feed.serve(&[("MAX_BATCH", "100")]);
        feed.show(&market);
        feed.init();
        feed.advance(60);
        minute(&mut feed, &mut market);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let sizes: Vec<_> = feed.posts().iter().map(|post| post["candles"].as_array().unwrap().len()).collect();
        assert_eq!(sizes[..4], [500, 250, 125, 62]);
        assert!(sizes[4..].iter().all(|size| *size <= 62), "{sizes:?}");
        assert_eq!(feed.terminal.logged("at most 62 candles are sent at once"), 1);
    }

    async fn what_is_too_often_waits_as_long_as_it_is_told_to(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(1000));
        feed.serve(&[("RATE_LIMIT_INGEST", "1/m")]);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.show(&market);
        feed.init();
        feed.advance(5);
        let requests = feed.front.requests();
        assert_eq!(requests.len(), 3, "two are let through at once");
        let refused = &requests[2].answer;
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
        let wait: i64 = header(refused, "retry-after").unwrap().parse().unwrap();
        feed.serve(&[]);
        feed.advance(wait - 2);
        assert_eq!(feed.front.requests().len(), 3, "before {wait} s");
        minute(&mut feed, &mut market);
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_service_that_cannot_now_is_asked_again_ever_less_often(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(100));
        feed.show(&market);
        feed.init();
        feed.advance(10);
        let unavailable =
            Fate::Answered("503 Service Unavailable", "", r#"{"detail":"the database does not answer","code":"unavailable"}"#);
        let told = Fate::Answered("503 Service Unavailable", "RETRY-AFTER: 45\r\n", "");
        feed.front.next(&[vec![unavailable; 5], vec![told]].concat());
        let mut tried = Vec::new();
        open_next(&mut feed, &mut market);
        for second in (0..260).step_by(5) {
            let requests = feed.front.requests().len();
            feed.advance(5);
            if feed.front.requests().len() > requests {
                tried.push(second);
            }
        }
        let waited: Vec<_> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waited[..6], [10, 15, 25, 45, 85, 50], "at the first timer after 5, 10, 20, 40, 80 and 45 s");
        assert_eq!(feed.terminal.logged("answers 503 (the database does not answer)"), 1);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn an_answer_that_is_lost_costs_nothing(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(1000));
        feed.show(&market);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.front.next(&[Fate::AnswerLost, Fate::AnswerLost]);
        feed.init();
        feed.advance(60);
        for _ in 0..3 {
            feed.front.next(&[Fate::AnswerLost]);
            minute(&mut feed, &mut market);
        }
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_bad_bar_is_told_once_and_the_others_are_stored(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(400));
        let (bad, other) = (BROKER_NOW - 100 * 60, BROKER_NOW - 7 * 60);
        market.change(bad, |bar| bar.prices[1] = bar.prices[2] - 1);
        market.change(other, |bar| bar.volume = -1);
        feed.show(&market);
        feed.init();
        feed.advance(10);
        minute(&mut feed, &mut market);
        // The newest ones are sent again every hour.
        feed.advance(2 * 3600);
        market.remove(bad);
        market.remove(other);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged("EURUSD M1: the candle of 2024.02.14 10:20 UTC is not stored: "), 1);
        assert_eq!(feed.terminal.logged("EURUSD M1: the candle of 2024.02.14 11:53 UTC is not stored: "), 1);
        assert_eq!(feed.terminal.logged("is not stored"), 2, "{:?}", feed.terminal.log);
    }

    async fn many_bad_bars_are_counted_and_the_first_ones_told(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(200));
        let bad: Vec<_> = (50..90).map(|back| BROKER_NOW - back * 60).collect();
        for time in &bad {
            market.change(*time, |bar| bar.prices[1] = 1);
        }
        feed.show(&market);
        feed.init();
        feed.advance(10);
        for time in &bad {
            market.remove(*time);
        }
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged(" is not stored: "), 3, "{:?}", feed.terminal.log);
        assert_eq!(feed.terminal.logged("EURUSD M1: of this request 40 candles are not stored"), 1);
    }

    async fn a_candle_for_which_a_batch_is_refused_is_found_and_left_out(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(700));
        let bad = BROKER_NOW - 321 * 60;
        feed.front.always(&format!("\"timestamp\":{},", bad - OFFSET), front::REFUSAL);
        feed.show(&market);
        feed.init();
        feed.advance(120);
        minute(&mut feed, &mut market);
        market.remove(bad);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let reason = format!("not stored: http://{} answers 422 (one \"bad\" candle; leave it out)", feed.front.address);
        assert_eq!(feed.terminal.logged(&reason), 1, "{:?}", feed.terminal.log);
    }

    async fn a_page_of_something_else_is_no_answer(feed: Feed) {
        let (mut feed, market) = (feed, minutes(100));
        let page = |status| Fate::Answered(status, "Content-Type: text/html\r\n", "<html>Please log in</html>");
        feed.front.next(&["200 OK", "400 Bad Request", "404 Not Found", "502 Bad Gateway"].map(page));
        feed.show(&market);
        feed.init();
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        for told in ["not as candlewick does; correct Url", "answers 400", "answers 404", "answers 502"] {
            assert_eq!(feed.terminal.logged(told), 1, "{told}: {:?}", feed.terminal.log);
        }
    }

    async fn a_wrong_key_stops_the_feed_and_says_what_to_correct(feed: Feed) {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        feed.input("Key", "another-key-for-tests");
        feed.init();
        feed.advance(3600);
        assert_eq!(feed.front.requests().len(), 1, "it is not tried again");
        assert_eq!(feed.terminal.logged("does not know the key; correct the input Key (Invalid or missing API Key"), 1);
        assert!(feed.terminal.comment.contains("stopped: "), "{}", feed.terminal.comment);
        // The trader corrects the input, and the terminal starts the EA anew.
        feed.terminal.tell("deinit 5");
        feed.input("Key", KEY);
        feed.init();
        feed.advance(10);
        feed.front.next(&[Fate::Answered("403 Forbidden", "", r#"{"detail":"Use https.","code":"plain_http"}"#)]);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        feed.terminal.tell("deinit 5");
        feed.init();
        feed.advance(10);
        assert_eq!(feed.terminal.logged("check that Url begins with https:// and that Key is an ingest key (Use https.)"), 1);
    }

    async fn an_address_that_is_not_on_the_terminals_list_is_called_once_it_is(feed: Feed) {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        // Another name of this machine.
        let url = format!("http://localhost:{}", feed.front.address.port());
        feed.input("Url", &url);
        feed.init();
        feed.advance(60);
        assert!(feed.front.requests().is_empty());
        let told = format!("the terminal may not call {url}; add it under Tools > Options > Expert Advisors > Allow WebRequest");
        assert_eq!(feed.terminal.logged(&told), 1);
        feed.terminal.tell(&format!("allow {url}"));
        feed.advance(20);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn a_service_that_falls_silent_costs_one_time_out_at_a_time(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(100));
        feed.show(&market);
        feed.input("TimeoutSeconds", 1);
        feed.init();
        feed.advance(10);
        for failures in ["errors", "statuses"] {
            feed.terminal.tell(&format!("failures {failures}"));
            feed.front.next(&[Fate::Silence]);
            minute(&mut feed, &mut market);
            feed.advance(10);
        }
        let timed_out = |end: &str| feed.terminal.requests.iter().filter(|request| request.ends_with(end)).count();
        assert!(timed_out(" -1 5202") >= 1 && timed_out(" 1003 5202") >= 1, "{:?}", feed.terminal.requests);
        assert!(feed.terminal.logged("does not answer within 1 s") >= 1);
        feed.front.down().await;
        minute(&mut feed, &mut market);
        assert_eq!(feed.terminal.logged("cannot be reached"), 1);
        assert!(feed.terminal.requests.iter().any(|request| request.ends_with(" 1001 5201")));
        feed.front.up().await;
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }

    async fn symbols_keep_their_names_unless_they_are_given_others(feed: Feed) {
        let mut feed = feed;
        let symbols = ["EURUSD.m=EURUSD.icm", "XAUUSD+", "#AAPL", "BTC&USD", "US30.cash = US 30%", "Gold\"€\\", "JPN"];
        let mut markets = Vec::new();
        for (symbol, digits) in symbols.iter().zip([5, 2, 2, 8, 1, 3, 0]) {
            for (timeframe, seconds) in [("M1", 60), ("H1", 3600), ("D1", 86_400)] {
                let symbol = symbol.replace(" = ", "=");
                let last = BROKER_NOW - BROKER_NOW % seconds;
                markets.push(Market::new(&symbol, timeframe, digits).with_bars(30, seconds, last));
            }
        }
        for market in &markets {
            feed.show(market);
        }
        feed.input("Symbols", format!(" {} ;; ", symbols.join(" ; ")));
        feed.input("Timeframes", "period_m1, H1,d1");
        feed.init();
        feed.advance(60);
        let wanted: Vec<_> = markets.iter().flat_map(|market| closed(market, ALL)).collect();
        let live: Vec<_> = markets.iter().flat_map(forming).collect();
        feed.verify(feed.stored().await, &wanted, &live);
        assert!(feed.terminal.comment.contains("EURUSD.m as EURUSD.icm H1: live"), "{}", feed.terminal.comment);
        // They were asked for by the same names, so that they are found again.
        let posts = feed.posts().len();
        feed.terminal.tell("deinit 9");
        feed.init();
        feed.advance(60);
        assert_eq!(feed.posts().len(), posts + markets.len());
        feed.verify(feed.stored().await, &wanted, &live);
    }

    async fn a_symbol_that_the_broker_does_not_have_does_not_hinder_the_others(feed: Feed) {
        let (mut feed, market) = (feed, minutes(50));
        feed.show(&market);
        feed.input("Symbols", "GBPUSD,EURUSD");
        feed.init();
        feed.advance(60);
        assert_eq!(feed.terminal.logged("GBPUSD M1: the broker has no such symbol; write it as Market Watch does"), 1);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let late = Market::new("GBPUSD", "M1", 5).with_bars(50, 60, BROKER_NOW);
        feed.show(&late);
        feed.advance(120);
        let wanted = [closed(&market, ALL), closed(&late, ALL)].concat();
        feed.verify(feed.stored().await, &wanted, &[forming(&market), forming(&late)].concat());
    }

    async fn daylight_saving_moves_each_candle_by_the_offset_of_its_own_day(feed: Feed) {
        let mut feed = feed;
        feed.terminal.tell("chart EURUSD");
        feed.input("Timeframes", "H1");
        // What the broker's clock shows, and UTC.
        let changes = [
            // US rule: 2024-03-10 07:00 UTC and 2024-11-03 06:00 UTC; 2006-04-02 and 2006-10-29 by the older one.
            (0, 120, "2024-03-10T08:00:00Z", "2024-03-10T06:00:00Z"),
            (0, 120, "2024-03-10T10:00:00Z", "2024-03-10T07:00:00Z"),
            (0, 120, "2024-03-29T10:00:00Z", "2024-03-29T07:00:00Z"),
            (0, 120, "2024-11-03T08:00:00Z", "2024-11-03T05:00:00Z"),
            (0, 120, "2024-11-03T09:00:00Z", "2024-11-03T07:00:00Z"),
            (0, 120, "2006-03-20T10:00:00Z", "2006-03-20T08:00:00Z"),
            (0, 120, "2006-04-03T10:00:00Z", "2006-04-03T07:00:00Z"),
            (0, 120, "2006-10-30T10:00:00Z", "2006-10-30T08:00:00Z"),
            // EU rule: 2024-03-31 01:00 UTC and 2024-10-27 01:00 UTC.
            (1, 120, "2024-03-29T10:00:00Z", "2024-03-29T08:00:00Z"),
            (1, 120, "2024-03-31T02:00:00Z", "2024-03-31T00:00:00Z"),
            (1, 120, "2024-03-31T04:00:00Z", "2024-03-31T01:00:00Z"),
            (1, 120, "2024-10-27T02:00:00Z", "2024-10-26T23:00:00Z"),
            // This hour comes twice, and the first one is meant.
            (1, 120, "2024-10-27T03:00:00Z", "2024-10-27T00:00:00Z"),
            (1, 120, "2024-10-27T04:00:00Z", "2024-10-27T02:00:00Z"),
            (1, 0, "2024-07-01T13:00:00Z", "2024-07-01T12:00:00Z"),
            // No daylight saving, east and west.
            (2, 330, "2024-07-01T13:30:00Z", "2024-07-01T08:00:00Z"),
            (2, -300, "2024-07-01T13:00:00Z", "2024-07-01T18:00:00Z"),
        ];
        let seconds = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp();
        let mut wanted = Vec::new();
        for (clock, offset) in [(0, 120), (1, 120), (1, 0), (2, 330), (2, -300)] {
            let name = format!("EURUSD_{clock}_{}", offset + 1000);
            let mut market = Market::new(&format!("{name}={name}"), "H1", 5);
            let of_clock = changes.iter().filter(|change| (change.0, change.1) == (clock, offset));
            for (_, _, broker, utc) in of_clock {
                market.open(seconds(broker));
                wanted.push(market.row(seconds(broker), seconds(broker) - seconds(utc)));
            }
            // A forming one, so that all others are closed.
            market.open(seconds("2024-12-02T10:00:00Z"));
            feed.show(&market);
            feed.terminal.tell(&format!("clock {}", seconds("2024-12-02T15:00:00Z")));
            feed.input("BrokerClock", clock);
            feed.input("BrokerOffsetMinutes", offset);
            feed.input("SendForming", "false");
            // The second time it resumes from times that it has to turn back into the broker's.
            for _ in 0..2 {
                feed.init();
                feed.advance(20);
                feed.terminal.tell("deinit 5");
            }
        }
        feed.verify(feed.stored().await, &wanted, &[]);
    }

    async fn history_goes_on_where_it_stood_in_summer_too(feed: Feed) {
        let mut feed = feed;
        // 2024-07-01T12:00:00Z.
        let now = 1_719_835_200;
        let market = Market::new("EURUSD", "M1", 5).with_bars(1500, 60, now + 10_800);
        feed.terminal.tell(&format!("clock {now}"));
        feed.terminal.tell("offset 10800");
        feed.show(&market);
        let rows = |count| market.times().into_iter().rev().take(count).map(|time| market.row(time, 10_800)).collect();
        for depth in [0, 700, 5000] {
            feed.input("HistoryCandles", depth);
            feed.init();
            feed.advance(30);
            feed.terminal.tell("deinit 5");
            let mut wanted: Vec<_> = rows(1 + depth.clamp(500, 1499));
            let forming = wanted.remove(0);
            feed.verify(feed.stored().await, &wanted, &[forming]);
        }
    }

    async fn live_minutes_go_on_through_the_end_of_daylight_saving(feed: Feed) {
        let mut feed = feed;
        // 2024-11-03 04:50 UTC: the broker is 3 h ahead for 70 minutes more.
        let start = 1_730_609_400;
        let mut market = Market::new("BTCUSD", "M1", 2).with_bars(30, 60, start + 10_800);
        feed.terminal.tell(&format!("clock {start}"));
        feed.terminal.tell("offset 10800");
        feed.show(&market);
        feed.init();
        feed.advance(10);
        for _ in 0..69 {
            minute(&mut feed, &mut market);
        }
        let mut wanted: Vec<_> = market.times().iter().map(|time| market.row(*time, 10_800)).collect();
        // The clock goes back at 06:00. The terminal has candles of the hour that comes again, and shows none until it is over.
        feed.terminal.tell("offset 7200");
        feed.advance(3600);
        let resumed = start + 70 * 60 + 3600 + 7200;
        market.open(resumed);
        feed.terminal.tell(&market.bar_command(resumed));
        feed.advance(60);
        for _ in 0..5 {
            minute(&mut feed, &mut market);
        }
        let after = market.times().into_iter().filter(|time| *time >= resumed);
        let mut after: Vec<_> = after.map(|time| market.row(time, OFFSET)).collect();
        let forming = vec![after.pop().unwrap()];
        wanted.extend(after);
        feed.verify(feed.stored().await, &wanted, &forming);
        assert_eq!(feed.terminal.logged("the broker's clock is"), 0, "{:?}", feed.terminal.log);
    }

    async fn a_service_that_lost_its_database_gets_all_again_after_the_failure(feed: Feed) {
        let (mut feed, mut market) = (feed, minutes(900));
        feed.show(&market);
        feed.init();
        feed.advance(30);
        feed.kill_service();
        minute(&mut feed, &mut market);
        match &feed.database {
            Database::Sqlite(_) => feed.database = Database::sqlite(),
            Database::Postgres(database) => {
                database.execute("truncate market_data_candles, market_data_live_candles").await;
            }
        }
        feed.serve(&[]);
        feed.advance(120);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    }
}

#[test]
fn https_is_spoken_with_a_service_that_is_trusted_and_with_no_other() {
    run(async {
        let (own, database) = (folder(), Database::sqlite());
        let authority = own.path().join("cert.pem");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&authority, made.cert.pem()).unwrap();
        std::fs::write(own.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let url = database.url();
        let keys = [("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN), ("PORT", "0"), ("DATABASE_URL", &*url)];
        let certificate = [("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem")];
        let mut serving = Serving::start(own.path(), &[&keys[..], &certificate[..]].concat());
        serving.is_ready();
        let url = serving.url.replace("http://127.0.0.1", "https://localhost");
        let market = minutes(50);
        for trusted in [false, true] {
            let Some(mut terminal) = Terminal::start(trusted.then_some(&*authority)) else { return };
            for command in [market.symbol_command(), "chart EURUSD".to_owned(), format!("allow {url}")] {
                terminal.tell(&command);
            }
            for time in market.times() {
                terminal.tell(&market.bar_command(time));
            }
            for (name, value) in [("Url", &*url), ("Key", KEY), ("Timeframes", "M1")] {
                terminal.tell(&format!("input {name} {value}"));
            }
            terminal.tell(&format!("clock {NOW}"));
            terminal.tell("init");
            terminal.tell("advance 10");
            let told = format!("the request to {url} broke off; check its certificate and that it speaks https");
            assert_eq!(terminal.logged(&told), usize::from(!trusted), "{:?}", terminal.log);
        }
        assert_eq!(database.closed().await.len(), 49);
    });
}

#[test]
fn a_wrong_input_is_a_sentence_on_the_chart_and_nothing_is_sent() {
    let Some(mut terminal) = Terminal::start(None) else { return };
    let good = [
        ("Url", "https://candles.example.com"),
        ("Key", KEY),
        ("Symbols", "EURUSD"),
        ("Timeframes", "M1"),
        ("TimeoutSeconds", "5"),
        ("BatchSize", "500"),
        ("ResendCandles", "500"),
        ("HistoryCandles", "10"),
        ("TimerSeconds", "5"),
        ("BrokerOffsetMinutes", "120"),
    ];
    for (name, value, sentence) in [
        ("Url", "candles.example.com", "Url must be the address of the service, such as https://candles.example.com"),
        ("Url", "", "Url must be the address of the service, such as"),
        ("Url", "https://", "Url must be the address of the service, such as"),
        ("Url", "https://candles.example.com/api/v1/candles", "without /api/ and what follows"),
        (
            "Url",
            "http://candles.example.com",
            "Url must begin with https://, because everybody on the way can read the key",
        ),
        ("Url", "http://localhost.example.com:80", "Url must begin with https://"),
        ("Url", "https://name:word@candles.example.com", "Url must hold no @"),
        ("Key", "", "Key is empty; write an ingest key of the service"),
        ("Key", "half a key", "Key holds a blank or a character that no key has"),
        ("Symbols", "EURUSD=", "Symbols holds EURUSD=; write EURUSD, or EURUSD.m=EURUSD"),
        ("Symbols", "A=B=C", "Symbols holds A=B=C"),
        ("Symbols", "EURUSD,EURUSD.m=EURUSD", "EURUSD M1 stands there twice; a stored series can have one source only"),
        ("Timeframes", "M1,M7", "Timeframes holds M7; it takes M1 M2"),
        ("Timeframes", "M1,PERIOD_M1", "EURUSD M1 stands there twice"),
        ("Timeframes", ";,", "Timeframes is empty"),
        ("BatchSize", "0", "BatchSize is 0; it must be 1 to 10000."),
        ("TimerSeconds", "-1", "TimerSeconds is -1; it must be 1 to 3600."),
        ("TimeoutSeconds", "61", "TimeoutSeconds is 61; it must be 1 to 60."),
        ("ResendCandles", "0", "ResendCandles is 0; it must be 1 to"),
        ("HistoryCandles", "-5", "HistoryCandles is -5; it must be 0 to"),
        ("BrokerOffsetMinutes", "10800", "BrokerOffsetMinutes is 10800; it must be -720 to 840."),
    ] {
        for (name, value) in good.iter().chain([&(name, value)]) {
            terminal.tell(&format!("input {name} {value}"));
        }
        terminal.tell("init");
        assert_eq!(terminal.init_code, "32767", "INIT_PARAMETERS_INCORRECT for {name} {value}");
        assert!(terminal.log.last().unwrap().contains(sentence), "{name} {value}: {:?}", terminal.log.last());
        assert!(terminal.comment.contains(sentence), "{name} {value}: {}", terminal.comment);
    }
    for url in ["http://127.0.0.1", "http://localhost:8000/", " https://candles.example.com:8443/prefix/ "] {
        for (name, value) in good.iter().chain([&("Url", url)]) {
            terminal.tell(&format!("input {name} {value}"));
        }
        terminal.tell("init");
        assert_eq!(terminal.init_code, "0", "{url}: {:?}", terminal.log.last());
        terminal.tell("deinit 1");
    }
    assert!(terminal.requests.is_empty());
}

#[test]
fn a_broker_clock_that_is_not_as_the_inputs_say_is_told_with_what_to_set() {
    let Some(mut terminal) = Terminal::start(None) else { return };
    let told = |measured: i32, expected: i32, set: i32| {
        format!(
            "the broker's clock is {measured} minutes ahead of UTC and not {expected} as the inputs say, so candles get wrong times; set BrokerOffsetMinutes to {set} "
        )
    };
    for command in ["symbol EURUSD 5", "chart EURUSD", "input Timeframes M1"] {
        terminal.tell(command);
    }
    terminal.tell("input Url https://candles.example.com");
    terminal.tell(&format!("input Key {KEY}"));
    let summer = 1_719_828_000;
    for (clock, now, offset, warning) in [
        (0, NOW, 7200, None),
        (0, NOW, 7320, None),
        (0, NOW, 10_800, Some(told(180, 120, 180))),
        (0, summer, 10_800, None),
        (1, summer, 10_800, None),
        (2, summer, 10_800, Some(told(180, 120, 180))),
        (1, summer, 7200, Some(told(120, 180, 60))),
        (2, NOW, -3600, Some(told(-60, 120, -60))),
    ] {
        for command in [format!("clock {now}"), format!("offset {offset}"), format!("input BrokerClock {clock}")] {
            terminal.tell(&command);
        }
        let logged = terminal.log.len();
        // Without a connection there is no broker's clock.
        terminal.tell("connected no");
        terminal.tell("init");
        terminal.tell("advance 60");
        let warned =
            |terminal: &Terminal| terminal.log[logged..].iter().filter(|line| line.contains("broker's clock")).count();
        assert_eq!(warned(&terminal), 0);
        terminal.tell("connected yes");
        terminal.tell("advance 10000");
        assert_eq!(warned(&terminal), usize::from(warning.is_some()), "{:?}", &terminal.log[logged..]);
        if let Some(warning) = &warning {
            assert!(terminal.log[logged..].iter().any(|line| line.contains(warning)), "{:?}", &terminal.log[logged..]);
            assert!(terminal.comment.contains(warning), "{}", terminal.comment);
        }
        // What is right now may be wrong later.
        if warning.is_none() {
            terminal.tell(&format!("offset {}", offset - 3600));
            terminal.tell("advance 3700");
            assert_eq!(warned(&terminal), 1, "{:?}", &terminal.log[logged..]);
        }
        terminal.tell("deinit 1");
    }
}
