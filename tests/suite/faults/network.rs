//! The connection to the database breaks, falls silent, or is slow.

use std::time::Duration;

use super::batch::Batch;
use super::load::{Answer, WORKERS};
use super::rounds;
use super::scenario::{ENOUGH, FEW, on_a_link};
use crate::proxy::Link;

#[test]
fn the_link_is_reset() {
    on_a_link("link reset", ENOUGH, async |scenario, _, proxy| {
        scenario.start_jobs().await;
        for _ in 0..rounds(3, 30) {
            scenario.random_point().await;
            proxy.reset();
            scenario.heals().await;
        }
    });
}

#[test]
fn the_link_swallows_everything() {
    on_a_link("link is a black hole", ENOUGH, async |scenario, _, proxy| {
        scenario.answers_are_lost();
        scenario.start_jobs().await;
        for _ in 0..rounds(1, 3) {
            scenario.random_point().await;
            proxy.set(Link::BlackHole);
            scenario.lasts(1000..2000, 9000).await;
            proxy.set(Link::Open);
            scenario.heals().await;
        }
    });
}

#[test]
fn the_link_forgets_idle_connections() {
    on_a_link("link forgets idle connections", FEW, async |scenario, _, proxy| {
        // The service looks for jobs and events once a second, so a connection may have been used a moment ago, and is not pinged then.
        scenario.answers_are_lost();
        for _ in 0..rounds(2, 10) {
            // While idle, as at night.
            let pause = scenario.load.pause().await;
            // A connection that was used within the last 0.1 s is not pinged before a write.
            scenario.lasts(150..300, 300).await;
            proxy.forget();
            drop(pause);
            scenario.heals().await;
        }
    });
}

/// The lost COMMIT: the batch is stored, and the service cannot know it.
#[test]
fn the_link_breaks_before_the_answer() {
    on_a_link("link cut before the answer", ENOUGH, async |scenario, _, proxy| {
        scenario.start_jobs().await;
        for _ in 0..rounds(3, 20) {
            scenario.random_point().await;
            proxy.set(Link::AnswerLost);
            proxy.cuts(1).await;
            proxy.set(Link::Open);
            scenario.heals().await;
        }
        let pause = scenario.load.pause().await;
        proxy.set(Link::AnswerLost);
        let batch = Batch { worker: WORKERS, sequence: 0, size: 100 };
        // A busy machine may refuse the post before it sends it, and the cut may meet a statement about jobs.
        while !scenario.has_stored(batch).await {
            let answer = scenario.post(batch).await;
            assert!(matches!(answer, Answer::Unavailable), "{answer:?}");
        }
        proxy.set(Link::Open);
        let mut again = scenario.post(batch).await;
        while matches!(again, Answer::Unavailable) {
            again = scenario.post(batch).await;
        }
        assert!(matches!(again, Answer::Stored(0)), "stored at the first time: {again:?}");
        drop(pause);
    });
}

#[test]
fn the_link_breaks_within_a_statement() {
    on_a_link("link cut within a statement", ENOUGH, async |scenario, _, proxy| {
        scenario.start_jobs().await;
        for _ in 0..rounds(3, 30) {
            scenario.random_point().await;
            proxy.set(Link::CutAfter(600 + scenario.random.below(8000)));
            proxy.cuts(1).await;
            proxy.set(Link::Open);
            scenario.heals().await;
        }
    });
}

#[test]
fn the_link_is_slow() {
    on_a_link("link slow (+200 ms, one-byte slices)", ENOUGH, async |scenario, _, proxy| {
        for _ in 0..rounds(1, 3) {
            for slow in [Link::Delayed(Duration::from_millis(200)), Link::Sliced] {
                scenario.random_point().await;
                proxy.set(slow);
                // The link is slow and not broken, so batches are stored meanwhile.
                scenario.load.flows(5).await;
                scenario.lasts(300..600, 5000).await;
                proxy.set(Link::Open);
                scenario.heals().await;
            }
        }
    });
}
