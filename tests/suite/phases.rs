//! Closed and forming candles: their distinction, their precedence, and the candles that are read.

use candle::Timestamp;
use candlewick::store::ClosingOutcome;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Database, NOW, TestApp, both_stores, candle, eventually, run, with};

/// Opening time of the candle that is forming at [`NOW`].
const FORMING: i64 = NOW;
const HOUR: i64 = 3600;
/// The tolerated difference between clocks.
const TOLERANCE: i64 = 60;

fn price(time: i64, close: &str, volume: i64) -> Value {
    with(candle(time), json!({"high": "9", "close": close, "volume": volume}))
}

async fn read(app: &TestApp) -> Vec<(i64, String, Option<bool>)> {
    let candles = app.candles("").await.json();
    let one = |candle: &Value| {
        let time = candle["timestamp"].as_i64().unwrap() / 1000;
        (time, candle["close"].to_string(), candle.get("complete").map(|complete| complete.as_bool().unwrap()))
    };
    candles.as_array().unwrap().iter().map(one).collect()
}

#[apply(both_stores)]
async fn a_forming_candle_updates_until_closed_and_is_then_immutable(app: TestApp) {
    assert_eq!(app.ingest(&[price(FORMING, "1.1", 10)]).await, (0, 0, 1));
    assert_eq!(read(&app).await, [(FORMING, "1.1".into(), Some(false))]);
    assert_eq!(app.ingest(&[price(FORMING, "1.2", 20)]).await, (0, 0, 1));
    assert_eq!(read(&app).await, [(FORMING, "1.2".into(), Some(false))]);

    app.set_clock(NOW + HOUR + TOLERANCE);
    assert_eq!(app.ingest(&[price(FORMING, "1.3", 30)]).await, (1, 0, 0));
    assert_eq!(read(&app).await, [(FORMING, "1.3".into(), None)]);
    assert_eq!(app.ingest(&[price(FORMING, "1.4", 99)]).await, (0, 1, 0), "a closed candle is not changed");
    let late = with(price(FORMING, "1.5", 99), json!({"complete": false}));
    assert_eq!(app.ingest(&[late]).await, (0, 1, 0), "a late forming post is counted");
    assert_eq!(read(&app).await, [(FORMING, "1.3".into(), None)]);
    assert_eq!(app.database.closed().await, [format!("EURUSD H1 {FORMING} 1.08500 9 1.08480 1.3 30")]);
}

#[apply(both_stores)]
async fn a_forming_candle_with_less_volume_is_dropped_as_out_of_order(app: TestApp) {
    assert_eq!(app.ingest(&[price(FORMING, "1.2", 20)]).await, (0, 0, 1));
    assert_eq!(app.ingest(&[price(FORMING, "1.1", 19)]).await, (0, 1, 0));
    assert_eq!(read(&app).await, [(FORMING, "1.2".into(), Some(false))]);
    assert_eq!(app.ingest(&[price(FORMING, "1.3", 20)]).await, (0, 0, 1), "equal volume is the newer post");
    assert_eq!(read(&app).await, [(FORMING, "1.3".into(), Some(false))]);
}

#[apply(both_stores)]
async fn less_volume_replaces_a_forming_candle_older_than_ten_seconds(app: TestApp) {
    let older = [("A", 9, (0, 1, 0)), ("B", 12, (0, 0, 1))];
    for (symbol, age, counts) in older {
        let state = |close: &str, volume| with(price(FORMING, close, volume), json!({"symbol": symbol}));
        assert_eq!(app.ingest(&[state("1.085", 100_000)]).await, (0, 0, 1));
        app.database.age_forming(symbol, age).await;
        // The terminal has synchronised its history again, and counts fewer ticks.
        assert_eq!(app.ingest(&[state("1.195", 99_900)]).await, counts, "{symbol}");
        // In a batch with a closed candle, and together with others in one statement, too.
        let with_closed = [with(candle(NOW - 2 * HOUR), json!({"symbol": symbol})), state("1.196", 99_800)];
        assert_eq!(app.ingest(&with_closed).await, (1, 1, 0), "{symbol}");
    }
    let stored = app.database.forming().await;
    let ends: Vec<_> = stored.iter().map(|row| row.rsplit_once(" 1.08480 ").unwrap().1).collect();
    assert_eq!(ends, ["1.085 100000", "1.195 99900"]);
}

#[apply(both_stores)]
async fn a_forming_candle_that_never_closes_stays_in_its_page(app: TestApp) {
    app.ingest(&[candle(NOW - 3 * HOUR), candle(NOW - 2 * HOUR)]).await;
    let abandoned = with(candle(NOW - HOUR), json!({"complete": false}));
    assert_eq!(app.ingest(&[abandoned]).await, (0, 0, 1));
    app.set_clock(NOW + 10 * HOUR);
    app.ingest(&[candle(NOW), candle(NOW + HOUR)]).await;
    let read = read(&app).await;
    let complete: Vec<_> = read.iter().map(|(time, _, complete)| ((time - NOW) / HOUR, *complete)).collect();
    assert_eq!(complete, [(-3, None), (-2, None), (-1, Some(false)), (0, None), (1, None)]);
}

#[apply(both_stores)]
async fn a_missing_complete_is_derived_from_the_batch_and_the_clock(app: TestApp) {
    // The end of the newest candle has not passed; it closes the ones before it, in whatever order they are sent.
    let batch = [candle(FORMING), candle(NOW - HOUR), candle(NOW - 2 * HOUR)];
    assert_eq!(app.ingest(&batch).await, (2, 0, 1));
    // A newer candle of another series closes nothing.
    app.set_clock(NOW + 600);
    let others = [
        with(candle(FORMING), json!({"symbol": "A"})),
        with(candle(NOW + 300), json!({"symbol": "B"})),
        with(candle(FORMING), json!({"symbol": "A", "timeframe": "H4"})),
    ];
    assert_eq!(app.ingest(&others).await, (0, 0, 3));
    // The sender's `complete` has precedence over both, once the end is near.
    let told = [
        with(candle(NOW - HOUR), json!({"symbol": "C", "complete": true})),
        with(candle(NOW - 9 * HOUR), json!({"symbol": "D", "complete": false})),
        with(candle(NOW - 8 * HOUR), json!({"symbol": "D", "complete": true})),
    ];
    assert_eq!(app.ingest(&told).await, (2, 0, 1));
    // A rejected candle closes nothing either.
    let body = json!({"candles": [with(candle(FORMING), json!({"symbol": "E"})),
                                      with(candle(NOW + 300), json!({"symbol": "E", "volume": -1}))]});
    assert_eq!(app.post_lenient(&body).await.counts(2), (0, 0, 1));
}

#[apply(both_stores)]
async fn each_timeframe_ends_at_its_documented_time(app: TestApp) {
    const DAY: i64 = 24 * HOUR;
    // 2026-02-01 and 2026-03-01 at 00:00 UTC, and a Sunday.
    const FEBRUARY: i64 = 1_769_904_000;
    const MARCH: i64 = FEBRUARY + 28 * DAY;
    const SUNDAY: i64 = FEBRUARY;
    // Timeframe, opening time in UTC, offset that is sent along, and the first second at which the candle is closed.
    let cases = [
        ("M1", NOW, None, NOW + 60),
        ("M30", NOW, None, NOW + 1800),
        ("H1", NOW, None, NOW + HOUR),
        // On the day on which the clocks go back, one candle above H1 is an hour longer.
        ("H2", NOW, None, NOW + 3 * HOUR),
        ("H4", NOW, None, NOW + 5 * HOUR),
        ("H12", NOW, None, NOW + 13 * HOUR),
        ("D1", FEBRUARY, None, FEBRUARY + 25 * HOUR),
        // A broker at UTC+2 or +3 opens its day at 22:00 or 21:00.
        ("D1", FEBRUARY - 2 * HOUR, Some(7200), FEBRUARY - 2 * HOUR + 25 * HOUR),
        ("D1", FEBRUARY - 3 * HOUR, None, FEBRUARY - 3 * HOUR + 25 * HOUR),
        ("W1", SUNDAY, None, SUNDAY + 7 * DAY + HOUR),
        ("W1", SUNDAY - 3 * HOUR, Some(10800), SUNDAY - 3 * HOUR + 7 * DAY + HOUR),
        ("MN1", FEBRUARY, None, MARCH + HOUR),
        ("MN1", FEBRUARY, Some(0), MARCH + HOUR),
        // Opens on 31 January in UTC, but lasts the 28 days of February.
        ("MN1", FEBRUARY - 2 * HOUR, Some(7200), MARCH - 2 * HOUR + HOUR),
        ("MN1", FEBRUARY - 3 * HOUR, Some(10800), MARCH - 3 * HOUR + HOUR),
        ("MN1", FEBRUARY - 3 * HOUR, None, MARCH - 3 * HOUR + HOUR),
        // West of Greenwich it opens on 1 February in UTC too.
        ("MN1", FEBRUARY + 5 * HOUR, Some(-18000), MARCH + 5 * HOUR + HOUR),
        ("MN1", FEBRUARY + 5 * HOUR, None, MARCH + 5 * HOUR + HOUR),
        // By its own offset, this one opened on 31 January: that month has 31 days.
        ("MN1", FEBRUARY - 3 * HOUR, Some(0), FEBRUARY - 3 * HOUR + 31 * DAY + HOUR),
        // 29 February 2024.
        ("MN1", 1_706_745_600, Some(0), 1_706_745_600 + 29 * DAY + HOUR),
    ];
    for (number, (timeframe, opened, offset, closed_at)) in cases.into_iter().enumerate() {
        let mut sent =
            with(candle(opened + offset.unwrap_or(0)), json!({"symbol": format!("S{number}"), "timeframe": timeframe}));
        if let Some(offset) = offset {
            sent = with(sent, json!({"utc_offset": offset}));
        }
        app.set_clock(closed_at + TOLERANCE - 1);
        assert_eq!(app.ingest(&[sent.clone()]).await, (0, 0, 1), "{timeframe} {opened} {offset:?} before its end");
        // Of another symbol, because the service itself may close the first one now.
        let sent = with(sent, json!({"symbol": format!("T{number}")}));
        app.set_clock(closed_at + TOLERANCE);
        assert_eq!(app.ingest(&[sent]).await, (1, 0, 0), "{timeframe} {opened} {offset:?} at its end");
    }
}

#[apply(both_stores)]
async fn a_key_twice_in_a_batch_counts_once(app: TestApp) {
    let closed = |close: &str| with(price(NOW - HOUR, close, 5), json!({"complete": true}));
    let forming = |close: &str, volume| with(price(NOW - HOUR, close, volume), json!({"complete": false}));
    assert_eq!(app.ingest(&[closed("1.1"), closed("1.2"), forming("1.3", 99)]).await, (1, 2, 0));
    assert_eq!(read(&app).await, [(NOW - HOUR, "1.2".into(), None)], "closed beats forming, then the last");
    let of = |candle: Value| with(candle, json!({"symbol": "X"}));
    assert_eq!(app.ingest(&[of(forming("1.1", 9)), of(forming("1.2", 5))]).await, (0, 1, 1));
    assert_eq!(app.database.forming().await, [format!("X H1 {} 1.08500 9 1.08480 1.2 5", NOW - HOUR)]);
}

#[apply(both_stores)]
async fn forming_rows_hidden_by_a_closed_candle_are_deleted(app: TestApp) {
    app.ingest(&[candle(FORMING)]).await;
    let hidden = with(candle(FORMING), json!({"symbol": "HIDDEN", "complete": false}));
    app.ingest(std::slice::from_ref(&hidden)).await;
    app.set_clock(NOW + HOUR);
    app.ingest(&[with(hidden, json!({"complete": true}))]).await;
    assert_eq!(app.database.forming().await.len(), 2);
    let store = app.database.store().await;
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(store.sweep().await.unwrap(), 0);
    store.close().await;
    let left = app.database.forming().await;
    assert!(left.len() == 1 && left[0].starts_with("EURUSD "), "{left:?}");
}

#[apply(both_stores)]
async fn a_candle_of_the_future_is_not_complete(app: TestApp) {
    for (symbol, timeframe, ahead) in
        [("A", "M1", 60), ("B", "M5", 60), ("C", "H1", 60), ("D", "D1", 60), ("E", "MN1", 60)]
    {
        app.set_clock(NOW - ahead + 33);
        let early = with(candle(NOW), json!({"symbol": symbol, "timeframe": timeframe, "complete": true}));
        let answer = app.post(&json!({"candles": [early]})).await;
        assert_eq!(answer.errors(), [("[\"body\",\"candles\",0,\"complete\"]".to_owned(), "not_begun".to_owned())]);
        let detail = answer.problem(422, "invalid_values");
        assert!(detail.contains("2026-03-04T12:00:00Z") && detail.contains("2026-03-04T11:59:33Z"), "{detail}");
        // Without `complete`, it is accepted as usual.
        let forming = with(candle(NOW), json!({"symbol": symbol, "timeframe": timeframe}));
        assert_eq!(app.ingest(&[forming]).await, (0, 0, 1));
    }
    assert_eq!(app.database.closed().await, Vec::<String>::new());
}

#[apply(both_stores)]
async fn complete_true_before_the_end_does_not_close_a_candle(app: TestApp) {
    const DAY: i64 = 24 * HOUR;
    let midnight = NOW - 12 * HOUR;
    // Timeframe, opening time, nominal end, and the time before it from which `complete` is believed.
    let cases = [
        ("M1", NOW, NOW + 60, 30),
        ("M5", NOW, NOW + 300, 60),
        ("H1", NOW, NOW + HOUR, 60),
        ("H4", NOW, NOW + 4 * HOUR, 60),
        ("D1", midnight, midnight + DAY, 60),
        ("W1", midnight, midnight + 7 * DAY, 60),
        ("MN1", midnight - 3 * DAY, midnight + 28 * DAY, 60),
    ];
    let store = app.database.store().await;
    for (timeframe, open, end, tolerance) in cases {
        let state = |close: &str, volume, complete| {
            with(price(open, close, volume), json!({"timeframe": timeframe, "symbol": timeframe, "complete": complete}))
        };
        app.set_clock(end - tolerance - 1);
        let answer = app.post(&json!({"candles": [candle(NOW - 9 * HOUR), state("1.1", 10, true)]})).await;
        assert_eq!((answer.counts(2).2, &answer.json()["early"]), (1, &json!([1])), "{timeframe}");
        // The candle continues: its next state replaces the one that was marked complete.
        let answer = app.post(&json!({"candles": [state("1.2", 20, true)]})).await;
        assert_eq!((answer.counts(1), &answer.json()["early"]), ((0, 0, 1), &json!([0])), "{timeframe}");
        let spare = if ["M1", "M5", "H1"].contains(&timeframe) { 0 } else { HOUR };
        assert_eq!(store.close_due(seconds(end + spare + TOLERANCE - 1)).await.unwrap(), [], "{timeframe}");
        let closed = store.close_due(seconds(end + spare + TOLERANCE)).await.unwrap();
        assert_eq!((closed.len(), &closed[0].outcome), (1, &ClosingOutcome::Closed), "{timeframe}");
        let row = format!("{timeframe} {timeframe} {open} 1.08500 9 1.08480 1.2 20");
        assert!(app.database.closed().await.contains(&row), "{timeframe}");
        // So near to its end, `complete` is believed at once.
        let other = with(state("1.3", 30, true), json!({"symbol": "NEAR"}));
        app.set_clock(end - tolerance);
        let answer = app.post(&json!({"candles": [other]})).await;
        assert_eq!((answer.counts(1), answer.json().get("early")), ((1, 0, 0), None), "{timeframe}");
    }
    assert_eq!(app.database.forming().await, Vec::<String>::new());
    store.close().await;
}

#[apply(both_stores)]
async fn a_newer_candle_does_not_close_one_long_before_its_end(app: TestApp) {
    // Two that overlap: the later one ends in 55 minutes.
    let batch = [candle(NOW - 300), candle(NOW)];
    let answer = app.post(&json!({ "candles": batch })).await;
    assert_eq!((answer.counts(2), &answer.json()["early"]), ((0, 0, 2), &json!([0])));
    assert_eq!(app.database.closed().await, Vec::<String>::new());
}

#[apply(both_stores)]
async fn a_lone_candle_is_closed_by_the_clock_once_its_end_is_certain(app: TestApp) {
    let of = |symbol: &str, close: &str, volume| with(price(NOW - HOUR, close, volume), json!({"symbol": symbol}));
    let post = async |candle: Value, seconds: i64| {
        app.set_clock(NOW + seconds);
        assert_eq!(app.ingest(&[candle]).await, (0, 0, 1));
    };
    // By a clock that is half a minute fast, the first candle is over; it isn't.
    post(of("BEFORE", "1.1", 1), -30).await;
    post(of("AFTER", "1.1", 1), -30).await;
    post(of("AFTER", "1.2", 2), 1).await;
    post(of("LATE", "1.3", 3), TOLERANCE - 1).await;
    post(with(of("FORMING", "1.4", 4), json!({"complete": false})), 1).await;
    post(of("WITHDRAWN", "1.5", 5), 1).await;
    post(with(of("WITHDRAWN", "1.6", 6), json!({"complete": false})), 2).await;
    let store = app.database.store().await;
    assert_eq!(store.close_due(seconds(NOW + TOLERANCE - 1)).await.unwrap(), []);
    assert_eq!(store.close_due(seconds(NOW + TOLERANCE)).await.unwrap().len(), 2);
    assert_eq!(store.close_due(seconds(NOW + 9999 * HOUR)).await.unwrap(), []);
    store.close().await;
    let row = |symbol: &str, end: &str| format!("{symbol} H1 {} 1.08500 9 1.08480 {end}", NOW - HOUR);
    assert_eq!(app.database.closed().await, [row("AFTER", "1.2 2"), row("LATE", "1.3 3")]);
    let forming = [row("BEFORE", "1.1 1"), row("FORMING", "1.4 4"), row("WITHDRAWN", "1.6 6")];
    assert_eq!(app.database.forming().await, forming);
}

#[apply(both_stores)]
async fn a_dropped_late_post_still_marks_its_candle_as_ended(app: TestApp) {
    let post = async |symbol: &str, second: i64, volume: i64, complete: Option<bool>, counts: (u64, u64, u64)| {
        app.set_clock(NOW + second);
        let mut candle = with(price(NOW, "1.1", volume), json!({"symbol": symbol, "timeframe": "M5"}));
        if let Some(complete) = complete {
            candle = with(candle, json!({"complete": complete}));
        }
        assert_eq!(app.ingest(&[candle]).await, counts, "{symbol} at {second}");
    };
    post("ENDED", 297, 1000, None, (0, 0, 1)).await;
    post("EARLY", 100, 1000, None, (0, 0, 1)).await;
    post("EARLY", 101, 995, Some(true), (0, 1, 0)).await;
    post("ENDED", 301, 995, None, (0, 1, 0)).await;
    let store = app.database.store().await;
    assert_eq!(store.close_due(seconds(NOW + 300 + TOLERANCE)).await.unwrap().len(), 2);
    store.close().await;
    let row = |symbol: &str| format!("{symbol} M5 {NOW} 1.08500 9 1.08480 1.1 1000");
    assert_eq!(app.database.closed().await, [row("EARLY"), row("ENDED")]);
}

#[apply(both_stores)]
async fn a_candle_refused_by_the_database_does_not_block_closing_others(app: TestApp) {
    let refuse = match app.database {
        Database::Sqlite(_) => {
            "create trigger busy before insert on market_data_candles when new.symbol = 'B'
                                    begin select raise(abort, 'not this one'); end"
        }
        Database::Postgres(_) => "alter table market_data_candles add constraint busy check (symbol <> 'B')",
    };
    app.database.execute(refuse).await;
    app.set_clock(NOW + 1);
    let symbols = ["A", "B", "C"].map(|symbol| with(candle(NOW - HOUR), json!({"symbol": symbol})));
    assert_eq!(app.ingest(&symbols).await, (0, 0, 3));
    let store = app.database.store().await;
    let outcomes = async |second: i64| {
        let due = store.close_due(seconds(NOW + second)).await.unwrap();
        let refused = |outcome: &ClosingOutcome| matches!(outcome, ClosingOutcome::Refused(_));
        due.into_iter().map(|candle| (candle.symbol, refused(&candle.outcome))).collect::<Vec<_>>()
    };
    let all = [("A".to_owned(), false), ("B".to_owned(), true), ("C".to_owned(), false)];
    assert_eq!(outcomes(TOLERANCE).await, all);
    assert_eq!(outcomes(TOLERANCE + 3599).await, []);
    assert_eq!(outcomes(TOLERANCE + 3600).await, [("B".to_owned(), true)]);
    store.close().await;
    assert_eq!(app.database.closed().await.len(), 2);
    assert!(app.database.forming().await[0].starts_with("B H1 "));
}

#[apply(both_stores)]
async fn the_service_closes_due_candles_by_itself(app: TestApp) {
    // The first round may have ended before this; the next one comes within seconds.
    app.set_clock(NOW + 1);
    assert_eq!(app.ingest(&[candle(NOW - HOUR)]).await, (0, 0, 1));
    app.set_clock(NOW + TOLERANCE);
    eventually(async || !app.database.closed().await.is_empty()).await;
    assert_eq!(app.database.forming().await, Vec::<String>::new());
    assert_eq!(read(&app).await, [(NOW - HOUR, "1.0862".into(), None)]);
}

#[apply(both_stores)]
async fn a_closed_candle_wins_over_an_earlier_complete_true(app: TestApp) {
    let claimed = with(price(NOW, "1.1", 10), json!({"complete": true}));
    assert_eq!(app.ingest(&[claimed]).await, (0, 0, 1));
    app.set_clock(NOW + HOUR);
    let closed = with(price(NOW, "1.2", 5), json!({"complete": true}));
    assert_eq!(app.ingest(&[closed]).await, (1, 0, 0));
    let store = app.database.store().await;
    let due = store.close_due(seconds(NOW + HOUR + TOLERANCE)).await.unwrap();
    assert!(due.iter().all(|candle| candle.outcome == ClosingOutcome::WasClosed), "{due:?}");
    store.close().await;
    assert_eq!(read(&app).await, [(NOW, "1.2".into(), None)]);
    assert_eq!(app.database.forming().await, Vec::<String>::new());
}

#[test]
fn closing_does_not_wait_long_for_a_writer_on_postgres() {
    run(async {
        let app = TestApp::start(Database::postgres().await).await;
        let Database::Postgres(database) = &app.database else { unreachable!() };
        assert_eq!(app.ingest(&[with(candle(NOW), json!({"complete": true}))]).await, (0, 0, 1));
        let mut writer = database.connect().await;
        let insert =
            "begin; insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)
            select symbol, timeframe, timestamp, open, high, low, close, volume from market_data_live_candles";
        sqlx::Executor::execute(&mut writer, insert).await.unwrap();
        let store = app.database.store().await;
        let end = seconds(NOW + HOUR + TOLERANCE);
        assert_eq!(store.close_due(end).await.unwrap(), [], "a writer is at work on it");
        sqlx::Executor::execute(&mut writer, "rollback").await.unwrap();
        assert_eq!(store.close_due(end).await.unwrap().len(), 1);
        store.close().await;
        assert_eq!(app.database.closed().await.len(), 1);
    });
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}
