//! Functions with a known optimum, in place of backtests.

use research::search::{Evaluate, Found, Method, Options, Outcome, Parameter, Seed, Space, StopFlag, Threads, search};

/// A function of a point, as a search sees it. It counts 100 trades, unless it says otherwise.
pub(crate) struct Function<F>(pub(crate) F);

impl<F: Fn(&[f64]) -> Option<f64> + Sync> Evaluate for Function<F> {
    type Scratch = ();
    type Detail = ();

    fn scratch(&self) {}

    fn evaluate(&self, (): &mut (), values: &[f64]) -> Outcome<()> {
        Outcome { objective: (self.0)(values), trades: 100, sharpe: None, detail: () }
    }
}

/// Whole numbers from 0 to below each of these counts.
pub(crate) fn grid(counts: &[u32]) -> Vec<Parameter> {
    let range = |(place, &count): (usize, &u32)| {
        Parameter::range(format!("p{place}"), 0.0, f64::from(count) - 1.0, 1.0).unwrap()
    };
    counts.iter().enumerate().map(range).collect()
}

pub(crate) fn options(method: Method, max_evaluations: usize, seed: u64) -> Options {
    Options { method, max_evaluations, min_trades: 30, seed: Seed { seed, item: 0, window: 0 }, keep: 100 }
}

pub(crate) fn run<E: Evaluate>(space: &Space<'_>, evaluator: &E, options: &Options) -> Found<E::Detail> {
    search(space, evaluator, options, Threads::Caller, &StopFlag::default(), &mut |_| {}).unwrap()
}

/// Five functions to maximise over 0 to 99 in each dimension; their optimum is 0.
pub(crate) type Sample = (&'static str, usize, fn(&[f64]) -> f64);

pub(crate) const SAMPLES: [Sample; 5] = [
    ("sphere", 3, |x| -x.iter().zip([31.0, 77.0, 50.0]).map(|(x, best)| ((x - best) / 100.0).powi(2)).sum::<f64>()),
    ("ridge", 2, |x| {
        let (a, b) = ((x[0] - 20.0) / 100.0, (x[1] - 60.0) / 100.0);
        -((a - b).powi(2) * 20.0 + (a + b).powi(2))
    }),
    ("ripples", 2, |x| {
        let of = |x: f64, best: f64| {
            let d = (x - best) / 25.0;
            d * d + 0.5 * (1.0 - (std::f64::consts::TAU * d * 1.5).cos())
        };
        -(of(x[0], 64.0) + of(x[1], 23.0))
    }),
    ("five dimensions", 5, |x| {
        let best = [10.0, 35.0, 60.0, 85.0, 45.0];
        let weights = [5.0, 1.0, 3.0, 0.2, 2.0];
        -x.iter().zip(best).zip(weights).map(|((x, best), weight)| weight * ((x - best) / 100.0).abs()).sum::<f64>()
    }),
    ("plateau", 2, |x| {
        // Flat but for a hill, as an objective over lengths of averages often is.
        let distance = ((x[0] - 40.0) / 18.0).powi(2) + ((x[1] - 70.0) / 18.0).powi(2);
        -(1.0 - (-distance).exp())
    }),
];
