//! Windows that move over a column without losing digits.
//!
//! A sum that adds the newest number and subtracts the oldest keeps the rounding errors of all that ever passed through it. Here
//! nothing is subtracted: the column is cut into blocks as long as the window, so that each window is the end of one block and
//! the start of the next. The ends are summed backwards once per block, the starts forwards, and a window joins the two, which
//! costs two additions per bar whatever its length (van Herk 1992, Gil and Werman 1993).
//!
//! The last bar of the earlier block lies in all of a block's windows. Numbers are taken relative to it, so that what is summed
//! is as small as the spread inside the window.

/// Joins an end and a start for every window of `n` numbers, and writes the results to the windows' last bars.
///
/// `before` extends an end of the earlier block by the bar to its left, and `after` extends a start of the later block by the bar to its
/// right; both are given the bar and the anchor. `join` is given the end, the start, how many bars the start has, and the anchor.
pub(super) fn windows<S: Copy>(
    out: &mut [f64],
    n: usize,
    empty: S,
    before: impl Fn(S, usize, usize) -> S,
    after: impl Fn(S, usize, usize) -> S,
    join: impl Fn(S, S, usize, usize) -> f64,
) {
    let mut ends = vec![empty; n];
    let bars = out.len();
    for start in (0..).step_by(n).take_while(|start| start + n <= bars) {
        let anchor = start + n - 1;
        let mut end = empty;
        for (place, slot) in ends.iter_mut().enumerate().rev() {
            end = before(end, start + place, anchor);
            *slot = end;
        }
        let mut begun = empty;
        out[anchor] = join(ends[0], begun, 0, anchor);
        let last = bars.min(anchor + n);
        for (place, (slot, end)) in out[anchor + 1..last].iter_mut().zip(&ends[1..]).enumerate() {
            begun = after(begun, anchor + 1 + place, anchor);
            *slot = join(*end, begun, place + 1, anchor);
        }
    }
}

/// The sums of every window.
pub(super) fn sums(x: &[f64], n: usize, out: &mut [f64]) {
    let add = |sum: f64, bar: usize, _| sum + x[bar];
    windows(out, n, 0.0, add, add, |end, start, _, _| end + start);
}

/// The sums of every window of numbers and of their squares, relative to an anchor inside the window.
pub(super) fn moments(x: &[f64], n: usize, out: &mut [f64], result: impl Fn(f64, f64, f64) -> f64) {
    let add = |(sum, squares): (f64, f64), bar: usize, anchor: usize| {
        let distance = x[bar] - x[anchor];
        (sum + distance, squares + distance * distance)
    };
    windows(out, n, (0.0, 0.0), add, add, |end, start, _, anchor| result(x[anchor], end.0 + start.0, end.1 + start.1));
}

/// For every window the sum of distances from an anchor inside it, the same sum weighted by 1 for the oldest to `n` for the
/// newest, and the anchor's number.
pub(super) fn weighted(x: &[f64], n: usize, out: &mut [f64], result: impl Fn(f64, f64, f64) -> f64) {
    #[derive(Clone, Copy)]
    struct Sums {
        plain: f64,
        weighted: f64,
    }
    // Seen from the bar to the left, every weight of an end is larger by 1.
    let before = |sums: Sums, bar: usize, anchor: usize| {
        let plain = sums.plain + (x[bar] - x[anchor]);
        Sums { plain, weighted: sums.weighted + plain }
    };
    let after = |sums: Sums, bar: usize, anchor: usize| {
        let distance = x[bar] - x[anchor];
        Sums { plain: sums.plain + distance, weighted: sums.weighted + distance * crate::number::real(bar - anchor) }
    };
    let empty = Sums { plain: 0.0, weighted: 0.0 };
    windows(out, n, empty, before, after, |end, start, bars, anchor| {
        // A start of k bars follows an end of n − k bars, which all its weights are larger by.
        let weighted = end.weighted + start.weighted + start.plain * crate::number::real(n - bars);
        result(x[anchor], end.plain + start.plain, weighted)
    });
}
