//! The EA's reaction to each kind of answer from the service.

use super::*;

#[apply(both_store_kinds)]
fn batches_are_halved_until_accepted(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
        assert_eq!(feed.terminal.logged("requests are limited to 62 candles"), 1);
    });
}

#[apply(both_store_kinds)]
fn a_rate_limited_feed_waits_for_retry_after(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(1000));
        feed.serve(&[("RATE_LIMIT_INGEST", "1/m")]);
        feed.input("BatchSize", 100);
        feed.batch = 100;
        feed.show(&market);
        feed.init();
        feed.advance(5);
        let requests = feed.front.requests();
        assert_eq!(requests.len(), 3, "the rate limit admits two requests before it refuses one");
        let refused = &requests[2].answer;
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
        let wait: i64 = header(refused, "retry-after").unwrap().parse().unwrap();
        feed.serve(&[]);
        feed.advance(wait - 2);
        assert_eq!(feed.front.requests().len(), 3, "no request before {wait} s have passed");
        minute(&mut feed, &mut market);
        feed.advance(60);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn an_unavailable_service_is_retried_with_growing_pauses(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(100));
        begin(&mut feed, &market);
        let unavailable = Fate::Answered(
            "503 Service Unavailable",
            "",
            r#"{"detail":"the database does not answer","code":"unavailable"}"#,
        );
        let with_retry_after = Fate::Answered("503 Service Unavailable", "RETRY-AFTER: 45\r\n", "");
        feed.front.next(&[vec![unavailable; 5], vec![with_retry_after]].concat());
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
        assert_eq!(
            waited[..6],
            [10, 15, 25, 45, 85, 50],
            "each try is at the first timer event after 5, 10, 20, 40, 80 and 45 s"
        );
        assert_eq!(feed.terminal.logged("answers 503 (the database does not answer)"), 1);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_lost_answer_loses_no_candles(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
    });
}

#[apply(both_store_kinds)]
fn a_bad_bar_is_logged_once_and_the_others_are_stored(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(400));
        let (bad, other) = (BROKER_NOW - 100 * 60, BROKER_NOW - 7 * 60);
        market.change(bad, |bar| bar.prices[1] = bar.prices[2] - 1);
        market.change(other, |bar| bar.volume = -1);
        begin(&mut feed, &market);
        minute(&mut feed, &mut market);
        // The EA sends the newest candles again every hour.
        feed.advance(2 * 3600);
        market.remove(bad);
        market.remove(other);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged("EURUSD M1: the candle of 2024.02.14 10:20 UTC is not stored: "), 1);
        assert_eq!(feed.terminal.logged("EURUSD M1: the candle of 2024.02.14 11:53 UTC is not stored: "), 1);
        assert_eq!(feed.terminal.logged("is not stored"), 2, "{:?}", feed.terminal.log);
    });
}

#[apply(both_store_kinds)]
fn many_bad_bars_are_counted_and_the_first_ones_logged(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(200));
        let bad: Vec<_> = (50..90).map(|back| BROKER_NOW - back * 60).collect();
        for time in &bad {
            market.change(*time, |bar| bar.prices[1] = 1);
        }
        begin(&mut feed, &market);
        for time in &bad {
            market.remove(*time);
        }
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        assert_eq!(feed.terminal.logged(" is not stored: "), 3, "{:?}", feed.terminal.log);
        assert_eq!(feed.terminal.logged("EURUSD M1: 40 candles of this request are not stored"), 1);
    });
}

#[apply(both_store_kinds)]
fn a_candle_that_the_service_refuses_is_found_and_skipped(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, mut market) = (feed, minutes(700));
        let bad = BROKER_NOW - 321 * 60;
        feed.front.always(&format!("\"timestamp\":{},", bad - OFFSET), front::REFUSAL);
        feed.show(&market);
        feed.init();
        feed.advance(120);
        minute(&mut feed, &mut market);
        market.remove(bad);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        let reason =
            format!("not stored: http://{} answers 422 (one \"bad\" candle; leave it out)", feed.front.address);
        assert_eq!(feed.terminal.logged(&reason), 1, "{:?}", feed.terminal.log);
    });
}

#[apply(both_store_kinds)]
fn a_web_page_does_not_count_as_an_answer(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        let page = |status| Fate::Answered(status, "Content-Type: text/html\r\n", "<html>Please log in</html>");
        feed.front.next(&["200 OK", "400 Bad Request", "404 Not Found", "502 Bad Gateway"].map(page));
        feed.show(&market);
        feed.init();
        feed.advance(300);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        for message in ["not as candlewick does; correct Url", "answers 400", "answers 404", "answers 502"] {
            assert_eq!(feed.terminal.logged(message), 1, "{message}: {:?}", feed.terminal.log);
        }
    });
}

#[apply(both_store_kinds)]
fn a_wrong_key_stops_the_feed_and_says_what_to_correct(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        feed.input("Key", "another-key-for-tests");
        feed.init();
        feed.advance(3600);
        assert_eq!(feed.front.requests().len(), 1, "the EA does not try again");
        assert_eq!(feed.terminal.logged("does not know the key; correct the input Key (Invalid or missing API Key"), 1);
        assert!(feed.terminal.comment.contains("stopped: "), "{}", feed.terminal.comment);
        // The trader corrects the input, and the terminal restarts the EA.
        feed.terminal.tell("deinit 5");
        feed.input("Key", KEY);
        feed.init();
        feed.advance(10);
        feed.front.next(&[Fate::Answered("403 Forbidden", "", r#"{"detail":"Use https.","code":"plain_http"}"#)]);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
        feed.terminal.tell("deinit 5");
        feed.init();
        feed.advance(10);
        assert_eq!(
            feed.terminal.logged("check that Url begins with https:// and that Key is an ingest key (Use https.)"),
            1
        );
    });
}

#[apply(both_store_kinds)]
fn the_ea_waits_until_the_terminal_allows_the_address(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
        let (mut feed, market) = (feed, minutes(100));
        feed.show(&market);
        // Another name of this machine, which is not on the terminal's list.
        let url = format!("http://localhost:{}", feed.front.address.port());
        feed.input("Url", &url);
        feed.init();
        feed.advance(60);
        assert!(feed.front.requests().is_empty());
        let message = format!(
            "the terminal may not call {url}; add it under Tools > Options > Expert Advisors > Allow WebRequest"
        );
        assert_eq!(feed.terminal.logged(&message), 1);
        feed.terminal.tell(&format!("allow {url}"));
        feed.advance(20);
        feed.verify(feed.stored().await, &closed(&market, ALL), &forming(&market));
    });
}

#[apply(both_store_kinds)]
fn a_feed_resumes_after_timeouts_and_refused_connections(kind: StoreKind) {
    with_feed(kind, async |feed: Feed| {
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
    });
}

#[test]
fn https_requires_a_trusted_certificate() {
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
            terminal.tell(&format!("offset {OFFSET}"));
            terminal.tell("init");
            terminal.tell("advance 10");
            let told =
                format!("the request to {url} was cut off; check the certificate, and that the server speaks https");
            assert_eq!(terminal.logged(&told), usize::from(!trusted), "{:?}", terminal.log);
        }
        assert_eq!(database.closed().await.len(), 49);
    });
}
