//! A finished trade.

/// The side of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Bought; gains when the price rises.
    Long,
    /// Sold; gains when the price falls.
    Short,
}

impl Side {
    /// Its name in answers: `long` or `short`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }

    /// 1 for long, −1 for short.
    pub(crate) fn sign(self) -> f64 {
        match self {
            Self::Long => 1.0,
            Self::Short => -1.0,
        }
    }
}

/// The reason for which a position was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitReason {
    /// The strategy's exit rule, or its opposite entry where the settings do not allow that side.
    Signal,
    /// The opposite entry, which closed this position and opened its own by one order.
    Reversal,
    /// The stop of the bracket or the stop level.
    Stop,
    /// The target of the bracket.
    Target,
    /// The position was held for the maximum number of bars.
    MaxBars,
    /// The equity was used up at a close.
    Ruin,
    /// The window ended, and its last position is closed at the last close.
    End,
}

impl ExitReason {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Reversal => "reversal",
            Self::Stop => "stop",
            Self::Target => "target",
            Self::MaxBars => "max_bars",
            Self::Ruin => "ruin",
            Self::End => "end",
        }
    }
}

/// A position from its entry to flat or to the reversal. Bars are counted from the first bar of the market.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// Long or short.
    pub side: Side,
    /// The bar at whose open the entry filled.
    pub entry_bar: usize,
    /// Fill of the entry, slippage included.
    pub entry_price: f64,
    /// The bar in which the exit filled.
    pub exit_bar: usize,
    /// Fill of the exit, slippage included where it applies.
    pub exit_price: f64,
    /// The quantity, above 0 on both sides.
    pub quantity: f64,
    /// Money won or lost, net of commission.
    pub profit: f64,
    /// Commission of entry and exit, which `profit` contains already.
    pub commission: f64,
    /// The reason for which the position was closed.
    pub exit: ExitReason,
}

impl Trade {
    /// The number of bars from the entry to the exit; 0 if both are in the same bar.
    #[must_use]
    pub fn bars(&self) -> usize {
        self.exit_bar - self.entry_bar
    }
}
