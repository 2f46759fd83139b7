//! Strategies that follow the price out of a range.

use super::{float, int};
use crate::definition::{Definition, Family};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "donchian",
        title: "Donchian breakout with ATR stop",
        family: Family::Breakout,
        about: "Enters when the close leaves the range of the last bars.",
        source: "Turtle rules, system 1 (Faith, Way of the Turtle, 2007)",
        parameters: &[
            int("entry", 20, 5, 200, "bars of the entry channel"),
            int("exit", 10, 2, 100, "bars of the exit channel"),
            int("atr_length", 20, 5, 100, "bars of the average range"),
            float("stop_atr", 2.0, 0.7, 6.0, 0.1, "average ranges from the entry to the stop"),
        ],
        constraints: &["exit < entry"],
        lets: &[
            "upper = ta.highest(high, entry)[1]",
            "lower = ta.lowest(low, entry)[1]",
            "xl = ta.lowest(low, exit)[1]",
            "xu = ta.highest(high, exit)[1]",
            "n = ta.atr(atr_length)",
        ],
        enter_long: Some("close > upper"),
        exit_long: Some("close < xl"),
        enter_short: Some("close < lower"),
        exit_short: Some("close > xu"),
        stop: Some("stop_atr * n"),
        ..Definition::EMPTY
    },
    Definition {
        id: "turtle-2",
        title: "Long breakout at the extreme",
        family: Family::Breakout,
        about: "Enters when a bar reaches beyond the range of many bars, and leaves when one reaches back beyond a shorter range.",
        source: "Turtle rules, system 2 (Faith, Way of the Turtle, 2007)",
        parameters: &[
            int("entry", 55, 10, 275, "bars of the entry channel"),
            int("exit", 20, 5, 100, "bars of the exit channel"),
        ],
        constraints: &["exit < entry"],
        lets: &[
            "upper = ta.highest(high, entry)[1]",
            "lower = ta.lowest(low, entry)[1]",
            "xl = ta.lowest(low, exit)[1]",
            "xu = ta.highest(high, exit)[1]",
        ],
        enter_long: Some("high > upper"),
        exit_long: Some("low < xl"),
        enter_short: Some("low < lower"),
        exit_short: Some("high > xu"),
        ..Definition::EMPTY
    },
    Definition {
        id: "channel-close",
        title: "Close outside a short channel",
        family: Family::Breakout,
        about: "Turns when the close leaves the range of the last few bars.",
        source: "Built-in strategy of TradingView, on the close",
        parameters: &[int("length", 5, 3, 100, "bars of the channel")],
        lets: &["upper = ta.highest(high, length)[1]", "lower = ta.lowest(low, length)[1]"],
        enter_long: Some("close > upper"),
        enter_short: Some("close < lower"),
        ..Definition::EMPTY
    },
    Definition {
        id: "bollinger-breakout",
        title: "Out of the Bollinger bands",
        family: Family::Breakout,
        about: "Follows the close out of the Bollinger bands.",
        source: "Bollinger, Bollinger on Bollinger Bands (2001)",
        parameters: &[
            int("length", 20, 5, 100, "bars of the bands"),
            float("multiple", 2.0, 0.7, 6.0, 0.1, "deviations between middle and bands"),
        ],
        lets: &["[_, upper, lower] = ta.bb(close, length, multiple)"],
        enter_long: Some("ta.crossover(close, upper)"),
        enter_short: Some("ta.crossunder(close, lower)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "keltner-breakout",
        title: "Out of the Keltner channel",
        family: Family::Breakout,
        about: "Follows the close out of the Keltner channel.",
        source: "Keltner, How to Make Money in Commodities (1960)",
        parameters: &[
            int("length", 20, 5, 100, "bars of the channel"),
            float("multiple", 1.5, 0.5, 4.5, 0.1, "average ranges between middle and lines"),
        ],
        lets: &["[_, upper, lower] = ta.kc(close, length, multiple)"],
        enter_long: Some("ta.crossover(close, upper)"),
        enter_short: Some("ta.crossunder(close, lower)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "range-expansion",
        title: "Body beyond the range before",
        family: Family::Breakout,
        about: "Follows a body that is large beside the range of the bar before.",
        source: "Williams, Long-Term Secrets to Short-Term Trading (1999)",
        parameters: &[float("multiple", 0.6, 0.2, 1.8, 0.1, "ranges of the bar before that a body must exceed")],
        lets: &["before = high[1] - low[1]", "body = close - open"],
        enter_long: Some("body > multiple * before"),
        enter_short: Some("body < -multiple * before"),
        ..Definition::EMPTY
    },
    Definition {
        id: "nr7",
        title: "Narrowest range of seven",
        family: Family::Breakout,
        about: "Follows the close out of the narrowest bar of several.",
        source: "Crabel, Day Trading with Short-Term Price Patterns (1990)",
        parameters: &[int("length", 7, 3, 30, "bars among which one is the narrowest")],
        lets: &["span = high - low", "narrow = span <= ta.lowest(span, length)"],
        enter_long: Some("narrow[1] and close > high[1]"),
        enter_short: Some("narrow[1] and close < low[1]"),
        ..Definition::EMPTY
    },
    Definition {
        id: "inside-bar",
        title: "Inside bar",
        family: Family::Breakout,
        about: "Follows the close out of the bar that encloses an inside bar.",
        source: "Crabel, Day Trading with Short-Term Price Patterns (1990)",
        parameters: &[int("bars", 3, 1, 10, "bars after the inside bar in which a break counts")],
        lets: &[
            "inside = high < high[1] and low > low[1]",
            "top = ta.valuewhen(inside, high[1], 0)",
            "bottom = ta.valuewhen(inside, low[1], 0)",
            "age = ta.barssince(inside)",
            "fresh = age >= 1 and age <= bars",
        ],
        enter_long: Some("fresh and close > top"),
        enter_short: Some("fresh and close < bottom"),
        ..Definition::EMPTY
    },
    Definition {
        id: "darvas",
        title: "Darvas box",
        family: Family::Breakout,
        about: "Buys a new high after the high has stood for some bars, and leaves below the box.",
        source: "Darvas, How I Made $2,000,000 in the Stock Market (1960)",
        parameters: &[
            int("length", 20, 5, 100, "bars of the box"),
            int("hold", 5, 2, 25, "bars for which the high must have stood"),
        ],
        constraints: &["hold < length"],
        lets: &[
            "top = ta.highest(high, length)",
            "stood = ta.barssince(high >= top)",
            "bottom = ta.lowest(low, length)",
        ],
        enter_long: Some("stood[1] >= hold and close > top[1]"),
        exit_long: Some("close < bottom[1]"),
        ..Definition::EMPTY
    },
    Definition {
        id: "swing-break",
        title: "Break of the last turning point",
        family: Family::Breakout,
        about: "Follows the close beyond the last confirmed turning point.",
        source: "Built-in strategy of TradingView (pivot reversal), on the close",
        parameters: &[int("left", 5, 2, 25, "bars before a turning point"), int("right", 5, 1, 25, "bars after it")],
        lets: &[
            "peak = ta.pivothigh(high, left, right)",
            "trough = ta.pivotlow(low, left, right)",
            "top = ta.valuewhen(not na(peak), peak, 0)",
            "bottom = ta.valuewhen(not na(trough), trough, 0)",
        ],
        enter_long: Some("ta.crossover(close, top)"),
        enter_short: Some("ta.crossunder(close, bottom)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "new-high",
        title: "New high of a year",
        family: Family::Breakout,
        about: "Buys a close above all highs of many bars, and leaves below the lows of fewer.",
        source: "George and Hwang, The 52-Week High and Momentum Investing (2004)",
        parameters: &[
            int("entry", 250, 50, 500, "bars of the entry range"),
            int("exit", 50, 10, 250, "bars of the exit range"),
        ],
        constraints: &["exit < entry"],
        lets: &["upper = ta.highest(high, entry)[1]", "lower = ta.lowest(low, exit)[1]"],
        enter_long: Some("close > upper"),
        exit_long: Some("close < lower"),
        ..Definition::EMPTY
    },
    Definition {
        id: "atr-channel",
        title: "Out of a channel of average ranges",
        family: Family::Breakout,
        about: "Follows the close out of a channel of average ranges, and leaves at the average.",
        source: "Curtis Faith, Way of the Turtle (2007)",
        parameters: &[
            int("length", 50, 13, 250, "bars of average and average range"),
            float("multiple", 3.0, 1.0, 9.0, 0.1, "average ranges between average and lines"),
        ],
        lets: &["middle = ta.sma(close, length)", "reach = multiple * ta.atr(length)"],
        enter_long: Some("close > middle + reach"),
        exit_long: Some("close < middle"),
        enter_short: Some("close < middle - reach"),
        exit_short: Some("close > middle"),
        ..Definition::EMPTY
    },
];
