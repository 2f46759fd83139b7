//! The quality of the points that the methods find, beside points at random and those of Optuna.

use research::search::{Method, Space};

use crate::functions::{Function, SAMPLES, grid, options, run};

const SEEDS: u64 = 50;
/// The trials of each search by the two methods that learn.
const TPE_TRIALS: usize = 200;
const GENETIC_TRIALS: usize = 400;
/// The maximum that a method may be behind Optuna, as a part of what Optuna gains over one point at random.
const MAX_SHORTFALL: f64 = 0.05;
/// Points and objectives that Optuna's TPE found; tests/oracle/searches.py writes them.
const OPTUNA: &str = include_str!("optuna.csv");

/// The median over seeds of the best objective that a method finds.
fn median_best(method: Method, sample: usize, trials: usize) -> f64 {
    let (_, dimensions, function) = SAMPLES[sample];
    let space = Space::new(grid(&vec![100; dimensions]), |_| true);
    let evaluator = Function(|values: &[f64]| Some(function(values)));
    let best = |seed| run(&space, &evaluator, &options(method, trials, seed)).best[0].score.objective.unwrap();
    median((0..SEEDS).map(best).collect())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    f64::midpoint(all[all.len() / 2 - 1], all[all.len() / 2])
}

/// The same of Optuna's TPE.
fn median_best_of_optuna(sample: usize, trials: usize) -> f64 {
    let (name, _, function) = SAMPLES[sample];
    let mut lines = OPTUNA.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |what: &str| header.iter().position(|cell| *cell == format!("{what} after {trials}")).unwrap();
    let (point, best) = (column("point"), column("best"));
    let all = lines.filter(|cells| cells[0] == name).map(|cells| {
        let values: Vec<f64> = cells[point].split(' ').map(|value| value.parse().unwrap()).collect();
        let objective: f64 = cells[best].parse().unwrap();
        // Both sides have maximised the same function.
        assert!((function(&values) - objective).abs() < 1e-9, "{name} at {values:?}");
        objective
    });
    let all: Vec<f64> = all.collect();
    assert_eq!(all.len() as u64, SEEDS, "{name}");
    median(all)
}

fn assert_better_than_random(method: Method, trials: usize) {
    for (sample, (name, ..)) in SAMPLES.iter().enumerate() {
        let (found, random) = (median_best(method, sample, trials), median_best(Method::Random, sample, trials));
        assert!(found >= random, "{name}: {found} by {}, {random} at random", method.name());
    }
}

fn assert_as_good_as_optuna(method: Method, trials: usize) {
    for (sample, (name, ..)) in SAMPLES.iter().enumerate() {
        let (found, optuna) = (median_best(method, sample, trials), median_best_of_optuna(sample, trials));
        let one_point = median_best(Method::Random, sample, 1);
        let least = optuna - MAX_SHORTFALL * (optuna - one_point);
        assert!(found >= least, "{name}: {found} by {}, {optuna} by Optuna, one point {one_point}", method.name());
    }
}

#[test]
fn tpe_finds_better_points_than_chance() {
    assert_better_than_random(Method::Tpe, TPE_TRIALS);
}

#[test]
fn the_genetic_algorithm_finds_better_points_than_chance() {
    assert_better_than_random(Method::Genetic, GENETIC_TRIALS);
}

#[test]
fn tpe_finds_about_as_good_points_as_optuna() {
    assert_as_good_as_optuna(Method::Tpe, TPE_TRIALS);
}

#[test]
fn the_genetic_algorithm_finds_about_as_good_points_as_optuna() {
    assert_as_good_as_optuna(Method::Genetic, GENETIC_TRIALS);
}
