//! Genetic algorithm, as in MetaTrader's tester: tournaments, crossover, mutation, and an end without improvement.

use super::{
    Score,
    rng::{Seed, Stream},
    sample::sobol_points,
    sampler::{Sampler, random_allowed, ranked},
    space::{Point, Space},
};

const POPULATION: usize = 64;
const ELITES: usize = 2;
const TOURNAMENT: usize = 3;
const CROSSOVER: f64 = 0.9;
/// The search ends after this number of generations that do not improve on the best objective.
const MAX_IDLE_GENERATIONS: u32 = 8;
/// Attempts to make a child that fulfils the constraint.
const ATTEMPTS: usize = 16;

#[derive(Debug)]
pub(super) struct Genetic<'a> {
    space: &'a Space<'a>,
    seed: Seed,
    generation: u64,
    /// Best first.
    population: Vec<(Point, Score)>,
    idle_generations: u32,
}

impl<'a> Genetic<'a> {
    pub(super) fn new(space: &'a Space<'a>, seed: Seed) -> Self {
        Self { space, seed, generation: 0, population: Vec::new(), idle_generations: 0 }
    }

    fn child(&self, stream: &mut Stream) -> Option<Point> {
        for _ in 0..ATTEMPTS {
            let (mother, father) = (self.tournament(stream), self.tournament(stream));
            let mut child = mother.clone();
            if stream.unit() < CROSSOVER {
                for (gene, other) in child.0.iter_mut().zip(&father.0) {
                    if stream.unit() < 0.5 {
                        *gene = *other;
                    }
                }
            }
            self.mutate(&mut child, stream);
            if self.space.allows(&child) {
                return Some(child);
            }
        }
        random_allowed(self.space, stream)
    }

    fn tournament(&self, stream: &mut Stream) -> &Point {
        let places = (0..TOURNAMENT).map(|_| stream.below(self.population.len()));
        &self.population[places.min().unwrap_or(0)].0
    }

    /// Moves each parameter with a probability of 1 divided by their number: mostly by few steps, at most by a
    /// quarter of its range.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are at most a million, and steps not negative"
    )]
    fn mutate(&self, child: &mut Point, stream: &mut Stream) {
        let probability = 1.0 / self.space.parameters().len().max(1) as f64;
        for (gene, parameter) in child.0.iter_mut().zip(self.space.parameters()) {
            if stream.unit() >= probability {
                continue;
            }
            let last = parameter.count() - 1;
            let fraction = stream.unit();
            let steps = 1 + (fraction * fraction * fraction * (last as f64 / 4.0)) as usize;
            let is_up = stream.unit() < 0.5;
            // A step beyond the end goes the other way.
            *gene = match (is_up, *gene + steps <= last, gene.checked_sub(steps)) {
                (true, true, _) | (false, true, None) => *gene + steps,
                (_, _, Some(lower)) => lower,
                (_, false, None) => *gene,
            };
        }
    }
}

impl Sampler for Genetic<'_> {
    fn ask(&mut self, room: usize) -> Vec<Point> {
        if self.population.is_empty() {
            let allowed = sobol_points(self.space, self.seed).filter(|point| self.space.allows(point));
            return allowed.take(POPULATION.min(room)).collect();
        }
        if self.idle_generations >= MAX_IDLE_GENERATIONS {
            return Vec::new();
        }
        self.generation += 1;
        let children = (POPULATION - ELITES).min(room) as u64;
        (0..children).map_while(|index| self.child(&mut self.seed.stream(self.generation, index))).collect()
    }

    fn tell(&mut self, batch: &[(Point, Score)]) {
        let best_before = self.population.first().map(|(_, score)| *score);
        self.population.truncate(ELITES);
        self.population.extend_from_slice(batch);
        self.population.sort_by(|(a, a_score), (b, b_score)| ranked((a, a_score), (b, b_score)));
        let is_better =
            best_before.is_none_or(|before| self.population.first().is_some_and(|(_, best)| *best > before));
        self.idle_generations = if is_better { 0 } else { self.idle_generations + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::{super::space::Parameter, *};

    #[test]
    fn mutations_stay_within_their_ranges_and_reach_all_values() {
        for count in [1_usize, 2, 3, 50] {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let parameter = Parameter::range("x", 1.0, count as f64, 1.0).unwrap();
            let space = Space::new(vec![parameter], |_| true);
            let genetic = Genetic::new(&space, Seed::default());
            let mut stream = Seed::default().stream(0, 0);
            let mut point = Point(vec![0]);
            let mut reached = vec![false; count];
            for _ in 0..5_000 {
                genetic.mutate(&mut point, &mut stream);
                reached[point.0[0]] = true;
            }
            assert!(reached.iter().all(|reached| *reached), "{count} values");
        }
    }
}
