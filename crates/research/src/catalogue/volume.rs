//! Strategies that read the volume.

use super::{float, int};
use crate::definition::{Definition, Family};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "obv-ma",
        title: "On-balance volume crosses its average",
        family: Family::Volume,
        about: "Follows the crossing of the on-balance volume and its average. In foreign exchange the volume is a number of ticks.",
        source: "Granville, New Key to Stock Market Profits (1963)",
        parameters: &[int("length", 20, 5, 100, "bars of the average")],
        lets: &["flow = ta.obv", "average = ta.sma(flow, length)"],
        enter_long: Some("ta.crossover(flow, average)"),
        enter_short: Some("ta.crossunder(flow, average)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "cmf",
        title: "Chaikin's money flow",
        family: Family::Volume,
        about: "Takes the side of a strong money flow, and leaves when it changes its sign. In foreign exchange the volume is a number of ticks.",
        source: "Chaikin, Money Flow (1982)",
        parameters: &[
            int("length", 20, 5, 100, "bars of the flow"),
            float("level", 0.05, 0.0, 0.5, 0.05, "size of a strong flow"),
        ],
        lets: &["flow = cmf(length)"],
        enter_long: Some("flow > level"),
        exit_long: Some("flow < 0"),
        enter_short: Some("flow < -level"),
        exit_short: Some("flow > 0"),
        ..Definition::EMPTY
    },
    Definition {
        id: "chaikin-osc",
        title: "Chaikin's oscillator",
        family: Family::Volume,
        about: "Follows the sign of the distance of two averages of the accumulation/distribution line. In foreign exchange the volume is a number of ticks.",
        source: "Chaikin, Chaikin Oscillator (1982)",
        parameters: &[
            int("fast", 3, 2, 15, "bars of the fast average"),
            int("slow", 10, 3, 50, "bars of the slow average"),
        ],
        constraints: &["fast < slow"],
        lets: &["osc = ta.ema(ta.accdist, fast) - ta.ema(ta.accdist, slow)"],
        enter_long: Some("ta.crossover(osc, 0)"),
        enter_short: Some("ta.crossunder(osc, 0)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "force-index",
        title: "Force index",
        family: Family::Volume,
        about: "Follows the sign of the average of change times volume. In foreign exchange the volume is a number of ticks.",
        source: "Elder, Trading for a Living (1993)",
        parameters: &[int("length", 13, 4, 65, "bars of the average")],
        lets: &["force = ta.ema((close - close[1]) * volume, length)"],
        enter_long: Some("ta.crossover(force, 0)"),
        enter_short: Some("ta.crossunder(force, 0)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "pvt-ma",
        title: "Price volume trend crosses its average",
        family: Family::Volume,
        about: "Follows the crossing of the price volume trend and its average. In foreign exchange the volume is a number of ticks.",
        source: "Murphy, Technical Analysis of the Financial Markets (1999)",
        parameters: &[int("length", 21, 6, 105, "bars of the average")],
        lets: &["flow = ta.pvt", "average = ta.ema(flow, length)"],
        enter_long: Some("ta.crossover(flow, average)"),
        enter_short: Some("ta.crossunder(flow, average)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "volume-spike",
        title: "Breakout with much volume",
        family: Family::Volume,
        about: "Follows the close out of the range of the last bars if the volume is much above its average, and leaves at the average price. In foreign exchange the volume is a number of ticks.",
        source: "O'Neil, How to Make Money in Stocks (1988)",
        parameters: &[
            int("length", 20, 5, 100, "bars of range and averages"),
            float("multiple", 2.0, 1.0, 6.0, 0.1, "average volumes that a bar must exceed"),
        ],
        lets: &[
            "upper = ta.highest(high, length)[1]",
            "lower = ta.lowest(low, length)[1]",
            "usual = ta.sma(volume, length)[1]",
            "average = ta.sma(close, length)",
            "busy = volume > multiple * usual",
        ],
        enter_long: Some("busy and close > upper"),
        exit_long: Some("close < average"),
        enter_short: Some("busy and close < lower"),
        exit_short: Some("close > average"),
        ..Definition::EMPTY
    },
];
