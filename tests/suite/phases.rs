//! Closed and forming candles: which is which, which wins, and what is read.

use serde_json::{Value, json};

use crate::harness::{NOW, TestApp, both_stores, candle, with};

/// Opening time of the candle that is forming at [`NOW`].
const FORMING: i64 = NOW;
const HOUR: i64 = 3600;

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

both_stores! {
    async fn a_forming_candle_is_updated_then_closed_and_never_changes_again(app: TestApp) {
        assert_eq!(app.ingest(&[price(FORMING, "1.1", 10)]).await, (0, 0, 1));
        assert_eq!(read(&app).await, [(FORMING, "1.1".into(), Some(false))]);
        assert_eq!(app.ingest(&[price(FORMING, "1.2", 20)]).await, (0, 0, 1));
        assert_eq!(read(&app).await, [(FORMING, "1.2".into(), Some(false))]);

        app.set_clock(NOW + HOUR);
        assert_eq!(app.ingest(&[price(FORMING, "1.3", 30)]).await, (1, 0, 0));
        assert_eq!(read(&app).await, [(FORMING, "1.3".into(), None)]);
        assert_eq!(app.ingest(&[price(FORMING, "1.4", 99)]).await, (0, 1, 0), "a closed candle is not changed");
        let late = with(price(FORMING, "1.5", 99), json!({"complete": false}));
        assert_eq!(app.ingest(&[late]).await, (0, 1, 0), "a late forming post is counted");
        assert_eq!(read(&app).await, [(FORMING, "1.3".into(), None)]);
        assert_eq!(app.database.closed().await, [format!("EURUSD H1 {FORMING} 1.08500 9 1.08480 1.3 30")]);
    }

    async fn a_forming_post_with_less_volume_came_out_of_order_and_is_dropped(app: TestApp) {
        assert_eq!(app.ingest(&[price(FORMING, "1.2", 20)]).await, (0, 0, 1));
        assert_eq!(app.ingest(&[price(FORMING, "1.1", 19)]).await, (0, 1, 0));
        assert_eq!(read(&app).await, [(FORMING, "1.2".into(), Some(false))]);
        assert_eq!(app.ingest(&[price(FORMING, "1.3", 20)]).await, (0, 0, 1), "equal volume is the newer post");
        assert_eq!(read(&app).await, [(FORMING, "1.3".into(), Some(false))]);
    }

    async fn a_forming_candle_whose_closed_form_never_comes_stays_in_its_place(app: TestApp) {
        app.ingest(&[candle(NOW - 3 * HOUR), candle(NOW - 2 * HOUR)]).await;
        let abandoned = with(candle(NOW - HOUR), json!({"complete": false}));
        assert_eq!(app.ingest(&[abandoned]).await, (0, 0, 1));
        app.set_clock(NOW + 10 * HOUR);
        app.ingest(&[candle(NOW), candle(NOW + HOUR)]).await;
        let read = read(&app).await;
        let complete: Vec<_> = read.iter().map(|(time, _, complete)| ((time - NOW) / HOUR, *complete)).collect();
        assert_eq!(complete, [(-3, None), (-2, None), (-1, Some(false)), (0, None), (1, None)]);
    }

    async fn absent_complete_is_told_by_the_batch_and_the_clock(app: TestApp) {
        // The end of the newest candle has not passed; those before it are closed by it, whatever their order.
        let batch = [candle(FORMING), candle(NOW - HOUR), candle(NOW - 2 * HOUR)];
        assert_eq!(app.ingest(&batch).await, (2, 0, 1));
        // A newer candle of another series closes nothing.
        let others = [with(candle(FORMING), json!({"symbol": "A"})), with(candle(NOW + 30), json!({"symbol": "B"})),
                      with(candle(FORMING), json!({"symbol": "A", "timeframe": "H4"}))];
        assert_eq!(app.ingest(&others).await, (0, 0, 3));
        // The sender's word counts more than both.
        let told = [with(candle(FORMING), json!({"symbol": "C", "complete": true})),
                    with(candle(NOW - 9 * HOUR), json!({"symbol": "D", "complete": false})),
                    with(candle(NOW - 8 * HOUR), json!({"symbol": "D", "complete": true}))];
        assert_eq!(app.ingest(&told).await, (2, 0, 1));
        // A rejected candle closes nothing either.
        let body = json!({"candles": [with(candle(FORMING), json!({"symbol": "E"})),
                                      with(candle(NOW + 50), json!({"symbol": "E", "volume": -1}))]});
        assert_eq!(app.post_lenient(&body).await.counts(2), (0, 0, 1));
    }

    async fn the_end_of_each_timeframe(app: TestApp) {
        const DAY: i64 = 24 * HOUR;
        // 2026-02-01 and 2026-03-01 at 00:00 UTC, and a Sunday.
        const FEBRUARY: i64 = 1_769_904_000;
        const MARCH: i64 = FEBRUARY + 28 * DAY;
        const SUNDAY: i64 = FEBRUARY;
        // Timeframe, opening time in UTC, offset that is sent along, and the first second at which it is closed.
        let cases = [
            ("M1", NOW, None, NOW + 60),
            ("M30", NOW, None, NOW + 1800),
            ("H12", NOW, None, NOW + 12 * HOUR),
            ("D1", FEBRUARY, None, FEBRUARY + 25 * HOUR),
            // A broker at UTC+2 or +3 opens its day at 22:00 or 21:00.
            ("D1", FEBRUARY - 2 * HOUR, Some(7200), FEBRUARY - 2 * HOUR + 25 * HOUR),
            ("D1", FEBRUARY - 3 * HOUR, None, FEBRUARY - 3 * HOUR + 25 * HOUR),
            ("W1", SUNDAY, None, SUNDAY + 7 * DAY + HOUR),
            ("W1", SUNDAY - 3 * HOUR, Some(10800), SUNDAY - 3 * HOUR + 7 * DAY + HOUR),
            ("MN1", FEBRUARY, None, MARCH + HOUR),
            ("MN1", FEBRUARY, Some(0), MARCH + HOUR),
            // Opens on 31 January by UTC, but lasts the 28 days of February.
            ("MN1", FEBRUARY - 2 * HOUR, Some(7200), MARCH - 2 * HOUR + HOUR),
            ("MN1", FEBRUARY - 3 * HOUR, Some(10800), MARCH - 3 * HOUR + HOUR),
            ("MN1", FEBRUARY - 3 * HOUR, None, MARCH - 3 * HOUR + HOUR),
            // West of Greenwich it opens on 1 February by UTC too.
            ("MN1", FEBRUARY + 5 * HOUR, Some(-18000), MARCH + 5 * HOUR + HOUR),
            ("MN1", FEBRUARY + 5 * HOUR, None, MARCH + 5 * HOUR + HOUR),
            // By its own word, this one opened on 31 January: that month has 31 days.
            ("MN1", FEBRUARY - 3 * HOUR, Some(0), FEBRUARY - 3 * HOUR + 31 * DAY + HOUR),
            // 29 February 2024.
            ("MN1", 1_706_745_600, Some(0), 1_706_745_600 + 29 * DAY + HOUR),
        ];
        for (number, (timeframe, opened, offset, closed_at)) in cases.into_iter().enumerate() {
            let mut sent = with(candle(opened + offset.unwrap_or(0)), json!({"symbol": format!("S{number}"), "timeframe": timeframe}));
            if let Some(offset) = offset {
                sent = with(sent, json!({"utc_offset": offset}));
            }
            app.set_clock(closed_at - 1);
            assert_eq!(app.ingest(&[sent.clone()]).await, (0, 0, 1), "{timeframe} {opened} {offset:?} before its end");
            app.set_clock(closed_at);
            assert_eq!(app.ingest(&[sent]).await, (1, 0, 0), "{timeframe} {opened} {offset:?} at its end");
        }
    }

    async fn a_key_twice_in_a_batch_counts_once(app: TestApp) {
        let closed = |close: &str| with(price(NOW - HOUR, close, 5), json!({"complete": true}));
        let forming = |close: &str, volume| with(price(NOW - HOUR, close, volume), json!({"complete": false}));
        assert_eq!(app.ingest(&[closed("1.1"), closed("1.2"), forming("1.3", 99)]).await, (1, 2, 0));
        assert_eq!(read(&app).await, [(NOW - HOUR, "1.2".into(), None)], "closed beats forming, then the last");
        let of = |candle: Value| with(candle, json!({"symbol": "X"}));
        assert_eq!(app.ingest(&[of(forming("1.1", 9)), of(forming("1.2", 5))]).await, (0, 1, 1));
        assert_eq!(app.database.forming().await, [format!("X H1 {} 1.08500 9 1.08480 1.2 5", NOW - HOUR)]);
    }

    async fn forming_rows_that_a_closed_candle_hides_are_swept(app: TestApp) {
        app.ingest(&[candle(FORMING)]).await;
        let hidden = with(candle(FORMING), json!({"symbol": "HIDDEN", "complete": false}));
        app.ingest(std::slice::from_ref(&hidden)).await;
        app.ingest(&[with(hidden, json!({"complete": true}))]).await;
        assert_eq!(app.database.forming().await.len(), 2);
        let store = candlewick::store::Store::open(&crate::harness::Environment::new(&app.database.url()).config().database).unwrap();
        store.prepare(false).await.unwrap();
        assert_eq!(store.sweep().await.unwrap(), 1);
        assert_eq!(store.sweep().await.unwrap(), 0);
        store.close().await;
        let left = app.database.forming().await;
        assert!(left.len() == 1 && left[0].starts_with("EURUSD "), "{left:?}");
    }
}
