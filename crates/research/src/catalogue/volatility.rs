//! Strategies that act on a change of volatility.

use super::{float, int};
use crate::definition::{Definition, Family};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "ttm-squeeze",
        title: "Squeeze",
        family: Family::Volatility,
        about: "Enters when the Bollinger bands leave the Keltner channel, on the side of the momentum, and leaves when the momentum changes its side.",
        source: "Carter, Mastering the Trade (2005)",
        parameters: &[
            int("length", 20, 5, 100, "bars of bands and channel"),
            float("bb_multiple", 2.0, 0.7, 6.0, 0.1, "deviations between middle and bands"),
            float("kc_multiple", 1.5, 0.5, 4.5, 0.1, "average ranges between middle and lines"),
        ],
        lets: &[
            "[_, bb_upper, bb_lower] = ta.bb(close, length, bb_multiple)",
            "[_, kc_upper, kc_lower] = ta.kc(close, length, kc_multiple)",
            "squeezed = bb_upper < kc_upper and bb_lower > kc_lower",
            "fires = squeezed[1] and (bb_upper >= kc_upper or bb_lower <= kc_lower)",
            "center = ((ta.highest(high, length) + ta.lowest(low, length)) / 2 + ta.sma(close, length)) / 2",
            "push = ta.linreg(close - center, length, 0)",
        ],
        enter_long: Some("fires and push > 0"),
        exit_long: Some("push < 0"),
        enter_short: Some("fires and push < 0"),
        exit_short: Some("push > 0"),
        ..Definition::EMPTY
    },
    Definition {
        id: "bandwidth-low",
        title: "Break after narrow bands",
        family: Family::Volatility,
        about: "Follows the close out of the Bollinger bands soon after they were the narrowest of many bars.",
        source: "Bollinger, Bollinger on Bollinger Bands (2001)",
        parameters: &[
            int("length", 20, 5, 100, "bars of the bands"),
            int("history", 125, 20, 500, "bars among which the bands must have been the narrowest"),
            float("multiple", 2.0, 0.7, 6.0, 0.1, "deviations between middle and bands"),
        ],
        constraints: &["length < history"],
        lets: &[
            "[middle, upper, lower] = ta.bb(close, length, multiple)",
            "width = (upper - lower) / middle",
            "least = ta.lowest(width, history)",
            // The rule waits for a whole history, although `ta.lowest` is defined earlier on TradingView.
            "narrow = bar_index >= length + history - 2 and width <= least",
            "age = ta.barssince(narrow)",
            "up = ta.crossover(close, upper)",
            "down = ta.crossunder(close, lower)",
        ],
        enter_long: Some("up and age <= length"),
        enter_short: Some("down and age <= length"),
        ..Definition::EMPTY
    },
    Definition {
        id: "atr-expansion",
        title: "Range much above the average",
        family: Family::Volatility,
        about: "Follows the direction of a bar whose true range is much above the average.",
        source: "Kaufman, Trading Systems and Methods (2013)",
        parameters: &[
            int("length", 14, 4, 70, "bars of the average range"),
            float("multiple", 1.5, 1.0, 4.5, 0.1, "average ranges that a bar must exceed"),
        ],
        lets: &["r = ta.tr(true)", "average = ta.atr(length)", "large = r > multiple * average[1]"],
        enter_long: Some("large and close > close[1]"),
        enter_short: Some("large and close < close[1]"),
        ..Definition::EMPTY
    },
    Definition {
        id: "vol-scaled-trend",
        title: "Change beside its volatility",
        family: Family::Volatility,
        about: "Follows a change that is large beside the volatility of the same bars.",
        source: "Baltas and Kosowski, Momentum Strategies in Futures Markets (2012)",
        parameters: &[
            int("length", 60, 15, 300, "bars of change and volatility"),
            float("level", 0.5, 0.05, 3.0, 0.05, "deviations that the change must exceed"),
        ],
        lets: &[
            "step = close / close[1] - 1",
            "scaled = (close / close[length] - 1) / (ta.stdev(step, length) * math.sqrt(length))",
        ],
        enter_long: Some("scaled > level"),
        exit_long: Some("scaled < 0"),
        enter_short: Some("scaled < -level"),
        exit_short: Some("scaled > 0"),
        ..Definition::EMPTY
    },
];
