//! Strategies that read the shape of a few bars.

use super::{float, int};
use crate::definition::{Definition, Family};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "engulfing",
        title: "Engulfing candles",
        family: Family::Pattern,
        about: "Follows a body that encloses the body before it, on the side of the average.",
        source: "Nison, Japanese Candlestick Charting Techniques (1991)",
        parameters: &[
            int("trend", 50, 13, 250, "bars of the average"),
            int("hold", 10, 1, 50, "most bars of a position"),
        ],
        lets: &[
            "t = ta.sma(close, trend)",
            "bull = close > open and close[1] < open[1] and close > open[1] and open <= close[1]",
            "bear = close < open and close[1] > open[1] and close < open[1] and open >= close[1]",
        ],
        enter_long: Some("bull and close > t"),
        enter_short: Some("bear and close < t"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
    Definition {
        id: "hammer-star",
        title: "Hammer and shooting star",
        family: Family::Pattern,
        about: "Buys a hammer at a low, and sells a shooting star at a high. The wick is measured against the body, and the bar against the mean range of 10 bars.",
        source: "Nison, Japanese Candlestick Charting Techniques (1991)",
        parameters: &[
            float("ratio", 2.0, 1.0, 6.0, 0.1, "bodies that the long wick must exceed"),
            int("length", 5, 2, 30, "bars of the low or high"),
            int("hold", 10, 1, 50, "most bars of a position"),
        ],
        lets: &[
            "body = math.abs(close - open)",
            "top = high - math.max(open, close)",
            "bottom = math.min(open, close) - low",
            "usual = ta.sma(high - low, 10)",
            "large = high - low > 0.8 * usual",
            "lowest = ta.lowest(low, length)",
            "highest = ta.highest(high, length)",
        ],
        enter_long: Some("large and bottom > ratio * body and bottom > 3 * top and low <= lowest"),
        enter_short: Some("large and top > ratio * body and top > 3 * bottom and high >= highest"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
    Definition {
        id: "three-soldiers",
        title: "Three soldiers and three crows",
        family: Family::Pattern,
        about: "Follows three bodies of one direction, each of which closes beyond the one before. Bodies are measured against the mean range of 10 bars.",
        source: "Nison, Japanese Candlestick Charting Techniques (1991)",
        parameters: &[
            float("ratio", 0.3, 0.05, 1.0, 0.05, "mean ranges that each body must exceed"),
            int("hold", 10, 1, 50, "most bars of a position"),
        ],
        lets: &[
            "least = ratio * ta.sma(high - low, 10)",
            "up = close - open > least and close > close[1]",
            "down = open - close > least and close < close[1]",
        ],
        enter_long: Some("up and up[1] and up[2]"),
        enter_short: Some("down and down[1] and down[2]"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
    Definition {
        id: "morning-evening-star",
        title: "Morning and evening star",
        family: Family::Pattern,
        about: "Follows a small body between two large ones of opposite direction. Bodies are measured against the mean range of 10 bars.",
        source: "Nison, Japanese Candlestick Charting Techniques (1991)",
        parameters: &[
            float("large", 0.4, 0.1, 1.0, 0.05, "mean ranges that a large body must exceed"),
            float("small", 0.3, 0.05, 0.8, 0.05, "mean ranges that a small body must not exceed"),
            int("hold", 10, 1, 50, "most bars of a position"),
        ],
        constraints: &["small <= large"],
        lets: &[
            "usual = ta.sma(high - low, 10)",
            "body = close - open",
            "calm = math.abs(body) < small * usual",
            "up = body > large * usual",
            "down = body < -large * usual",
            "middle = (open + close) / 2",
        ],
        enter_long: Some("down[2] and calm[1] and up and close > middle[2]"),
        enter_short: Some("up[2] and calm[1] and down and close < middle[2]"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
    Definition {
        id: "pin-bar",
        title: "Pin bar",
        family: Family::Pattern,
        about: "Follows a bar with a long wick, on the side of the average.",
        source: "Pring, Pring on Price Patterns (2004)",
        parameters: &[
            float("ratio", 0.66, 0.4, 0.95, 0.05, "part of the bar that the wick must exceed"),
            int("trend", 50, 13, 250, "bars of the average"),
            int("hold", 10, 1, 50, "most bars of a position"),
        ],
        lets: &[
            "t = ta.ema(close, trend)",
            "span = high - low",
            "top = high - math.max(open, close)",
            "bottom = math.min(open, close) - low",
        ],
        enter_long: Some("bottom > ratio * span and close > t"),
        enter_short: Some("top > ratio * span and close < t"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
    Definition {
        id: "outside-bar",
        title: "Outside bar",
        family: Family::Pattern,
        about: "Follows the direction of a bar that encloses the bar before it.",
        source: "Schwager, Getting Started in Technical Analysis (1999)",
        parameters: &[int("hold", 10, 1, 50, "most bars of a position")],
        lets: &["outside = high > high[1] and low < low[1]"],
        enter_long: Some("outside and close > open"),
        enter_short: Some("outside and close < open"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
    Definition {
        id: "bar-up-down",
        title: "Bar up, bar down",
        family: Family::Pattern,
        about: "Follows a bar that opens beyond the close before it and goes on in that direction.",
        source: "Built-in strategy of TradingView (BarUpDn)",
        enter_long: Some("close > open and open > close[1]"),
        enter_short: Some("close < open and open < close[1]"),
        ..Definition::EMPTY
    },
];
