//! The broker's clock and its daylight saving.

use super::*;
use crate::harness::PgDatabase;

mod measured;

fn seconds(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

#[apply(both_store_kinds)]
fn daylight_saving_moves_each_candle_by_the_offset_of_its_own_day(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let mut feed = feed;
        feed.terminal.tell("chart EURUSD");
        feed.input("Timeframes", "H1");
        // Times of the broker's clock, and the same moments in UTC.
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
            // This hour comes twice, and the first one counts.
            (1, 120, "2024-10-27T03:00:00Z", "2024-10-27T00:00:00Z"),
            (1, 120, "2024-10-27T04:00:00Z", "2024-10-27T02:00:00Z"),
            (1, 0, "2024-07-01T13:00:00Z", "2024-07-01T12:00:00Z"),
            // No daylight saving, east and west.
            (2, 330, "2024-07-01T13:30:00Z", "2024-07-01T08:00:00Z"),
            (2, -300, "2024-07-01T13:00:00Z", "2024-07-01T18:00:00Z"),
            // Sydney: 2024-04-06 16:00 UTC and 2024-10-05 16:00 UTC; Auckland: 2024-04-06 14:00 UTC and 2024-09-28 14:00 UTC.
            (3, 600, "2024-04-07T02:00:00Z", "2024-04-06T15:00:00Z"),
            (3, 600, "2024-04-07T03:00:00Z", "2024-04-06T17:00:00Z"),
            (3, 600, "2024-10-06T01:00:00Z", "2024-10-05T15:00:00Z"),
            (3, 600, "2024-10-06T03:00:00Z", "2024-10-05T16:00:00Z"),
            (4, 720, "2024-04-07T02:00:00Z", "2024-04-06T13:00:00Z"),
            (4, 720, "2024-04-07T03:00:00Z", "2024-04-06T15:00:00Z"),
            (4, 720, "2024-09-29T01:00:00Z", "2024-09-28T13:00:00Z"),
            (4, 720, "2024-09-29T03:00:00Z", "2024-09-28T14:00:00Z"),
        ];
        let mut wanted = Vec::new();
        for (clock, offset) in [(0, 120), (1, 120), (1, 0), (2, 330), (2, -300), (3, 600), (4, 720)] {
            let name = format!("EURUSD_{clock}_{}", offset + 1000);
            let mut market = Market::new(&format!("{name}={name}"), "H1", 5);
            let of_clock = changes.iter().filter(|change| (change.0, change.1) == (clock, offset));
            for (_, _, broker, utc) in of_clock {
                market.open(seconds(broker));
                wanted.push(market.row(seconds(broker), seconds(broker) - seconds(utc)));
            }
            // A forming candle, so that all others are closed.
            market.open(seconds("2024-12-02T10:00:00Z"));
            feed.show(&market);
            let summer = if clock > 2 { 60 } else { 0 };
            feed.terminal.tell(&format!("clock {}", seconds("2024-12-02T15:00:00Z")));
            feed.terminal.tell(&format!("offset {}", (offset + summer) * 60));
            feed.input("BrokerClock", clock);
            feed.input("BrokerOffsetMinutes", offset);
            feed.input("SendForming", "false");
            // The second time it resumes from UTC times, which it has to convert back into the broker's.
            for _ in 0..2 {
                feed.init();
                feed.advance(20);
                feed.terminal.tell("deinit 5");
            }
        }
        feed.verify(feed.stored().await, &wanted, &[]);
    });
}

#[apply(both_store_kinds)]
fn history_resumes_where_it_stopped_in_summer_too(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
    });
}

#[apply(both_store_kinds)]
fn live_minutes_continue_through_the_end_of_daylight_saving(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let mut feed = feed;
        // 2024-11-03 04:50 UTC: the broker is 3 h ahead for another 70 minutes.
        let start = 1_730_609_400;
        let mut market = Market::new("BTCUSD", "M1", 2).with_bars(30, 60, start + 10_800);
        feed.terminal.tell(&format!("clock {start}"));
        feed.terminal.tell("offset 10800");
        begin(&mut feed, &market);
        for _ in 0..69 {
            minute(&mut feed, &mut market);
        }
        let mut wanted: Vec<_> = market.times().iter().map(|time| market.row(*time, 10_800)).collect();
        // The clock goes back at 06:00. The terminal has candles of the hour that repeats, and shows no new ones until
        // it is over.
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
    });
}

#[apply(both_store_kinds)]
fn sending_pauses_while_the_clock_contradicts_the_inputs_and_resumes_by_itself(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(50));
        feed.terminal.tell("offset 10800");
        feed.show(&market);
        feed.init();
        feed.advance(7000);
        assert!(feed.front.requests().is_empty(), "{:?}", feed.terminal.requests);
        let warning = "the broker's clock is 180 minutes ahead of UTC and not 120 as the inputs say, so nothing is sent until they agree; correct this computer's clock, or";
        for shown in [warning, "sends nothing while the broker's clock contradicts the inputs"] {
            assert!(feed.terminal.comment.contains(shown), "{}", feed.terminal.comment);
        }
        assert_eq!(feed.terminal.logged(warning), 2, "at once and an hour later: {:?}", feed.terminal.log);

        feed.terminal.tell("offset 7200");
        feed.advance(70);
        assert_eq!(feed.terminal.logged("the broker's clock fits the inputs now, so candles are sent"), 1);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));

        // Later it is wrong for a while, for example because this computer's clock was changed.
        feed.terminal.tell("offset 3600");
        feed.advance(60);
        let requests = feed.front.requests().len();
        for _ in 0..5 {
            minute(&mut feed, &mut market);
        }
        assert_eq!(feed.front.requests().len(), requests);
        assert!(feed.terminal.comment.contains("set BrokerOffsetMinutes to 60"), "{}", feed.terminal.comment);
        feed.terminal.tell("offset 7200");
        minute(&mut feed, &mut market);
        minute(&mut feed, &mut market);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert!(!feed.terminal.comment.contains("the broker's clock"), "{}", feed.terminal.comment);
    });
}

#[apply(both_store_kinds)]
fn an_input_allows_candles_by_a_clock_that_does_not_fit(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(50));
        feed.terminal.tell("offset 10800");
        feed.input("IgnoreClockCheck", "true");
        begin(&mut feed, &market);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let warning = "candles are sent with times that may be wrong, because IgnoreClockCheck is true";
        assert_eq!(feed.terminal.logged(warning), 1, "{:?}", feed.terminal.log);
        assert!(feed.terminal.comment.contains(warning), "{}", feed.terminal.comment);
    });
}

/// Compares noon of each day, for as long as each rule is known, with the time zone database of Postgres.
#[test]
fn the_rules_match_the_time_zone_database() {
    run(async {
        let database = Database::postgres().await;
        let Database::Postgres(postgres) = &database else { unreachable!("that is what was asked for") };
        let zones = [
            (0, 120, "America/New_York", 7, 1988),
            (1, 120, "Europe/Athens", 0, 1997),
            (3, 600, "Australia/Sydney", 0, 2001),
            (4, 720, "Pacific/Auckland", 0, 1990),
        ];
        let mut wanted = Vec::new();
        let mut markets = Vec::new();
        for (clock, _, zone, ahead, year) in zones {
            let days = utc_noons(postgres, zone, ahead, year).await;
            let mut market = Market::new(&format!("{zone}={zone}"), "D1", 5);
            for (broker, utc) in days {
                market.open(broker);
                wanted.push(market.row(broker, broker - utc));
            }
            market.open(seconds("2024-12-02T12:00:00Z"));
            markets.push((clock, market));
        }
        let Some(mut feed) = Feed::prepare(database, &[]).await else { return };
        for ((clock, market), (_, offset, _, _, _)) in markets.iter().zip(zones) {
            let summer = if *clock > 2 { 60 } else { 0 };
            feed.show(market);
            feed.terminal.tell(&format!("clock {}", seconds("2024-12-02T15:00:00Z")));
            feed.terminal.tell(&format!("offset {}", (offset + summer) * 60));
            for (name, value) in
                [("Timeframes", "D1"), ("HistoryCandles", "100000"), ("SendForming", "false"), ("BatchSize", "5000")]
            {
                feed.input(name, value);
            }
            feed.batch = 5000;
            feed.input("BrokerClock", clock);
            feed.input("BrokerOffsetMinutes", offset);
            feed.init();
            feed.advance(60);
            feed.terminal.tell("deinit 5");
        }
        feed.verify(feed.stored().await, &wanted, &[]);
    });
}

/// Noon of each day up to 2024-12-01 by a clock that is this many hours ahead of a zone's, and the same moment in UTC.
async fn utc_noons(postgres: &PgDatabase, zone: &str, ahead: i32, year: i32) -> Vec<(i64, i64)> {
    let sql = format!(
        "select extract(epoch from wall at time zone 'UTC')::bigint,
                extract(epoch from (wall - make_interval(hours => {ahead})) at time zone '{zone}')::bigint
         from generate_series(timestamp '{year}-01-01 12:00', '2024-12-01 12:00', '1 day') as wall"
    );
    let mut connection = postgres.connect().await;
    sqlx::query_as(&sql).fetch_all(&mut connection).await.unwrap()
}

#[test]
fn a_broker_clock_that_differs_from_the_inputs_is_reported_with_the_right_setting() {
    let Some(mut terminal) = Terminal::start(None) else { return };
    let told = |measured: i32, expected: i32, set: i32| {
        format!(
            "the broker's clock is {measured} minutes ahead of UTC and not {expected} as the inputs say, so nothing is sent until they agree; correct this computer's clock, or set BrokerOffsetMinutes to {set} "
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
        (3, NOW, 10_800, None),
        (3, summer, 7200, None),
        (4, NOW, 7200, Some(told(120, 180, 60))),
    ] {
        for command in [format!("clock {now}"), format!("offset {offset}"), format!("input BrokerClock {clock}")] {
            terminal.tell(&command);
        }
        let logged = terminal.log.len();
        // Without a connection the broker's clock is unknown.
        terminal.tell("connected no");
        terminal.tell("init");
        terminal.tell("advance 60");
        let warned =
            |terminal: &Terminal| terminal.log[logged..].iter().filter(|line| line.contains("ahead of UTC")).count();
        assert_eq!(warned(&terminal), 0);
        terminal.tell("connected yes");
        terminal.tell("advance 3000");
        assert_eq!(warned(&terminal), usize::from(warning.is_some()), "{:?}", &terminal.log[logged..]);
        if let Some(warning) = &warning {
            assert!(terminal.log[logged..].iter().any(|line| line.contains(warning)), "{:?}", &terminal.log[logged..]);
            assert!(terminal.comment.contains(warning), "{}", terminal.comment);
        }
        // A clock that is right now may be wrong a minute later.
        if warning.is_none() {
            terminal.tell(&format!("offset {}", offset - 3600));
            terminal.tell("advance 65");
            assert_eq!(warned(&terminal), 1, "{:?}", &terminal.log[logged..]);
        }
        terminal.tell("deinit 1");
    }
}
