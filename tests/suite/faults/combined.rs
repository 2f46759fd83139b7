//! Several faults at once, in an order that the seed chooses.

use std::time::Duration;

use super::database_server::{DatabaseServer, end_sessions};
use super::oracle::Broken;
use super::rounds;
use super::scenario::{ENOUGH, Scenario, on_a_link};
use crate::harness::TableLock;
use crate::proxy::Link;

#[test]
fn everything_at_once() {
    on_a_link("several at once", ENOUGH, async |scenario, server, proxy| {
        scenario.start_jobs().await;
        scenario.broken = Broken::Anything;
        for _ in 0..rounds(1, 8) {
            scenario.random_point().await;
            let links = [
                Link::Open,
                Link::BlackHole,
                Link::Delayed(Duration::from_millis(50)),
                Link::Sliced,
                Link::CutAfter(2000),
                Link::AnswerLost,
            ];
            proxy.set(links[scenario.random.below(links.len())]);
            scenario.lasts(0..200, 1000).await;
            something_else(scenario, server).await;
            scenario.clients_come_and_leave(10).await;
            proxy.set(Link::Open);
            // A connection that lost bytes stays silent, and the scenario of a silent link measures how long that
            // lasts.
            proxy.reset();
            scenario.heals().await;
        }
    });
}

async fn something_else(scenario: &mut Scenario, server: &DatabaseServer) {
    match scenario.random.below(5) {
        0 => {
            scenario.end_service("KILL");
            scenario.start_service();
        }
        1 => {
            server.stop("immediate");
            scenario.lasts(0..500, 2000).await;
            server.start_again().await;
        }
        2 => {
            let frozen = server.freeze().await;
            scenario.lasts(0..500, 7000).await;
            drop(frozen);
        }
        3 => {
            let lock = TableLock::take(scenario.postgres()).await;
            scenario.lasts(0..500, 7000).await;
            lock.release().await;
        }
        _ => drop(end_sessions(&mut server.connect().await).await),
    }
}
