//! Sizes, commissions, slippage and the prices of brackets.

use crate::{Commission, Settings, Size, ticks::Steps, trade::Side};

/// The costs and sizes of fills.
pub(super) struct Costs {
    size: Size,
    commission: Commission,
    slippage_ticks: f64,
    point_value: f64,
    ticks: Steps,
    lots: Steps,
}

/// The commission of one order that closes a position and opens the opposite one.
pub(super) struct ReversalCommission {
    pub(super) closing: f64,
    pub(super) opening: f64,
}

impl Costs {
    pub(super) fn new(settings: &Settings, ticks: Steps) -> Self {
        Self {
            size: settings.size(),
            commission: settings.commission(),
            slippage_ticks: f64::from(settings.slippage_ticks()),
            point_value: settings.point_value(),
            ticks,
            lots: Steps::new(settings.lot_step()),
        }
    }

    pub(super) fn point_value(&self) -> f64 {
        self.point_value
    }

    /// The price after slippage of an order in `direction`: 1 buys, −1 sells.
    pub(super) fn slipped(&self, price: f64, direction: f64) -> f64 {
        if self.slippage_ticks == 0.0 {
            return price;
        }
        self.ticks.value(self.ticks.nearest_count(price) + direction * self.slippage_ticks)
    }

    /// The quantity of an entry that is ordered at a close, rounded down to the lot step; 0 if none can be bought.
    ///
    /// Percent of the equity, less what the entry's commission takes, is divided by the close after slippage. This is how
    /// TradingView's emulator sizes orders, as the authors of PyneCore measured it.
    pub(super) fn quantity(&self, side: Side, equity: f64, close: f64) -> f64 {
        let price = self.slipped(close, side.sign()) * self.point_value;
        let quantity = match self.size {
            Size::Fixed(quantity) => return self.lots.floor_given(quantity),
            Size::Cash(money) => money / price,
            Size::PercentOfEquity(percent) => {
                let budget = equity * percent * 0.01;
                match self.commission {
                    Commission::Percent(percent) => budget / (price * (1.0 + percent * 0.01)),
                    Commission::PerContract(money) => budget / (price + money),
                    Commission::PerOrder(money) => (budget - money) / price,
                }
            }
        };
        if quantity.is_finite() && quantity > 0.0 { self.lots.floor(quantity) } else { 0.0 }
    }

    /// The commission of a fill.
    pub(super) fn commission(&self, price: f64, quantity: f64) -> f64 {
        match self.commission {
            Commission::Percent(percent) => price * quantity * self.point_value * (percent * 0.01),
            Commission::PerContract(money) => quantity * money,
            Commission::PerOrder(money) => money,
        }
    }

    /// The commission of a reversal. It is one order, whose commission per order is paid once and divided in
    /// proportion to the two quantities.
    pub(super) fn commission_of_reversal(&self, price: f64, closing: f64, opening: f64) -> ReversalCommission {
        if let Commission::PerOrder(money) = self.commission {
            let closing = money * (closing / (closing + opening));
            return ReversalCommission { closing, opening: money - closing };
        }
        let [closing, opening] = [closing, opening].map(|quantity| self.commission(price, quantity));
        ReversalCommission { closing, opening }
    }

    /// Stop and target of an entry that filled at `price`: whole ticks away, rounded up. An infinite distance gives
    /// an infinite price.
    pub(super) fn bracket(&self, side: Side, price: f64, stop_distance: f64, target_distance: f64) -> (f64, f64) {
        let count = self.ticks.nearest_count(price);
        let away = |direction: f64, distance: f64| {
            if distance.is_infinite() {
                return direction * f64::INFINITY;
            }
            self.ticks.value(count + direction * self.ticks.covering_count(distance))
        };
        (away(-side.sign(), stop_distance), away(side.sign(), target_distance))
    }

    /// True if the price runs from the open to the high first, because the high is nearer. Distances are compared in whole ticks:
    /// those of 8.99 to 9.04 and to 8.94 are equal, which their differences in doubles are not.
    pub(super) fn is_high_first(&self, open: f64, high: f64, low: f64) -> bool {
        let [open, high, low] = [open, high, low].map(|price| self.ticks.nearest_count(price));
        high - open < open - low
    }

    /// The nearer one of the bracket's stop and a stop level, which is rounded away from the price. A level of `na`
    /// does not count.
    pub(super) fn nearer_stop(&self, side: Side, stop: f64, level: f64) -> f64 {
        match side {
            Side::Long => stop.max(self.ticks.at_or_below(level)),
            Side::Short => stop.min(self.ticks.at_or_above(level)),
        }
    }
}
