//! The same faults on the SQLite store: kills, a full disk, clients that disconnect.

use std::time::Instant;

use super::oracle::Broken;
use super::report::left_out;
use super::rounds;
use super::scenario::on_sqlite;
use super::small_disk::SmallDisk;

#[test]
fn the_service_is_killed() {
    on_sqlite("SQLite: service killed", None, async |scenario| {
        scenario.start_jobs().await;
        scenario.broken = Broken::Anything;
        for _ in 0..rounds(3, 20) {
            scenario.random_point().await;
            assert_eq!(scenario.end_service("KILL"), None);
            let started = scenario.start_service();
            scenario.heals_since(started).await;
        }
    });
}

#[test]
fn the_disk_is_full() {
    const NAME: &str = "SQLite: disk full";
    let disk = match SmallDisk::mount(24) {
        Ok(disk) => disk,
        Err(reason) => return left_out(NAME, &reason),
    };
    on_sqlite(NAME, Some(disk.path()), async |scenario| {
        scenario.start_jobs().await;
        for _ in 0..rounds(2, 6) {
            scenario.random_point().await;
            disk.fill();
            scenario.load.refused_after(Instant::now()).await;
            scenario.lasts(200..800, 3000).await;
            disk.free();
            scenario.heals().await;
        }
    });
}

#[test]
fn clients_disconnect() {
    on_sqlite("SQLite: clients leave", None, async |scenario| {
        for _ in 0..rounds(1, 10) {
            scenario.clients_come_and_leave(50).await;
            scenario.heals().await;
        }
    });
}
