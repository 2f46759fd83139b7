//! Inputs that are invalid or contradict each other.

use super::*;

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
        ("Url", "https://candles.example.com/api/v1/candles", "without /api/ and the rest"),
        (
            "Url",
            "http://candles.example.com",
            "Url must begin with https://, because everybody on the way can read the key",
        ),
        ("Url", "http://localhost.example.com:80", "Url must begin with https://"),
        (
            "Url",
            "http://192.168.1.20",
            "everybody in this network can read the key from http://; set AllowPlainHttp to true",
        ),
        ("Url", "http://nas", "set AllowPlainHttp to true to accept that"),
        ("Url", "https://name:word@candles.example.com", "Url must not contain @"),
        ("Key", "", "Key is empty; enter an ingest key of the service"),
        ("Key", "half a key", "Key contains a blank or a character that keys cannot have"),
        ("Symbols", "EURUSD=", "Symbols contains EURUSD=; enter EURUSD, or EURUSD.m=EURUSD"),
        ("Symbols", "A=B=C", "Symbols contains A=B=C"),
        ("Symbols", "EURUSD,EURUSD.m=EURUSD", "EURUSD M1 is listed twice; a stored series can have only one source"),
        ("Timeframes", "M1,M7", "Timeframes contains M7; it accepts M1 M2"),
        ("Timeframes", "M1,PERIOD_M1", "EURUSD M1 is listed twice"),
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
    for url in [
        "http://127.0.0.1",
        "http://127.0.0.2:80",
        "http://[::1]:8000",
        "http://localhost:8000/",
        " https://candles.example.com:8443/prefix/ ",
    ] {
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
fn plain_http_requires_a_private_address_and_an_input_that_allows_it() {
    let Some(mut terminal) = Terminal::start(None) else { return };
    for (name, value) in [("Key", KEY), ("Symbols", "EURUSD"), ("Timeframes", "M1")] {
        terminal.tell(&format!("input {name} {value}"));
    }
    let private = [
        "10.0.0.1",
        "172.16.0.9:80",
        "172.31.255.255",
        "192.168.178.20/prefix",
        "169.254.7.7",
        "[fd12:3456::1]:80",
        "[FC00::1]",
        "[fe80::1]",
        "[febf::1]",
        "nas",
        "TRADING-PC:80",
        "candles.local",
        "candles.lan",
        "candles.internal",
        "candles.home.arpa",
    ];
    let public = [
        "candles.example.com",
        "8.8.8.8",
        "172.15.0.1",
        "172.32.0.1",
        "192.169.0.1",
        "100.64.0.1",
        "[2001:db8::1]",
        "[fec0::1]",
        "3232235777",
        "0x08080808",
        "010.0.0.1",
        "10.example.com",
        "10.0.0.1.example.com",
        "192.168.1.1111",
        ".local",
        "internal.example.com",
    ];
    let mut init = |host: &str, allowed: bool| {
        terminal.tell(&format!("input Url http://{host}"));
        terminal.tell(&format!("input AllowPlainHttp {allowed}"));
        terminal.tell("init");
        let accepted = terminal.init_code == "0";
        if accepted {
            terminal.tell("deinit 1");
        } else {
            assert!(terminal.comment.contains("Url must begin with https://"), "{host}: {}", terminal.comment);
        }
        accepted
    };
    for host in private {
        assert!(!init(host, false), "{host}");
        assert!(init(host, true), "{host}");
    }
    for host in public {
        assert!(!init(host, false), "{host}");
        assert!(!init(host, true), "{host}");
    }
}
