//! The objective over two parameters of a search.

use research::Parameter;

use crate::{chart::HeatMap, input::Ranked};

/// The maximum numbers of columns and rows of a heat map. With more values than that, neighbours share a column or a
/// row.
const MAX_CELLS: [usize; 2] = [14, 12];

/// Values of one parameter, in groups of neighbours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Groups {
    /// The place of the parameter.
    pub(crate) place: usize,
    /// The values of each group, in order.
    groups: Vec<Vec<f64>>,
}

impl Groups {
    /// The distinct values of the parameter in at most `most` groups.
    pub(crate) fn of(ranked: &[Ranked], place: usize, most: usize) -> Self {
        let mut values: Vec<f64> = ranked.iter().filter_map(|ranked| ranked.values.get(place).copied()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let size = values.len().div_ceil(most.max(1)).max(1);
        Self { place, groups: values.chunks(size).map(<[f64]>::to_vec).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The group that a set of values falls into.
    pub(crate) fn find(&self, values: &[f64]) -> Option<usize> {
        let value = values.get(self.place)?;
        let place = self.groups.partition_point(|group| group.last().is_some_and(|last| last.total_cmp(value).is_lt()));
        let group = self.groups.get(place)?;
        group.binary_search_by(|known| known.total_cmp(value)).is_ok().then_some(place)
    }

    /// The labels of the groups, as the parameter prints its values.
    pub(crate) fn labels(&self, parameter: &Parameter) -> Vec<String> {
        let label = |group: &Vec<f64>| match group.as_slice() {
            [only] => parameter.print(*only),
            [first, .., last] => format!("{}–{}", parameter.print(*first), parameter.print(*last)),
            [] => String::new(),
        };
        self.groups.iter().map(label).collect()
    }

    /// The best objective of each group.
    pub(crate) fn best(&self, ranked: &[Ranked]) -> Vec<Option<f64>> {
        let mut best = vec![None; self.len()];
        for ranked in ranked {
            if let (Some(group), Some(objective)) = (self.find(&ranked.values), ranked.objective) {
                better(&mut best[group], objective);
            }
        }
        best
    }
}

fn better(cell: &mut Option<f64>, objective: f64) {
    if objective.is_finite() && cell.is_none_or(|known| objective > known) {
        *cell = Some(objective);
    }
}

/// The parameters with more than one value, those first whose value changes the mean objective most.
pub(crate) fn by_influence(ranked: &[Ranked], parameters: usize) -> Vec<usize> {
    let mut influences: Vec<(f64, usize)> =
        (0..parameters).filter_map(|place| Some((influence(ranked, place)?, place))).collect();
    influences.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    influences.into_iter().map(|(_, place)| place).collect()
}

/// The variance of the mean objectives of a parameter's groups, weighted by their sizes; `None` if it has one value.
fn influence(ranked: &[Ranked], place: usize) -> Option<f64> {
    let groups = Groups::of(ranked, place, MAX_CELLS[0]);
    if groups.len() < 2 {
        return None;
    }
    let mut sums = vec![(0.0, 0.0); groups.len()];
    for ranked in ranked {
        if let (Some(group), Some(objective)) =
            (groups.find(&ranked.values), ranked.objective.filter(|value| value.is_finite()))
        {
            sums[group].0 += objective;
            sums[group].1 += 1.0;
        }
    }
    let count: f64 = sums.iter().map(|sum| sum.1).sum();
    let mean = sums.iter().map(|sum| sum.0).sum::<f64>() / count;
    let filled = sums.iter().filter(|sum| sum.1 > 0.0);
    let variance = filled.map(|(sum, count)| count * (sum / count - mean).powi(2)).sum::<f64>() / count;
    Some(if variance.is_finite() { variance } else { 0.0 })
}

/// The heat map of two parameters, given by their places. `chosen` is the set to point out.
pub(crate) fn heat_map<'a>(
    ranked: &[Ranked],
    parameters: &'a [Parameter],
    places: [usize; 2],
    chosen: &[f64],
) -> HeatMap<'a> {
    let [columns, rows] = [0, 1].map(|axis| Groups::of(ranked, places[axis], MAX_CELLS[axis]));
    let mut cells = vec![vec![None; columns.len()]; rows.len()];
    for ranked in ranked {
        if let (Some(column), Some(row), Some(objective)) =
            (columns.find(&ranked.values), rows.find(&ranked.values), ranked.objective)
        {
            better(&mut cells[row][column], objective);
        }
    }
    HeatMap {
        names: places.map(|place| parameters[place].name.as_str()),
        columns: columns.labels(&parameters[places[0]]),
        rows: rows.labels(&parameters[places[1]]),
        marked: columns.find(chosen).zip(rows.find(chosen)),
        cells,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(values: &[f64], objective: f64) -> Ranked {
        Ranked { values: values.to_vec(), objective: Some(objective), trades: 1, out_of_sample: None }
    }

    #[test]
    fn the_parameter_that_changes_most_comes_first_and_a_fixed_one_not_at_all() {
        let mut all = Vec::new();
        for first in 0..5 {
            for third in 0..5 {
                let [first, third] = [first, third].map(f64::from);
                all.push(ranked(&[first, 7.0, third], 0.1 * first + third));
            }
        }
        assert_eq!(by_influence(&all, 3), [2, 0]);
        assert!(by_influence(&all[..1], 3).is_empty());
    }

    #[test]
    fn values_share_groups_and_cells_hold_the_best() {
        let all: Vec<Ranked> =
            (0..30).map(|value| ranked(&[f64::from(value), f64::from(value % 2)], f64::from(value))).collect();
        let groups = Groups::of(&all, 0, 14);
        assert_eq!(groups.len(), 10);
        assert_eq!(groups.find(&[4.0]), Some(1));
        assert_eq!(groups.find(&[4.5]), None);
        assert_eq!(groups.best(&all)[0], Some(2.0));
    }
}
