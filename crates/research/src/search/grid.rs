//! All combinations in turn.

use super::{
    Score, SearchError,
    sampler::Sampler,
    space::{Point, Space},
};

/// The maximum number of combinations that are examined to count those that the constraint allows.
const MAX_COUNTED: u64 = 10_000_000;

/// Asks for every point that fulfils the constraint. The last parameter changes from each point to the next, so that
/// columns that depend on the others only are found in the cache.
#[derive(Debug)]
pub(super) struct Grid {
    points: Vec<Point>,
}

impl Grid {
    pub(super) fn new(space: &Space<'_>, limit: usize) -> Result<Self, SearchError> {
        let combinations = space.combinations();
        if combinations > MAX_COUNTED.max(limit as u64) {
            return Err(SearchError::GridTooLarge { points: combinations, limit });
        }
        let allowed = || (0..combinations).map(|number| space.combination(number)).filter(|point| space.allows(point));
        let points: Vec<Point> = allowed().take(limit.saturating_add(1)).collect();
        if points.len() > limit {
            return Err(SearchError::GridTooLarge { points: allowed().count() as u64, limit });
        }
        Ok(Self { points })
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }
}

impl Sampler for Grid {
    fn ask(&mut self, room: usize) -> Vec<Point> {
        let rest = self.points.split_off(room.min(self.points.len()));
        std::mem::replace(&mut self.points, rest)
    }

    fn tell(&mut self, _: &[(Point, Score)]) {}
}
