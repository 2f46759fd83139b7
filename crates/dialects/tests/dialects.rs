//! Files of every dialect: plain, saved again by another program, and awkward, each with the candles that come out of it.

#![expect(clippy::unwrap_used, clippy::format_collect, reason = "a test fails by panicking, and its files are short")]

use candle::{Candle, OhlcField, Symbol, Timeframe, Timestamp};
use dialects::{
    DIALECTS, DayMonth, DayMonthVotes, DetectError, Fault, FaultKind, FileReader, GivenColumns, Output, ReadOptions,
    RowOptions, RowReader, Sample, Symbols, VolumeChoice, ZoneOfFile, detect, named, names, parse_zone,
};

/// The options that a user gives for a file.
#[derive(Clone)]
struct Said {
    dialect: Option<&'static str>,
    columns: Option<GivenColumns>,
    tz: Option<&'static str>,
    volume: VolumeChoice,
    timeframe: Option<Timeframe>,
    skip_empty: bool,
    drop_flat: bool,
    labels_close: bool,
    ambiguous: Option<dialects::Ambiguous>,
    symbols: Symbols,
    now: Timestamp,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            dialect: None,
            columns: None,
            tz: None,
            volume: VolumeChoice::Whole,
            timeframe: None,
            skip_empty: false,
            drop_flat: false,
            labels_close: false,
            ambiguous: None,
            symbols: Symbols::One(Symbol::parse("X").unwrap()),
            now: Timestamp::MAX,
        }
    }
}

fn tz(tz: &'static str) -> Said {
    Said { tz: Some(tz), ..Said::default() }
}

#[derive(Default)]
struct Found {
    candles: Vec<Candle>,
    faults: Vec<(u64, Fault)>,
}

impl Output for Found {
    fn candle(&mut self, candle: Candle) {
        self.candles.push(candle);
    }

    fn fault(&mut self, line: u64, _: Option<&[u8]>, fault: Fault) {
        self.faults.push((line, fault));
    }
}

fn read(text: &str, said: &Said) -> (FileReader, Found) {
    let named = said.dialect.map(|name| named(name).unwrap());
    let mut layout = match &said.columns {
        Some(given) => given.layout(text.as_bytes()).unwrap(),
        None => detect(text.as_bytes(), named).unwrap_or_else(|error| panic!("{error}\n{text}")),
    };
    let mut votes = DayMonthVotes::default();
    for line in text.lines() {
        votes.look_at(line.as_bytes(), &layout);
    }
    let by_dots = layout.order.filter(|_| !text.contains('/'));
    let order = by_dots.or(votes.order()).unwrap_or(DayMonth::DayFirst);
    layout.order = Some(order);
    let clock = match &layout.zone {
        ZoneOfFile::InValue => None,
        ZoneOfFile::Says(zone) => Some(parse_zone(zone).unwrap()),
        ZoneOfFile::Unsaid => Some(parse_zone(said.tz.expect("the file does not say its zone")).unwrap()),
    };
    let options = RowOptions { volume: said.volume, order, skip_empty: said.skip_empty, drop_flat: said.drop_flat };
    let head_lines = layout.head_lines;
    let rows = RowReader::new(layout, options);
    let sample = Sample::read(text.as_bytes(), &rows);
    let told = sample.timeframe.or(sample.steps.timeframe().map(|told| told.timeframe));
    let options = ReadOptions {
        clock,
        timeframe: said.timeframe.or(told).expect("the timeframe is known"),
        falling: sample.falling,
        labels_close: said.labels_close,
        ambiguous: said.ambiguous,
        symbols: said.symbols.clone(),
        now: said.now,
    };
    let mut reader = FileReader::new(rows, options);
    let mut found = Found::default();
    let lines = text.split_inclusive('\n').map(|line| line.trim_end_matches('\n').trim_end_matches('\r'));
    for (number, line) in (1..).zip(lines).skip(head_lines) {
        reader.line(number, line.as_bytes(), &mut found);
    }
    reader.finish(&mut found);
    let counts = reader.counts();
    let sum = counts.read + counts.repeated + counts.empty + counts.flat + counts.unfinished + counts.faults;
    assert_eq!(counts.candles, sum, "the counts add up: {counts:?}");
    (reader, found)
}

/// Candles as `time o h l c v`, one a line.
fn shown(candles: &[Candle]) -> Vec<String> {
    let show = |candle: &Candle| {
        let prices = OhlcField::ALL.map(|field| candle.ohlc.get(field).to_string()).join(" ");
        format!("{} {prices} {}", candle.key.time(), candle.volume.get())
    };
    candles.iter().map(show).collect()
}

#[track_caller]
fn expect(dialect: &str, text: &str, said: &Said, candles: &[&str]) {
    let (reader, found) = read(text, said);
    assert_eq!(reader.rows().layout().name(), dialect);
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    assert_eq!(shown(&found.candles), candles, "{text}");
}

const TWO: [&str; 2] = [
    "2025-08-03T21:01:00Z 1.15810 1.15815 1.15800 1.15801 412",
    "2025-08-03T21:02:00Z 1.15801 1.15820 1.15801 1.15811 9",
];
const TWO_UTC: [&str; 2] = [
    "2025-08-04T00:01:00Z 1.15810 1.15815 1.15800 1.15801 412",
    "2025-08-04T00:02:00Z 1.15801 1.15820 1.15801 1.15811 9",
];

#[test]
fn metatrader_5() {
    let plain = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n\
                 2025.08.04\t00:01:00\t1.15810\t1.15815\t1.15800\t1.15801\t412\t0\t5\n\
                 2025.08.04\t00:02:00\t1.15801\t1.15820\t1.15801\t1.15811\t9\t0\t4\n";
    expect("mt5", plain, &tz("ny+7"), &TWO);
    let saved_again = "\"<DATE>\";\"<TIME>\";\"<OPEN>\";\"<HIGH>\";\"<LOW>\";\"<CLOSE>\";\"<TICKVOL>\";\"<VOL>\";\"<SPREAD>\"\r\n\
                       \"2025.08.04\";\"0:01\";\"1,15810\";\"1,15815\";\"1,15800\";\"1,15801\";\"412\";\"0\";\"5\";;\r\n\
                       2025.08.04;0:02;1,15801;1,15820;1,15801;1,15811;9;0;4;;\r\n";
    expect("mt5", saved_again, &tz("Europe/Athens"), &TWO);
    let whole_lines = plain.replace('\t', ",").lines().map(|line| format!("\"{line}\"\r\n")).collect::<String>();
    expect("mt5", &whole_lines, &tz("+03:00"), &TWO);
    let days = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n\
                2025.08.01\t1.1\t1.2\t1.0\t1.15\t412\t0\t5\r\n2025.08.04\t1.15\t1.3\t1.1\t1.2\t9\t0\t5\r\n\
                2025.08.05\t1.15\t1.3\t1.1\t1.2\t9\t0\t5\r\n2025.08.06\t1.15\t1.3\t1.1\t1.2\t9\t0\t5";
    let (reader, found) = read(days, &tz("ny+7"));
    assert_eq!((reader.options().timeframe, found.candles.len()), (Timeframe::D1, 4));
    assert_eq!(shown(&found.candles)[0], "2025-07-31T21:00:00Z 1.1 1.2 1.0 1.15 412");
    let layout = reader.rows().layout();
    assert_eq!(
        layout.columns_text(reader.rows().volume_column()),
        "<DATE> → time, <OPEN> <HIGH> <LOW> <CLOSE>, <TICKVOL> → volume; left out: <VOL> <SPREAD>"
    );
}

#[test]
fn metatrader_5_by_python() {
    let plain = "time,open,high,low,close,tick_volume,spread,real_volume\n\
                 1754265660,1.15810,1.15815,1.15800,1.15801,412,5,0\n1754265720,1.15801,1.15820,1.15801,1.15811,9,4,0\n";
    expect("mt5-python", plain, &tz("ny+7"), &TWO);
    let by_pandas = ",time,open,high,low,close,tick_volume,spread,real_volume\r\n\
                     0,2025-08-04 00:01:00,1.15810,1.15815,1.15800,1.15801,412,5,0\r\n\
                     1,2025-08-04 00:02:00,1.15801,1.15820,1.15801,1.15811,9,4,0\r\n";
    expect("mt5-python", by_pandas, &tz("ny+7"), &TWO);
    let awkward = "tick_volume;spread;time;close;low;high;open\n412;5;1754265660.0;1,15801;1,15800;1,15815;1,15810\n\
                   9;4;1754265720.0;1,15811;1,15801;1,15820;1,15801\n";
    expect("mt5-python", awkward, &tz("UTC"), &TWO_UTC);
}

#[test]
fn metatrader_4() {
    let mt4 = |zone| Said { dialect: Some("mt4"), ..tz(zone) };
    let plain =
        "2025.08.04,00:01,1.15810,1.15815,1.15800,1.15801,412\n2025.08.04,00:02,1.15801,1.15820,1.15801,1.15811,9\n";
    expect("mt4", plain, &mt4("ny+7"), &TWO);
    let saved_again = "2025.08.04;00:01:00;1,15810;1,15815;1,15800;1,15801;412;\r\n\r\n\
                       2025.08.04;00:02:00;1,15801;1,15820;1,15801;1,15811;9;\r\n";
    expect("mt4", saved_again, &mt4("UTC"), &TWO_UTC);
    let awkward = "\"2025.08.04\", \"00:01\" ,1.15810, 1.15815,1.15800,1.15801,412\n\
                   2025.08.04\t,00:02,1.15801,1.15820,1.15801,1.15811,9.0";
    expect("mt4", awkward, &mt4("UTC"), &TWO_UTC);
    let error = detect(plain.as_bytes(), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "may be MetaTrader 4 History Center or HistData M1; say which with --dialect mt4 or --dialect histdata"
    );
}

#[test]
fn histdata() {
    let minutes = [
        "2025-08-04T05:01:00Z 1.158100 1.158150 1.158000 1.158010 0",
        "2025-08-04T05:02:00Z 1.158010 1.158200 1.158010 1.158110 0",
    ];
    let plain = "20250804 000100;1.158100;1.158150;1.158000;1.158010;0\n20250804 000200;1.158010;1.158200;1.158010;1.158110;0\n";
    expect("histdata", plain, &Said::default(), &minutes);
    let saved_again = plain.replace('.', ",").replace('\n', "\r\n");
    expect("histdata", &saved_again, &Said::default(), &minutes);
    let for_metatrader = "2025.08.04,00:01,1.158100,1.158150,1.158000,1.158010,0\n\
                          2025.08.04,00:02,1.158010,1.158200,1.158010,1.158110,0\n";
    expect("histdata", for_metatrader, &Said { dialect: Some("histdata"), ..Said::default() }, &minutes);
    // No summer time: in January the same clock is as far from UTC.
    let winter = "20250106 000100;1;1;1;1;0\n20250106 000200;1;1;1;1;0\n";
    expect("histdata", winter, &Said::default(), &["2025-01-06T05:01:00Z 1 1 1 1 0", "2025-01-06T05:02:00Z 1 1 1 1 0"]);
}

#[test]
fn dukascopy() {
    let none = Said { volume: VolumeChoice::Rounded, ..Said::default() };
    let plain = "Gmt time,Open,High,Low,Close,Volume\n04.08.2025 00:01:00.000,1.15810,1.15815,1.15800,1.15801,411.9999999999998\n\
                 04.08.2025 00:02:00.000,1.15801,1.15820,1.15801,1.15811,9\n";
    expect("dukascopy", plain, &none, &TWO_UTC);
    let local = "Local time;Open;High;Low;Close;Volume\r\n\
                 04.08.2025 09:01:00.000 GMT+0900;1,15810;1,15815;1,15800;1,15801;412\r\n\
                 04.08.2025 03:02:00.000 GMT+0300;1,15801;1,15820;1,15801;1,15811;9\r\n";
    expect("dukascopy", local, &Said::default(), &TWO_UTC);
    let excel = "Gmt time,Open,High,Low,Close,Volume,,\r\n8/4/2025 12:01:00 AM,1.15810,1.15815,1.15800,1.15801,412,,\r\n\
                 8/4/2025 12:02:00 AM,1.15801,1.15820,1.15801,1.15811,9,,\r\n8/13/2025 1:00:00 PM,2,2,2,2,0,,\r\n";
    expect("dukascopy", excel, &Said { drop_flat: true, timeframe: Some(Timeframe::M1), ..Said::default() }, &TWO_UTC);
    let newest = "Etc/UTC,Open,High,Low,Close,Volume\n2025-08-04 00:01:00+00:00,1.15810,1.15815,1.15800,1.15801,412\n\
                  2025-08-04 00:02:00+00:00,1.15801,1.15820,1.15801,1.15811,9\n";
    expect("dukascopy", newest, &Said::default(), &TWO_UTC);
}

#[test]
fn jforex() {
    let plain = "Time (EET),Open,High,Low,Close,Volume \n2025.08.04 00:01:00,1.15810,1.15815,1.15800,1.15801,412\n\
                 2025.08.04 00:02:00,1.15801,1.15820,1.15801,1.15811,9\n";
    expect("jforex", plain, &Said::default(), &TWO);
    let saved_again = "Time (UTC);Open;High;Low;Close;Volume\r\n04.08.2025 00:01:00;1,15810;1,15815;1,15800;1,15801;412\r\n\
                       04.08.2025 00:02:00;1,15801;1,15820;1,15801;1,15811;9\r\n";
    expect("jforex", saved_again, &Said::default(), &TWO_UTC);
    // The winter of the European Union, which ends later than that of New York.
    let march = "Time (EET),Open,High,Low,Close,Volume\n2025.03.14 00:01:00,1,1,1,1,2\n2025.03.14 00:02:00,1,1,1,1,2\n";
    expect("jforex", march, &Said::default(), &["2025-03-13T22:01:00Z 1 1 1 1 2", "2025-03-13T22:02:00Z 1 1 1 1 2"]);
    let commas = "Time (EET),Open,High,Low,Close,Volume\n2025.08.04 00:01:00,75,848,75,849,75,848,75,849,412,5\n";
    let (_, found) = read(commas, &Said { timeframe: Some(Timeframe::M1), ..tz("UTC") });
    let [(2, fault)] = &found.faults[..] else { panic!("{:?}", found.faults) };
    assert!(fault.message.contains("export the file with points or semicolons"), "{}", fault.message);
}

#[test]
fn dukascopy_node() {
    let scaled = Said { volume: VolumeChoice::Scaled(2), ..Said::default() };
    let plain = "timestamp,open,high,low,close,volume\n1754265660000,1.15810,1.15815,1.15800,1.15801,4.12\n\
                 1754265720000,1.15801,1.15820,1.15801,1.15811,0.09\n";
    expect("dukascopy-node", plain, &scaled, &TWO_UTC);
    let saved_again = "\"timestamp\";\"open\";\"high\";\"low\";\"close\"\r\n\"1754265660000\";1,15810;1,15815;1,15800;1,15801\r\n\
                       \"1754265720000\";1,15801;1,15820;1,15801;1,15811\r\n";
    let none = TWO_UTC.map(|candle| format!("{} 0", candle.rsplit_once(' ').unwrap().0));
    expect("dukascopy-node", saved_again, &Said::default(), &none.each_ref().map(String::as_str));
    let with_format = "timestamp,open,high,low,close\n2025-08-04 00:01:00,1.15810,1.15815,1.15800,1.15801\n\
                       2025-08-04 00:02:00,1.15801,1.15820,1.15801,1.15811\n";
    expect("dukascopy-node", with_format, &tz("UTC"), &none.each_ref().map(String::as_str));
}

#[test]
fn candlewick() {
    let plain = "timestamp,open,high,low,close,volume\n2025-08-04T00:01:00Z,1.15810,1.15815,1.15800,1.15801,412\n\
                 2025-08-04T00:02:00Z,1.15801,1.15820,1.15801,1.15811,9\n";
    expect("candlewick", plain, &Said::default(), &TWO_UTC);
    expect("candlewick", &plain.replace(',', "\t").replace('\n', "\r\n"), &Said::default(), &TWO_UTC);
    let seconds =
        plain.replace("2025-08-04T00:01:00Z", "1754265660000").replace("2025-08-04T00:02:00Z", "1754265720000");
    expect("candlewick", &seconds, &Said { dialect: Some("candlewick"), ..Said::default() }, &TWO_UTC);
    let error = detect(seconds.as_bytes(), None).unwrap_err();
    assert!(matches!(&error, DetectError::Several(dialects) if dialects.len() == 2), "{error}");
}

#[test]
fn tradingview() {
    let plain = "time,open,high,low,close,Volume,MA,\"Plot, 2\"\n1754265660,1.15810,1.15815,1.15800,1.15801,412,1.1,\n\
                 1754265720,1.15801,1.15820,1.15801,1.15811,9,1.1,NaN\n";
    expect("tradingview", plain, &Said::default(), &TWO_UTC);
    let iso = "time;open;high;low;close;Volume\r\n2025-08-04T02:01:00+02:00;1,15810;1,15815;1,15800;1,15801;412\r\n\
               2025-08-04T02:02:00+02:00;1,15801;1,15820;1,15801;1,15811;9\r\n";
    expect("tradingview", iso, &Said::default(), &TWO_UTC);
    let days = "time,open,high,low,close\n-86400,1,2,0.5,1\n0,1,2,0.5,1\n86400,1,2,0.5,1\n";
    expect(
        "tradingview",
        days,
        &Said::default(),
        &["1969-12-31T00:00:00Z 1 2 0.5 1 0", "1970-01-01T00:00:00Z 1 2 0.5 1 0", "1970-01-02T00:00:00Z 1 2 0.5 1 0"],
    );
}

#[test]
fn yahoo() {
    let days = [
        "2025-08-04T04:00:00Z 226.51 229.30 225.80 229.00 35114400",
        "2025-08-05T04:00:00Z 229.00 230.00 228.00 229.50 1000",
    ];
    let plain = "Date,Open,High,Low,Close,Adj Close,Volume\n2025-08-04,226.51,229.30,225.80,229.00,228.41,35114400\n\
                 2025-08-05,229.00,230.00,228.00,229.50,228.90,1000\n";
    expect("yahoo", plain, &tz("America/New_York"), &days);
    let saved_again = "Date;Open;High;Low;Close;Adj Close;Volume\r\n8/4/2025;226,51;229,30;225,80;229,00;228,41;35114400\r\n\
                       8/5/2025;229,00;230,00;228,00;229,50;228,90;1000\r\n8/13/2025;null;null;null;null;null;null\r\n";
    expect("yahoo", saved_again, &Said { skip_empty: true, ..tz("America/New_York") }, &days);
    let intraday = "Datetime,Open,High,Low,Close,Volume,Dividends,Stock Splits\n\
                    2025-08-04 09:30:00-04:00,1.5,1.6,1.4,1.5,10,0.0,0.0\n2025-08-04 09:31:00-04:00,1.5,1.6,1.4,1.5,10,0.0,0.0\n";
    expect(
        "yahoo",
        intraday,
        &Said::default(),
        &["2025-08-04T13:30:00Z 1.5 1.6 1.4 1.5 10", "2025-08-04T13:31:00Z 1.5 1.6 1.4 1.5 10"],
    );
}

#[test]
fn stooq() {
    let by_ticker = |pairs: &[(&str, &str)], all| Said {
        symbols: Symbols::ByTicker {
            named: pairs.iter().map(|(ticker, name)| ((*ticker).to_owned(), Symbol::parse(name).unwrap())).collect(),
            all,
        },
        ..tz("UTC")
    };
    let bulk = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n\
                AAA.US,5,20250804,153000,10,11,9,10.5,1200,0\nAAA.US,5,20250804,153500,10,11,9,10.5,1300,0\n\
                BBB.US,5,20250804,153000,20,21,19,20.5,5,0\n";
    let (reader, found) = read(bulk, &by_ticker(&[("AAA.US", "AAA"), ("BBB.US", "BBB")], false));
    assert_eq!(reader.options().timeframe, Timeframe::M5);
    let symbols: Vec<_> = found.candles.iter().map(|candle| candle.key.symbol().as_str()).collect();
    assert_eq!(symbols, ["AAA", "AAA", "BBB"]);
    let (reader, found) = read(bulk, &by_ticker(&[("AAA.US", "AAA")], false));
    assert_eq!((reader.unnamed(), found.faults.len()), (&["BBB.US".to_owned()][..], 1));
    let (_, found) = read(bulk, &by_ticker(&[], true));
    assert_eq!(found.candles[2].key.symbol().as_str(), "BBB.US");
    let tabs =
        bulk.replace(",<OPENINT>", "").replace(",0\n", "\r\n").replace(',', "\t").replace("\t<VOL>", "\t<VOL>\t");
    let (_, found) = read(&tabs, &by_ticker(&[], true));
    assert_eq!(found.candles.len(), 3, "{:?}", found.faults);
    let days =
        "<TICKER>,<PER>,<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\nA,D,20250804,1,1,1,1,2\nA,60,20250805,1,1,1,1,2\n";
    let (_, found) = read(days, &by_ticker(&[], true));
    assert_eq!(shown(&found.candles), ["2025-08-04T00:00:00Z 1 1 1 1 2"]);
    assert_eq!(found.faults[0].1.message, "its period is H1, and the file is read as D1");
    let single = "Date,Open,High,Low,Close,Volume\n2025-08-04,1.1,1.2,1.0,1.1,5\n2025-08-05,1.1,1.2,1.0,1.1,5\n";
    expect(
        "stooq",
        single,
        &tz("UTC"),
        &["2025-08-04T00:00:00Z 1.1 1.2 1.0 1.1 5", "2025-08-05T00:00:00Z 1.1 1.2 1.0 1.1 5"],
    );
}

#[test]
fn binance() {
    let trades = Said { volume: VolumeChoice::Trades, ..Said::default() };
    let hours = [
        "2025-01-01T00:00:00Z 4.15070000 4.15870000 4.15060000 4.15540000 13",
        "2025-01-01T01:00:00Z 4.1 4.2 4.0 4.1 7",
    ];
    let micros = "1735689600000000,4.15070000,4.15870000,4.15060000,4.15540000,539.23000000,1735693199999999,2240.39,13,219.3,911.4,0\n\
                  1735693200000000,4.1,4.2,4.0,4.1,9.5,1735696799999999,39.1,7,1.0,4.1,0\n";
    expect("binance", micros, &trades, &hours);
    let futures = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\r\n\
                   1735689600000,4.15070000,4.15870000,4.15060000,4.15540000,539.23,1735693199999,2240.39,13,219.3,911.4,0\r\n\
                   1735693200000,4.1,4.2,4.0,4.1,9.5,1735696799999,39.1,7,1.0,4.1,0\r\n";
    expect("binance", futures, &trades, &hours);
    let semicolons = micros.replace(',', ";").replace('\n', "\r\n");
    expect("binance", &semicolons, &trades, &hours);
    // Milliseconds in December, microseconds from January on.
    let both = "1735686000000,4.1,4.2,4.0,4.1,9.5,1735689599999,39.1,7,1.0,4.1,0\n\
                1735689600000000,4.1,4.2,4.0,4.1,9.5,1735693199999999,39.1,8,1.0,4.1,0\n";
    expect(
        "binance",
        both,
        &trades,
        &["2024-12-31T23:00:00Z 4.1 4.2 4.0 4.1 7", "2025-01-01T00:00:00Z 4.1 4.2 4.0 4.1 8"],
    );
    let (_, found) = read(micros, &Said::default());
    assert_eq!(found.faults[0].1.kind, FaultKind::Fraction);
}

#[test]
fn bybit() {
    let scaled = Said { volume: VolumeChoice::Scaled(2), ..tz("+03:00") };
    let minutes =
        ["2025-08-03T21:01:00Z 114000.1 114010.2 113999 114005.5 125", "2025-08-03T21:02:00Z 1.5 2 1 1.5 300"];
    let plain = "2025.08.04 00:01,114000.1,114010.2,113999,114005.5,1.25\n2025.08.04 00:02,1.5,2,1,1.5,3\n";
    expect("bybit-mt4", plain, &scaled, &minutes);
    expect(
        "bybit-mt4",
        &plain.replace(',', ";").replace('.', ",").replace("2025,08,04", "2025.08.04"),
        &scaled,
        &minutes,
    );
    let falling: String =
        plain.lines().rev().map(|line| format!("{line}:00\r\n").replacen(":00\r\n", "\r\n", 1)).collect();
    let mut reversed = minutes;
    reversed.reverse();
    expect("bybit-mt4", &falling, &scaled, &reversed);
}

#[test]
fn kraken() {
    let trades = Said { volume: VolumeChoice::Trades, ..Said::default() };
    let minutes = ["2025-08-04T00:01:00Z 114000.1 114010.2 113999.0 114005.5 37", "2025-08-04T00:02:00Z 1.5 2 1 1.5 1"];
    let plain = "1754265660,114000.1,114010.2,113999.0,114005.5,1.25,37\n1754265720,1.5,2,1,1.5,0.00000001,1\n";
    expect("kraken", plain, &trades, &minutes);
    expect("kraken", &plain.replace('\n', "\r\n").replace(',', "\t"), &trades, &minutes);
    let thin = "1754265660,1,1,1,1,1,3\n1754265840,1,1,1,1,1,4\n1754266140,1,1,1,1,1,4\n";
    expect(
        "kraken",
        thin,
        &Said { timeframe: Some(Timeframe::M1), ..trades },
        &["2025-08-04T00:01:00Z 1 1 1 1 3", "2025-08-04T00:04:00Z 1 1 1 1 4", "2025-08-04T00:09:00Z 1 1 1 1 4"],
    );
}

#[test]
fn cryptodatadownload() {
    let trades = Said { volume: VolumeChoice::Trades, ..Said::default() };
    let plain = "https://www.CryptoDataDownload.com\n\
                 Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n\
                 1754269200000,2025-08-04 01:00:00,BTCUSDT,3,4,2,3,1.5,4.5,12\n1754265600000,2025-08-04 00:00:00,BTCUSDT,2,3,1,2,0.5,1,7\n";
    let hours = ["2025-08-04T01:00:00Z 3 4 2 3 12", "2025-08-04T00:00:00Z 2 3 1 2 7"];
    expect("cryptodatadownload", plain, &trades, &hours);
    let old = "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\r\n\
               1754269200,2025-08-04 01:00:00,BTC/USD,3,4,2,3,1.5,4.5\r\n1754265600,2025-08-04 00:00:00,BTC/USD,2,3,1,2,0.5,1\r\n";
    expect(
        "cryptodatadownload",
        old,
        &Said { volume: VolumeChoice::Scaled(1), ..Said::default() },
        &["2025-08-04T01:00:00Z 3 4 2 3 15", "2025-08-04T00:00:00Z 2 3 1 2 5"],
    );
    let (_, found) =
        read(&plain.replacen("BTCUSDT", "ETHUSDT", 1), &Said { timeframe: Some(Timeframe::H1), ..trades.clone() });
    assert!(found.faults[0].1.message.contains("its ticker is BTCUSDT"), "{:?}", found.faults);
    expect("cryptodatadownload", &plain.replace(',', ";"), &trades, &hours);
}

#[test]
fn polygon() {
    let all = Said {
        volume: VolumeChoice::Trades,
        symbols: Symbols::ByTicker { named: std::collections::BTreeMap::new(), all: true },
        ..Said::default()
    };
    let plain = "ticker,volume,open,close,high,low,window_start,transactions\n\
                 AAPL,4930,200.29,200.5,200.63,200.2,1744792500000000000,129\nAAPL,4930.5,200.29,200.5,200.63,200.2,1744792560000000000,130\n\
                 MSFT,10,1.5,1.6,1.7,1.4,1744792500000000000,3\n";
    let minutes = [
        "2025-04-16T08:35:00Z 200.29 200.63 200.2 200.5 129",
        "2025-04-16T08:36:00Z 200.29 200.63 200.2 200.5 130",
        "2025-04-16T08:35:00Z 1.5 1.7 1.4 1.6 3",
    ];
    expect("polygon", plain, &all, &minutes);
    expect("polygon", &plain.replace('\n', "\r\n").replace("AAPL", "\"AAPL\""), &all, &minutes);
    // By time in place of by ticker.
    let mut lines: Vec<_> = plain.lines().collect();
    lines.swap(2, 3);
    let (_, found) = read(&lines.join("\n"), &all);
    assert_eq!((found.candles.len(), found.faults.len()), (3, 0));
}

#[test]
fn firstrate() {
    let minutes =
        ["2025-08-04T08:00:00Z 226.1 226.2 226.0 226.1 1250", "2025-08-04T08:01:00Z 226.1 226.2 226.0 226.1 12"];
    let plain = "2025-08-04 04:00:00,226.1,226.2,226.0,226.1,1250\n2025-08-04 04:01:00,226.1,226.2,226.0,226.1,12\n";
    expect("firstrate", plain, &Said::default(), &minutes);
    expect("firstrate", &plain.replace('\n', ",,\r\n"), &Said::default(), &minutes);
    let winter = "2025-01-06,1,1,1,1,5\n2025-01-07,1,1,1,1,5\n";
    expect(
        "firstrate",
        winter,
        &Said::default(),
        &["2025-01-06T05:00:00Z 1 1 1 1 5", "2025-01-07T05:00:00Z 1 1 1 1 5"],
    );
}

#[test]
fn columns_as_given() {
    let given = |columns: &str, format: Option<&str>| Said {
        columns: Some(GivenColumns {
            columns: columns.to_owned(),
            time_format: format.map(str::to_owned),
            ..GivenColumns::default()
        }),
        ..tz("UTC")
    };
    let russian = "04/08/2025;00:01;1.15810;1.15815;1.15800;1.15801;412;\r\n04/08/2025;00:02;1.15801;1.15820;1.15801;1.15811;9;\r\n";
    let columns = "time=0+1,open=2,high=3,low=4,close=5,volume=6";
    expect("columns", russian, &given(columns, Some("%d/%m/%Y %H:%M")), &TWO_UTC);
    let header = "uid;when;open;close;high;low;volume\nx;2025-08-04T00:01:00Z;1.15810;1.15801;1.15815;1.15800;412;\n\
                  x;2025-08-04T00:02:00Z;1.15801;1.15811;1.15820;1.15801;9;\n";
    expect("columns", header, &given("time=1,open=2,close=3,high=4,low=5,volume=6", None), &TWO_UTC);
    let odd = "Mon 4 Aug 25 12:01 AM|1.15810|1.15815|1.15800|1.15801|412\nMon 4 Aug 25 12:02 AM|1.15801|1.15820|1.15801|1.15811|9\n";
    let mut said = given("time=0,open=1,high=2,low=3,close=4,volume=5", Some("%a %d %b %y %I:%M %p"));
    said.columns.as_mut().unwrap().delimiter = Some(b'|');
    expect("columns", odd, &said, &TWO_UTC);
}

#[test]
fn files_without_candles_are_refused_by_name() {
    for (text, title) in [
        (
            "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n2025.08.04\t00:00:00.351\t1.03512\t1.03524\t\t\t6\n",
            "MetaTrader 5 \"Export Ticks\"",
        ),
        ("20250804 000003660,1.158100,1.158270,0\n", "HistData ticks"),
        ("2025-08-04 00:00:00.254000,1.16438,1.16436,1500000,2620000\n", "Dukascopy ticks"),
        ("Gmt time,Ask,Bid,AskVolume,BidVolume\n04.08.2025 00:00:00.254,1.1,1.1,1,1\n", "Dukascopy ticks"),
        ("timestamp,askPrice,bidPrice\n1754265660254,1.1,1.1\n", "Dukascopy ticks"),
        ("EUR/USD,20250804 00:00:00.123,1.15801,1.15803\n", "TrueFX ticks"),
    ] {
        let error = detect(text.as_bytes(), None).unwrap_err();
        assert!(matches!(error, DetectError::Refused(dialect, _) if dialect.title == title), "{title}: {error}");
    }
    assert_eq!(detect(b"", None).unwrap_err(), DetectError::Empty);
    let error = detect(b"y\ny\ny\n", None).unwrap_err();
    assert!(error.to_string().contains("it begins with: y"), "{error}");
    let error = detect(b"1,2,3\n", named("mt5")).unwrap_err();
    assert!(error.to_string().starts_with("is not MetaTrader 5 \"Export Bars\" (--dialect mt5)"), "{error}");
}

/// One file for each shape of the table.
fn one_of_each() -> Vec<(&'static [&'static str], &'static str)> {
    vec![
        (
            &["mt5"],
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n2025.08.04\t00:01:00\t1\t1\t1\t1\t2\t0\t5\n",
        ),
        (
            &["mt5"],
            "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n2025.08.04\t1\t1\t1\t1\t2\t0\t5\n",
        ),
        (&["mt5-python"], "time,open,high,low,close,tick_volume,spread,real_volume\n1754265660,1,1,1,1,2,5,0\n"),
        (&["mt4", "histdata"], "2025.08.04,00:01,1,1,1,1,2\n"),
        (&["histdata"], "20250804 000100;1;1;1;1;0\n"),
        (&["dukascopy"], "Gmt time,Open,High,Low,Close,Volume\n04.08.2025 00:01:00.000,1,1,1,1,2.5\n"),
        (&["dukascopy"], "Local time,Open,High,Low,Close,Volume\n04.08.2025 00:01:00.000 GMT+0900,1,1,1,1,2.5\n"),
        (&["dukascopy"], "Etc/UTC,Open,High,Low,Close,Volume\n2025-08-04 00:01:00+00:00,1,1,1,1,2.5\n"),
        (&["jforex"], "Time (EET),Open,High,Low,Close,Volume \n2025.08.04 00:01:00,1,1,1,1,2.5\n"),
        (&["dukascopy-node"], "timestamp,open,high,low,close\n1754265660000,1,1,1,1\n"),
        (&["dukascopy-node"], "timestamp,open,high,low,close,volume\n1754265660000,1,1,1,1,2.5\n"),
        (&["dukascopy-node", "candlewick"], "timestamp,open,high,low,close,volume\n1754265660000,1,1,1,1,2\n"),
        (&["candlewick"], "timestamp,open,high,low,close,volume\n2025-08-04T00:01:00Z,1,1,1,1,2\n"),
        (&["tradingview"], "time,open,high,low,close\n1754265660,1,1,1,1\n"),
        (&["tradingview"], "time,open,high,low,close,Volume,MA\n2025-08-04T00:01:00Z,1,1,1,1,2,1\n"),
        (&["yahoo"], "Date,Open,High,Low,Close,Adj Close,Volume\n2025-08-04,1,1,1,1,1,2\n"),
        (&["yahoo"], "Datetime,Open,High,Low,Close,Volume\n2025-08-04 09:30:00-04:00,1,1,1,1,2\n"),
        (
            &["yahoo"],
            "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n2025-08-04 00:00:00-04:00,1,1,1,1,2,0,0\n",
        ),
        (
            &["stooq"],
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\nA,5,20250804,153000,1,1,1,1,2,0\n",
        ),
        (&["stooq"], "Date,Open,High,Low,Close,Volume\n2025-08-04,1,1,1,1,2\n"),
        (&["binance"], "1735689600000000,1,1,1,1,2.5,1735693199999999,2,13,2,9,0\n"),
        (
            &["binance"],
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n1735689600000,1,1,1,1,2,1735693199999,2,13,2,9,0\n",
        ),
        (&["bybit-mt4"], "2025.08.04 00:01,1,1,1,1,2.5\n"),
        (&["kraken"], "1754265660,1,1,1,1,2.5,37\n"),
        (
            &["cryptodatadownload"],
            "note\nUnix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n1754269200000,2025-08-04 01:00:00,A,1,1,1,1,1.5,4.5,12\n",
        ),
        (
            &["cryptodatadownload"],
            "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD\n1754269200,2025-08-04 01:00:00,A,1,1,1,1,1.5,4.5\n",
        ),
        (
            &["polygon"],
            "ticker,volume,open,close,high,low,window_start,transactions\nA,2,1,1,1,1,1744792500000000000,129\n",
        ),
        (&["firstrate"], "2025-08-04 04:00:00,1,1,1,1,2\n"),
        (&["firstrate"], "2025-08-04,1,1,1,1,2\n"),
    ]
}

#[test]
fn no_file_matches_two_dialects_unless_they_are_listed() {
    let mut seen = std::collections::BTreeSet::new();
    for (dialects, text) in one_of_each() {
        seen.extend(dialects.iter().copied());
        for delimiter in [",", ";", "\t"] {
            let first = if text.contains('\t') {
                '\t'
            } else if text.contains(';') {
                ';'
            } else {
                ','
            };
            let text = text.replace(first, delimiter);
            let matching: Vec<_> = DIALECTS
                .iter()
                .filter(|dialect| matches!(detect(text.as_bytes(), Some(dialect)), Ok(layout) if layout.dialect == Some(*dialect)))
                .map(|dialect| dialect.name)
                .collect();
            assert_eq!(matching, dialects, "{text}");
            match detect(text.as_bytes(), None) {
                Ok(layout) => assert_eq!([layout.name()], dialects),
                Err(DetectError::Several(found)) => {
                    assert_eq!(found.iter().map(|dialect| dialect.name).collect::<Vec<_>>(), dialects);
                }
                Err(error) => panic!("{error}\n{text}"),
            }
        }
    }
    let text_dialects: std::collections::BTreeSet<_> = names().filter(|name| *name != "hst").collect();
    assert_eq!(seen, text_dialects, "each dialect has a file here");
}

fn minutes(times: &[&str]) -> String {
    let lines = times.iter().enumerate().map(|(at, time)| format!("2025.{time},{at}.5,99,0,{at}.5,{at}\n"));
    lines.collect()
}

#[test]
fn the_hour_that_comes_twice_is_settled_by_order() {
    let athens = |ambiguous| Said { ambiguous, timeframe: Some(Timeframe::M30), ..tz("Europe/Athens") };
    let twice = minutes(&["10.26 02:30", "10.26 03:00", "10.26 03:30", "10.26 03:00", "10.26 03:30", "10.26 04:00"]);
    let instants = |text: &str, said: &Said| -> (Vec<String>, usize) {
        let (_, found) = read(text, said);
        (
            found.candles.iter().map(|candle| candle.key.time().to_string()[11..16].to_owned()).collect(),
            found.faults.len(),
        )
    };
    let all = ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"].map(str::to_owned).to_vec();
    assert_eq!(instants(&twice, &athens(None)), (all.clone(), 0));
    let falling: String = twice.lines().rev().map(|line| format!("{line}\n")).collect();
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(instants(&falling, &athens(None)), (reversed, 0));
    let once = minutes(&["10.26 02:30", "10.26 03:00", "10.26 03:30", "10.26 04:00"]);
    let (found, faults) = instants(&once, &athens(None));
    assert_eq!((found, faults), (vec!["23:30".to_owned(), "02:00".to_owned()], 2));
    let earlier = instants(&once, &athens(Some(dialects::Ambiguous::Earlier)));
    assert_eq!(earlier.0, ["23:30", "00:00", "00:30", "02:00"]);
    let later = instants(&once, &athens(Some(dialects::Ambiguous::Later)));
    assert_eq!(later.0, ["23:30", "01:00", "01:30", "02:00"]);
    // At the end of the file, too.
    let ends = minutes(&["10.26 03:00", "10.26 03:30", "10.26 03:00", "10.26 03:30"]);
    assert_eq!(instants(&ends, &athens(None)).0, ["00:00", "00:30", "01:00", "01:30"]);
    let skipped = minutes(&["03.30 02:30", "03.30 03:30", "03.30 04:00"]);
    let (_, found) = read(&skipped, &athens(None));
    let [(2, fault)] = &found.faults[..] else { panic!("{:?}", found.faults) };
    assert_eq!(fault.kind, FaultKind::Skipped);
}

#[test]
fn order_repetition_and_the_last_candle() {
    let said = |now: &str| Said { now: Timestamp::parse(now, None, None).unwrap().time, ..tz("UTC") };
    let text = "2025.08.04 00:01,1,1,1,1,2\n2025.08.04 00:02,1,1,1,1,2\n2025.08.04 00:02,1,1,1,1,2\n\
                2025.08.04 00:02,1,1,1,1,3\n2025.08.04 00:01,1,1,1,1,2\n2025.08.04 00:03,1,1,1,1,2\n2025.08.04 00:04,1,1,1,1,2\n";
    let (reader, found) = read(text, &said("2025-08-04T00:03:30Z"));
    let counts = reader.counts();
    assert_eq!((counts.read, counts.repeated, counts.unfinished, counts.faults), (2, 1, 1, 3));
    let said: Vec<_> = found.faults.iter().map(|(line, fault)| (*line, fault.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (4, "it has the time of line 2 and other values"),
            (5, "its time lies before that of line 2, but the times of the file rise"),
            (7, "its time, 2025-08-04T00:04:00Z, lies in the future; is the zone right?"),
        ]
    );
}

#[test]
fn labels_at_the_close_are_moved_to_the_open() {
    let text = "2025.08.04 00:05,1,1,1,1,2\n2025.08.04 00:10,1,1,1,1,2\n";
    let closes = Said { labels_close: true, ..tz("UTC") };
    expect("bybit-mt4", text, &closes, &["2025-08-04T00:00:00Z 1 1 1 1 2", "2025-08-04T00:05:00Z 1 1 1 1 2"]);
    let odd = "2025.08.04 00:04:59,1,1,1,1,2\n2025.08.04 00:09:59,1,1,1,1,2\n";
    let (_, found) = read(odd, &tz("UTC"));
    assert!(found.faults[0].1.message.ends_with("add --labels close"), "{:?}", found.faults);
}

#[test]
fn faults_say_what_is_wrong() {
    let line = |line: &str| {
        let text = format!(
            "2025.08.04 00:01,1,1,1,1,2\n2025.08.04 00:02,1,1,1,1,2\n{}{line}\n",
            "2025.08.04 00:03,1,1,1,1,2\n".repeat(60)
        );
        let (_, found) = read(&text, &tz("UTC"));
        found.faults.into_iter().map(|(_, fault)| fault.message).collect::<Vec<_>>().join("|")
    };
    for (text, said) in [
        ("2025.08.04 00:04,1,x,1,1,2", "the high is x, which is not a number"),
        ("2025.08.04 00:04,1,2,3,1,2", "the high is 2, below the low of 3"),
        ("2025.08.04 00:04,1,1,1,1", "the line has 5 fields in place of 6"),
        ("2025.08.04 00:04,1,1,1,1,2,7", "the line has 7 fields in place of 6"),
        ("2025.08.04 00:04,1,1,1,1,-2", "the volume is negative; a volume is 0 or more"),
        ("2025.08.04 00:04,1,1,1,1,2.5", "the volume is 2.5, which has a fraction"),
        ("2025.08.04 00:04,,,,,", "the line has a time and no prices"),
        ("2025.08.04 24:04,1,1,1,1,2", "the time is 2025.08.04 24:04, which is not a time that exists"),
        ("2025-08-04 00:04,1,1,1,1,2", "the time 2025-08-04 00:04 has another form than those before it, Y.M.D h:m:s"),
        ("\"2025.08.04 00:04,1,1,1,1,2", "the line has a quote that is not closed at the end of its field"),
        ("<DATE>,1,1,1,1,2", "the time is <DATE>, which is not a time in a known form"),
    ] {
        assert_eq!(line(text), said, "{text}");
    }
}
