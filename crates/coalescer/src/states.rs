//! Compares states of the same forming candles: which of two waiting batches makes the other one unnecessary.

use candle::{Batch, Candle, Closing, Forming, OhlcField};

/// The relation of two batches of forming candles of the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The one changes nothing if it is written right after the other.
    Unnecessary,
    /// The other changes nothing if it is written right after the one.
    Decisive,
    /// Both have to be written.
    Unrelated,
}

/// Relates `one` to `other`.
///
/// A forming candle replaces the stored state unless that has more volume. So a state with less volume than the one that
/// was written right before it changes nothing, and an identical one leaves everything as it is. That is known without
/// asking the database, so the batch whose every state has less volume or is identical needs no writing.
pub(crate) fn relate(one: &Batch, other: &Batch) -> Relation {
    let (ours, theirs) = (one.forming(), other.forming());
    let same_keys = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.candle.key == b.candle.key);
    if !is_of_states(one) || !is_of_states(other) || !same_keys {
        Relation::Unrelated
    } else if ours.iter().zip(theirs).all(|(ours, theirs)| follows(ours, theirs)) {
        Relation::Unnecessary
    } else if theirs.iter().zip(ours).all(|(theirs, ours)| follows(theirs, ours)) {
        Relation::Decisive
    } else {
        Relation::Unrelated
    }
}

/// True if a batch has only forming candles.
pub(crate) fn is_of_states(batch: &Batch) -> bool {
    batch.closed().is_empty() && !batch.forming().is_empty()
}

/// The positions in `state` of the candles that a write of it right after `written` would also have stored, given the
/// positions that were stored of `written`: the identical ones, because a state of the same volume replaces the stored one.
pub(crate) fn stored_again(state: &Batch, written: &Batch, stored: &[usize]) -> Vec<usize> {
    let is_identical = |position: &usize| {
        let pair = state.forming().get(*position).zip(written.forming().get(*position));
        pair.is_some_and(|(state, written)| is_identical(&state.candle, &written.candle))
    };
    stored.iter().copied().filter(is_identical).collect()
}

/// True if `state` changes nothing when it is written right after `written`.
fn follows(state: &Forming, written: &Forming) -> bool {
    // The time at which the clock may close the candle counts even if the prices do not.
    let closes = state.closes_at().is_some();
    if state.candle.volume < written.candle.volume {
        return !closes;
    }
    let decides_no_more = state.closing == Closing::Undecided || state.closing == written.closing;
    is_identical(&state.candle, &written.candle) && decides_no_more && !closes
}

/// True if two candles are stored alike, digit by digit: 1.1 is not 1.10.
fn is_identical(one: &Candle, other: &Candle) -> bool {
    let digits = |candle: &Candle| OhlcField::ALL.map(|field| candle.ohlc.get(field).scale());
    one == other && digits(one) == digits(other)
}
