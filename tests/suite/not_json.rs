//! Bodies that are not JSON: a word in place of a number rejects only its candle, and other errors are explained in
//! plain words.

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, both_stores, candle, with};

/// 2025-08-03T10:00:00Z
const TEN: i64 = 1_754_215_200;

/// Words that programs print for a missing or infinite number, or for a number in a notation of their own.
const WORDS: [&str; 25] = [
    "nan",
    "NaN",
    "-nan",
    "-nan(ind)",
    "nan(snan)",
    "inf",
    "-inf",
    "Inf",
    "Infinity",
    "-Infinity",
    "1.#QNAN",
    "-1.#IND",
    "1.#INF",
    "-1.#INF00",
    "None",
    "True",
    "undefined",
    "NULL",
    "+1.5",
    ".5",
    "-.5",
    "01",
    "1.",
    "0x1F",
    "EMPTY_VALUE",
];

/// The text of a batch whose candle at `index` has `value` for `field`, between good ones.
fn batch(index: usize, field: &str, value: &str) -> String {
    let candles: Vec<String> = (0..3)
        .map(|n| {
            let mut fields: Vec<(String, String)> = candle(TEN + n as i64 * 3600)
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect();
            if n == index {
                fields.retain(|(name, _)| name != field);
                fields.push((field.to_owned(), value.to_owned()));
            }
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\" : {value} ")).collect();
            format!("{{{}}}", fields.join(","))
        })
        .collect();
    format!("{{ \"candles\": [{}] }}", candles.join(",\n"))
}

async fn post_lenient(app: &TestApp, body: impl Into<Vec<u8>>) -> Answer {
    let request = app.request(reqwest::Method::POST, "/api/v1/candles").bearer_auth(crate::harness::KEY);
    crate::harness::send(request.header("Prefer", "handling=lenient").body(body.into())).await
}

#[apply(both_stores)]
async fn a_word_in_place_of_a_number_rejects_only_its_candle(app: TestApp) {
    for (n, word) in WORDS.into_iter().enumerate() {
        for field in ["open", "close", "volume", "tick_volume", "timestamp", "time", "utc_offset"] {
            let shown = match field {
                "tick_volume" => "volume",
                "time" => "timestamp",
                field => field,
            };
            let mut body = batch(1, field, word);
            if field != shown {
                // The alias is the only one of the two names.
                let second = body.rfind(&format!("\"{field}\"")).unwrap();
                let start = body[..second].rfind(&format!("\"{shown}\"")).unwrap();
                let end = start + body[start..].find(',').unwrap() + 1;
                body.replace_range(start..end, "");
            }
            let answer = app.post_bytes(body.clone()).await;
            assert!(
                answer
                    .errors()
                    .iter()
                    .all(|(place, _)| place.starts_with(&format!("[\"body\",\"candles\",1,\"{shown}\""))),
                "{body} {answer:?}"
            );
            let detail = answer.problem(422, "invalid_values");
            assert!(detail.contains(&format!("candles[1].{shown} is {word}, which is not")), "{detail}");
            if n < 2 {
                assert!(app.database.closed().await.is_empty());
            }
            // The same word in a string gets the same sentence.
            let quoted = app.post_bytes(body.replace(&format!(": {word} "), &format!(": \"{word}\" "))).await;
            assert_eq!(quoted.problem(422, "invalid_values"), detail);
        }
    }
    for field in ["open", "volume", "timestamp"] {
        let answer = post_lenient(&app, batch(1, field, "nan")).await;
        assert_eq!(answer.counts(3), if field == "open" { (2, 0, 0) } else { (0, 2, 0) });
        let rejected = &answer.json()["rejected"];
        assert_eq!((rejected.as_array().unwrap().len(), &rejected[0]["index"]), (1, &json!(1)), "{answer:?}");
    }
    assert_eq!(app.database.closed().await.len(), 2);
}

#[apply(both_stores)]
async fn words_in_place_of_other_values_are_refused_by_name(app: TestApp) {
    for (field, word, sentence) in [
        ("symbol", "EURUSD", "stands without quotes"),
        ("symbol", "GER40.cash", "stands without quotes"),
        ("symbol", "", "is empty"),
        ("timeframe", "H1", "stands without quotes"),
        ("timeframe", "PERIOD_CURRENT", "is not a known timeframe"),
        ("timestamp", "2025.08.03 10:00:00", "stands without quotes"),
        ("timestamp", "2025-08-03T10:00:00Z", "stands without quotes"),
        ("timestamp", "", "not a time"),
        ("complete", "True", "is True; send true or false"),
        ("complete", "", "send true or false"),
        ("unit", "ms", "stands without quotes"),
        ("open", "", "is empty; send digits"),
        ("volume", "", "is empty; send digits"),
        ("open", "1.0850 EUR", "comma"),
        ("open", "é", "is é, which is not a number"),
    ] {
        let answer = app.post_bytes(batch(2, field, word)).await;
        if sentence == "comma" {
            answer.problem(400, "malformed");
            continue;
        }
        assert_eq!(
            answer.errors().iter().map(|(place, _)| &**place).collect::<Vec<_>>(),
            [format!("[\"body\",\"candles\",2,\"{field}\"]")],
            "{answer:?}"
        );
        assert!(answer.json()["errors"][0]["msg"].as_str().unwrap().contains(sentence), "{answer:?}");
    }
    // Beside `candles`, it refuses the whole batch.
    for (field, word) in [("symbol", "EURUSD"), ("timeframe", "H1"), ("utc_offset", "None"), ("unit", "s")] {
        for body in [
            format!("{{\"{field}\":{word},\"candles\":[{}]}}", candle(TEN)),
            format!("{{\"candles\":[{}],\"{field}\":{word}}}", candle(TEN)),
        ] {
            let errors = post_lenient(&app, body).await.errors();
            assert_eq!(errors[0].0, format!("[\"body\",\"{field}\"]"));
        }
    }
    assert!(app.database.closed().await.is_empty());
}

#[apply(both_stores)]
async fn a_word_in_an_ignored_field_is_ignored(app: TestApp) {
    let inside = |n: usize, more: &str| {
        let good = candle(TEN + 3600 * n as i64).to_string();
        format!("{{\"candles\":[{}, {more}}}]}}", &good[..good.len() - 1])
    };
    let beside = |n: usize, more: &str| format!("{{{more},\"candles\":[{}],{more}}}", candle(TEN + 3600 * n as i64));
    let mut stored = 0;
    for word in WORDS.into_iter().chain(["", "EURUSD", "2025.08.03 10:00:00"]) {
        for body in [
            inside(stored, &format!("\"spread\":{word} ,\"real_volume\" : {word}, \"rsi\": {word}")),
            beside(stored + 1, &format!("\"account\":{word}")),
        ] {
            assert_eq!(app.post_bytes(body.clone()).await.counts(1), (1, 0, 0), "{body}");
            stored += 1;
        }
    }
    for more in [
        r#""more":[nan]"#,
        r#""more":{"open":nan}"#,
        r#""more":{"candles":[{"open":nan},{}]}"#,
        r#""more":[1,[{"symbol":EURUSD,"x":}],NaN,{}],"Open":nan"#,
        r#""more":{"symbol":"a\"b\\","x":[[],"nan",None]},"\\":nan,"\u006fpens":nan"#,
    ] {
        for body in [inside(stored, more), beside(stored + 1, more)] {
            assert_eq!(app.post_bytes(body.clone()).await.counts(1), (1, 0, 0), "{body}");
            stored += 1;
        }
    }
    let deep = format!("\"more\":{}nan{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(app.post_bytes(inside(stored, &deep)).await.counts(1), (1, 0, 0));
    assert_eq!(app.database.closed().await.len(), stored + 1);
    assert!(app.database.closed().await.iter().all(|row| row.ends_with(" 1.08500 1.08650 1.08480 1.08620 1200")));
    // Beside a word that rejects its candle, and in a candle that contains one.
    let body = batch(1, "open", "nan").replace("\"close\"", "\"spread\":NaN,\"close\"");
    assert_eq!(
        app.post_bytes(body.clone()).await.errors(),
        [(r#"["body","candles",1,"open"]"#.to_owned(), "not_a_number".to_owned())]
    );
    assert_eq!(post_lenient(&app, body).await.counts(3), (0, 2, 0));
}

#[apply(both_stores)]
async fn a_word_in_place_of_a_candle_or_the_list_is_refused_by_name(app: TestApp) {
    let body = format!("{{\"candles\":[nan,{},None]}}", candle(TEN));
    let wrong = |place: &str| (place.to_owned(), "wrong_type".to_owned());
    let errors = app.post_bytes(body.clone()).await.errors();
    assert_eq!(errors, [wrong(r#"["body","candles",0]"#), wrong(r#"["body","candles",2]"#)]);
    assert_eq!(post_lenient(&app, body).await.counts(3), (1, 0, 0));
    assert_eq!(app.post_bytes("{\"candles\":nan}").await.errors(), [wrong(r#"["body","candles"]"#)]);
    assert_eq!(app.post_bytes("[{\"open\":nan}]").await.errors(), [wrong(r#"["body"]"#)]);
    assert_eq!(app.database.closed().await.len(), 1);
}

#[apply(both_stores)]
async fn other_malformed_json_with_words_is_refused(app: TestApp) {
    let good = candle(TEN).to_string();
    let inside = |more: &str| format!("{{\"candles\":[{},{more}}},{good}]}}", &good[..good.len() - 1]);
    for body in [
        "nan".to_owned(),
        String::new(),
        inside("\"\\u006fpen\":nan"),
        inside("\"open\":nan"),
        // Words beside another error, in a field that is parsed or one that is ignored.
        inside("\"spread\":nan,"),
        inside("\"spread\":[nan,]"),
        inside("\"spread\":[,nan]"),
        inside("\"spread\":[nan"),
        inside("\"spread\":{nan}"),
        inside("\"spread\":nan high:1"),
        inside("\"spread\"::10"),
        inside("\"spread\":nan \"high\":1"),
        inside("\"spread\":'nan'"),
        inside("\"spread\":nan // none\n"),
        inside("\"more\":{\"a\":nan]"),
        inside("\"more\":{\"a\" nan}"),
        inside("\"more\":{a:nan}"),
        format!("{{\"candles\":[{good}],\"spread\":nan"),
        format!("{{\"candles\":[{good},],\"spread\":nan}}"),
        format!("{{\"candles\":[{good}],\"spread\":nan}}}}"),
        inside("\"open\":nan,"),
        inside("\"complete\":True \"unit\":\"s\""),
        inside("unit:s"),
        inside("'unit':'s'"),
        inside("\"unit\":'s'"),
        "{\"candles\":[{\"open\":nan},]}".to_owned(),
        "{\"candles\":[{\"open\":nan}]} x".to_owned(),
        "{\"candles\":[{\"open\":nan}]".to_owned(),
        inside("\"unit\":ms // comment\n"),
        inside("\"unit\":/* s */\"s\""),
        inside("\"unit\":s high:1"),
        inside("\"unit\":\\s"),
        inside("\"x\":['"),
        inside("\"x\":{\\"),
        inside("\"x\":[[\u{1}]]"),
    ] {
        for answer in [app.post_bytes(body.clone()).await, post_lenient(&app, body.clone()).await] {
            let detail = answer.problem(400, "malformed");
            assert!(!detail.contains("expected") && !detail.contains('\u{e000}'), "{detail}");
        }
    }
    assert!(app.database.closed().await.is_empty());
}

#[apply(both_stores)]
async fn strings_with_the_internal_marker_are_refused_as_strings(app: TestApp) {
    for (field, value) in [
        ("symbol", "\u{e000}EURUSD"),
        ("open", "\u{e000}1.5"),
        ("timestamp", "\u{e000}1754215200"),
        ("timeframe", "\u{e000}H1"),
    ] {
        let mut sent = candle(TEN);
        sent[field] = value.into();
        let text = json!({"candles": [sent]}).to_string();
        // Written literally or as an escape, and beside a word.
        for text in
            [text.clone(), text.replace('\u{e000}', "\\ue000"), text.replace("\"volume\"", "\"spread\":nan,\"volume\"")]
        {
            let answer = app.post_bytes(text.clone()).await;
            assert_eq!(
                answer.errors().iter().map(|(place, _)| &**place).collect::<Vec<_>>(),
                [format!("[\"body\",\"candles\",0,\"{field}\"]")]
            );
            let sentence = answer.json()["errors"][0]["msg"].to_string();
            assert!(!sentence.contains("without quotes"), "{text}: {sentence}");
            if field == "symbol" {
                assert!(sentence.contains("unprintable character U+E000"), "{text}: {sentence}");
            }
        }
    }
    assert!(app.database.closed().await.is_empty());
    let candle = with(candle(TEN + 9 * 3600), json!({"\u{e000}": ["\u{e000}nan"]}));
    let ignored = json!({"\u{e000}note": "\u{e000}", "candles": [candle]});
    assert_eq!(app.post(&ignored).await.counts(1), (1, 0, 0));
}

#[apply(both_stores)]
async fn a_large_batch_with_one_word_stores_all_other_candles(app: TestApp) {
    let candles: Vec<String> = (0..5000)
        .map(|n| {
            let price = if n == 4321 { "nan" } else { "1.5" };
            format!(
                r#"{{"timestamp":{},"open":{price},"high":1.5,"low":1.5,"close":1.5,"volume":{n}}}"#,
                TEN - 3600 * n
            )
        })
        .collect();
    let body = format!(r#"{{"candles":[{}],"symbol":"EURUSD","timeframe":"H1"}}"#, candles.join(","));
    let answer = post_lenient(&app, body).await;
    assert_eq!(answer.counts(5000), (4999, 0, 0));
    assert_eq!(answer.json()["rejected"][0]["index"], 4321);
    let too_many = format!(r#"{{"candles":[{}{{}}]}}"#, r#"{"open":nan},"#.repeat(10_000));
    app.post_bytes(too_many).await.problem(413, "too_large");
}

#[apply(both_stores)]
async fn other_formats_are_recognised_by_name(app: TestApp) {
    let json = json!({"candles": [candle(TEN)]}).to_string();
    let encoded: String = url::form_urlencoded::byte_serialize(json.as_bytes()).collect();
    for (body, name) in [
        (
            "symbol,timeframe,timestamp,open,high,low,close,volume\nEURUSD,H1,2025.08.03 10:00,1,1,1,1,1\n".to_owned(),
            "CSV",
        ),
        ("EURUSD;H1;2025.08.03 10:00;1,0850;1;1;1;1".to_owned(), "CSV"),
        ("2025.08.03\t10:00\t1.0850\t1\t1\t1\t12".to_owned(), "CSV"),
        (
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\n2025.08.03\t10:00:00\t1\t1\t1\t1\t1".to_owned(),
            "CSV",
        ),
        ("1754215200,1,1,1,1,1".to_owned(), "CSV"),
        ("symbol=EURUSD&timeframe=H1&open=1".to_owned(), "form"),
        (format!("candles={json}"), "form"),
        (format!("data={encoded}"), "form"),
        (encoded.clone(), "form"),
        ("--x\r\nContent-Disposition: form-data; name=\"candles\"\r\n\r\n[]\r\n--x--".to_owned(), "form"),
        ("<?xml version=\"1.0\"?><candles><candle/></candles>".to_owned(), "XML"),
        ("<!DOCTYPE html>\n<html lang=\"en\"></html>".to_owned(), "HTML"),
    ] {
        let detail = app.post_bytes(body.clone()).await.problem(400, "malformed");
        assert!(
            detail.starts_with("The body looks like ") && detail.contains(name) && detail.contains("{\"candles\":["),
            "{body}: {detail}"
        );
    }
    let list = json!([candle(TEN)]);
    let answer = app.post(&list).await;
    assert_eq!(answer.errors(), [(r#"["body"]"#.to_owned(), "wrong_type".to_owned())]);
    assert!(
        answer.json()["errors"][0]["msg"]
            .as_str()
            .unwrap()
            .contains("is a list; send {\"candles\":[…]} with the list in it"),
        "{answer:?}"
    );
    let answer = app.post(&Value::String(json.clone())).await;
    assert!(
        answer.json()["errors"][0]["msg"].as_str().unwrap().starts_with("is a string; send the object"),
        "{answer:?}"
    );
    app.post(&json!({ "candles": list })).await.counts(1);
}

#[apply(both_stores)]
async fn nearly_valid_json_is_refused_in_plain_words(app: TestApp) {
    let good = candle(TEN).to_string();
    for (body, sentence) in [
        (format!("{{\"candles\":[{good}]}}").replace('"', "'"), "there is a single quote at line 1, column 2"),
        ("{\"candles\":[{\"symbol\":'EURUSD'}]}".to_owned(), "double quotes"),
        ("{candles:[]}".to_owned(), "a name without double quotes"),
        (format!("{{\"candles\":[{good},]}}"), "nothing follows a comma"),
        ("{\"candles\":[{\"open\":1,}]}".to_owned(), "nothing follows a comma"),
        ("{\"candles\":[{\"open\":1,08500}]}".to_owned(), "write decimals behind a point"),
        ("{\"candles\":[{\"open\":1 \"high\":1}]}".to_owned(), "a comma or a closing bracket is missing"),
        ("{\"candles\":[{\"open\" 1}]}".to_owned(), "not followed by a colon"),
        ("{\"candles\":[] // none\n}".to_owned(), "there is a comment"),
        (format!("{good}\n{good}"), "trailing characters"),
        ("{\"candles\":[{\"symbol\":\"C:\\data\"}]}".to_owned(), "a backslash escapes nothing"),
        ("{\"candles\":[{\"symbol\":\"EUR\nUSD\"}]}".to_owned(), "a line break or other control character"),
        ("hello".to_owned(), "not valid JSON"),
    ] {
        let detail = app.post_bytes(body.clone()).await.problem(400, "malformed");
        assert!(detail.contains(sentence) && !detail.contains("expected"), "{body}: {detail}");
    }
}
