//! The connection to the database breaks, falls silent, or is slow.

use std::time::Duration;

use super::rounds;
use super::scenario::on_a_link;
use crate::proxy::Link;

#[test]
fn the_link_is_reset() {
    on_a_link("link reset", async |scenario, _, proxy| {
        for _ in 0..rounds(3, 30) {
            scenario.random_point().await;
            proxy.reset();
            scenario.heals().await;
        }
    });
}

#[test]
fn the_link_swallows_everything() {
    on_a_link("link is a black hole", async |scenario, _, proxy| {
        for _ in 0..rounds(1, 5) {
            scenario.random_point().await;
            proxy.set(Link::BlackHole);
            scenario.lasts(1000..2000, 9000).await;
            proxy.set(Link::Open);
            scenario.heals().await;
        }
    });
}

#[test]
fn the_link_forgets_its_connections() {
    on_a_link("link forgets its connections", async |scenario, _, proxy| {
        for _ in 0..rounds(1, 6) {
            scenario.random_point().await;
            proxy.forget();
            scenario.heals().await;
        }
    });
}

/// The lost COMMIT: the batch is stored, and the service cannot know.
#[test]
fn the_link_breaks_before_the_answer() {
    on_a_link("link cut before the answer", async |scenario, _, proxy| {
        for _ in 0..rounds(3, 20) {
            scenario.random_point().await;
            proxy.set(Link::AnswerLost);
            proxy.cuts(1).await;
            proxy.set(Link::Open);
            scenario.heals().await;
        }
    });
}

#[test]
fn the_link_breaks_within_a_statement() {
    on_a_link("link cut within a statement", async |scenario, _, proxy| {
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
    on_a_link("link slow (+200 ms, one-byte slices)", async |scenario, _, proxy| {
        for _ in 0..rounds(1, 5) {
            for slow in [Link::Delayed(Duration::from_millis(200)), Link::Sliced] {
                scenario.random_point().await;
                proxy.set(slow);
                // Slow is not broken: batches are stored meanwhile.
                scenario.load.flows(5).await;
                scenario.lasts(300..600, 5000).await;
                proxy.set(Link::Open);
                scenario.heals().await;
            }
        }
    });
}
