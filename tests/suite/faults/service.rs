//! The service is killed and stopped, and its clients disconnect.

use super::oracle::Broken;
use super::rounds;
use super::scenario::on_postgres;

#[test]
fn the_service_is_killed() {
    on_postgres("service killed", async |scenario, _| {
        scenario.start_jobs().await;
        scenario.broken = Broken::Anything;
        for round in 0..rounds(3, 20) {
            scenario.random_point().await;
            assert_eq!(scenario.end_service("KILL"), None);
            let mut started = scenario.start_service();
            // Every third is killed again while it starts.
            if round % 3 == 2 {
                scenario.lasts(0..150, 400).await;
                assert_eq!(scenario.end_service("KILL"), None);
                scenario.figures.faults += 1;
                started = scenario.start_service();
            }
            scenario.heals_since(started).await;
        }
    });
}

#[test]
fn the_service_is_stopped() {
    on_postgres("service stopped", async |scenario, _| {
        scenario.start_jobs().await;
        scenario.broken = Broken::NotAccepted;
        for _ in 0..rounds(2, 10) {
            scenario.random_point().await;
            assert_eq!(scenario.end_service("TERM"), Some(0));
            let started = scenario.start_service();
            scenario.heals_since(started).await;
        }
    });
}

#[test]
fn clients_disconnect() {
    on_postgres("clients leave", async |scenario, _| {
        for _ in 0..rounds(1, 10) {
            scenario.clients_come_and_leave(50).await;
            scenario.heals().await;
        }
    });
}
