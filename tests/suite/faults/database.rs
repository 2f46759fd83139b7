//! PostgreSQL is stopped, crashes, restarts, freezes, and ends sessions.

use sqlx::Executor as _;

use super::database_server::{end_sessions, kill_a_session};
use super::rounds;
use super::scenario::{on_a_pair, on_postgres};

#[test]
fn the_server_crashes_and_is_started_again() {
    on_postgres("server stopped (immediate)", async |scenario, server| {
        scenario.start_jobs().await;
        for _ in 0..rounds(1, 4) {
            scenario.random_point().await;
            server.stop("immediate");
            scenario.lasts(500..1500, 5000).await;
            server.start_again().await;
            scenario.heals().await;
        }
    });
}

#[test]
fn the_server_restarts() {
    on_postgres("server restarted (fast)", async |scenario, server| {
        scenario.start_jobs().await;
        for _ in 0..rounds(2, 10) {
            scenario.random_point().await;
            server.stop("fast");
            server.start_again().await;
            scenario.heals().await;
        }
    });
}

#[test]
fn a_session_of_the_server_is_killed() {
    on_postgres("one backend killed", async |scenario, server| {
        scenario.start_jobs().await;
        for _ in 0..rounds(2, 10) {
            scenario.random_point().await;
            // The server ends all other sessions too, and recovers.
            kill_a_session(server.connect().await, &mut scenario.random).await;
            server.accepts().await;
            scenario.heals().await;
        }
    });
}

#[test]
fn the_server_ends_every_session() {
    on_postgres("all backends terminated", async |scenario, server| {
        scenario.start_jobs().await;
        let mut watch = server.connect().await;
        for _ in 0..rounds(3, 30) {
            scenario.random_point().await;
            end_sessions(&mut watch).await;
            scenario.heals().await;
        }
    });
}

#[test]
fn the_server_freezes() {
    on_postgres("server frozen (SIGSTOP)", async |scenario, server| {
        scenario.start_jobs().await;
        for _ in 0..rounds(1, 3) {
            scenario.random_point().await;
            let frozen = server.freeze().await;
            scenario.lasts(1000..2000, 12_000).await;
            drop(frozen);
            scenario.heals().await;
        }
    });
}

#[test]
fn a_standby_takes_over() {
    on_a_pair("primary lost, standby promoted", async |scenario, primary, standby, proxy| {
        scenario.start_jobs().await;
        scenario.random_point().await;
        primary.stop("immediate");
        scenario.lasts(200..1000, 3000).await;
        standby.connect().await.execute("select pg_promote()").await.unwrap();
        proxy.lead_to(&standby.url).await;
        scenario.moves_to(standby);
        scenario.heals().await;
    });
}
