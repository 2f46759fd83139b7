//! Tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kégl 2011).
//!
//! The points tried so far are divided into a few good ones and the others. Per parameter, a density is estimated for each group,
//! and the next value is the one of 24 draws from the good density at which the good density exceeds the other one most. The
//! division, the widths of the kernels and the weight of the prior follow the defaults of Optuna.

use std::collections::HashSet;

use super::{
    Score,
    rng::{Seed, Stream},
    sample::sobol_points,
    sampler::{Sampler, random_allowed, ranked},
    space::{Point, Space},
};
use crate::metrics::normal_cdf;

const STARTUP_POINTS: usize = 10;
/// The points between two looks at the results. With 32, two hundred trials look only seven times and find worse points than Optuna,
/// which looks after each one; with 8 they find about the same, and eight threads are busy.
const BATCH: usize = 8;
const CANDIDATES: usize = 24;
/// The share and the maximum number of points that count as good.
const GOOD_SHARE: f64 = 0.1;
const MAX_GOOD: usize = 25;
/// The maximum number of cells in which a parameter is modelled. Neighbouring values share a cell.
const MAX_CELLS: usize = 256;
/// Attempts to find a point that was not tried yet.
const ATTEMPTS: usize = 16;
/// The number of widths beyond which a kernel weighs nothing.
const REACH: f64 = 8.0;

#[derive(Debug)]
pub(super) struct Tpe<'a> {
    space: &'a Space<'a>,
    seed: Seed,
    generation: u64,
    tried: Vec<(Point, Score)>,
    known: HashSet<Point>,
}

impl<'a> Tpe<'a> {
    pub(super) fn new(space: &'a Space<'a>, seed: Seed) -> Self {
        Self { space, seed, generation: 0, tried: Vec::new(), known: HashSet::new() }
    }

    fn propose(&self, models: &[Model], stream: &mut Stream, batch: &HashSet<Point>) -> Option<Point> {
        let is_new = |point: &Point| !self.known.contains(point) && !batch.contains(point);
        let mut spare = None;
        for _ in 0..ATTEMPTS {
            let point = Point(models.iter().map(|model| model.draw(stream)).collect());
            if !self.space.allows(&point) {
                continue;
            }
            if is_new(&point) {
                return Some(point);
            }
            spare = Some(point);
        }
        for _ in 0..ATTEMPTS {
            let point = random_allowed(self.space, stream)?;
            if is_new(&point) {
                return Some(point);
            }
            spare = Some(point);
        }
        spare
    }

    fn models(&self) -> Vec<Model> {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a tenth of a count"
        )]
        let good = ((GOOD_SHARE * self.tried.len() as f64).ceil() as usize).min(MAX_GOOD);
        let (good, others) = self.tried.split_at(good);
        let dimensions = self.space.parameters().iter().enumerate();
        dimensions.map(|(dimension, parameter)| Model::new(parameter.count(), dimension, good, others)).collect()
    }
}

impl Sampler for Tpe<'_> {
    fn ask(&mut self, room: usize) -> Vec<Point> {
        if self.tried.is_empty() {
            let allowed = sobol_points(self.space, self.seed).filter(|point| self.space.allows(point));
            return allowed.take(STARTUP_POINTS.min(room)).collect();
        }
        self.generation += 1;
        let models = self.models();
        let mut batch = HashSet::new();
        let mut points = Vec::new();
        for index in 0..BATCH.min(room) as u64 {
            let mut stream = self.seed.stream(self.generation, index);
            let Some(point) = self.propose(&models, &mut stream, &batch) else { break };
            batch.insert(point.clone());
            points.push(point);
        }
        points
    }

    fn tell(&mut self, batch: &[(Point, Score)]) {
        for (point, score) in batch {
            if self.known.insert(point.clone()) {
                self.tried.push((point.clone(), *score));
            }
        }
        self.tried.sort_by(|(a, a_score), (b, b_score)| ranked((a, a_score), (b, b_score)));
    }
}

/// The densities of one parameter.
#[derive(Debug)]
struct Model {
    values: usize,
    /// Running sums of the good density over the cells.
    cumulative: Vec<f64>,
    /// The good density, divided by the other one.
    preference: Vec<f64>,
}

impl Model {
    fn new(values: usize, dimension: usize, good: &[(Point, Score)], others: &[(Point, Score)]) -> Self {
        let cells = values.min(MAX_CELLS);
        let cell_of = |(point, _): &(Point, Score)| point.0[dimension] * cells / values;
        let good = density(cells, good.iter().map(cell_of));
        let others = density(cells, others.iter().map(cell_of));
        let preference = good.iter().zip(&others).map(|(good, other)| good / other).collect();
        let cumulative = good.iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { values, cumulative: cumulative.collect(), preference }
    }

    /// The place of a value.
    fn draw(&self, stream: &mut Stream) -> usize {
        let cells = self.cumulative.len();
        let total = self.cumulative[cells - 1];
        let mut best = 0;
        for candidate in 0..CANDIDATES {
            let target = stream.unit() * total;
            let cell = self.cumulative.partition_point(|sum| *sum <= target).min(cells - 1);
            if candidate == 0 || self.preference[cell] > self.preference[best] {
                best = cell;
            }
        }
        // The first value of a cell, and of the next one.
        let (first, next) = ((best * self.values).div_ceil(cells), ((best + 1) * self.values).div_ceil(cells));
        first + stream.below(next - first)
    }
}

/// The density of a sample over cells: a mixture of normal distributions, one around each member and a wide one around the middle,
/// cut off at the ends. The width of each is the distance to the farther of its neighbouring members.
#[expect(clippy::cast_precision_loss, reason = "cells are few, and members fewer than a double counts exactly")]
fn density(cells: usize, sample: impl Iterator<Item = usize>) -> Vec<f64> {
    let mut counts = vec![0_usize; cells];
    let mut size = 0_usize;
    sample.for_each(|cell| {
        counts[cell] += 1;
        size += 1;
    });
    let span = cells as f64;
    let narrowest = span / (size + 2).min(100) as f64;
    let members: Vec<usize> = (0..cells).filter(|&cell| counts[cell] > 0).collect();
    let mut density = vec![0.0; cells];
    add_kernel(&mut density, span / 2.0 - 0.5, span, 1.0);
    for (place, &cell) in members.iter().enumerate() {
        let centre = cell as f64;
        let below = place.checked_sub(1).map(|place| centre - members[place] as f64);
        let above = members.get(place + 1).map(|&next| next as f64 - centre);
        let width = match (below, above) {
            (Some(below), Some(above)) => below.max(above),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => span,
        };
        add_kernel(&mut density, centre, width.clamp(narrowest, span), counts[cell] as f64);
    }
    density
}

/// Adds a normal distribution around `centre` that is cut off at the ends and then weighs `weight`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cells are few, and bounded before they are cast"
)]
fn add_kernel(density: &mut [f64], centre: f64, width: f64, weight: f64) {
    let last = density.len() as f64 - 1.0;
    let first = (centre - REACH * width).clamp(0.0, last) as usize;
    let end = (centre + REACH * width).clamp(0.0, last) as usize + 1;
    let below = |edge: f64| normal_cdf((edge - centre) / width);
    let (start, whole) = (below(-0.5), below(last + 0.5) - below(-0.5));
    let mut before = if first == 0 { start } else { below(first as f64 - 0.5) };
    for (place, weight_here) in density[first..end].iter_mut().enumerate() {
        let after = below((first + place) as f64 + 0.5);
        *weight_here += weight * (after - before) / whole;
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_weighs_as_much_as_its_members_and_the_prior() {
        for (cells, sample) in [(1, vec![0, 0]), (5, vec![]), (10, vec![3, 3, 9]), (256, vec![0, 100, 101, 255])] {
            let density = density(cells, sample.iter().copied());
            let total: f64 = density.iter().sum();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let expected = sample.len() as f64 + 1.0;
            assert!((total - expected).abs() < 1e-9, "{cells} {sample:?}: {total}");
            assert!(density.iter().all(|weight| *weight > 0.0));
        }
    }

    #[test]
    fn draws_prefer_what_was_good() {
        let score = |objective| Score { objective: Some(objective), trades: 1, has_enough_trades: true };
        let at = |place: usize| (Point(vec![place]), score(1.0));
        let good = [at(70), at(72), at(75)];
        let others: Vec<_> = (0..40).map(|place| at(place * 25 % 1_000)).collect();
        let model = Model::new(1_000, 0, &good, &others);
        let mut stream = Seed::default().stream(0, 0);
        let draws: Vec<usize> = (0..500).map(|_| model.draw(&mut stream)).collect();
        assert!(draws.iter().all(|place| *place < 1_000));
        let near = draws.iter().filter(|place| place.abs_diff(72) < 100).count();
        assert!(near > 400, "{near} of 500");
    }
}
