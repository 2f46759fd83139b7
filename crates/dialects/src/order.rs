//! The candles of one series in the order of its file, with their instants. A local time that comes twice in the autumn is
//! settled by the order: the second run of the hour is the later one.

use calendar::{ClockReading, WallClock};
use candle::{Ohlc, Volume};

use crate::rows::{Fault, FaultKind};
use crate::steps::Steps;
use crate::zone::{Weekends, zone_title};

/// The instant that is meant if the file has a repeated hour once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguous {
    /// The first.
    Earlier,
    /// The second.
    Later,
}

/// A line of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number in the file, from 1.
    pub(crate) line: u64,
    pub(crate) reading: i64,
    pub(crate) ohlc: Ohlc,
    pub(crate) volume: Volume,
}

/// The outcome of a line.
#[derive(Debug)]
pub(crate) enum Placed {
    /// Its instant.
    At(i64),
    /// It repeats the entry before it.
    Again,
    /// It has a fault.
    Wrong(Fault),
}

/// The rules that all series of a file share.
#[derive(Debug, Clone)]
pub(crate) struct OrderRules {
    /// True if the newest candle comes first.
    pub(crate) falling: bool,
    pub(crate) ambiguous: Option<Ambiguous>,
    /// The length of a candle, by which the end of the last one before a weekend is known.
    pub(crate) length: i64,
}

/// An entry whose reading comes twice.
#[derive(Debug, Clone)]
struct Held {
    entry: Entry,
    earlier: i64,
    later: i64,
    /// The run of the hour that it belongs to, from 0.
    run: usize,
}

/// The order of one series.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The clock of the file; `None` if lines say their offsets.
    clock: Option<WallClock>,
    last: Option<(Entry, i64)>,
    /// Entries of an hour that comes twice, until it is over.
    held: Vec<Held>,
}

/// The maximum distance of two readings in one hour that comes twice.
const LONGEST_FOLD: i64 = 3 * 3600;
/// The maximum number of entries in such an hour: two runs of 24 hours, for zones that have repeated a day.
const MAX_HELD: usize = 2 * 24 * 60;

impl Order {
    pub(crate) fn new(clock: Option<WallClock>) -> Self {
        Self { clock, last: None, held: Vec::new() }
    }

    /// Takes the next entry. Calls `place` for it and for entries that waited for it, in their order.
    pub(crate) fn push(
        &mut self,
        entry: Entry,
        offset: Option<i64>,
        rules: &OrderRules,
        found: &mut (Steps, Weekends),
        place: &mut dyn FnMut(&Entry, Placed),
    ) {
        let reading = entry.reading;
        let instants = match &mut self.clock {
            None => ClockReading::Once(reading - offset.unwrap_or(0)),
            Some(clock) => clock.instant(reading),
        };
        match instants {
            ClockReading::Once(instant) => {
                self.settle(rules, found, place);
                self.accept(entry, instant, rules, found, place);
            }
            ClockReading::Never => {
                let zone = self.clock.as_ref().map(zone_title).unwrap_or_default();
                let fault = Fault::new(
                    FaultKind::Skipped,
                    format!("its local time does not exist in {zone}, where the clocks skip it; is the zone right?"),
                );
                place(&entry, Placed::Wrong(fault));
            }
            ClockReading::Twice { earlier, later } => {
                let last = self.held.last().map(|held| (held.entry.reading, held.run));
                let run = match last {
                    Some((before, _)) if (before - reading).abs() > LONGEST_FOLD => {
                        self.settle(rules, found, place);
                        0
                    }
                    Some((before, run)) => {
                        let goes_on = if rules.falling { reading < before } else { reading > before };
                        if goes_on { run } else { run + 1 }
                    }
                    None => 0,
                };
                if self.held.len() >= MAX_HELD {
                    place(&entry, Placed::Wrong(Fault::new(FaultKind::Order, "is one of too many in an hour")));
                    return;
                }
                self.held.push(Held { entry, earlier, later, run });
            }
        }
    }

    /// Places the held entries.
    pub(crate) fn settle(
        &mut self,
        rules: &OrderRules,
        found: &mut (Steps, Weekends),
        place: &mut dyn FnMut(&Entry, Placed),
    ) {
        if self.held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let runs = held.iter().map(|held| held.run).max().unwrap_or(0) + 1;
        for Held { entry, earlier, later, run } in held {
            let second = (run == 1) != rules.falling;
            match (runs, rules.ambiguous) {
                (2, _) => self.accept(entry, if second { later } else { earlier }, rules, found, place),
                (1, Some(Ambiguous::Earlier)) => self.accept(entry, earlier, rules, found, place),
                (1, Some(Ambiguous::Later)) => self.accept(entry, later, rules, found, place),
                (1, None) => {
                    let zone = self.clock.as_ref().map(zone_title).unwrap_or_default();
                    let message = format!(
                        "its local time comes twice in {zone} and once in the file; say which is meant with --ambiguous earlier \
                         or --ambiguous later"
                    );
                    place(&entry, Placed::Wrong(Fault::new(FaultKind::Ambiguous, message)));
                }
                _ => place(&entry, Placed::Wrong(Fault::new(FaultKind::Order, "its hour comes more than twice"))),
            }
        }
    }

    fn accept(
        &mut self,
        entry: Entry,
        instant: i64,
        rules: &OrderRules,
        found: &mut (Steps, Weekends),
        place: &mut dyn FnMut(&Entry, Placed),
    ) {
        let Some((before, at)) = &self.last else {
            place(&entry, Placed::At(instant));
            self.last = Some((entry, instant));
            return;
        };
        let step = if rules.falling { at - instant } else { instant - at };
        if step < 0 {
            let (direction, side) = if rules.falling { ("fall", "after") } else { ("rise", "before") };
            let message =
                format!("its time lies {side} that of line {}, but the times of the file {direction}", before.line);
            place(&entry, Placed::Wrong(Fault::new(FaultKind::Order, message)));
            return;
        }
        if step == 0 {
            let placed = if before.ohlc == entry.ohlc && before.volume == entry.volume {
                Placed::Again
            } else {
                let message = format!("it has the time of line {} and other values", before.line);
                Placed::Wrong(Fault::new(FaultKind::Order, message))
            };
            place(&entry, placed);
            return;
        }
        let by_clock = (entry.reading - before.reading).abs();
        let (steps, weekends) = found;
        // The step is counted by the file's clock, on which days always have 24 hours, unless the clock was set back
        // in between.
        steps.add(if by_clock > 0 && (by_clock - step).abs() <= LONGEST_FOLD && by_clock >= rules.length {
            by_clock
        } else {
            step
        });
        let (older, newer) = if rules.falling { (&entry, before) } else { (before, &entry) };
        weekends.add(older.reading + rules.length, newer.reading);
        place(&entry, Placed::At(instant));
        self.last = Some((entry, instant));
    }
}
