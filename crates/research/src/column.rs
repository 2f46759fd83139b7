//! Columns of numbers, one entry per bar.
//!
//! A number that does not exist is `na`, the quiet NaN of [`f64::NAN`]. No column holds an infinite number: arithmetic that would
//! make one makes `na`. There is one NaN, so that columns can be compared bit by bit.

use std::sync::Arc;

use crate::Bits;

/// Numbers, one per bar, which several owners share.
pub type Column = Arc<[f64]>;

/// The value of an expression over all bars.
#[derive(Debug, Clone)]
pub enum Value {
    /// Numbers, or `na`.
    Numbers(Column),
    /// The bars on which a condition holds. A condition is never `na`.
    Flags(Arc<Bits>),
}

impl Value {
    /// The bytes that the value takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Numbers(numbers) => size_of_val(&**numbers),
            Self::Flags(flags) => size_of_val(flags.words()),
        }
    }
}

/// The number itself if it is finite, else `na`.
#[inline]
pub(crate) fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { f64::NAN }
}

/// A column of `na` that `fill` writes into. Numbers that are not finite become `na` afterwards.
pub(crate) fn column(len: usize, fill: impl FnOnce(&mut [f64])) -> Column {
    let mut column: Column = std::iter::repeat_n(f64::NAN, len).collect();
    let out = Arc::make_mut(&mut column);
    fill(out);
    for number in out {
        *number = finite(*number);
    }
    column
}

/// Runs `kernel` over the bars on which all inputs are defined, as if the other bars did not exist, and writes `na` for those.
///
/// A kernel therefore never sees `na`. The rule for `na` is here alone: a function begins at the first bar on which
/// its inputs are defined, and a later `na` yields `na` for its bar without advancing the state.
pub(crate) fn over_defined<const N: usize>(
    inputs: [&[f64]; N],
    out: &mut [f64],
    kernel: impl Fn([&[f64]; N], &mut [f64]),
) {
    let is_defined = |bar: usize| inputs.iter().all(|input| !input[bar].is_nan());
    let Some(first) = (0..out.len()).find(|&bar| is_defined(bar)) else { return };
    if inputs.iter().all(|input| !input[first..].iter().any(|number| number.is_nan())) {
        return kernel(inputs.map(|input| &input[first..]), &mut out[first..]);
    }
    let places: Vec<usize> = (first..out.len()).filter(|&bar| is_defined(bar)).collect();
    let gathered = inputs.map(|input| places.iter().map(|&bar| input[bar]).collect::<Vec<_>>());
    let mut results = vec![f64::NAN; places.len()];
    kernel(std::array::from_fn(|input| gathered[input].as_slice()), &mut results);
    places.iter().zip(results).for_each(|(&bar, result)| out[bar] = result);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_sees_defined_bars_alone() {
        let na = f64::NAN;
        for (input, expected) in [
            (vec![1.0, 2.0, 4.0], vec![1.0, 3.0, 7.0]),
            (vec![na, na, 2.0, 4.0], vec![na, na, 2.0, 6.0]),
            (vec![na, 1.0, na, 4.0], vec![na, 1.0, na, 5.0]),
            (vec![na, na], vec![na, na]),
            (vec![], vec![]),
        ] {
            let sums = column(input.len(), |out| {
                over_defined([&input], out, |[input], out| {
                    let mut sum = 0.0;
                    input.iter().zip(out).for_each(|(number, out)| {
                        sum += number;
                        *out = sum;
                    });
                });
            });
            assert_eq!(bits(&sums), bits(&expected), "{input:?}");
        }
    }

    #[test]
    fn what_is_not_finite_becomes_na() {
        let numbers = column(3, |out| out.copy_from_slice(&[f64::INFINITY, 1.0, -f64::NAN]));
        assert_eq!(bits(&numbers), bits(&[f64::NAN, 1.0, f64::NAN]));
    }

    fn bits(numbers: &[f64]) -> Vec<u64> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }
}
