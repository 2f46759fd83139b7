//! Candles as they open and close, through outages and restarts.

use super::*;

#[apply(both_store_kinds)]
fn live_minutes_are_forming_until_they_close(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(20));
        begin(&mut feed, &market);
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
        // Neither a quiet market nor a weekend costs requests; the last bar stays at position 0 until the next tick.
        let requests = feed.front.requests().len();
        feed.advance(1800);
        assert_eq!(feed.front.requests().len(), requests);
        feed.advance(49 * 3600);
        let monday = market.times().last().unwrap() + 50 * 3600;
        market.open(monday);
        feed.terminal.tell(&market.bar_command(monday));
        feed.advance(10);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_bar_that_opens_while_the_ea_counts_leaves_no_hole(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(20));
        begin(&mut feed, &market);
        open_next(&mut feed, &mut market);
        let next = market.times().last().unwrap() + 60;
        market.open(next);
        feed.terminal.tell(&market.bar_command(next).replacen("bar", "late-bar", 1));
        feed.advance(10);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_candle_interrupted_by_a_disconnect_is_sent_once_complete(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(20));
        begin(&mut feed, &market);
        open_next(&mut feed, &mut market);
        feed.advance(20);
        let cut = *market.times().last().unwrap();
        feed.terminal.tell("connected no");
        feed.advance(600);
        assert!(feed.terminal.comment.contains("waits until the terminal is connected"), "{}", feed.terminal.comment);
        // When the connection returns, a new bar comes at once, and the missed bars and ticks come a little later.
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
    });
}

#[apply(both_store_kinds)]
fn without_forming_candles_only_closed_ones_are_sent(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(20));
        feed.show(&market);
        feed.input("SendForming", "false");
        feed.init();
        feed.advance(10);
        for _ in 0..3 {
            minute(&mut feed, &mut market);
        }
        feed.verify(feed.stored().await, &closed(&market, ALL), &[]);
    });
}

#[apply(both_store_kinds)]
fn an_input_selects_traded_volumes(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(20));
        let mut traded = minutes(20);
        feed.terminal.tell(&market.symbol_command());
        feed.terminal.tell("chart EURUSD");
        for (number, time) in market.times().into_iter().enumerate() {
            let volume = number as i64 * 3;
            traded.change(time, |bar| bar.volume = volume);
            feed.terminal.tell(&format!("{} {volume}", market.bar_command(time)));
        }
        feed.input("VolumeKind", 1);
        feed.init();
        feed.advance(10);
        feed.verify(feed.stored().await, &closed(&traded, ALL), &forming(&traded));
        assert_eq!(feed.terminal.logged("no traded volume"), 0, "{:?}", feed.terminal.log);
    });
}

#[apply(both_store_kinds)]
fn a_symbol_without_traded_volumes_is_named_once(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(1200));
        feed.input("VolumeKind", 1);
        begin(&mut feed, &market);
        feed.advance(3700);
        let line = "EURUSD M1: the broker has no traded volume for it, so 0 is stored; set VolumeKind to ticks to store tick volumes";
        assert_eq!(feed.terminal.logged(line), 1, "{:?}", feed.terminal.log);
        assert!(feed.database.closed().await.iter().all(|row| row.ends_with(" 0")));
    });
}

#[apply(both_store_kinds)]
fn an_hour_without_the_service_loses_nothing(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
    });
}

#[apply(both_store_kinds)]
fn a_service_killed_during_the_history_gets_the_rest_later(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
        assert!(feed.terminal.logged("was cut off") > 0, "{:?}", feed.terminal.log);
        minute(&mut feed, &mut market);
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_restarted_terminal_sends_missed_candles_and_resumes_the_history(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
        // More candles than the EA sends again in any case.
        for _ in 0..700 {
            open_next(&mut feed, &mut market);
        }
        feed.terminal.tell(&format!("clock {}", NOW + 700 * 60));
        feed.init();
        // The terminal is closed again while the EA catches up.
        feed.advance(7);
        feed.terminal.tell("deinit 9");
        feed.init();
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_stopped_program_makes_no_further_request(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(2500));
        feed.show(&market);
        feed.terminal.tell("stop 3");
        feed.init();
        feed.advance(60);
        assert_eq!(feed.front.requests().len(), 3);
        feed.terminal.tell("deinit 1");
        assert_eq!(feed.terminal.comment, "", "the chart is left clean");
    });
}

#[apply(both_store_kinds)]
fn a_service_that_lost_its_database_gets_all_candles_again(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
    });
}
