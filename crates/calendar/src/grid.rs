use crate::Bucket;

/// The buckets of consecutive days, weeks or months. A bucket is found in it without a look at the zone.
///
/// ```
/// use calendar::{Bucket, Grid};
///
/// // A day of 23 hours in buckets of 4.
/// let hour = 3_600_000;
/// let grid = Grid { bounds: vec![0, 23 * hour], stride: Some(4 * hour) };
/// assert_eq!(grid.bucket(21 * hour), Some(Bucket { start: 20 * hour, end: 23 * hour }));
/// assert_eq!(grid.bucket(23 * hour), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// The starts of the days, weeks or months, ascending, and the end of the last one, in epoch milliseconds.
    pub bounds: Vec<i64>,
    /// The length of a bucket within a day, in milliseconds; `None` if days, weeks or months are the buckets.
    pub stride: Option<i64>,
}

impl Grid {
    /// The bucket that holds an instant; `None` if the grid does not reach there.
    #[must_use]
    pub fn bucket(&self, time: i64) -> Option<Bucket> {
        let after = self.bounds.partition_point(|&bound| bound <= time);
        let (&start, &end) = (self.bounds.get(after.checked_sub(1)?)?, self.bounds.get(after)?);
        let whole = Bucket { start, end };
        Some(self.stride.map_or(whole, |stride| part(whole, stride, time)))
    }

    /// The time that the grid covers.
    #[must_use]
    pub fn covers(&self) -> Bucket {
        let (first, last) = (self.bounds.first(), self.bounds.last());
        Bucket { start: first.copied().unwrap_or_default(), end: last.copied().unwrap_or_default() }
    }
}

/// The part of `whole` that holds `time`. Parts are `stride` long, and the last one is cut at the end of `whole`.
pub(crate) fn part(whole: Bucket, stride: i64, time: i64) -> Bucket {
    let start = time - (time - whole.start) % stride;
    Bucket { start, end: (start + stride).min(whole.end) }
}
