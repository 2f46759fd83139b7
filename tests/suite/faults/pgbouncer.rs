//! PgBouncer in session mode between the service and its database restarts, and the database restarts behind it.

use super::database_server::end_sessions;
use super::rounds;
use super::scenario::on_pgbouncer;

#[test]
fn the_pooler_restarts() {
    on_pgbouncer("PgBouncer restarted", async |scenario, _, bouncer| {
        scenario.start_jobs().await;
        for round in 0..rounds(2, 10) {
            scenario.random_point().await;
            bouncer.end(["TERM", "KILL"][round % 2]);
            scenario.lasts(0..500, 3000).await;
            bouncer.start_again().await;
            scenario.heals().await;
        }
    });
}

#[test]
fn the_server_restarts_behind_the_pooler() {
    on_pgbouncer("server restarted behind PgBouncer", async |scenario, server, _| {
        scenario.start_jobs().await;
        for round in 0..rounds(2, 8) {
            scenario.random_point().await;
            server.stop(["fast", "immediate"][round % 2]);
            scenario.lasts(0..1000, 4000).await;
            server.start_again().await;
            scenario.heals().await;
        }
    });
}

#[test]
fn the_server_ends_every_session_of_the_pooler() {
    on_pgbouncer("all backends terminated behind PgBouncer", async |scenario, server, _| {
        scenario.start_jobs().await;
        let mut watch = server.connect().await;
        for _ in 0..rounds(2, 20) {
            scenario.random_point().await;
            end_sessions(&mut watch).await;
            scenario.heals().await;
        }
    });
}
