//! A SQLite file that is moved, deleted or replaced under the running service.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::json;
use sqlx::SqlitePool;
use tempfile::TempDir;

use crate::harness::{Environment, NOW, Service, candle, eventually, run, send};
use crate::program::{Serving, folder};

const HOUR: i64 = 3600;

/// A service on a file in a folder of its own.
struct Scene {
    outer: TempDir,
    service: Service,
}

impl Scene {
    async fn start() -> Self {
        let outer = folder();
        fs::create_dir(outer.path().join("data")).unwrap();
        let service = Service::start(&Environment::new(&url(&outer.path().join("data/test.db")))).await;
        let scene = Self { outer, service };
        assert_eq!(scene.service.ingest(&[candle(NOW - 2 * HOUR)]).await, (1, 0, 0));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.outer.path().join(name)
    }

    async fn health(&self) -> u16 {
        send(self.service.request(Method::GET, "/health")).await.status.as_u16()
    }

    /// Checks that no post is acknowledged and no answer comes from another file.
    async fn is_lost(&self) {
        for hours in 3..6 {
            let batch = json!({"candles": [candle(NOW - hours * HOUR)]});
            let answer = self.service.post(&batch).await;
            assert_eq!(self.health().await, 503, "health knows the failure of a post");
            let detail = answer.problem(503, "unavailable");
            assert!(detail.contains("moved, deleted or replaced; its operator has to act"), "{detail}");
            assert!(!detail.contains("test.db") && answer.header("retry-after") == Some("1"), "{answer:?}");
            self.service.candles(&format!("&limit={hours}")).await.problem(503, "unavailable");
        }
        let large: Vec<_> = (10..300).map(|hours| candle(NOW - hours * HOUR)).collect();
        self.service.post(&json!({ "candles": large })).await.problem(503, "unavailable");
        self.service.get("/api/v1/series").await.problem(503, "unavailable");
        assert_eq!(self.health().await, 503);
    }

    /// Checks that the service continues with its earlier candles.
    async fn is_back(&self) {
        eventually(async || self.health().await == 200).await;
        assert_eq!(self.service.ingest(&[candle(NOW - 2 * HOUR), candle(NOW - 400 * HOUR)]).await, (1, 1, 0));
        assert_eq!(self.service.candles("&limit=7").await.json().as_array().unwrap().len(), 2);
    }
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// The number of closed candles in a file that no service uses any more.
async fn stored(path: &Path) -> i64 {
    let pool = SqlitePool::connect(&url(path)).await.unwrap();
    let sound: String = sqlx::query_scalar("pragma integrity_check").fetch_one(&pool).await.unwrap();
    assert_eq!(sound, "ok");
    let count = sqlx::query_scalar("select count(*) from market_data_candles").fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

#[test]
fn a_deleted_file_refuses_posts() {
    run(async {
        let mut scene = Scene::start().await;
        fs::remove_file(scene.path("data/test.db")).unwrap();
        scene.is_lost().await;
        scene.service.stop().await.unwrap();
        assert!(!scene.path("data/test.db").exists(), "no new one is made in its place");
    });
}

#[test]
fn a_moved_file_refuses_posts_until_it_is_back() {
    run(async {
        let mut scene = Scene::start().await;
        for _ in 0..2 {
            fs::rename(scene.path("data/test.db"), scene.path("data/moved.db")).unwrap();
            scene.is_lost().await;
            fs::rename(scene.path("data/moved.db"), scene.path("data/test.db")).unwrap();
            eventually(async || scene.health().await == 200).await;
        }
        scene.is_back().await;
        scene.service.stop().await.unwrap();
        assert_eq!(stored(&scene.path("data/test.db")).await, 2);
    });
}

#[test]
fn a_renamed_folder_refuses_posts_until_it_is_back() {
    run(async {
        let mut scene = Scene::start().await;
        fs::rename(scene.path("data"), scene.path("elsewhere")).unwrap();
        scene.is_lost().await;
        // Another program has created a new file at the old path.
        fs::create_dir(scene.path("data")).unwrap();
        fs::write(scene.path("data/test.db"), "").unwrap();
        scene.is_lost().await;
        assert_eq!(fs::read(scene.path("data/test.db")).unwrap(), b"");
        fs::remove_dir_all(scene.path("data")).unwrap();
        fs::rename(scene.path("elsewhere"), scene.path("data")).unwrap();
        scene.is_back().await;
        scene.service.stop().await.unwrap();
        assert_eq!(stored(&scene.path("data/test.db")).await, 2);
    });
}

#[test]
fn a_replaced_file_is_neither_read_nor_written() {
    run(async {
        let mut scene = Scene::start().await;
        let mut other = Service::start(&Environment::new(&url(&scene.path("other.db")))).await;
        assert_eq!(other.ingest(&[candle(NOW - 2 * HOUR), candle(NOW - 7 * HOUR)]).await, (2, 0, 0));
        other.stop().await.unwrap();
        let bytes = fs::read(scene.path("other.db")).unwrap();
        // A second link keeps the file, so that its acknowledged candles can be read.
        fs::hard_link(scene.path("data/test.db"), scene.path("data/old.db")).unwrap();
        fs::rename(scene.path("other.db"), scene.path("data/test.db")).unwrap();
        scene.is_lost().await;
        scene.service.stop().await.unwrap();
        assert!(bytes == fs::read(scene.path("data/test.db")).unwrap(), "the new file is unchanged");
        for suffix in ["-wal", "-shm"] {
            // These are the steps that the error advises; the old file has its log again afterwards.
            fs::rename(scene.path(&format!("data/test.db{suffix}")), scene.path(&format!("data/old.db{suffix}")))
                .unwrap();
        }
        assert_eq!(stored(&scene.path("data/test.db")).await, 2);
        assert_eq!(stored(&scene.path("data/old.db")).await, 1, "the acknowledged candles are in the old file");
    });
}

#[test]
fn a_redirected_symlink_refuses_posts() {
    run(async {
        let outer = folder();
        let link = outer.path().join("link.db");
        std::os::unix::fs::symlink(outer.path().join("one.db"), &link).unwrap();
        let mut service = Service::start(&Environment::new(&url(&link))).await;
        assert_eq!(service.ingest(&[candle(NOW - 2 * HOUR)]).await, (1, 0, 0));
        fs::write(outer.path().join("two.db"), "").unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(outer.path().join("two.db"), &link).unwrap();
        service.post(&json!({"candles": [candle(NOW - 3 * HOUR)]})).await.problem(503, "unavailable");
        service.stop().await.unwrap();
        assert_eq!(stored(&outer.path().join("one.db")).await, 1);
        assert_eq!(fs::read(outer.path().join("two.db")).unwrap(), b"");
    });
}

#[test]
fn a_deleted_write_ahead_log_refuses_posts_and_loses_no_candles() {
    run(async {
        let mut scene = Scene::start().await;
        fs::remove_file(scene.path("data/test.db-wal")).unwrap();
        scene.is_lost().await;
        assert!(!scene.path("data/test.db-wal").exists());
        scene.service.stop().await.unwrap();
        assert_eq!(stored(&scene.path("data/test.db")).await, 1, "it was saved at shutdown");
    });
}

#[test]
fn the_log_reports_when_the_file_disappears_and_returns() {
    run(async {
        let folder = folder();
        // A relative path keeps its meaning.
        fs::create_dir(folder.path().join("data")).unwrap();
        let mut serving = Serving::on(&folder.path().join("data"), "sqlite://test.db");
        let health = || send(reqwest::Client::new().get(format!("{}/health", serving.url)));
        fs::rename(folder.path().join("data"), folder.path().join("moved")).unwrap();
        eventually(async || health().await.status != 200).await;
        fs::rename(folder.path().join("moved"), folder.path().join("data")).unwrap();
        eventually(async || health().await.status == 200).await;
        let line = serving.line_with("not where it was");
        assert!(line.contains("ERROR") && line.contains("moved or deleted") && line.contains("data/test.db"), "{line}");
        serving.line_with("back where it was");
    });
}
