//! Laws of every search.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;
use research::search::{
    Evaluate, Method, Options, Outcome, Parameter, Progress, SearchError, Space, StopFlag, StopReason, Threads, search,
};

use crate::functions::{Function, SAMPLES, grid, options, run};

#[test]
fn a_grid_finds_the_optimum_and_ranks_ties_by_smaller_values() {
    let space = Space::new(grid(&[7, 9]), |_| true);
    let found = run(
        &space,
        &Function(|x: &[f64]| Some(-(x[0] - 4.0).powi(2) - (x[1] - 5.0).powi(2))),
        &options(Method::Grid, 100, 0),
    );
    assert_eq!((found.trials, found.evaluated.len(), found.best.len()), (63, 63, 63));
    assert_eq!(found.best[0].values, [4.0, 5.0]);
    assert_eq!([&found.best[1].values, &found.best[2].values], [&[3.0, 5.0], &[4.0, 4.0]]);
    assert_eq!([&found.best[3].values, &found.best[4].values], [&[4.0, 6.0], &[5.0, 5.0]]);
}

#[test]
fn a_grid_that_is_too_large_names_its_points() {
    let refusal = |space: &Space<'_>| {
        let evaluator = Function(|_: &[f64]| None);
        let flag = StopFlag::default();
        search(space, &evaluator, &options(Method::Grid, 60, 0), Threads::Caller, &flag, &mut |_| {}).unwrap_err()
    };
    let all = Space::new(grid(&[7, 9]), |_| true);
    assert_eq!(refusal(&all), SearchError::GridTooLarge { points: 63, limit: 60 });
    // Points that break the constraint do not count.
    let ordered = Space::new(grid(&[20, 20]), |values| values[0] < values[1]);
    assert_eq!(refusal(&ordered), SearchError::GridTooLarge { points: 190, limit: 60 });
    let huge = Space::new(grid(&[10_000, 10_000]), |_| true);
    assert_eq!(refusal(&huge), SearchError::GridTooLarge { points: 100_000_000, limit: 60 });
}

#[test]
fn a_constraint_that_nothing_fulfils_is_an_error() {
    for method in Method::ALL {
        let space = Space::new(grid(&[5, 5]), |_| false);
        let evaluator = Function(|_: &[f64]| None);
        let found =
            search(&space, &evaluator, &options(method, 60, 0), Threads::Caller, &StopFlag::default(), &mut |_| {});
        assert_eq!(found.unwrap_err(), SearchError::NoPoint, "{}", method.name());
    }
}

#[test]
fn a_space_without_parameters_has_one_point() {
    for method in Method::ALL {
        let found = run(&Space::new(vec![], |_| true), &Function(|_: &[f64]| Some(1.0)), &options(method, 5, 0));
        assert_eq!((found.evaluated.len(), found.best[0].values.len()), (1, 0), "{}", method.name());
    }
}

/// Scores by its values alone: the objective, and the trades.
struct Given(fn(&[f64]) -> (Option<f64>, usize));

impl Evaluate for Given {
    type Scratch = ();
    type Detail = ();

    fn scratch(&self) {}

    fn evaluate(&self, (): &mut (), values: &[f64]) -> Outcome<()> {
        let (objective, trades) = (self.0)(values);
        Outcome { objective, trades, sharpe: None, detail: () }
    }
}

#[test]
fn too_few_trades_rank_below_enough_and_none_last() {
    let space = Space::new(grid(&[5]), |_| true);
    let given = Given(|values| match values[0] {
        0.0 => (None, 100),
        1.0 => (Some(9.0), 29),
        2.0 => (Some(1.0), 30),
        3.0 => (Some(1.0), 31),
        _ => (Some(2.0), 30),
    });
    let order: Vec<f64> =
        run(&space, &given, &options(Method::Grid, 9, 0)).best.iter().map(|best| best.values[0]).collect();
    assert_eq!(order, [4.0, 3.0, 2.0, 1.0, 0.0]);
}

#[test]
fn no_point_is_evaluated_twice() {
    for method in Method::ALL {
        let seen = Mutex::new(HashSet::new());
        let evaluator = Function(|values: &[f64]| {
            let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
            assert!(seen.lock().unwrap().insert(bits), "{values:?} was evaluated before");
            Some(values.iter().sum())
        });
        let space = Space::new(grid(&[9, 9]), |values| values[0] != values[1]);
        let found = run(&space, &evaluator, &options(method, 300, 3));
        assert!(found.trials <= 300 && found.evaluated.len() <= 72, "{}", method.name());
        assert_eq!(found.evaluated.len(), seen.lock().unwrap().len());
        if matches!(method, Method::Grid | Method::Random | Method::Sobol | Method::Tpe) {
            assert_eq!(found.evaluated.len(), 72, "{} tries all points of a small space", method.name());
        }
    }
}

#[test]
fn sobol_ends_at_65_536_points() {
    let space = Space::new(grid(&[1_000, 1_000]), |_| true);
    let found = run(&space, &Function(|_: &[f64]| Some(0.0)), &options(Method::Sobol, 100_000, 0));
    assert_eq!(found.trials, 65_536);
}

fn bytes(options: &Options, threads: Threads<'_>) -> String {
    let space = Space::new(grid(&[40, 40, 40]), |values| values[0] <= values[1] + 20.0);
    let evaluator = Function(|x: &[f64]| Some(SAMPLES[0].2(&x.iter().map(|x| x * 2.0).collect::<Vec<_>>())));
    let found = search(&space, &evaluator, options, threads, &StopFlag::default(), &mut |_| {}).unwrap();
    format!("{found:?}")
}

#[test]
fn threads_change_nothing() {
    for method in [Method::Random, Method::LatinHypercube, Method::Sobol, Method::Tpe, Method::Genetic] {
        let options = options(method, 700, 5);
        let alone = bytes(&options, Threads::Caller);
        for threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(bytes(&options, Threads::Pool(&pool)), alone, "{} on {threads} threads", method.name());
        }
    }
}

#[test]
fn seed_item_and_window_change_the_points() {
    for method in [Method::Random, Method::LatinHypercube, Method::Sobol, Method::Tpe, Method::Genetic] {
        let first = options(method, 64, 5);
        let mut others = [first; 3];
        others[0].seed.seed = 6;
        others[1].seed.item = 1;
        others[2].seed.window = 1;
        let all: HashSet<String> =
            others.iter().chain([&first]).map(|options| bytes(options, Threads::Caller)).collect();
        assert_eq!(all.len(), 4, "{}", method.name());
    }
}

#[test]
fn a_stopped_search_keeps_what_it_has() {
    for method in Method::ALL {
        for reason in [StopReason::Cancelled, StopReason::OutOfTime] {
            let (flag, calls) = (StopFlag::default(), AtomicUsize::new(0));
            let evaluator = Function(|values: &[f64]| {
                if calls.fetch_add(1, Ordering::Relaxed) + 1 == 40 {
                    flag.stop(reason);
                }
                Some(values[0])
            });
            let space = Space::new(grid(&[50, 50]), |_| true);
            let found =
                search(&space, &evaluator, &options(method, 2_500, 0), Threads::Caller, &flag, &mut |_| {}).unwrap();
            assert_eq!((found.stopped, found.evaluated.len()), (Some(reason), 40), "{}", method.name());
            assert!(!found.best.is_empty() && found.trials >= 40);
        }
    }
    let flag = StopFlag::default();
    flag.stop(StopReason::OutOfTime);
    flag.stop(StopReason::Cancelled);
    assert_eq!(flag.reason(), Some(StopReason::OutOfTime));
}

#[test]
fn progress_never_goes_back_and_names_the_best() {
    let space = Space::new(grid(&[60, 60]), |_| true);
    let mut reports: Vec<(usize, usize, Option<f64>)> = Vec::new();
    let mut report = |progress: &Progress<'_>| {
        reports.push((progress.done, progress.total, progress.best.and_then(|best| best.1)));
    };
    let evaluator = Function(|x: &[f64]| Some(x[0] + x[1]));
    let options = options(Method::Grid, 10_000, 0);
    search(&space, &evaluator, &options, Threads::Caller, &StopFlag::default(), &mut report).unwrap();
    assert!(reports.len() > 3 && reports.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].2 <= pair[1].2));
    assert_eq!(reports.last(), Some(&(3_600, 3_600, Some(118.0))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn points_keep_to_ranges_steps_lists_and_the_constraint(
        seed in any::<u64>(), min in -50_i32..50, count in 1_u32..60, step in 1_u32..30, list in prop::collection::hash_set(-90_i32..90, 1..9),
        count_of_trials in 1_usize..200, is_constrained in any::<bool>(),
    ) {
        let (min, step) = (f64::from(min) / 10.0, f64::from(step) / 100.0);
        let max = min + f64::from(count - 1) * step + step / 3.0;
        let list: Vec<f64> = list.into_iter().map(f64::from).collect();
        let parameters = vec![Parameter::range("range", min, max, step).unwrap(), Parameter::list("list", list.clone()).unwrap()];
        let allows = move |values: &[f64]| !is_constrained || values[0] * 10.0 < values[1] + 60.0;
        for method in Method::ALL {
            let space = Space::new(parameters.clone(), allows);
            let evaluator = Function(|values: &[f64]| {
                let steps = (values[0] - min) / step;
                assert!((steps - steps.round()).abs() < 1e-6 && steps > -0.5 && values[0] <= max, "{values:?}");
                // The value is the decimal that was meant, not a sum of steps.
                assert_eq!(values[0], (values[0] * 100.0).round() / 100.0);
                assert!(list.contains(&values[1]) && allows(values), "{values:?}");
                Some(values[0] - values[1])
            });
            let mut options = options(method, count_of_trials, seed);
            if method == Method::Grid {
                options.max_evaluations = 1_000;
            }
            match search(&space, &evaluator, &options, Threads::Caller, &StopFlag::default(), &mut |_| {}) {
                Ok(found) => prop_assert!((1..=options.max_evaluations).contains(&found.trials)),
                Err(error) => prop_assert!(is_constrained && error == SearchError::NoPoint, "{}: {}", method.name(), error),
            }
        }
    }
}
