//! A terminal that feeds the real program on a store of its own, and the checks that every such feed must pass.

use serde_json::Value;
use tempfile::TempDir;

use super::front::{Front, Request, header};
use super::market::Market;
use super::terminal::Terminal;
use crate::harness::{Database, KEY, TOKEN};
use crate::program::{Serving, folder};

/// 2024-02-14T12:00:00Z, a Wednesday in winter.
pub const NOW: i64 = 1_707_912_000;
/// The broker's clock in winter.
pub const OFFSET: i64 = 7200;
/// The broker's time now, at which a bar opens.
pub const BROKER_NOW: i64 = NOW + OFFSET;

pub struct Feed {
    pub terminal: Terminal,
    pub front: Front,
    pub serving: Option<Serving>,
    pub database: Database,
    pub batch: usize,
    folder: TempDir,
}

impl Feed {
    /// A service with `variables`, and a terminal whose EA waits to be started with M1 candles of the chart's symbol.
    pub async fn prepare(database: Database, variables: &[(&str, &str)]) -> Option<Self> {
        let mut terminal = Terminal::start(None)?;
        let front = Front::start().await;
        terminal.tell(&format!("clock {NOW}"));
        terminal.tell(&format!("offset {OFFSET}"));
        terminal.tell(&format!("allow http://{}", front.address));
        let mut feed = Self { terminal, front, serving: None, database, batch: 500, folder: folder() };
        feed.input("Url", format!("http://{}/", feed.front.address));
        feed.input("Key", KEY);
        feed.input("Timeframes", "M1");
        // This time-out alone runs in real time: the EA must not take a busy machine for an unavailable service.
        feed.input("TimeoutSeconds", 60);
        feed.serve(variables);
        Some(feed)
    }

    /// Starts the service, or restarts it.
    pub fn serve(&mut self, variables: &[(&str, &str)]) {
        let url = self.database.url();
        let common = [("MT5_API_KEY", KEY), ("INTERNAL_API_TOKEN", TOKEN), ("PORT", "0"), ("DATABASE_URL", &url)];
        let mut serving = Serving::start(self.folder.path(), &[&common[..], variables].concat());
        serving.is_ready();
        self.front.lead_to(Some(serving.url.trim_start_matches("http://").parse().unwrap()));
        self.serving = Some(serving);
    }

    /// Kills the service as a power cut does.
    pub fn kill_service(&mut self) {
        self.front.lead_to(None);
        self.serving = None;
    }

    pub fn input(&mut self, name: &str, value: impl std::fmt::Display) {
        self.terminal.tell(&format!("input {name} {value}"));
    }

    /// Shows all of a market to the terminal, as the chart's symbol from now on.
    pub fn show(&mut self, market: &Market) {
        self.terminal.tell(&market.symbol_command());
        self.terminal.tell(&format!("chart {}", market.symbol));
        for time in market.times() {
            self.terminal.tell(&market.bar_command(time));
        }
    }

    pub fn init(&mut self) {
        self.terminal.tell("init");
        assert_eq!(self.terminal.init_code, "0", "{:?}", self.terminal.log);
    }

    pub fn advance(&mut self, seconds: i64) {
        self.terminal.tell(&format!("advance {seconds}"));
    }

    /// The bodies of all posts.
    pub fn posts(&self) -> Vec<Value> {
        let posts = self.front.requests().into_iter().filter(|request| request.head.starts_with("POST"));
        posts.map(|post| serde_json::from_slice(&post.body).unwrap()).collect()
    }

    /// Checks that exactly the `closed` rows are stored as closed candles and the `forming` ones as forming, and that
    /// every request was one that a service can expect.
    #[track_caller]
    pub fn verify(&self, stored: (Vec<String>, Vec<String>), closed: &[String], forming: &[String]) {
        let told = format!("{}\n{:#?}", self.terminal.comment, self.terminal.log);
        assert_same(stored.0, closed.to_vec(), &format!("closed candles; {told}"));
        // A forming row may remain for a while after its closed candle is stored; readers do not see it.
        let hidden = |row: &String| closed.iter().any(|closed| key(closed) == key(row));
        let visible = stored.1.into_iter().filter(|row| !hidden(row)).collect();
        assert_same(visible, forming.to_vec(), &format!("forming candles; {told}"));
        for request in self.front.requests() {
            self.is_exact(&request);
        }
        assert!(!told.contains(KEY), "a key is never shown: {told}");
    }

    /// The closed and the forming rows of the database.
    pub async fn stored(&self) -> (Vec<String>, Vec<String>) {
        (self.database.closed().await, self.database.forming().await)
    }

    #[track_caller]
    fn is_exact(&self, request: &Request) {
        let head = &request.head;
        assert_eq!(header(head, "prefer"), Some("handling=lenient"), "{head}");
        assert_eq!(header(head, "content-type"), Some("application/json"), "{head}");
        assert!(header(head, "user-agent").unwrap().starts_with("CandlewickFeed/"), "{head}");
        assert!(head.lines().next().unwrap().len() < 1024, "{head}");
        if !head.starts_with("POST") {
            assert!(request.body.is_empty());
            return;
        }
        let text = std::str::from_utf8(&request.body).expect("UTF-8");
        assert!(!text.contains(['\0', '\n']) && text.ends_with("]}"), "{text}");
        let body: Value = serde_json::from_str(text).unwrap();
        let candles = body["candles"].as_array().unwrap();
        assert!((1..=self.batch).contains(&candles.len()), "{} candles", candles.len());
        assert!(candles.iter().all(|candle| candle["complete"].is_boolean()), "{text}");
        let times: Vec<_> = candles.iter().map(|candle| candle["timestamp"].as_i64().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{text}");
    }
}

/// Symbol, timeframe and time, without the prices and the volume.
fn key(row: &str) -> &str {
    row.rsplitn(6, ' ').last().unwrap()
}

#[track_caller]
fn assert_same(mut found: Vec<String>, mut wanted: Vec<String>, what: &str) {
    found.sort();
    wanted.sort();
    if found != wanted {
        let missing: Vec<_> = wanted.iter().filter(|row| !found.contains(row)).take(5).collect();
        let surplus: Vec<_> = found.iter().filter(|row| !wanted.contains(row)).take(5).collect();
        panic!("{} and not {} {what}\nmissing {missing:#?}\nsurplus {surplus:#?}", found.len(), wanted.len());
    }
}
