//! The quality of the points that the methods find.

use research::search::{Method, Space};

use crate::functions::{Function, SAMPLES, grid, options, run};

const SEEDS: u64 = 50;

/// The median over seeds of the best objective that a method finds.
fn median_best(method: Method, sample: usize, trials: usize) -> f64 {
    let (_, dimensions, function) = SAMPLES[sample];
    let space = Space::new(grid(&vec![100; dimensions]), |_| true);
    let evaluator = Function(|values: &[f64]| Some(function(values)));
    let best = |seed| run(&space, &evaluator, &options(method, trials, seed)).best[0].score.objective.unwrap();
    let mut all: Vec<f64> = (0..SEEDS).map(best).collect();
    all.sort_unstable_by(f64::total_cmp);
    f64::midpoint(all[all.len() / 2 - 1], all[all.len() / 2])
}

fn assert_better_than_random(method: Method, trials: usize) {
    for (sample, (name, ..)) in SAMPLES.iter().enumerate() {
        let (found, random) = (median_best(method, sample, trials), median_best(Method::Random, sample, trials));
        assert!(found >= random, "{name}: {found} by {}, {random} at random", method.name());
    }
}

#[test]
fn tpe_finds_better_points_than_chance() {
    assert_better_than_random(Method::Tpe, 200);
}

#[test]
fn the_genetic_algorithm_finds_better_points_than_chance() {
    assert_better_than_random(Method::Genetic, 400);
}
