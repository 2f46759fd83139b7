//! An attack, and the checks of its answers.

use std::fmt::Write as _;

use super::keys::WRONG;
use super::wire::{Answer, Answers};
use crate::harness::{KEY, TOKEN};

/// A request, or bytes that pretend to be one.
pub struct Attack {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expected: Expected,
    behind: Behind,
    /// The candle that is stored, as `Database::closed` lists it.
    pub stored: Option<String>,
}

/// The service's own answer, without a proxy.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// A problem with this status and code.
    Problem(u16, &'static str),
    /// An answer without a body, with which hyper refuses bytes that are not HTTP.
    Bare(u16),
    /// It isn't an attack after all, and gets an answer with this status.
    Taken(u16),
    /// The connection is closed, perhaps after an answer that says why.
    Closed,
}
pub use Expected::{Bare, Closed, Problem, Taken};

/// The differences that a proxy may show. It may always answer with a 4xx if the service refuses or ends the request.
enum Behind {
    AsAlways,
    /// The proxy repairs the request before it passes it on, and the service answers thus.
    Mended(Expected),
    /// The proxy answers this itself, and no setting changes that.
    Answers(u16),
    /// The proxy sees two requests where the service sees a bad one, and passes on two: they agree.
    SeesTwo,
}

impl Attack {
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expected: Expected) -> Self {
        Self { name: name.into(), bytes: bytes.into(), expected, behind: Behind::AsAlways, stored: None }
    }

    pub fn mended_by_proxies(self, expected: Expected) -> Self {
        Self { behind: Behind::Mended(expected), ..self }
    }

    pub fn proxies_may_answer(self, status: u16) -> Self {
        Self { behind: Behind::Answers(status), ..self }
    }

    pub fn two_to_proxies(self) -> Self {
        Self { behind: Behind::SeesTwo, ..self }
    }

    pub fn stores(self, row: impl Into<String>) -> Self {
        Self { stored: Some(row.into()), ..self }
    }

    /// Checks the service's own answer, and returns the fault.
    pub fn judge_direct(&self, answers: &Answers) -> Result<(), String> {
        check(self.only(answers)?, self.expected)
    }

    /// Checks the first answer, for attacks after which the request that ends the connection is answered alike.
    pub fn judge_first(&self, answers: &Answers) -> Result<(), String> {
        check(answers.0.first().ok_or("no answer")?, self.expected)
    }

    /// Checks the answer through a proxy.
    pub fn judge_proxied(&self, answers: &Answers) -> Result<(), String> {
        let answer = match (&self.behind, answers.to_attack()) {
            // A proxy may refuse bytes that are not HTTP by closing the connection.
            (_, []) if matches!(self.expected, Closed | Bare(_) | Problem(400, _)) => return Ok(()),
            (Behind::SeesTwo, [first, _]) => first,
            _ => self.only(answers)?,
        };
        let mended = match self.behind {
            Behind::Mended(expected) => check(answer, expected).is_ok(),
            Behind::Answers(status) => answer.status == status,
            Behind::AsAlways | Behind::SeesTwo => false,
        };
        let as_directly = check(answer, self.expected).is_ok();
        if as_directly || mended || (400..500).contains(&answer.status) {
            return Ok(());
        }
        Err(format!("expected {:?} or another 4xx, got {}", self.expected, shown(answer)))
    }

    /// The one answer to the one request: a second answer means that a request was smuggled.
    fn only<'a>(&self, answers: &'a Answers) -> Result<&'a Answer, String> {
        match answers.to_attack() {
            [answer] => Ok(answer),
            // The answer to the closing request counts as the answer to the attack where both ask the same.
            [] => answers.0.first().filter(|_| matches!(self.expected, Taken(_))).ok_or("no answer".to_owned()),
            several => Err(several.iter().fold("several answers:".to_owned(), |mut text, answer| {
                let _ = write!(text, " {}", shown(answer));
                text
            })),
        }
    }
}

fn check(answer: &Answer, expected: Expected) -> Result<(), String> {
    let found = match (answer.code(), answer.body.is_empty()) {
        (Some(code), _) => (answer.status, code),
        (None, true) => (answer.status, "bare".to_owned()),
        (None, false) => (answer.status, "body".to_owned()),
    };
    let right = match expected {
        Problem(status, code) => found == (status, code.to_owned()) && is_problem(answer),
        Bare(status) => found == (status, "bare".to_owned()),
        Taken(status) => found.0 == status,
        Closed => answer.status == 400 && answer.header("connection") == Some("close"),
    };
    if right { Ok(()) } else { Err(format!("expected {expected:?}, got {}", shown(answer))) }
}

fn is_problem(answer: &Answer) -> bool {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    answer.header("content-type") == Some("application/problem+json")
        && body["status"] == answer.status
        && body["request_id"].as_str() == answer.header("x-request-id")
        && body["detail"].as_str().is_some_and(|detail| !detail.is_empty())
        // Every client without a valid key gets the same sentence, which does not say which part of the key was right.
        // A client with a valid key learns which header takes it, or which header holds another key that is not known.
        && (answer.status != 401
            || body["detail"].as_str().is_some_and(|detail| {
                let helps = detail.contains("or after Bearer") || detail.contains("X-API-KEY holds one that is not known");
                detail == "Invalid or missing API Key" || (helps && !detail.contains(KEY) && !detail.contains(WRONG))
            }))
}

pub fn shown(answer: &Answer) -> String {
    let body: String = answer.body.chars().take(200).collect();
    format!("{} {body}", answer.status)
}

/// The key of a terminal, as a header line.
pub fn key() -> String {
    format!("X-API-KEY: {KEY}\r\n")
}

/// The token of a chart's server, as a header line.
pub fn token() -> String {
    format!("X-Internal-Token: {TOKEN}\r\n")
}

/// A request with the header `lines`, each of which ends with its own line break.
pub fn request(method: &str, target: &str, lines: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into()
}

pub fn get(target: &str, lines: &str) -> Vec<u8> {
    request("GET", target, lines)
}

/// A post of `body` with its length and `lines`.
pub fn post(lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = request("POST", "/api/v1/candles", &format!("{lines}Content-Length: {}\r\n", body.len()));
    bytes.extend_from_slice(body);
    bytes
}

/// A post of one candle, some of whose fields are JSON of the attacker's own.
pub fn post_candle(fields: &[(&str, &str)]) -> Vec<u8> {
    post(&key(), batch(fields))
}

/// The body of such a post.
pub fn batch(fields: &[(&str, &str)]) -> String {
    const GOOD: [(&str, &str); 8] = [
        ("symbol", r#""ATTACK""#),
        ("timeframe", r#""H1""#),
        ("timestamp", "1754215200"),
        ("open", "1"),
        ("high", "1"),
        ("low", "1"),
        ("close", "1"),
        ("volume", "1"),
    ];
    let mut candle = String::new();
    for (name, good) in GOOD {
        let value = fields.iter().find(|(field, _)| *field == name).map_or(good, |(_, value)| value);
        let _ = write!(candle, r#""{name}":{value},"#);
    }
    format!(r#"{{"candles":[{{{}}}]}}"#, candle.trim_end_matches(','))
}
