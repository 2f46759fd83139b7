//! The entries and exits of a strategy at the close of each bar.

use std::{fmt, sync::Arc};

use crate::Bits;

/// The entries and exits of a strategy at the close of each bar, regardless of the position that is open.
///
/// A rule that the strategy does not have is `None`. The broker reads a bar's signals at its close:
///
/// - It goes long if the bar is in `enter_long` and in none of `enter_short` and `exit_long`, and the position is flat or short.
///   Going short is the mirror image. A reversal closes and opens by one order.
/// - A long position is closed if the bar is in `exit_long`, unless the same close goes short; a short one likewise.
/// - `max_bars` closes a position at the close of the last of that many bars, the entry's own bar included, as an exit does.
/// - An order fills at the next bar's open, and nothing is ordered at a close before bar `first`.
#[derive(Debug, Clone, PartialEq)]
pub struct Signals {
    /// The number of bars. Each set and each column of these signals has this length.
    pub len: usize,
    /// The first bar at whose close orders may be placed: every part of the strategy is defined from here on. It may lie past
    /// the last bar.
    pub first: usize,
    /// Bars whose close asks for a long position.
    pub enter_long: Option<Arc<Bits>>,
    /// Bars whose close asks to leave a long position.
    pub exit_long: Option<Arc<Bits>>,
    /// Bars whose close asks for a short position.
    pub enter_short: Option<Arc<Bits>>,
    /// Bars whose close asks to leave a short position.
    pub exit_short: Option<Arc<Bits>>,
    /// Distance of the protective stop from the fill of the entry, in units of price, read at the close that orders the entry.
    /// If it is `na` or not above 0, no entry is made.
    pub stop: Option<Arc<[f64]>>,
    /// Distance of the profit target from the fill of the entry, as `stop`.
    pub target: Option<Arc<[f64]>>,
    /// Price of the stop of a long position, issued anew at each close, first at the one that orders the entry, and good for the
    /// next bar. If it is `na`, no stop is issued.
    pub stop_level_long: Option<Arc<[f64]>>,
    /// Price of the stop of a short position, as `stop_level_long`.
    pub stop_level_short: Option<Arc<[f64]>>,
    /// The maximum number of bars that a position is held; at least 1.
    pub max_bars: Option<u32>,
}

impl Signals {
    /// Signals over `len` bars that never ask for anything.
    #[must_use]
    pub fn none(len: usize) -> Self {
        Self {
            len,
            first: 0,
            enter_long: None,
            exit_long: None,
            enter_short: None,
            exit_short: None,
            stop: None,
            target: None,
            stop_level_long: None,
            stop_level_short: None,
            max_bars: None,
        }
    }

    /// Checks rules that the types of the fields cannot express: every part covers `len` bars, and `max_bars` is at
    /// least 1.
    ///
    /// # Errors
    /// When a rule is broken.
    pub fn check(&self) -> Result<(), SignalsError> {
        let sets = [
            ("enter_long", &self.enter_long),
            ("exit_long", &self.exit_long),
            ("enter_short", &self.enter_short),
            ("exit_short", &self.exit_short),
        ];
        let columns = [
            ("stop", &self.stop),
            ("target", &self.target),
            ("stop_level_long", &self.stop_level_long),
            ("stop_level_short", &self.stop_level_short),
        ];
        let sets = sets.iter().filter_map(|(part, set)| set.as_ref().map(|set| (*part, set.len())));
        let columns = columns.iter().filter_map(|(part, column)| column.as_ref().map(|column| (*part, column.len())));
        if let Some((part, length)) = sets.chain(columns).find(|(_, length)| *length != self.len) {
            return Err(SignalsError::Length { part, length, expected: self.len });
        }
        if self.max_bars == Some(0) { Err(SignalsError::MaxBars) } else { Ok(()) }
    }
}

/// The reason for which signals cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalsError {
    /// A part covers another number of bars than the signals.
    Length {
        /// The field.
        part: &'static str,
        /// Its number of bars.
        length: usize,
        /// [`Signals::len`].
        expected: usize,
    },
    /// [`Signals::max_bars`] is 0.
    MaxBars,
}

impl fmt::Display for SignalsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { part, length, expected } => {
                write!(
                    f,
                    "{part} covers {length} bars, but the signals cover {expected}; evaluate all parts over the same bars"
                )
            }
            Self::MaxBars => f.write_str("max_bars is 0, but a position is held for at least 1 bar"),
        }
    }
}

impl std::error::Error for SignalsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_another_length_are_found() {
        let mut signals = Signals::none(3);
        assert_eq!(signals.check(), Ok(()));
        signals.exit_short = Some(Arc::new(Bits::new(3)));
        signals.target = Some(Arc::from([1.0, 2.0]));
        assert_eq!(signals.check(), Err(SignalsError::Length { part: "target", length: 2, expected: 3 }));
        signals.target = None;
        signals.max_bars = Some(0);
        assert_eq!(signals.check(), Err(SignalsError::MaxBars));
    }
}
