//! The order that a close places, given the position that is open.

use std::ops::Range;

use crate::{
    Bits, Sides, Signals,
    trade::{ExitReason, Side},
};

/// The order of a close for the next open.
pub(super) enum Order {
    None,
    Enter(Entry),
    Close(ExitReason),
}

/// An entry, before its size is known.
pub(super) struct Entry {
    pub(super) side: Side,
    /// Distance of the stop from the fill, above 0; infinite if the strategy has none.
    pub(super) stop_distance: f64,
    /// Distance of the target from the fill, above 0; infinite if the strategy has none.
    pub(super) target_distance: f64,
}

/// The signals of a strategy as the broker reads them. A rule that the strategy does not have is an empty slice.
pub(super) struct Rules<'a> {
    enter_long: &'a [u64],
    exit_long: &'a [u64],
    enter_short: &'a [u64],
    exit_short: &'a [u64],
    stop: Option<&'a [f64]>,
    target: Option<&'a [f64]>,
    stop_level_long: Option<&'a [f64]>,
    stop_level_short: Option<&'a [f64]>,
    max_bars: Option<usize>,
    first: usize,
    sides: Sides,
}

const WORD: usize = u64::BITS as usize;

impl<'a> Rules<'a> {
    pub(super) fn new(signals: &'a Signals, sides: Sides) -> Self {
        let words = |bits: &'a Option<std::sync::Arc<Bits>>| bits.as_ref().map_or(&[][..], |bits| bits.words());
        Self {
            enter_long: words(&signals.enter_long),
            exit_long: words(&signals.exit_long),
            enter_short: words(&signals.enter_short),
            exit_short: words(&signals.exit_short),
            stop: signals.stop.as_deref(),
            target: signals.target.as_deref(),
            stop_level_long: signals.stop_level_long.as_deref(),
            stop_level_short: signals.stop_level_short.as_deref(),
            max_bars: signals.max_bars.map(|bars| bars as usize),
            first: signals.first,
            sides,
        }
    }

    /// The first close from `bar` on at which a flat account may order something.
    pub(super) fn next_entry(&self, bar: usize) -> Option<usize> {
        let from = bar.max(self.first);
        match self.sides {
            Sides::Both => next_in(self.enter_long, self.enter_short, from),
            Sides::Long => next_in(self.enter_long, &[], from),
            Sides::Short => next_in(&[], self.enter_short, from),
        }
    }

    /// The first close from `bar` on at which something may be ordered while a position is open.
    pub(super) fn next_for(&self, side: Side, entry_bar: usize, bar: usize) -> Option<usize> {
        let signal = match side {
            Side::Long => next_in(self.exit_long, self.enter_short, bar),
            Side::Short => next_in(self.exit_short, self.enter_long, bar),
        };
        let held_longest = self.last_bar(entry_bar);
        match (signal, held_longest) {
            (Some(signal), Some(last)) => Some(signal.min(last)),
            (signal, last) => signal.or(last),
        }
    }

    /// The bar at whose close a position from `entry_bar` has been held for the maximum number of bars.
    fn last_bar(&self, entry_bar: usize) -> Option<usize> {
        self.max_bars.map(|bars| entry_bar.saturating_add(bars.saturating_sub(1)))
    }

    /// The order of the close of `bar`; `held` is the side of the open position and the bar of its entry.
    pub(super) fn read(&self, bar: usize, held: Option<(Side, usize)>) -> Order {
        if bar < self.first {
            return Order::None;
        }
        let (enter_long, enter_short) = (is_set(self.enter_long, bar), is_set(self.enter_short, bar));
        let side = held.map(|(side, _)| side);
        let goes_long = enter_long && !enter_short && !is_set(self.exit_long, bar) && side != Some(Side::Long);
        let goes_short = enter_short && !enter_long && !is_set(self.exit_short, bar) && side != Some(Side::Short);
        let entry = match (goes_long, goes_short) {
            (true, _) => self.entry(Side::Long, bar),
            (_, true) => self.entry(Side::Short, bar),
            _ => None,
        };
        if let Some(entry) = entry {
            return match (self.allows(entry.side), side) {
                (true, _) => Order::Enter(entry),
                (false, Some(_)) => Order::Close(ExitReason::Signal),
                (false, None) => Order::None,
            };
        }
        let Some((side, entry_bar)) = held else { return Order::None };
        let exit = match side {
            Side::Long => self.exit_long,
            Side::Short => self.exit_short,
        };
        if is_set(exit, bar) {
            Order::Close(ExitReason::Signal)
        } else if self.last_bar(entry_bar).is_some_and(|last| last <= bar) {
            Order::Close(ExitReason::MaxBars)
        } else {
            Order::None
        }
    }

    /// `None` if a distance of the bracket is not a number above 0, because the position would have no stop.
    fn entry(&self, side: Side, bar: usize) -> Option<Entry> {
        let distance = |column: Option<&[f64]>| match column {
            None => Some(f64::INFINITY),
            Some(column) => Some(column[bar]).filter(|distance| distance.is_finite() && *distance > 0.0),
        };
        Some(Entry { side, stop_distance: distance(self.stop)?, target_distance: distance(self.target)? })
    }

    fn allows(&self, side: Side) -> bool {
        match self.sides {
            Sides::Both => true,
            Sides::Long => side == Side::Long,
            Sides::Short => side == Side::Short,
        }
    }

    /// The stop levels of a side, if the strategy has them.
    pub(super) fn stop_levels(&self, side: Side) -> Option<&'a [f64]> {
        match side {
            Side::Long => self.stop_level_long,
            Side::Short => self.stop_level_short,
        }
    }

    /// The number of these closes that ask for both sides at once.
    pub(super) fn conflicts(&self, bars: Range<usize>) -> usize {
        let from = bars.start.max(self.first);
        if from >= bars.end {
            return 0;
        }
        let both = self.enter_long.iter().zip(self.enter_short).enumerate();
        let words = both.take(bars.end.div_ceil(WORD)).skip(from / WORD);
        let count = words.map(|(place, (long, short))| {
            let start = place * WORD;
            let from_mask = u64::MAX << from.saturating_sub(start).min(WORD - 1);
            let until_mask = u64::MAX >> (start + WORD).saturating_sub(bars.end);
            (long & short & from_mask & until_mask).count_ones() as usize
        });
        count.sum()
    }
}

fn is_set(words: &[u64], bar: usize) -> bool {
    words.get(bar / WORD).is_some_and(|word| word >> (bar % WORD) & 1 == 1)
}

/// The first bar from `from` on that is in either set.
fn next_in(a: &[u64], b: &[u64], from: usize) -> Option<usize> {
    let word = |place: usize| a.get(place).copied().unwrap_or(0) | b.get(place).copied().unwrap_or(0);
    let words = a.len().max(b.len());
    let mut place = from / WORD;
    if place >= words {
        return None;
    }
    let mut bits = word(place) & (u64::MAX << (from % WORD));
    while bits == 0 {
        place += 1;
        if place == words {
            return None;
        }
        bits = word(place);
    }
    Some(place * WORD + bits.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sets_are_scanned_as_flags_would_be(
            flags in prop::collection::vec(any::<(bool, bool)>(), 1..300), first in 0_usize..80, range in any::<(u16, u16)>(),
        ) {
            let len = flags.len();
            let bits = |side: &dyn Fn(&(bool, bool)) -> bool| Arc::new(Bits::from_fn(len, |bar| side(&flags[bar])));
            let mut signals = Signals::none(len);
            signals.enter_long = Some(bits(&|flags| flags.0));
            signals.enter_short = Some(bits(&|flags| flags.1));
            signals.first = first;
            let rules = Rules::new(&signals, Sides::Both);
            let (start, end) = (usize::from(range.0) % (len + 1), usize::from(range.1) % (len + 1));
            let conflicts = (start.max(first)..end).filter(|&bar| flags[bar] == (true, true)).count();
            prop_assert_eq!(rules.conflicts(start..end), conflicts);
            let next = (start.max(first)..len).find(|&bar| flags[bar].0 || flags[bar].1);
            prop_assert_eq!(rules.next_entry(start), next);
            let long_only = (start.max(first)..len).find(|&bar| flags[bar].0);
            prop_assert_eq!(Rules::new(&signals, Sides::Long).next_entry(start), long_only);
        }
    }
}
