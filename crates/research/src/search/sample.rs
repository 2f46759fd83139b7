//! Plans that do not look at results: random points, Latin hypercubes and Sobol points.

use std::collections::HashSet;

use super::{
    Score,
    rng::Seed,
    sampler::{Sampler, random_allowed},
    space::{Point, Space},
};

/// The maximum number of Sobol points, because their scrambling is exact to 16 bits.
pub(super) const MAX_SOBOL_POINTS: u32 = 1 << 16;

/// The maximum number of combinations that are listed, so that random points can be drawn from the list.
const MAX_LISTED: u64 = 1 << 20;

/// A fixed list of points.
#[derive(Debug)]
pub(super) struct Plan {
    points: Vec<Point>,
}

impl Plan {
    /// Uniform points, none twice, as many as `count` if the space has them.
    pub(super) fn random(space: &Space<'_>, count: usize, seed: Seed) -> Self {
        let combinations = space.combinations();
        if combinations <= MAX_LISTED {
            let mut numbers: Vec<u64> = (0..combinations).collect();
            seed.stream(0, 0).shuffle(&mut numbers);
            let points = numbers.into_iter().map(|number| space.combination(number));
            return Self { points: points.filter(|point| space.allows(point)).take(count).collect() };
        }
        let mut drawn = HashSet::new();
        let mut points = Vec::new();
        // With more than a million combinations, a point is drawn twice so rarely that an eighth more tries are
        // enough, unless few combinations fulfil the constraint.
        for index in 0..count as u64 + count as u64 / 8 + 64 {
            let Some(point) = random_allowed(space, &mut seed.stream(0, index)) else { break };
            if points.len() < count && drawn.insert(point.clone()) {
                points.push(point);
            }
        }
        Self { points }
    }

    /// Latin hypercubes: in the first one, each of `count` equal parts of each parameter's range holds one point. Points that break
    /// the constraint are replaced by those of further, smaller hypercubes.
    pub(super) fn latin_hypercube(space: &Space<'_>, count: usize, seed: Seed) -> Self {
        const MAX_HYPERCUBES: u64 = 16;
        let mut points = Vec::new();
        for generation in 0..MAX_HYPERCUBES {
            let wanted = count - points.len();
            if wanted == 0 {
                break;
            }
            points.extend(hypercube(space, wanted, seed, generation).into_iter().filter(|point| space.allows(point)));
        }
        Self { points }
    }

    /// The first Sobol points that fulfil the constraint.
    pub(super) fn sobol(space: &Space<'_>, count: usize, seed: Seed) -> Self {
        Self { points: sobol_points(space, seed).filter(|point| space.allows(point)).take(count).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer points than a double counts exactly")]
fn hypercube(space: &Space<'_>, count: usize, seed: Seed, generation: u64) -> Vec<Point> {
    let columns: Vec<Vec<f64>> = (0..space.parameters().len() as u64)
        .map(|dimension| {
            let mut stream = seed.stream(generation, dimension);
            let mut strata: Vec<usize> = (0..count).collect();
            stream.shuffle(&mut strata);
            strata.into_iter().map(|stratum| (stratum as f64 + stream.unit()) / count as f64).collect()
        })
        .collect();
    (0..count).map(|place| space.at(columns.iter().map(|column| column[place]))).collect()
}

/// Owen-scrambled Sobol points over the space, regardless of the constraint.
#[expect(
    clippy::cast_possible_truncation,
    reason = "seeds are cut to what the generator takes, and dimensions are few"
)]
pub(super) fn sobol_points<'a>(space: &'a Space<'_>, seed: Seed) -> impl Iterator<Item = Point> + 'a {
    let scramble = seed.mixed();
    (0..MAX_SOBOL_POINTS).map(move |index| {
        let dimensions = 0..space.parameters().len() as u32;
        space.at(dimensions.map(|dimension| {
            // The generator has 256 dimensions. Further ones use the same dimensions with another scrambling.
            let set = dimension / sobol_burley::NUM_DIMENSIONS;
            let seed = (scramble as u32).wrapping_add(set);
            f64::from(sobol_burley::sample(index, dimension % sobol_burley::NUM_DIMENSIONS, seed))
        }))
    })
}

impl Sampler for Plan {
    fn ask(&mut self, room: usize) -> Vec<Point> {
        let rest = self.points.split_off(room.min(self.points.len()));
        std::mem::replace(&mut self.points, rest)
    }

    fn tell(&mut self, _: &[(Point, Score)]) {}
}

#[cfg(test)]
mod tests {
    use super::{super::space::Parameter, *};

    fn space(counts: &[usize]) -> Space<'static> {
        let parameters = counts.iter().enumerate().map(|(place, &count)| {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            Parameter::range(place.to_string(), 0.0, count as f64 - 1.0, 1.0).unwrap()
        });
        Space::new(parameters.collect(), |_| true)
    }

    /// True if each of the parts into which the points divide a range holds one point.
    fn is_stratified(points: &[Point], dimensions: usize) -> bool {
        (0..dimensions).all(|dimension| {
            let mut places: Vec<usize> = points.iter().map(|point| point.0[dimension]).collect();
            places.sort_unstable();
            places.into_iter().eq(0..points.len())
        })
    }

    #[test]
    fn first_sobol_points_meet_every_stratum_of_every_dimension_once() {
        for power in 0..=10 {
            let count = 1 << power;
            let space = space(&[count; 20]);
            for seed in 0..5 {
                let points: Vec<Point> = sobol_points(&space, Seed { seed, ..Seed::default() }).take(count).collect();
                assert!(is_stratified(&points, 20), "2^{power} points, seed {seed}");
            }
        }
    }

    #[test]
    fn latin_hypercubes_meet_every_stratum_of_every_dimension_once() {
        for count in [1, 2, 7, 100] {
            let space = space(&[count; 9]);
            let plan = Plan::latin_hypercube(&space, count, Seed { seed: 3, ..Seed::default() });
            assert!(is_stratified(&plan.points, 9), "{count} points");
        }
    }

    #[test]
    fn random_points_are_distinct_and_cover_a_small_space() {
        let small = space(&[5, 7]);
        assert_eq!(Plan::random(&small, 1_000, Seed::default()).len(), 35);
        let large = space(&[2_000, 2_000]);
        let points = Plan::random(&large, 3_000, Seed::default()).points;
        assert_eq!(points.iter().collect::<HashSet<_>>().len(), 3_000);
    }
}
