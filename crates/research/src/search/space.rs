//! The points that a search may try.

use std::fmt;

use crate::ticks::POWERS_OF_TEN;

/// One parameter and the values that it may take, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    name: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// `(first + n · step) / scale` for n below `count`. With decimal bounds and steps all three are whole numbers, so that each
    /// value is the double nearest to its decimal.
    Range {
        first: f64,
        step: f64,
        scale: f64,
        count: usize,
    },
    List(Vec<f64>),
}

impl Parameter {
    /// The maximum number of values of a parameter.
    pub const MAX_VALUES: usize = 1_000_000;

    /// From `min` to at most `max` in steps.
    ///
    /// # Errors
    /// When a number is not finite, `max` is below `min`, the step is not above 0, or there are more than
    /// [`Self::MAX_VALUES`].
    pub fn range(name: impl Into<String>, min: f64, max: f64, step: f64) -> Result<Self, SpaceError> {
        let name = name.into();
        let is_range = min.is_finite() && max.is_finite() && step.is_finite() && step > 0.0 && max >= min;
        if !is_range {
            return Err(SpaceError::Range { name, min, max, step });
        }
        // A bound that is a multiple of the step belongs to the range even if the division falls short of a whole number.
        let steps = ((max - min) / step * (1.0 + 4.0 * f64::EPSILON)).floor();
        #[expect(clippy::cast_precision_loss, reason = "the bound is a million")]
        if steps >= Self::MAX_VALUES as f64 {
            return Err(SpaceError::TooManyValues { name });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        let count = steps as usize + 1;
        #[expect(clippy::float_cmp, reason = "a decimal is kept as a fraction only if that gives the same double")]
        let whole = |value: f64, scale: f64| {
            let scaled = (value * scale).round();
            (scaled / scale == value).then_some(scaled)
        };
        let fraction =
            POWERS_OF_TEN.into_iter().find_map(|scale| Some((whole(min, scale)?, whole(step, scale)?, scale)));
        let (first, step, scale) = fraction.unwrap_or((min, step, 1.0));
        Ok(Self { name, values: Values::Range { first, step, scale, count } })
    }

    /// These values, in any order.
    ///
    /// # Errors
    /// When there is none, more than [`Self::MAX_VALUES`], one that is not finite, or one twice.
    pub fn list(name: impl Into<String>, mut values: Vec<f64>) -> Result<Self, SpaceError> {
        let name = name.into();
        values.sort_unstable_by(f64::total_cmp);
        if values.len() > Self::MAX_VALUES {
            return Err(SpaceError::TooManyValues { name });
        }
        let is_list = !values.is_empty() && values.iter().all(|value| value.is_finite());
        if !is_list || values.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(SpaceError::List { name });
        }
        Ok(Self { name, values: Values::List(values) })
    }

    /// The parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of values; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.values {
            Values::Range { count, .. } => *count,
            Values::List(values) => values.len(),
        }
    }

    /// All values in turn.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.count()).map(|place| self.value(place))
    }

    /// The lowest value.
    pub(crate) fn first(&self) -> f64 {
        self.value(0)
    }

    /// The highest value.
    pub(crate) fn last(&self) -> f64 {
        self.value(self.count() - 1)
    }

    #[expect(clippy::cast_precision_loss, reason = "places are below a million")]
    fn value(&self, place: usize) -> f64 {
        match &self.values {
            Values::Range { first, step, scale, .. } => (first + place as f64 * step) / scale,
            Values::List(values) => values[place],
        }
    }
}

/// A choice of values: for each parameter the place of its value. Points are ordered by their values, the first parameter first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(pub(super) Vec<usize>);

type Constraint<'a> = Box<dyn Fn(&[f64]) -> bool + Send + Sync + 'a>;

/// Parameters, and a condition that their values must fulfil.
pub struct Space<'a> {
    parameters: Vec<Parameter>,
    constraint: Constraint<'a>,
}

impl fmt::Debug for Space<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl<'a> Space<'a> {
    /// All combinations of the parameters' values, given in the same order, for which `constraint` holds.
    pub fn new(parameters: Vec<Parameter>, constraint: impl Fn(&[f64]) -> bool + Send + Sync + 'a) -> Self {
        Self { parameters, constraint: Box::new(constraint) }
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The number of combinations, those included that break the constraint; at most `u64::MAX`.
    #[must_use]
    pub fn combinations(&self) -> u64 {
        self.parameters.iter().fold(1, |product: u64, parameter| product.saturating_mul(parameter.count() as u64))
    }

    /// The values of a point.
    #[must_use]
    pub fn values(&self, point: &Point) -> Vec<f64> {
        self.parameters.iter().zip(&point.0).map(|(parameter, &place)| parameter.value(place)).collect()
    }

    /// True if a point fulfils the constraint.
    #[must_use]
    pub fn allows(&self, point: &Point) -> bool {
        (self.constraint)(&self.values(point))
    }

    /// The points that fulfil the constraint and differ by one step of one parameter.
    #[must_use]
    pub fn neighbours(&self, point: &Point) -> Vec<Point> {
        let mut neighbours = Vec::new();
        for (dimension, parameter) in self.parameters.iter().enumerate() {
            let place = point.0[dimension];
            for beside in [place.checked_sub(1), Some(place + 1).filter(|next| *next < parameter.count())] {
                let Some(beside) = beside else { continue };
                let mut neighbour = point.clone();
                neighbour.0[dimension] = beside;
                if self.allows(&neighbour) {
                    neighbours.push(neighbour);
                }
            }
        }
        neighbours
    }

    /// Names of the parameters whose value is the lowest or the highest of several.
    #[must_use]
    pub fn at_the_edge(&self, point: &Point) -> Vec<&str> {
        let places = self.parameters.iter().zip(&point.0);
        let at_edge = places
            .filter(|(parameter, place)| parameter.count() > 1 && (**place == 0 || **place + 1 == parameter.count()));
        at_edge.map(|(parameter, _)| parameter.name()).collect()
    }

    /// The combination with this number, of [`Self::combinations`]. The last parameter changes from each to the next.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a count of values")]
    pub(super) fn combination(&self, mut number: u64) -> Point {
        let mut places: Vec<usize> = self
            .parameters
            .iter()
            .rev()
            .map(|parameter| {
                let count = parameter.count() as u64;
                let place = (number % count) as usize;
                number /= count;
                place
            })
            .collect();
        places.reverse();
        Point(places)
    }

    /// The point at these fractions of the parameters' ranges, each at least 0 and below 1.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are at most a million, and fractions not negative"
    )]
    pub(super) fn at(&self, fractions: impl IntoIterator<Item = f64>) -> Point {
        let places = self.parameters.iter().zip(fractions).map(|(parameter, fraction)| {
            let count = parameter.count();
            ((fraction * count as f64) as usize).min(count - 1)
        });
        Point(places.collect())
    }
}

/// The reason for which a parameter was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum SpaceError {
    /// A range has no values.
    Range {
        /// The parameter.
        name: String,
        /// Its lowest value.
        min: f64,
        /// Its highest value.
        max: f64,
        /// Its step.
        step: f64,
    },
    /// A list is empty, or has a value that is not finite or occurs twice.
    List {
        /// The parameter.
        name: String,
    },
    /// There are more values than [`Parameter::MAX_VALUES`].
    TooManyValues {
        /// The parameter.
        name: String,
    },
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { name, min, max, step } => write!(
                f,
                "the range of {name} from {min} to {max} in steps of {step} has no values; min must not be above max, and the \
                 step must be above 0"
            ),
            Self::List { name } => {
                write!(f, "the list of {name} needs at least one value, each a finite number and none of them twice")
            }
            Self::TooManyValues { name } => {
                write!(f, "{name} has more than {} values; choose a larger step", Parameter::MAX_VALUES)
            }
        }
    }
}

impl std::error::Error for SpaceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(parameter: &Parameter) -> Vec<f64> {
        (0..parameter.count()).map(|place| parameter.value(place)).collect()
    }

    #[test]
    fn ranges_hold_the_decimals_that_were_written() {
        let step = |min, max, step| values(&Parameter::range("x", min, max, step).unwrap());
        assert_eq!(step(1.0, 1.5, 0.1), [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]);
        assert_eq!(step(0.05, 0.2, 0.05), [0.05, 0.1, 0.15, 0.2]);
        assert_eq!(step(-80.0, -75.0, 2.0), [-80.0, -78.0, -76.0]);
        assert_eq!(step(3.0, 3.0, 1.0), [3.0]);
        assert_eq!(step(0.0, 1.0, 1.0 / 3.0).len(), 4);
    }

    #[test]
    fn ranges_and_lists_without_values_are_refused() {
        for (min, max, step) in
            [(2.0, 1.0, 1.0), (1.0, 2.0, 0.0), (1.0, 2.0, -1.0), (f64::NAN, 2.0, 1.0), (0.0, f64::INFINITY, 1.0)]
        {
            assert!(
                matches!(Parameter::range("x", min, max, step), Err(SpaceError::Range { .. })),
                "{min} {max} {step}"
            );
        }
        assert!(matches!(Parameter::range("x", 0.0, 1e6, 1.0), Err(SpaceError::TooManyValues { .. })));
        assert_eq!(Parameter::range("x", 1.0, 1e6, 1.0).unwrap().count(), 1_000_000);
        for list in [vec![], vec![1.0, f64::NAN], vec![1.0, 2.0, 1.0]] {
            assert!(matches!(Parameter::list("x", list), Err(SpaceError::List { .. })));
        }
        assert_eq!(values(&Parameter::list("x", vec![9.0, -1.0, 4.0]).unwrap()), [-1.0, 4.0, 9.0]);
    }

    #[test]
    fn combinations_are_counted_and_numbered() {
        let parameters =
            vec![Parameter::range("a", 1.0, 3.0, 1.0).unwrap(), Parameter::list("b", vec![10.0, 20.0]).unwrap()];
        let space = Space::new(parameters, |values| values[0] < 3.0);
        assert_eq!(space.combinations(), 6);
        let all: Vec<Vec<f64>> = (0..6).map(|number| space.values(&space.combination(number))).collect();
        assert_eq!(all, [[1.0, 10.0], [1.0, 20.0], [2.0, 10.0], [2.0, 20.0], [3.0, 10.0], [3.0, 20.0]]);
        assert!(space.allows(&space.combination(3)) && !space.allows(&space.combination(4)));
        let neighbours: Vec<Vec<f64>> =
            space.neighbours(&space.combination(2)).iter().map(|point| space.values(point)).collect();
        assert_eq!(neighbours, [[1.0, 10.0], [2.0, 20.0]]);
        assert_eq!(
            (space.at_the_edge(&space.combination(2)), space.at_the_edge(&space.combination(0))),
            (vec!["b"], vec!["a", "b"])
        );
        assert_eq!(space.at([0.999, 0.0]), space.combination(4));
        assert_eq!(Space::new(vec![], |_| true).combinations(), 1);
        let huge = (0..5).map(|place| Parameter::range(place.to_string(), 1.0, 1e6, 1.0).unwrap()).collect();
        assert_eq!(Space::new(huge, |_| true).combinations(), u64::MAX);
    }
}
