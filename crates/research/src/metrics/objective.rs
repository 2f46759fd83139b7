//! The figures that a search can maximise.

use super::Metrics;

/// The figure that a search maximises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Objective {
    /// Net profit of the closed trades.
    NetProfit,
    /// Sharpe ratio of daily returns.
    Sharpe,
    /// Sortino ratio of daily returns.
    Sortino,
    /// Yearly growth, divided by the highest drawdown.
    Calmar,
    /// Gross profit, divided by gross loss.
    ProfitFactor,
    /// Mean profit of a trade.
    Expectancy,
    /// System quality number.
    Sqn,
    /// Net profit, divided by the money of the highest drawdown.
    RecoveryFactor,
    /// Net profit in percent, divided by the highest drawdown in percent.
    ReturnOverDrawdown,
}

impl Objective {
    /// All objectives.
    pub const ALL: [Self; 9] = [
        Self::NetProfit,
        Self::Sharpe,
        Self::Sortino,
        Self::Calmar,
        Self::ProfitFactor,
        Self::Expectancy,
        Self::Sqn,
        Self::RecoveryFactor,
        Self::ReturnOverDrawdown,
    ];

    /// Its name in requests and answers, which is also the name of the figure.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NetProfit => "net_profit",
            Self::Sharpe => "sharpe",
            Self::Sortino => "sortino",
            Self::Calmar => "calmar",
            Self::ProfitFactor => "profit_factor",
            Self::Expectancy => "expectancy",
            Self::Sqn => "sqn",
            Self::RecoveryFactor => "recovery_factor",
            Self::ReturnOverDrawdown => "return_over_drawdown",
        }
    }

    /// The objective with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|objective| objective.name() == name)
    }

    /// The figure of a run; `None` where it is not defined, which ranks below all numbers.
    #[must_use]
    pub fn of(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::NetProfit => Some(metrics.trades.net_profit),
            Self::Sharpe => metrics.sharpe,
            Self::Sortino => metrics.sortino,
            Self::Calmar => metrics.calmar,
            Self::ProfitFactor => metrics.trades.profit_factor,
            Self::Expectancy => metrics.trades.expectancy,
            Self::Sqn => metrics.trades.sqn,
            Self::RecoveryFactor => metrics.recovery_factor,
            Self::ReturnOverDrawdown => metrics.return_over_drawdown,
        }
    }

    /// True if the figure grows with the length of a run, so that it is compared per year.
    #[must_use]
    pub fn grows_with_time(self) -> bool {
        matches!(self, Self::NetProfit | Self::RecoveryFactor | Self::ReturnOverDrawdown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for objective in Objective::ALL {
            assert_eq!(Objective::from_name(objective.name()), Some(objective));
        }
        assert_eq!(Objective::from_name("Sharpe"), None);
    }
}
