//! Charts: their scales, and the kinds that a report draws.

mod bars;
mod heat;
mod lines;
mod scale;

pub(crate) use bars::{Histogram, Pair, gauge, histogram, pairs};
pub(crate) use heat::{HeatMap, heat_map};
pub(crate) use lines::{Chart, Series, lines};
pub(crate) use scale::{Scale, axis_label, nice};

/// The numbers that stand for a curve in a chart, at most `2 * stretches + 2`: both ends, and the lowest and the highest of each
/// stretch between them, so that no extreme disappears.
pub(crate) fn thinned(points: &[(i64, f64)], stretches: usize) -> Vec<(i64, f64)> {
    if points.len() <= 2 * stretches + 2 {
        return points.to_vec();
    }
    let last = points.len() - 1;
    let every = (last - 1).div_ceil(stretches.max(1));
    let mut places = vec![0];
    for stretch in (1..last).step_by(every).map(|start| start..(start + every).min(last)) {
        let lowest = stretch.clone().min_by(|a, b| points[*a].1.total_cmp(&points[*b].1));
        let highest = stretch.max_by(|a, b| points[*a].1.total_cmp(&points[*b].1));
        let mut both: Vec<usize> = lowest.into_iter().chain(highest).collect();
        both.sort_unstable();
        both.dedup();
        places.extend(both);
    }
    places.push(last);
    places.into_iter().map(|place| points[place]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_keep_their_ends_and_extremes() {
        let mut points: Vec<(i64, f64)> = (0..10_000_i32).map(|time| (i64::from(time), f64::from(time % 97))).collect();
        points[4_444].1 = -5.0;
        points[5_555].1 = 500.0;
        let few = thinned(&points, 300);
        assert!(few.len() <= 602, "{}", few.len());
        for place in [0, 4_444, 5_555, 9_999] {
            assert!(few.contains(&points[place]));
        }
        assert!(few.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&points[..500], 300).len(), 500);
        assert!(thinned(&[], 300).is_empty());
    }
}
