//! Windows that move over a column without losing digits.
//!
//! A sum that adds the newest number and subtracts the oldest keeps the rounding errors of all numbers that it ever held. Here
//! nothing is subtracted: the column is cut into blocks as long as the window, so that each window is the end of one block and
//! the start of the next. The ends are summed backwards once per block, the starts forwards, and a window joins the two, which
//! costs two additions per bar whatever its length (van Herk 1992, Gil and Werman 1993).
//!
//! The last bar of the earlier block lies in all of a block's windows. It is the anchor: numbers are summed relative
//! to it, so that the terms are as small as the spread inside the window.

use crate::number::real;

/// Joins an end and a start for every window of `n` items, and writes the results to the windows' last bars.
///
/// `before` extends an end of the earlier block by the item to its left, and `after` extends a start of the later block by the item
/// to its right. Both receive the item and the anchor, and `after` also the number of items that the start then has. `join`
/// receives the end, the start, the number of items of the start, and the anchor.
pub(super) fn windows<T: Copy, S: Copy>(
    x: &[T],
    n: usize,
    out: &mut [f64],
    empty: S,
    before: impl Fn(S, T, T) -> S,
    after: impl Fn(S, T, T, usize) -> S,
    join: impl Fn(S, S, usize, T) -> f64,
) {
    let mut ends = vec![empty; n];
    for start in (0..).step_by(n).take_while(|start| start + n <= x.len()) {
        let (block, later) = x[start..].split_at(n);
        let anchor = block[n - 1];
        let mut end = empty;
        for (item, slot) in block.iter().zip(&mut ends).rev() {
            end = before(end, *item, anchor);
            *slot = end;
        }
        let out = &mut out[start + n - 1..];
        let mut begun = empty;
        out[0] = join(end, begun, 0, anchor);
        let places = later.iter().zip(&ends[1..]).zip(&mut out[1..]).zip(1..);
        for (((item, end), out), items) in places {
            begun = after(begun, *item, anchor, items);
            *out = join(*end, begun, items, anchor);
        }
    }
}

/// The sums of every window.
pub(super) fn sums(x: &[f64], n: usize, out: &mut [f64]) {
    windows(x, n, out, 0.0, |sum, x, _| sum + x, |sum, x, _, _| sum + x, |end, start, _, _| end + start);
}

/// For every window the anchor, and the sums of the distances from it and of their squares.
pub(super) fn moments(x: &[f64], n: usize, out: &mut [f64], result: impl Fn(f64, f64, f64) -> f64) {
    let add = |(sum, squares): (f64, f64), x: f64, anchor: f64| {
        let distance = x - anchor;
        (sum + distance, squares + distance * distance)
    };
    let join = |end: (f64, f64), start: (f64, f64), _, anchor| result(anchor, end.0 + start.0, end.1 + start.1);
    windows(x, n, out, (0.0, 0.0), add, |sums, x, anchor, _| add(sums, x, anchor), join);
}

/// For every window the anchor, the sum of the distances from it, and the same sum weighted by 1 for the oldest to `n` for the
/// newest.
pub(super) fn weighted(x: &[f64], n: usize, out: &mut [f64], result: impl Fn(f64, f64, f64) -> f64) {
    // With an item added on the left, every weight of the end grows by 1.
    let before = |(plain, weighted): (f64, f64), x: f64, anchor: f64| {
        let plain = plain + (x - anchor);
        (plain, weighted + plain)
    };
    let after = |(plain, weighted): (f64, f64), x: f64, anchor: f64, items: usize| {
        let distance = x - anchor;
        (plain + distance, weighted + distance * real(items))
    };
    windows(x, n, out, (0.0, 0.0), before, after, |end, start, items, anchor| {
        // A start of k items follows an end of n − k items, so all its weights grow by n − k.
        result(anchor, end.0 + start.0, end.1 + start.1 + start.0 * real(n - items))
    });
}
