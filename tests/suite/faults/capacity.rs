//! Locks, connections and the disk of PostgreSQL run out.

use std::time::Instant;

use sqlx::{Connection, PgConnection};

use super::database_server::end_sessions;
use super::rounds;
use super::scenario::{on_a_small_disk, on_postgres};
use crate::harness::TableLock;

#[test]
fn the_table_is_locked() {
    on_postgres("table locked", async |scenario, _| {
        scenario.start_jobs().await;
        for _ in 0..rounds(1, 4) {
            scenario.random_point().await;
            let lock = TableLock::take(scenario.postgres()).await;
            scenario.lasts(1200..2000, 9000).await;
            lock.release().await;
            scenario.heals().await;
        }
    });
}

#[test]
fn no_connection_is_left() {
    on_postgres("max_connections used up", async |scenario, server| {
        scenario.start_jobs().await;
        for _ in 0..rounds(1, 4) {
            scenario.random_point().await;
            let mut watch = server.connect().await;
            // Other clients take every connection, including those that the service had.
            let mut others = Vec::new();
            while end_sessions(&mut watch).await > 0 {
                while let Ok(other) = PgConnection::connect(&server.url).await {
                    others.push(other);
                }
            }
            scenario.lasts(500..1500, 6000).await;
            for other in others {
                other.close().await.unwrap();
            }
            scenario.heals().await;
        }
    });
}

#[test]
fn the_disk_of_the_server_is_full() {
    on_a_small_disk("server's disk full", async |scenario, server, disk| {
        scenario.start_jobs().await;
        for _ in 0..rounds(1, 4) {
            scenario.random_point().await;
            disk.fill();
            scenario.load.refused_after(Instant::now()).await;
            scenario.lasts(200..800, 3000).await;
            disk.free();
            // The server may have stopped itself, because it could not write its log.
            server.start_again().await;
            scenario.heals().await;
        }
    });
}
