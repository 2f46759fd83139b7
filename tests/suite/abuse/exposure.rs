//! The proxies' own surface: port 80, TLS, other host names, and the answers that they give without the service.

use std::fs;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::attack::{Attack, Problem, Taken, batch, get, key, post, request, token};
use super::headers;
use super::target::{Target, secrets_in};
use super::wire::Door;
use crate::harness::{Database, run};
use crate::proxies;

async fn started() -> Target {
    Target::start(Database::sqlite(), &[("RATE_LIMIT_ANONYMOUS", "off")]).await
}

#[test]
fn port_80_refuses_and_never_redirects() {
    run(async {
        let target = started().await;
        for proxy in &target.proxies {
            let refused = [
                Attack::new("a post", post(&key(), batch(&[])), Problem(403, "plain_http")),
                Attack::new("a read", get("/api/v1/series", &token()), Problem(403, "plain_http")),
                Attack::new("the root", get("/", ""), Problem(403, "plain_http")),
                Attack::new("a claim of TLS", get("/", "X-Forwarded-Proto: https\r\n"), Problem(403, "plain_http")),
                Attack::new(
                    "another's host",
                    "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                    Problem(403, "plain_http"),
                ),
            ];
            for attack in refused {
                let answers = proxy.plain.exchange(&attack.bytes).await.unwrap();
                // The request that ends the connection is refused too.
                let first = attack.judge_first(&answers);
                assert_eq!(first, Ok(()), "{}: {}", proxy.plain.name, attack.name);
                for answer in &answers.0 {
                    assert_eq!(answer.header("location"), None, "{answer:?}");
                    assert_eq!(answer.header("strict-transport-security"), None, "it means nothing without TLS");
                }
            }
        }
        target.ends_unharmed(Vec::new()).await;
    });
}

#[test]
fn acme_challenges_are_answered_on_port_80() {
    run(async {
        let target = started().await;
        // Caddy answers from memory, and only while it requests a certificate.
        for proxy in target.proxies.iter().filter(|proxy| proxy.plain.name == "nginx") {
            let folder = proxy.folder.path().join("acme/.well-known/acme-challenge");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("token"), "token.thumbprint").unwrap();
            let answers = proxy.plain.exchange(&get("/.well-known/acme-challenge/token", "")).await.unwrap();
            assert_eq!((answers.0[0].status, answers.0[0].body.as_str()), (200, "token.thumbprint"));
            for path in
                ["/.well-known/acme-challenge/../../nginx.conf", "/.well-known/acme-challenge/%2e%2e/%2e%2e/key.pem"]
            {
                let answers = proxy.plain.exchange(&get(path, "")).await.unwrap();
                assert!((400..500).contains(&answers.0[0].status), "{answers:?}");
            }
        }
        target.ends_unharmed(Vec::new()).await;
    });
}

#[test]
fn the_proxies_answer_with_a_problem_while_the_service_is_down() {
    run(async {
        // Nothing listens on this port any more.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for proxy in proxies::start(nobody).await {
            for bytes in [post(&key(), batch(&[])), get("/api/v1/series", &token())] {
                let answers = proxy.tls.exchange(&bytes).await.unwrap();
                let down = Attack::new("down", bytes, Problem(502, "unavailable")).judge_first(&answers);
                assert_eq!(down, Ok(()), "{}", proxy.tls.name);
                assert_eq!(answers.0[0].values("retry-after"), ["1"]);
                assert_eq!(headers(&proxy.tls, &answers.0[0]), Ok(()), "{}", proxy.tls.name);
            }
            assert_eq!(secrets_in(&proxy.log()), [""; 0], "{}", proxy.tls.name);
        }
    });
}

#[test]
fn the_service_and_the_proxies_refuse_large_bodies_alike() {
    run(async {
        let target = started().await;
        for door in &target.doors()[1..] {
            let (large, expected) = (" ".repeat(4_500_000), Problem(413, "too_large"));
            let attack = Attack::new("a body that only the service refuses", post(&key(), large), expected);
            let answers = door.exchange(&attack.bytes).await.unwrap();
            assert_eq!(attack.judge_direct(&answers), Ok(()), "{}", door.name);
            assert!(answers.0[0].body.contains("4194304"), "the service's own words: {answers:?}");
            let attack = Attack::new("one that the proxy refuses", post(&key(), " ".repeat(6_000_000)), expected);
            let answers = door.exchange(&attack.bytes).await.unwrap();
            assert_eq!(attack.judge_direct(&answers), Ok(()), "{}", door.name);
            assert_eq!(headers(door, &answers.0[0]), Ok(()), "{}", door.name);
        }
        target.ends_unharmed(Vec::new()).await;
    });
}

#[test]
fn the_proxies_pass_cors_requests_of_allowed_origins() {
    run(async {
        let target = started().await;
        let origin = super::keys::ORIGIN;
        for door in target.doors() {
            let asks = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
            for (bytes, status) in [
                (request("OPTIONS", "/api/v1/series", &asks), 200),
                (get("/api/v1/series", &format!("Origin: {origin}\r\n{}", token())), 200),
            ] {
                let answers = door.exchange(&bytes).await.unwrap();
                assert_eq!(Attack::new("allowed", bytes, Taken(status)).judge_first(&answers), Ok(()), "{}", door.name);
                assert_eq!(answers.0[0].values("access-control-allow-origin"), [origin], "{}", door.name);
            }
        }
        target.ends_unharmed(Vec::new()).await;
    });
}

const NEW_SUITES: [u16; 2] = [0xc02b, 0xc02f];
const OLD_SUITES: [u16; 6] = [0xc013, 0xc014, 0x002f, 0x0035, 0x000a, 0x0005];

#[test]
fn old_tls_and_weak_suites_are_refused() {
    const HANDSHAKE: u8 = 0x16;
    const ALERT: u8 = 0x15;
    run(async {
        let target = started().await;
        for proxy in &target.proxies {
            let all = [&NEW_SUITES[..], &OLD_SUITES].concat();
            for (name, hello, answered) in [
                ("TLS 1.2", hello("localhost", 0x0303, &NEW_SUITES), HANDSHAKE),
                ("TLS 1.1", hello("localhost", 0x0302, &all), ALERT),
                ("TLS 1.0", hello("localhost", 0x0301, &all), ALERT),
                ("SSL 3", hello("localhost", 0x0300, &all), ALERT),
                ("weak suites", hello("localhost", 0x0303, &OLD_SUITES), ALERT),
                ("another's name", hello("evil.example", 0x0303, &NEW_SUITES), ALERT),
            ] {
                assert_eq!(first_byte(&proxy.tls, &hello).await, Some(answered), "{}: {name}", proxy.tls.name);
            }
            // Plain HTTP on the TLS port does not reach the API either.
            let plain = Door::plain(proxy.tls.name, proxy.tls.address);
            let answers = plain.exchange(&get("/api/v1/series", &token())).await.unwrap();
            assert_eq!(answers.0[0].status, 400, "{}", proxy.tls.name);
        }
        target.ends_unharmed(Vec::new()).await;
    });
}

async fn first_byte(door: &Door, bytes: &[u8]) -> Option<u8> {
    let mut stream = door.socket(None).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.read_u8().await.ok()
}

/// The ClientHello of a client of that TLS version, written by hand because no library here still sends one.
fn hello(name: &str, version: u16, suites: &[u16]) -> Vec<u8> {
    fn list16(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
    }
    let extension = |kind: u16, data: &[u8]| [&kind.to_be_bytes()[..], &list16(data)].concat();
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let server_name = list16(&[&[0][..], &list16(name.as_bytes())].concat());
    let extensions = [
        extension(0, &server_name),
        extension(10, &list16(&[0, 0x17, 0, 0x1d])), // groups: P-256, X25519
        extension(11, &[1, 0]),                      // uncompressed points
        extension(13, &list16(&[4, 3, 8, 4, 4, 1, 2, 1, 2, 3])), // signatures: ECDSA and RSA with SHA-256 and SHA-1
    ]
    .concat();
    let body = [
        &version.to_be_bytes()[..],
        &[7; 32], // random
        &[0],     // no session
        &list16(&suites),
        &[1, 0], // no compression
        &list16(&extensions),
    ]
    .concat();
    let message = [&[1, 0][..], &list16(&body)].concat();
    [&[0x16, 3, 1][..], &list16(&message)].concat()
}
