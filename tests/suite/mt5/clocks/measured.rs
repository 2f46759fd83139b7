//! A clock that follows no rule: `BrokerClock` as measured. In no scenario may a stored candle have a wrong time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{Datelike as _, NaiveDate};

use super::*;
use crate::harness::run_within;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// The time limit of a test, because some simulate weeks.
const PATIENCE: Duration = Duration::from_mins(5);

/// The offset of a broker's clock from UTC in seconds, from each moment on; the first one holds from the beginning.
#[derive(Clone, Debug)]
struct Clock(Vec<(i64, i64)>);

impl Clock {
    fn new(first: i64, changes: &[(&str, i64)]) -> Self {
        let later = changes.iter().map(|(utc, hours)| (seconds(utc), hours * HOUR));
        Self(std::iter::once((0, first * HOUR)).chain(later).collect())
    }

    fn at(&self, utc: i64) -> i64 {
        self.0.iter().rev().find(|(from, _)| *from <= utc).unwrap().1
    }

    /// The first moment at which the clock shows a time.
    fn utc(&self, broker: i64) -> i64 {
        let moments = self.0.iter().map(|(_, offset)| broker - offset).filter(|utc| utc + self.at(*utc) == broker);
        moments.min().expect("the broker's clock shows this time")
    }

    /// The Forex weekends or weeks in which the clock changed, from the close before to the opening after.
    fn changes(&self) -> Vec<(i64, i64)> {
        self.0[1..].iter().map(|(utc, _)| (close_before(*utc), opening_after(*utc))).collect()
    }
}

/// 17:00 in New York on the day that begins at `midnight`.
fn new_york(midnight: i64) -> i64 {
    let year = chrono::DateTime::from_timestamp(midnight, 0).unwrap().year();
    let sunday = |month, nth: i64| {
        let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
        let to_sunday = (7 - i64::from(first.weekday().num_days_from_sunday())) % 7;
        first.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp() + (to_sunday + 7 * (nth - 1)) * DAY
    };
    let summer = midnight >= sunday(3, 2) && midnight < sunday(11, 1);
    midnight + if summer { 21 } else { 22 } * HOUR
}

/// Midnight of the Sunday before.
fn sunday_of(utc: i64) -> i64 {
    // 1970-01-04 was a Sunday.
    utc - (utc - 3 * DAY).rem_euclid(WEEK)
}

fn opening_after(utc: i64) -> i64 {
    let sunday = sunday_of(utc);
    [new_york(sunday), new_york(sunday + WEEK)].into_iter().find(|opening| *opening > utc).unwrap()
}

fn close_before(utc: i64) -> i64 {
    let friday = sunday_of(utc) + 5 * DAY;
    [new_york(friday), new_york(friday - WEEK)].into_iter().find(|close| *close <= utc).unwrap()
}

fn is_forex_open(utc: i64) -> bool {
    let sunday = sunday_of(utc);
    (new_york(sunday)..new_york(sunday + 5 * DAY)).contains(&utc)
        || (new_york(sunday - WEEK)..new_york(sunday - 2 * DAY)).contains(&utc)
}

/// Candles of one symbol with their true times.
struct Truth {
    symbol: &'static str,
    hours: Market,
    days: Market,
    utc: BTreeMap<i64, i64>,
    is_open: Box<dyn Fn(i64) -> bool>,
}

impl Truth {
    fn new(symbol: &'static str, is_open: impl Fn(i64) -> bool + 'static) -> Self {
        let (hours, days) = (Market::new(symbol, "H1", 5), Market::new(symbol, "D1", 5));
        Self { symbol, hours, days, utc: BTreeMap::new(), is_open: Box::new(is_open) }
    }

    /// Opens the hour that begins at a moment, and returns the commands that show its new bars to the terminal.
    fn open(&mut self, clock: &Clock, utc: i64) -> Vec<String> {
        let broker = utc + clock.at(utc);
        // When the clock goes back, the terminal keeps the hour of the first pass.
        if !(self.is_open)(utc) || self.utc.contains_key(&broker) {
            return Vec::new();
        }
        self.utc.insert(broker, utc);
        self.hours.open(broker);
        let mut commands = vec![self.hours.bar_command(broker)];
        let midnight = broker - broker.rem_euclid(DAY);
        if self.days.times().last().is_none_or(|last| *last < midnight) {
            self.days.open(midnight);
            commands.push(self.days.bar_command(midnight));
        }
        commands
    }

    /// The true rows with their UTC times, without the forming ones.
    fn rows(&self, clock: &Clock) -> Vec<(i64, String)> {
        let hours = self.hours.times().into_iter().rev().skip(1).map(|time| (&self.hours, time, self.utc[&time]));
        let days = self.days.times().into_iter().rev().skip(1).map(|time| (&self.days, time, clock.utc(time)));
        hours.chain(days).map(|(market, time, utc)| (utc, market.row(time, time - utc))).collect()
    }
}

/// A broker, its terminal and the EA that measures its clock.
struct Broker {
    feed: Feed,
    clock: Clock,
    now: i64,
    symbols: Vec<Truth>,
    /// The hours between two timers of the EA while time passes.
    step: i64,
    served: Instant,
}

impl Broker {
    /// A broker with `weeks` of history at `now`. Forex symbols are those whose names begin with EUR or GBP.
    async fn prepare(clock: Clock, now: &str, weeks: i64, symbols: Vec<Truth>) -> Option<Self> {
        let now = seconds(now);
        let mut broker = Self {
            feed: Feed::prepare(Database::sqlite(), &[]).await?,
            clock,
            now,
            symbols,
            step: 1,
            served: Instant::now(),
        };
        broker.feed.batch = 5000;
        for (name, value) in [("BrokerClock", "5"), ("Timeframes", "H1,D1"), ("HistoryCandles", "100000")] {
            broker.feed.input(name, value);
        }
        for (name, value) in
            [("BatchSize", "5000"), ("ResendCandles", "50"), ("SendForming", "false"), ("TimerSeconds", "300")]
        {
            broker.feed.input(name, value);
        }
        let names: Vec<_> = broker.symbols.iter().map(|truth| truth.symbol).collect();
        broker.feed.input("Symbols", names.join(","));
        broker.feed.terminal.tell(&format!("chart {}", names[0]));
        for name in names {
            let mode = if name.starts_with("EUR") || name.starts_with("GBP") { "forex" } else { "cfd" };
            broker.feed.terminal.tell(&format!("symbol {name} 5"));
            broker.feed.terminal.tell(&format!("mode {name} {mode}"));
        }
        broker.feed.terminal.tell(&format!("clock {now}"));
        let first = now - weeks * WEEK;
        for hour in 0..=weeks * 7 * 24 {
            broker.open(first + hour * HOUR);
        }
        broker.set_offset();
        Some(broker)
    }

    fn open(&mut self, utc: i64) {
        for truth in &mut self.symbols {
            for command in truth.open(&self.clock, utc) {
                self.feed.terminal.tell(&command);
            }
        }
    }

    fn set_offset(&mut self) {
        self.feed.terminal.tell(&format!("offset {}", self.clock.at(self.now)));
    }

    fn start(&mut self) {
        self.feed.init();
        self.feed.advance(600);
        self.now += 600;
    }

    /// Lets time pass up to a moment, and opens a candle each hour.
    fn run_to(&mut self, utc: i64) {
        while self.now < utc {
            self.now = ((self.now / HOUR + 1) * HOUR).min(utc);
            self.feed.terminal.tell(&format!("clock {}", self.now));
            if self.now % HOUR == 0 {
                self.set_offset();
                self.open(self.now);
            }
            if self.now / HOUR % self.step == 0 {
                self.feed.advance(1);
            }
            self.serve_again();
        }
        self.feed.advance(600);
        self.now += 600;
    }

    /// Restarts the service in time, because the tests' service lives for a minute.
    fn serve_again(&mut self) {
        if self.served.elapsed() > Duration::from_secs(20) {
            self.feed.kill_service();
            self.feed.serve(&[]);
            self.served = Instant::now();
        }
    }

    fn told(&self) -> String {
        format!("{}\n{:#?}", self.feed.terminal.comment, self.feed.terminal.log)
    }

    /// Checks that no stored candle has a wrong time, and that all are stored except those for which `may_miss` is
    /// true.
    async fn verify(&self, may_miss: impl Fn(i64) -> bool) {
        let stored: BTreeSet<_> = self.feed.stored().await.0.into_iter().collect();
        let truth: Vec<_> = self.symbols.iter().flat_map(|truth| truth.rows(&self.clock)).collect();
        let all: BTreeSet<_> = truth.iter().map(|(_, row)| row).collect();
        let wrong: Vec<_> = stored.iter().filter(|row| !all.contains(row)).collect();
        assert!(
            wrong.is_empty(),
            "{} wrong candles, {:#?}\n{}",
            wrong.len(),
            &wrong[..wrong.len().min(5)],
            self.told()
        );
        let missing: Vec<_> = truth.iter().filter(|(utc, row)| !may_miss(*utc) && !stored.contains(row)).collect();
        let some = &missing[..missing.len().min(5)];
        assert!(missing.is_empty(), "{} candles missing, {some:#?}\n{}", missing.len(), self.told());
    }

    /// Checks that nothing is stored.
    async fn verify_nothing(&self) {
        let stored = self.feed.stored().await.0;
        assert!(stored.is_empty(), "{} candles, {:#?}\n{}", stored.len(), stored.first(), self.told());
    }

    /// The opening of the second week of the history, because the first week's may lie before it begins.
    fn first_known(&self) -> i64 {
        opening_after(*self.symbols[0].utc.values().next().unwrap())
    }

    fn says(&self, text: &str) -> bool {
        self.feed.terminal.comment.contains(text)
    }
}

fn forex(symbol: &'static str) -> Truth {
    Truth::new(symbol, is_forex_open)
}

fn always(symbol: &'static str) -> Truth {
    Truth::new(symbol, |_| true)
}

/// A Forex symbol without the first `late` and the last `early` hours of a week.
fn shortened(symbol: &'static str, late: i64, early: i64) -> Truth {
    Truth::new(symbol, move |utc| {
        is_forex_open(utc) && is_forex_open(utc - late * HOUR) && is_forex_open(utc + early * HOUR)
    })
}

/// Returns whether a moment is in a weekend or week of a change, or within an hour of it.
fn near_change(clock: &Clock, utc: i64) -> bool {
    clock.changes().iter().any(|(from, to)| (from - HOUR..to + HOUR).contains(&utc))
}

/// Israel's clock, which goes forward on a Friday.
fn jerusalem() -> Clock {
    let changes = [
        ("2022-03-25T00:00:00Z", 3),
        ("2022-10-29T23:00:00Z", 2),
        ("2023-03-24T00:00:00Z", 3),
        ("2023-10-28T23:00:00Z", 2),
    ];
    Clock::new(2, &changes)
}

/// A Wednesday.
const WINTER_NOON: &str = "2024-02-14T12:00:00Z";

#[test]
fn a_clock_without_a_rule_is_known_except_around_its_changes() {
    run_within(PATIENCE, async {
        // GBPXBT is treated as Forex because of its name, but trades on weekends.
        let symbols = vec![forex("EURUSD"), always("BTCUSD"), always("GBPXBT")];
        let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 120, symbols).await else { return };
        broker.start();
        let (clock, first) = (broker.clock.clone(), broker.first_known());
        broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
        assert!(broker.says("leaves out candles between"), "{}", broker.told());
        let told =
            "candles from 2023.10.27 23:00 up to 2023.10.30 00:00 by the broker's clock are left out, such as that of";
        assert_eq!(broker.feed.terminal.logged(told), 1, "{}", broker.told());
        assert!(
            broker
                .feed
                .terminal
                .log
                .iter()
                .all(|line| !line.contains("left out") || line.contains("a BrokerClock with a rule"))
        );
    });
}

#[test]
fn a_broker_that_switched_rules_is_known_under_both() {
    run_within(PATIENCE, async {
        // Europe's rule, then America's.
        let changes = [
            ("2022-03-27T01:00:00Z", 3),
            ("2022-10-30T01:00:00Z", 2),
            ("2023-03-12T07:00:00Z", 3),
            ("2023-11-05T06:00:00Z", 2),
        ];
        let symbols = vec![forex("EURUSD"), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(Clock::new(2, &changes), WINTER_NOON, 110, symbols).await else {
            return;
        };
        broker.start();
        let (clock, first) = (broker.clock.clone(), broker.first_known());
        broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
    });
}

/// Forex with the holidays of Christmas and New Year 2022 and 2023: weeks without a known opening and without a known close.
fn with_holidays(symbol: &'static str) -> Truth {
    let closed = [
        ("2022-12-23T22:00:00Z", "2022-12-27T07:00:00Z"),
        ("2022-12-30T17:00:00Z", "2023-01-03T06:00:00Z"),
        ("2023-12-22T22:00:00Z", "2023-12-26T05:00:00Z"),
        ("2023-12-29T20:00:00Z", "2024-01-02T06:00:00Z"),
    ];
    let closed = closed.map(|(from, to)| seconds(from)..seconds(to));
    Truth::new(symbol, move |utc| is_forex_open(utc) && !closed.iter().any(|closed| closed.contains(&utc)))
}

#[test]
fn holidays_are_bridged_where_the_weeks_around_them_agree() {
    run_within(PATIENCE, async {
        let symbols = || vec![with_holidays("EURUSD"), always("BTCUSD")];
        let same = Clock::new(2, &[]);
        let Some(mut broker) = Broker::prepare(same, WINTER_NOON, 70, symbols()).await else { return };
        broker.start();
        let first = broker.first_known();
        broker.verify(|utc| utc < first).await;

        // With a change among the holidays, the clock is unknown from the close before to the opening after all of
        // them.
        let other = Clock::new(2, &[("2023-12-27T01:00:00Z", 3)]);
        let Some(mut broker) = Broker::prepare(other, "2024-02-28T12:00:00Z", 60, symbols()).await else { return };
        broker.start();
        let first = broker.first_known();
        let unknown = seconds("2023-12-15T21:00:00Z")..seconds("2024-01-07T23:00:00Z");
        broker.verify(|utc| utc < first || unknown.contains(&utc)).await;
    });
}

#[test]
fn a_symbol_with_other_hours_proves_nothing_and_does_not_affect_others() {
    run_within(PATIENCE, async {
        for (late, early) in [(1, 0), (0, 1), (1, 1), (4, 2)] {
            let alone = vec![shortened("EURUSD", late, early), always("BTCUSD")];
            let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 30, alone).await else { return };
            broker.start();
            let week = close_before(broker.now) + 2 * DAY;
            broker.verify(|utc| utc < week).await;
            assert!(broker.feed.stored().await.0.len() < 150, "{}", broker.told());
            assert!(broker.says("only candles of this week are sent"), "{}", broker.told());

            let beside = vec![shortened("EURUSD", late, early), always("BTCUSD"), forex("GBPUSD")];
            let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 30, beside).await else { return };
            broker.start();
            let (clock, first) = (broker.clock.clone(), opening_after(broker.first_known()));
            broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
        }
    });
}

#[test]
fn a_few_weeks_of_other_hours_do_not_count_as_a_clock_change() {
    run_within(PATIENCE, async {
        // London hours: in three weeks of the year they open and close an hour late by New York time.
        let shifted = [
            seconds("2023-03-12T00:00:00Z")..seconds("2023-03-26T00:00:00Z"),
            seconds("2023-10-29T00:00:00Z")..seconds("2023-11-05T00:00:00Z"),
        ];
        let london = || {
            let shifted = shifted.clone();
            let late = move |utc: i64| if shifted.iter().any(|weeks| weeks.contains(&utc)) { HOUR } else { 0 };
            Truth::new("EURUSD", move |utc| is_forex_open(utc - late(utc)))
        };
        let symbols = vec![london(), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(Clock::new(2, &[]), WINTER_NOON, 60, symbols).await else { return };
        broker.start();
        let first = broker.first_known();
        let left_out = shifted.clone().map(|weeks| close_before(weeks.start)..opening_after(weeks.end));
        broker.verify(|utc| utc < first || left_out.iter().any(|weeks| weeks.contains(&utc))).await;

        let symbols = vec![london(), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(Clock::new(2, &[]), "2023-03-22T12:00:00Z", 30, symbols).await else {
            return;
        };
        broker.start();
        broker.verify_nothing().await;
    });
}

#[test]
fn sessions_in_the_brokers_clock_do_not_hide_its_change_within_a_week() {
    run_within(PATIENCE, async {
        // In the weeks between America's change and Israel's, all symbols open an hour late. In the last of them the clock
        // goes forward on Friday, so that opening and close show the same offset, which is wrong from Sunday to Thursday.
        let sessions = || {
            let clock = jerusalem();
            Truth::new("EURUSD", move |utc| {
                let broker = utc + clock.at(utc);
                is_forex_open(utc) && (DAY..6 * DAY).contains(&(broker - sunday_of(broker)))
            })
        };
        // With the hour on both sides that the broker's clock may show twice.
        let between = |from: &str, to: &str| close_before(seconds(from)) - HOUR..opening_after(seconds(to)) + HOUR;
        let left_out = [
            between("2023-03-12T12:00:00Z", "2023-03-24T12:00:00Z"),
            between("2023-10-28T12:00:00Z", "2023-11-03T12:00:00Z"),
        ];
        let symbols = vec![sessions(), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 60, symbols).await else { return };
        broker.start();
        let first = broker.first_known();
        broker.verify(|utc| utc < first || left_out.iter().any(|weeks| weeks.contains(&utc))).await;

        // An EA that is started on the weekend after such a week.
        let symbols = vec![sessions(), always("BTCUSD")];
        let now = "2023-03-25T12:00:00Z";
        let Some(mut broker) = Broker::prepare(jerusalem(), now, 30, symbols).await else { return };
        broker.start();
        broker.verify(|_| true).await;
    });
}

#[test]
fn without_a_forex_symbol_only_this_week_is_sent_with_advice_to_choose_a_rule() {
    run_within(PATIENCE, async {
        let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 30, vec![always("BTCUSD")]).await else {
            return;
        };
        broker.start();
        let week = close_before(broker.now) + 2 * DAY;
        broker.verify(|utc| utc < week).await;
        let stored = broker.feed.stored().await.0.len();
        assert!((60..100).contains(&stored), "{stored}: {}", broker.told());
        assert!(broker.says("choose a BrokerClock with a rule"), "{}", broker.told());
        assert_eq!(broker.feed.terminal.logged("only candles of this week are sent"), 1, "{}", broker.told());

        // A change within the week may be a change of this computer's clock.
        broker.feed.terminal.tell("computer 3600");
        broker.run_to(broker.now + DAY);
        assert_eq!(broker.feed.stored().await.0.len(), stored);
        assert!(broker.says("sends nothing"), "{}", broker.told());
    });
}

#[test]
fn without_a_forex_symbol_a_weekend_proves_nothing_about_the_week_before() {
    run_within(PATIENCE, async {
        // GBPXBT is treated as Forex because of its name, but trades on weekends.
        for symbol in ["BTCUSD", "GBPXBT"] {
            let symbols = vec![always(symbol)];
            // The clock changed in the night before.
            let Some(mut broker) = Broker::prepare(jerusalem(), "2023-10-29T12:00:00Z", 20, symbols).await else {
                return;
            };
            broker.start();
            broker.run_to(seconds("2023-10-31T12:00:00Z"));
            let start = seconds("2023-10-29T13:00:00Z");
            broker.verify(|utc| utc < start).await;
        }
    });
}

#[test]
fn a_custom_symbol_proves_nothing() {
    run_within(PATIENCE, async {
        let symbols = vec![forex("EURUSD"), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 20, symbols).await else { return };
        broker.feed.terminal.tell("custom EURUSD");
        broker.start();
        let week = close_before(broker.now) + 2 * DAY;
        broker.verify(|utc| utc < week).await;
        assert!(broker.says("only candles of this week are sent"), "{}", broker.told());
    });
}

#[test]
fn with_fewer_than_eight_weeks_only_this_week_is_sent() {
    run_within(PATIENCE, async {
        let symbols = vec![forex("EURUSD"), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(Clock::new(2, &[]), WINTER_NOON, 7, symbols).await else { return };
        broker.start();
        let week = close_before(broker.now) + 2 * DAY;
        broker.verify(|utc| utc < week).await;
        let stored = broker.feed.stored().await.0.len();
        assert!(stored < 200, "{stored}: {}", broker.told());
        assert!(broker.says("in 8 weeks"), "{}", broker.told());
        // Two weeks later there are enough weeks, and the candles that were left out follow.
        broker.step = 12;
        let first = broker.first_known();
        broker.run_to(broker.now + 2 * WEEK);
        broker.verify(|utc| utc < first).await;
        assert!(!broker.says("in 8 weeks"), "{}", broker.told());
    });
}

#[test]
fn a_change_while_the_ea_runs_loses_an_hour_at_most() {
    run_within(PATIENCE, async {
        // Back and forward on a Sunday, back and forward on a Friday.
        for (first, change, to) in [
            (3, "2023-10-28T23:00:00Z", 2),
            (2, "2023-10-28T23:00:00Z", 3),
            (3, "2023-10-27T00:00:00Z", 2),
            (2, "2023-10-27T00:00:00Z", 3),
        ] {
            let clock = Clock::new(first, &[(change, to)]);
            let symbols = vec![forex("EURUSD"), always("BTCUSD")];
            let Some(mut broker) = Broker::prepare(clock, "2023-10-26T12:00:00Z", 12, symbols).await else { return };
            broker.start();
            broker.run_to(seconds(change) + 6 * HOUR);
            assert!(broker.says("by the hours of Forex, so nothing is sent until they agree"), "{}", broker.told());
            broker.run_to(seconds("2023-10-30T06:00:00Z"));
            let first = broker.first_known();
            let around = seconds(change) - HOUR..seconds(change) + HOUR;
            // The daily candle of the change is sent with the rest unless its midnight comes twice.
            broker.verify(|utc| utc < first || around.contains(&utc)).await;
            assert!(!broker.says("nothing is sent"), "{}", broker.told());
        }
    });
}

#[test]
fn an_ea_that_starts_after_a_change_waits_for_the_weeks_close() {
    run_within(PATIENCE, async {
        let clock = Clock::new(3, &[("2023-10-28T23:00:00Z", 2)]);
        let symbols = vec![forex("EURUSD"), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(clock, "2023-10-29T12:00:00Z", 12, symbols).await else { return };
        broker.step = 6;
        broker.start();
        broker.run_to(seconds("2023-11-02T12:00:00Z"));
        broker.verify_nothing().await;
        assert!(broker.says("or closed after a restart"), "{}", broker.told());
        broker.run_to(seconds("2023-11-04T12:00:00Z"));
        let (clock, first, close) = (broker.clock.clone(), broker.first_known(), seconds("2023-11-03T21:00:00Z"));
        broker.verify(|utc| utc < first || near_change(&clock, utc) || utc >= close).await;
        assert!(broker.says("wait for the Forex week to open"), "{}", broker.told());
        broker.run_to(seconds("2023-11-06T12:00:00Z"));
        broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
    });
}

#[test]
fn hours_that_load_late_lose_no_candles() {
    run_within(PATIENCE, async {
        let symbols = vec![forex("EURUSD"), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 40, symbols).await else { return };
        let times = broker.symbols[0].hours.times();
        let (oldest, newest) = (times[0], *times.last().unwrap());
        // Without any hours the EA waits; with those of this week it sends the week.
        broker.feed.terminal.tell(&format!("unload EURUSD H1 {oldest} {newest}"));
        broker.start();
        broker.verify_nothing().await;
        assert!(broker.says("until the terminal has loaded the H1 candles"), "{}", broker.told());
        broker.feed.terminal.tell(&format!("load EURUSD H1 {} {newest}", newest - 4 * DAY));
        broker.run_to(broker.now + 6 * HOUR);
        let week = close_before(broker.now) + 2 * DAY;
        broker.verify(|utc| utc < week).await;
        broker.feed.terminal.tell(&format!("load EURUSD H1 {oldest} {newest}"));
        broker.run_to(broker.now + 6 * HOUR);
        let (clock, first) = (broker.clock.clone(), broker.first_known());
        broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
    });
}

#[test]
fn a_computer_clock_that_is_an_hour_off_stops_sending_until_corrected() {
    run_within(PATIENCE, async {
        for error in [3600, -3600] {
            let symbols = vec![forex("EURUSD"), always("BTCUSD")];
            let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, 30, symbols).await else { return };
            broker.feed.terminal.tell(&format!("computer {error}"));
            broker.step = 4;
            broker.start();
            broker.run_to(broker.now + WEEK);
            broker.verify_nothing().await;
            assert!(broker.says("correct this computer's clock"), "{}", broker.told());
            broker.feed.terminal.tell("computer 0");
            broker.run_to(broker.now + 6 * HOUR);
            let (clock, first) = (broker.clock.clone(), broker.first_known());
            broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
        }
    });
}

#[test]
fn an_opening_as_late_as_the_computer_clock_is_off_proves_nothing() {
    run_within(PATIENCE, async {
        // Both errors make the broker's clock look an hour farther ahead.
        let late = || {
            let hour = seconds("2024-02-11T22:00:00Z")..seconds("2024-02-11T23:00:00Z");
            Truth::new("EURUSD", move |utc| is_forex_open(utc) && !hour.contains(&utc))
        };
        for weeks in [5, 30] {
            let symbols = vec![late(), always("BTCUSD")];
            let Some(mut broker) = Broker::prepare(jerusalem(), WINTER_NOON, weeks, symbols).await else { return };
            broker.feed.terminal.tell("computer -3600");
            broker.step = 4;
            broker.start();
            broker.run_to(broker.now + 12 * DAY);
            broker.verify_nothing().await;
        }
    });
}

#[test]
fn a_computer_clock_that_changes_with_the_brokers_is_detected() {
    run_within(PATIENCE, async {
        // The difference between the two clocks stays the same.
        for (first, change, to) in [
            (3, "2023-10-28T23:00:00Z", 2),
            (2, "2023-10-28T23:00:00Z", 3),
            (3, "2023-10-27T00:00:00Z", 2),
            (2, "2023-10-27T00:00:00Z", 3),
        ] {
            let clock = Clock::new(first, &[(change, to)]);
            let change = seconds(change);
            let symbols = vec![forex("EURUSD"), always("BTCUSD")];
            let Some(mut broker) = Broker::prepare(clock, "2023-10-26T12:00:00Z", 12, symbols).await else { return };
            broker.start();
            broker.run_to(change - HOUR - 600);
            broker.feed.advance(HOUR - 10);
            broker.now = change - 10;
            broker.feed.terminal.tell(&format!("clock {}", change - 1));
            broker.feed.terminal.tell(&format!("computer {}", (to - first) * HOUR));
            broker.run_to(change + 12 * HOUR);
            broker.verify(|utc| utc >= change - 2 * HOUR || utc < change - DAY).await;
            // The computer's clock is corrected before Forex opens, or only later.
            broker.feed.terminal.tell("computer 0");
            broker.step = 6;
            broker.run_to(seconds("2023-11-01T12:00:00Z"));
            broker.verify(|_| true).await;
            broker.run_to(seconds("2023-11-06T12:00:00Z"));
            let (clock, first) = (broker.clock.clone(), broker.first_known());
            broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
        }
    });
}

#[test]
fn an_ea_started_on_a_weekend_holds_candles_after_the_close_until_the_opening() {
    run_within(PATIENCE, async {
        let symbols = vec![forex("EURUSD"), always("BTCUSD")];
        let Some(mut broker) = Broker::prepare(jerusalem(), "2024-02-17T12:00:00Z", 30, symbols).await else { return };
        broker.start();
        let (clock, first, close) = (broker.clock.clone(), broker.first_known(), close_before(broker.now));
        broker.verify(|utc| utc < first || near_change(&clock, utc) || utc >= close).await;
        assert!(broker.says("candles since 2024.02.16 22:00 UTC wait for the Forex week to open"), "{}", broker.told());
        broker.step = 3;
        broker.run_to(seconds("2024-02-19T12:00:00Z"));
        broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
        // From now on the EA sends weekends as they pass.
        broker.run_to(seconds("2024-02-25T12:00:00Z"));
        broker.verify(|utc| utc < first || near_change(&clock, utc)).await;
    });
}

#[test]
fn a_clock_with_a_half_hour_offset_proves_nothing() {
    run_within(PATIENCE, async {
        let clock = Clock(vec![(0, 5 * HOUR + 1800)]);
        // The broker's hours begin at half past in UTC, and an hour in which Forex opens or closes has a candle.
        let half = Truth::new("EURUSD", |utc| is_forex_open(utc) || is_forex_open(utc + 1800));
        let Some(mut broker) = Broker::prepare(clock, "2024-02-14T12:30:00Z", 20, vec![half, always("BTCUSD")]).await
        else {
            return;
        };
        broker.start();
        broker.verify(|_| true).await;
        assert!(broker.says("choose a BrokerClock with a rule"), "{}", broker.told());
    });
}

/// Numbers that look random and are the same in each run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 1) as i64 % limit
    }

    fn of(&mut self, list: &[i64]) -> i64 {
        list[usize::try_from(self.below(list.len() as i64)).unwrap()]
    }

    /// A clock that changes once in each of several seasons, the last time in the week after `now`.
    fn clock(&mut self, now: i64) -> Clock {
        let mut offset = (self.below(22) - 10) * HOUR;
        let mut changes = Vec::new();
        let mut moment = now + self.below(7) * DAY;
        while moment > now - 60 * WEEK {
            // Seldom in the middle of a week, and at an hour that is not near midnight of the broker's day.
            let any = self.below(7);
            let day = self.of(&[0, 0, 0, 5, 6, 6, any]);
            let before = offset + self.of(&[HOUR, -HOUR]);
            changes.push((sunday_of(moment) + day * DAY + (2 + self.below(20)) * HOUR - before, offset));
            offset = before;
            moment -= (10 + self.below(20)) * WEEK;
        }
        changes.push((0, offset));
        changes.reverse();
        Clock(changes)
    }
}

/// Simulates three weeks with a change of the broker's clock. This computer's clock is set wrong and right again, at
/// times together with the broker's, and the EA is restarted. With `has_holes`, some hours are missing.
async fn live_through(case: u64, has_holes: bool) {
    let mut random = Random(case);
    let now = seconds("2023-01-01T00:00:00Z") + random.below(700 * 24) * HOUR;
    let (clock, end) = (random.clock(now), now + 3 * WEEK);
    let hole = move |utc: i64| has_holes && Random(case ^ ((utc.cast_unsigned() / 7200) << 8)).below(20) == 0;
    let symbols = vec![Truth::new("EURUSD", move |utc| is_forex_open(utc) && !hole(utc)), always("BTCUSD")];
    let start = chrono::DateTime::from_timestamp(now, 0).unwrap().to_rfc3339();
    let Some(mut broker) = Broker::prepare(clock.clone(), &start, 36, symbols).await else { return };
    broker.step = 6;
    println!("case {case}: {start} {clock:?}");
    let change = clock.0.last().unwrap();
    let wrong = if random.below(2) == 0 {
        (change.0 - random.below(2), change.1 - clock.at(change.0 - 1))
    } else {
        (now + random.below(10 * 24) * HOUR, random.of(&[HOUR, -HOUR, 1200, -2 * HOUR]))
    };
    let mut events = vec![(wrong.0, format!("computer {}", wrong.1))];
    events.push((wrong.0 + (1 + random.below(60)) * HOUR, "computer 0".to_owned()));
    // An EA that starts within a week after both clocks changed by the same amount can notice neither change.
    let restart = now + random.below(14 * 24) * HOUR;
    let after = if is_forex_open(change.0) { events[1].0 + HOUR } else { 0 };
    events.push((restart.max(after), "deinit 1".to_owned()));
    events.sort();
    broker.start();
    for (moment, event) in events {
        broker.run_to(moment.max(broker.now));
        broker.verify(|_| true).await;
        broker.feed.terminal.tell(&event);
        if event.starts_with("deinit") {
            broker.feed.init();
        }
    }
    broker.run_to(end);
    // With fewer than eight weeks before the first change in the history, the offset is unknown there.
    let known = broker.first_known();
    let few =
        clock.0.iter().map(|(utc, _)| *utc).filter(|utc| (known..known + 9 * WEEK).contains(utc)).map(opening_after);
    let first = few.max().unwrap_or(known);
    let waits = if is_forex_open(broker.now) { i64::MAX } else { close_before(broker.now) };
    broker.verify(|utc| has_holes || utc < first || near_change(&clock, utc) || utc >= waits).await;
}

#[test]
fn any_clock_loses_only_uncertain_candles() {
    run_within(PATIENCE, async {
        for case in 0..4 {
            live_through(case, false).await;
        }
    });
}

#[test]
fn no_clock_or_hole_in_the_history_stores_a_wrong_time() {
    run_within(PATIENCE, async {
        for case in 100..104 {
            live_through(case, true).await;
        }
    });
}
