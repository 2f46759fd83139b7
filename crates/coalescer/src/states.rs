//! Compares states of the same forming candles: which of two waiting batches makes the other one unnecessary.

use candle::{Batch, Candle, Closing, Forming, OhlcField};

/// The relation of two batches of forming candles of the same keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The later batch need not be written if the earlier one is.
    Unnecessary,
    /// The earlier batch need not be written if the later one is.
    Decisive,
    /// Both have to be written.
    Unrelated,
}

/// Relates the batch `later` to one that came before it.
///
/// A forming candle replaces the stored state unless the stored state has more volume. Two cases are therefore
/// decided without the database. A state changes nothing if it is written right after a state of more volume or an
/// identical one. And of two states of the same volume, written one right after the other, either both are stored or
/// neither is, and the later one replaces the earlier. The second case is used for batches of one candle only,
/// because of several candles some might have to come first and others second.
pub(crate) fn relate(later: &Batch, earlier: &Batch) -> Relation {
    let (ours, theirs) = (later.forming(), earlier.forming());
    let same_keys = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.candle.key == b.candle.key);
    if !is_of_states(later) || !is_of_states(earlier) || !same_keys {
        return Relation::Unrelated;
    }
    let all = |rule: fn(&Forming, &Forming) -> bool| ours.iter().zip(theirs).all(|(ours, theirs)| rule(ours, theirs));
    if all(changes_nothing_after) {
        Relation::Unnecessary
    } else if all(|later, earlier| changes_nothing_after(earlier, later)) || (ours.len() == 1 && all(replaces)) {
        Relation::Decisive
    } else {
        Relation::Unrelated
    }
}

/// True if a batch has only forming candles.
pub(crate) fn is_of_states(batch: &Batch) -> bool {
    batch.closed().is_empty() && !batch.forming().is_empty()
}

/// The positions of the candles in `rider` that would have been stored if it had been written right before or after
/// `written`, given the positions `stored` of `written`: those of the same volume. The others have less volume.
pub(crate) fn stored_with(rider: &Batch, written: &Batch, stored: &[usize]) -> Vec<usize> {
    let volume = |batch: &Batch, position: usize| batch.forming().get(position).map(|state| state.candle.volume);
    stored.iter().copied().filter(|&position| volume(rider, position) == volume(written, position)).collect()
}

/// True if `state` changes nothing when it is written right after `written`. The time at which the clock may close a candle
/// counts even if its prices do not.
fn changes_nothing_after(state: &Forming, written: &Forming) -> bool {
    let adds_a_time = state.closing != written.closing && state.closes_at().is_some();
    if state.candle.volume < written.candle.volume {
        return !adds_a_time;
    }
    let keeps_the_time = matches!(state.closing, Closing::Undecided) || state.closing == written.closing;
    is_identical(&state.candle, &written.candle) && keeps_the_time
}

/// True if `later` replaces `earlier`, which has the same volume, with its time.
fn replaces(later: &Forming, earlier: &Forming) -> bool {
    let replaces_the_time = later.closing != Closing::Undecided || earlier.closing == Closing::Undecided;
    later.candle.volume == earlier.candle.volume && replaces_the_time
}

/// True if two candles are stored alike, digit by digit: 1.1 is not 1.10.
fn is_identical(one: &Candle, other: &Candle) -> bool {
    let digits = |candle: &Candle| OhlcField::ALL.map(|field| candle.ohlc.get(field).scale());
    one == other && digits(one) == digits(other)
}
