//! A second broker, written from the description of the fill model and not from the first one: it goes from bar to bar and, within
//! a bar, from tick to tick along the path of the price. It counts prices in whole ticks.

use std::collections::VecDeque;

use research::{Commission, Sides, Size};

use crate::case::{Case, Ticks};

#[derive(Debug, Clone)]
pub(crate) struct SlowTrade {
    pub(crate) is_long: bool,
    pub(crate) entry_bar: usize,
    pub(crate) entry: f64,
    pub(crate) exit_bar: usize,
    pub(crate) exit: f64,
    pub(crate) quantity: f64,
    pub(crate) profit: f64,
    pub(crate) reason: &'static str,
}

#[derive(Debug, Default)]
pub(crate) struct SlowRun {
    pub(crate) trades: Vec<SlowTrade>,
    pub(crate) equity: Vec<f64>,
    pub(crate) held: Vec<bool>,
    pub(crate) conflicts: usize,
    pub(crate) dropped: usize,
    pub(crate) ruined: Option<usize>,
    pub(crate) commission: f64,
    pub(crate) is_open: bool,
}

#[derive(Debug, Clone)]
enum Pending {
    Enter { long: bool, lots: f64, stop: Option<i64>, target: Option<i64> },
    Exit { reason: &'static str },
}

#[derive(Debug, Clone)]
struct Holding {
    long: bool,
    bar: usize,
    fill: i64,
    quantity: f64,
    paid: f64,
    stop: Option<i64>,
    target: Option<i64>,
    level: Option<i64>,
}

pub(crate) fn simulate(case: &Case) -> SlowRun {
    let mut world = World { case, run: SlowRun::default(), holding: None, realised: case.settings.capital() };
    let mut pending: VecDeque<Pending> = VecDeque::new();
    for bar in case.window.bars.clone() {
        if world.run.ruined.is_some() {
            world.mark(bar);
            continue;
        }
        while let Some(order) = pending.pop_front() {
            world.fill_at_open(bar, &order);
        }
        world.walk(bar);
        let is_last = bar + 1 == case.window.bars.end;
        if is_last && case.window.closes_at_end && world.equity(bar) > 0.0 {
            world.leave(bar, case.bars[bar].close, true, "end");
        }
        if world.equity(bar) <= 0.0 {
            world.leave(bar, case.bars[bar].close, true, "ruin");
            world.run.ruined = Some(bar);
            world.mark(bar);
            continue;
        }
        world.mark(bar);
        if !is_last {
            pending.extend(world.read(bar));
        }
        world.reissue(bar);
    }
    world.run.is_open = world.holding.is_some();
    world.run
}

struct World<'a> {
    case: &'a Case,
    run: SlowRun,
    holding: Option<Holding>,
    realised: f64,
}

impl World<'_> {
    fn money(&self, ticks: i64) -> f64 {
        self.case.tick.price(ticks)
    }

    fn slip(&self) -> i64 {
        i64::from(self.case.settings.slippage_ticks())
    }

    fn equity(&self, bar: usize) -> f64 {
        self.realised + self.holding.as_ref().map_or(0.0, |holding| self.gain(holding, self.case.bars[bar].close))
    }

    fn gain(&self, holding: &Holding, at: i64) -> f64 {
        let up = (self.money(at) - self.money(holding.fill)) * holding.quantity * self.case.settings.point_value();
        if holding.long { up } else { -up }
    }

    fn mark(&mut self, bar: usize) {
        let equity = self.equity(bar);
        self.run.equity.push(equity);
        self.run.held.push(self.holding.is_some());
    }

    fn pay(&mut self, money: f64) {
        self.realised -= money;
        self.run.commission += money;
    }

    /// Commission of an order that trades this quantity at this price, without what an order costs by itself.
    fn by_volume(&self, price: i64, quantity: f64) -> f64 {
        match self.case.settings.commission() {
            Commission::Percent(percent) => {
                self.money(price) * quantity * self.case.settings.point_value() * percent / 100.0
            }
            Commission::PerContract(money) => money * quantity,
            Commission::PerOrder(_) => 0.0,
        }
    }

    fn by_order(&self) -> f64 {
        match self.case.settings.commission() {
            Commission::PerOrder(money) => money,
            _ => 0.0,
        }
    }

    fn leave(&mut self, bar: usize, price: i64, slips: bool, reason: &'static str) {
        let commission_by_order = self.by_order();
        self.leave_paying(bar, price, slips, reason, commission_by_order);
    }

    fn leave_paying(&mut self, bar: usize, price: i64, slips: bool, reason: &'static str, by_order: f64) {
        let Some(holding) = self.holding.take() else { return };
        let worse = if slips { self.slip() } else { 0 };
        let fill = if holding.long { price - worse } else { price + worse };
        let commission = self.by_volume(fill, holding.quantity) + by_order;
        let gain = self.gain(&holding, fill);
        self.realised += gain;
        self.pay(commission);
        self.run.trades.push(SlowTrade {
            is_long: holding.long,
            entry_bar: holding.bar,
            entry: self.money(holding.fill),
            exit_bar: bar,
            exit: self.money(fill),
            quantity: holding.quantity,
            profit: gain - commission - holding.paid,
            reason,
        });
    }

    fn fill_at_open(&mut self, bar: usize, order: &Pending) {
        let open = self.case.bars[bar].open;
        match *order {
            Pending::Exit { reason } => self.leave(bar, open, true, reason),
            Pending::Enter { long, lots, stop, target } => {
                let closing = self.holding.as_ref().map_or(0.0, |holding| holding.quantity);
                if lots <= 0.0 {
                    return self.leave(bar, open, true, "reversal");
                }
                let share = closing / (closing + lots);
                self.leave_paying(bar, open, true, "reversal", self.by_order() * share);
                let fill = if long { open + self.slip() } else { open - self.slip() };
                let paid = self.by_volume(fill, lots) + self.by_order() * (1.0 - share);
                self.pay(paid);
                let away = |distance: Option<i64>, up: bool| {
                    distance.map(|ticks| if up { fill + ticks } else { fill - ticks })
                };
                self.holding = Some(Holding {
                    long,
                    bar,
                    fill,
                    quantity: lots,
                    paid,
                    stop: away(stop, !long),
                    target: away(target, long),
                    level: self.level(bar - 1, long),
                });
            }
        }
    }

    /// The stop level that the close of `bar` issues, on the grid.
    #[expect(clippy::cast_possible_truncation, reason = "levels are near prices")]
    fn level(&self, bar: usize, long: bool) -> Option<i64> {
        let signals = &self.case.signals;
        let column = if long { signals.stop_level_long.as_ref() } else { signals.stop_level_short.as_ref() };
        let level = column?[bar];
        let ticks = level / self.money(1);
        if level.is_nan() {
            None
        } else if long {
            Some((ticks + 1e-4).floor() as i64)
        } else {
            Some((ticks - 1e-4).ceil() as i64)
        }
    }

    fn reissue(&mut self, bar: usize) {
        let level = self.holding.as_ref().map(|holding| self.level(bar, holding.long));
        if let (Some(holding), Some(level)) = (self.holding.as_mut(), level) {
            holding.level = level;
        }
    }

    /// Follows the price through a bar, one tick at a time.
    fn walk(&mut self, bar: usize) {
        let Ticks { open, high, low, close } = self.case.bars[bar];
        let corners = if high - open < open - low { [open, high, low, close] } else { [open, low, high, close] };
        let mut price = open;
        self.meet(bar, price);
        for corner in corners {
            while price != corner {
                price += (corner - price).signum();
                self.meet(bar, price);
            }
        }
    }

    fn meet(&mut self, bar: usize, price: i64) {
        let Some(holding) = &self.holding else { return };
        let is_down = |line: Option<i64>| line.is_some_and(|line| price <= line);
        let is_up = |line: Option<i64>| line.is_some_and(|line| price >= line);
        let (stopped, reached) = if holding.long {
            (is_down(holding.stop) || is_down(holding.level), is_up(holding.target))
        } else {
            (is_up(holding.stop) || is_up(holding.level), is_down(holding.target))
        };
        // On the path, the price meets a line exactly; at the open it may be past it, and then the open is the price.
        if stopped {
            self.leave(bar, price, true, "stop");
        } else if reached {
            self.leave(bar, price, false, "target");
        }
    }

    fn read(&mut self, bar: usize) -> Option<Pending> {
        let signals = self.case.signals.clone();
        if bar < signals.first {
            return None;
        }
        let is = |set: &Option<std::sync::Arc<research::Bits>>| set.as_ref().is_some_and(|set| set.get(bar));
        let (enter_long, exit_long) = (is(&signals.enter_long), is(&signals.exit_long));
        let (enter_short, exit_short) = (is(&signals.enter_short), is(&signals.exit_short));
        self.run.conflicts += usize::from(enter_long && enter_short);
        let position = self.holding.as_ref().map_or(0, |holding| if holding.long { 1 } else { -1 });
        let distance = |column: &Option<std::sync::Arc<[f64]>>| column.as_ref().map(|column| column[bar]);
        let is_sound = |value: Option<f64>| value.is_none_or(|value| value > 0.0);
        let (stop, target) = (distance(&signals.stop), distance(&signals.target));
        let sound = is_sound(stop) && is_sound(target);
        let go_long = enter_long && !enter_short && !exit_long && position <= 0 && sound;
        let go_short = enter_short && !enter_long && !exit_short && position >= 0 && sound;
        let sides = self.case.settings.sides();
        if go_long || go_short {
            let allowed = if go_long { sides != Sides::Short } else { sides != Sides::Long };
            if !allowed {
                return (position != 0).then_some(Pending::Exit { reason: "signal" });
            }
            let lots = self.lots(bar, go_long);
            self.run.dropped += usize::from(lots <= 0.0);
            let ticks = |distance: Option<f64>| distance.map(|distance| self.ticks_up(distance));
            return Some(Pending::Enter { long: go_long, lots, stop: ticks(stop), target: ticks(target) });
        }
        let bars_held = self.holding.as_ref().map(|holding| bar - holding.bar + 1);
        let too_long = signals.max_bars.zip(bars_held).is_some_and(|(most, held)| held >= most as usize);
        match position {
            1 if exit_long => Some(Pending::Exit { reason: "signal" }),
            -1 if exit_short => Some(Pending::Exit { reason: "signal" }),
            1 | -1 if too_long => Some(Pending::Exit { reason: "max_bars" }),
            _ => None,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "distances are a few ticks")]
    fn ticks_up(&self, distance: f64) -> i64 {
        (distance / self.money(1)).ceil() as i64
    }

    fn lots(&self, bar: usize, long: bool) -> f64 {
        let settings = &self.case.settings;
        let close = self.case.bars[bar].close;
        let price = self.money(if long { close + self.slip() } else { close - self.slip() }) * settings.point_value();
        let wanted = match settings.size() {
            Size::Fixed(quantity) => quantity,
            Size::Cash(cash) => cash / price,
            Size::PercentOfEquity(percent) => {
                let part = self.equity(bar) * percent / 100.0;
                match settings.commission() {
                    Commission::Percent(percent) => part / price / (1.0 + percent / 100.0),
                    Commission::PerContract(money) => part / (price + money),
                    Commission::PerOrder(money) => (part - money) / price,
                }
            }
        };
        let per_unit = (1.0 / settings.lot_step()).round();
        ((wanted * per_unit).floor() / per_unit).max(0.0)
    }
}
