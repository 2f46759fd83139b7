//! Limits by address: a client's claims about itself do not change the address that they count for.

use super::attack::{get, shown};
use super::target::Target;
use super::wire::{Answer, Door};
use crate::harness::{Database, run};

/// Far more than any limit here.
const MANY: usize = 200;

async fn ask(door: &Door, lines: &str) -> Answer {
    let mut answers = door.exchange(&get("/api/v1/series", lines)).await.unwrap().0;
    assert!(!answers.is_empty());
    answers.remove(0)
}

/// Sends requests with `lines` until one is refused as too many, and returns the number of those before it.
async fn exhaust(door: &Door, lines: &str) -> usize {
    for asked in 0..MANY {
        let answer = ask(door, lines).await;
        if answer.status == 429 {
            assert_eq!(answer.code().as_deref(), Some("rate_limited"), "{}", shown(&answer));
            assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 1));
            return asked;
        }
        assert_eq!(answer.status, 401, "{}", shown(&answer));
    }
    panic!("{}: {MANY} requests were not too many", door.name);
}

/// Every header that can name a client's address.
fn claims(address: &str) -> String {
    format!(
        "X-Forwarded-For: {address}\r\nX-Real-IP: {address}\r\nForwarded: for={address}\r\nCF-Connecting-IP: {address}\r\n\
         True-Client-IP: {address}\r\nX_Forwarded_For: {address}\r\n"
    )
}

async fn limited_by_address(variables: &[(&'static str, &'static str)], lines: &str) {
    let target = Target::start(Database::sqlite(), variables).await;
    for (index, door) in (0_u8..).zip(target.doors()) {
        let attacker = door.from([127, 0, 1, 10 + index]);
        let others = door.from([127, 0, 2, 10 + index]);
        let allowed = exhaust(&attacker, lines).await;
        println!("{}: {allowed} requests, then 429", door.name);
        for claim in ["127.0.2.99", "10.1.2.3, 127.0.2.98", "::1", "127.0.0.1"] {
            let answer = ask(&attacker, &(claims(claim) + lines)).await;
            assert_eq!(answer.status, 429, "{}: claiming to be {claim} helps", door.name);
        }
        // Nobody can use up the limit of the address that they claim.
        assert_eq!(ask(&others, lines).await.status, 401, "{}: another address is not concerned", door.name);
        for _ in 0..MANY {
            ask(&attacker, &(claims("127.0.3.1") + lines)).await;
        }
        assert_eq!(ask(&door.from([127, 0, 3, 1]), lines).await.status, 401, "{}: nor one that was claimed", door.name);
        assert_eq!(ask(&attacker, &super::attack::token()).await.status, 200, "{}: a right key is served", door.name);
    }
    target.ends_unharmed(Vec::new()).await;
}

#[test]
fn anonymous_requests_are_limited_by_the_true_address() {
    run(async { limited_by_address(&[("RATE_LIMIT_ANONYMOUS", "10/m")], "").await });
}

#[test]
fn wrong_keys_are_limited_by_the_true_address() {
    run(async {
        let wrong = format!("X-API-KEY: {}\r\n", super::keys::WRONG);
        limited_by_address(&[("RATE_LIMIT_ANONYMOUS", "1000/s")], &wrong).await;
    });
}
