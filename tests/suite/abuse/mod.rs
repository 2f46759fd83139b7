//! Attacks from the internet as raw bytes, directly and through the proxies of `deploy/`, and the traces that they
//! leave.
//!
//! Each file holds the attacks of one kind as a table. `make abuse` adds the floods, which take too long and too many
//! file descriptors for every day.

mod attack;
mod bodies;
mod exposure;
mod floods;
mod framing;
mod heads;
mod keys;
mod limits;
mod paths;
mod queries;
mod slow;
mod target;
pub mod wire;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use attack::{Attack, Taken};
use rstest_reuse::apply;
use target::Target;
use tokio::task::JoinSet;
use wire::{Answer, Door};

use crate::harness::{Database, StoreKind, both_store_kinds, run};

/// The attacks of one kind.
type Table = fn() -> Vec<Attack>;

#[apply(both_store_kinds)]
fn no_attack_reaches_the_database(kind: StoreKind) {
    run(async { attacks_get_nowhere(kind.database().await).await });
}

async fn attacks_get_nowhere(database: Database) {
    let target = Target::start(database, &[("RATE_LIMIT_ANONYMOUS", "off")]).await;
    let groups: [(&str, Table); 6] = [
        ("framing", framing::attacks),
        ("paths and methods", paths::attacks),
        ("keys and origins", keys::attacks),
        ("heads and logs", heads::attacks),
        ("queries", queries::attacks),
        ("bodies", bodies::attacks),
    ];
    let doors = target.doors();
    let mut report = format!("{:20}", "bad inputs tried");
    for door in &doors {
        let _ = write!(report, "{:>10}", door.name);
    }
    let mut totals = vec![0; doors.len()];
    let mut failures = Vec::new();
    for (group, attacks) in groups {
        let mut trying = JoinSet::new();
        for (index, door) in doors.iter().cloned().enumerate() {
            trying.spawn(async move { (index, try_all(&door, attacks()).await) });
        }
        let mut tried = vec![0; doors.len()];
        for (index, (count, failed)) in trying.join_all().await {
            tried[index] = count;
            totals[index] += count;
            failures.extend(failed.iter().map(|failure| format!("{}, {group}: {failure}", doors[index].name)));
        }
        let _ = write!(report, "\n  {group:18}");
        report += &row(&tried);
    }
    println!("{report}\n  {:18}{}", "all", row(&totals));
    assert!(failures.is_empty(), "{} of them came out wrong:\n{}", failures.len(), failures.join("\n"));

    for door in &doors {
        let read = attack::get("/api/v1/candles?symbol=CANARY&timeframe=H1", &attack::token());
        let answers = door.exchange(&read).await.unwrap();
        assert_eq!(answers.to_attack()[0].body.matches("timestamp").count(), 3, "{} still reads", door.name);
    }
    let stored = groups.iter().flat_map(|(_, attacks)| attacks()).filter_map(|attack| attack.stored);
    target.ends_unharmed(stored.collect()).await;
}

fn row(counts: &[usize]) -> String {
    counts.iter().fold(String::new(), |row, count| row + &format!("{count:>10}"))
}

/// Tries `attacks` through `door`, several at a time, and returns their number and the failures.
async fn try_all(door: &Door, attacks: Vec<Attack>) -> (usize, Vec<String>) {
    const AT_A_TIME: usize = 4;
    let tried = attacks.len();
    let attacks = Arc::new(Mutex::new(attacks));
    let mut lanes = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (door, attacks) = (door.clone(), Arc::clone(&attacks));
        lanes.spawn(async move {
            let mut failed = Vec::new();
            loop {
                let Some(attack) = attacks.lock().unwrap().pop() else { break failed };
                if let Err(reason) = try_one(&door, &attack).await {
                    failed.push(format!("{}: {reason}", attack.name));
                }
            }
        });
    }
    (tried, lanes.join_all().await.concat())
}

async fn try_one(door: &Door, attack: &Attack) -> Result<(), String> {
    let mut answers = door.exchange(&attack.bytes).await?;
    // On a busy machine the database connection may not be ready in time; a client may then try again.
    for _ in 0..10 {
        if !matches!(attack.expected, Taken(_)) || answers.0.first().is_none_or(|answer| answer.status != 503) {
            break;
        }
        answers = door.exchange(&attack.bytes).await?;
    }
    if door.name == "directly" { attack.judge_direct(&answers) } else { attack.judge_proxied(&answers) }?;
    answers.0.iter().try_for_each(|answer| headers(door, answer))
}

/// Checks that the answer has each header of every answer exactly once.
fn headers(door: &Door, answer: &Answer) -> Result<(), String> {
    // Refusals by hyper and Go before any handler runs cannot have it, and neither can Caddy's 421.
    if door.name != "nginx" && answer.header("x-request-id").is_none() {
        return Ok(());
    }
    let mut wanted = vec![
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ];
    if door.name != "directly" && answer.status != 421 {
        wanted.push(("strict-transport-security", "max-age=31536000"));
    }
    for (name, value) in wanted {
        if answer.values(name) != [value] {
            return Err(format!("{name} is {:?} in {}", answer.values(name), attack::shown(answer)));
        }
    }
    let cache = answer.values("cache-control");
    if cache != ["no-store"] && cache != ["private, no-cache"] {
        return Err(format!("cache-control is {cache:?} in {}", attack::shown(answer)));
    }
    match answer.header("server") {
        None | Some("nginx" | "Caddy") => Ok(()),
        Some(banner) => Err(format!("Server says {banner}")),
    }
}
