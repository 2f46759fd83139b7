//! Strategies that follow the speed of the price.

use super::int;
use crate::definition::{Definition, Family};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "roc-zero",
        title: "Rate of change crosses zero",
        family: Family::Momentum,
        about: "Follows the sign of the change over some bars.",
        source: "Pring, Technical Analysis Explained",
        parameters: &[int("length", 12, 3, 60, "bars of the change")],
        lets: &["change = ta.roc(close, length)"],
        enter_long: Some("ta.crossover(change, 0)"),
        enter_short: Some("ta.crossunder(change, 0)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "time-series-momentum",
        title: "Time series momentum",
        family: Family::Momentum,
        about: "Takes the side of the change over many bars at the first close of each month.",
        source: "Moskowitz, Ooi and Pedersen, Time Series Momentum (2012)",
        parameters: &[int("length", 252, 20, 300, "bars of the change")],
        lets: &["past = close[length]", "m = month(time, \"UTC\")", "starts = m != m[1]"],
        enter_long: Some("starts and close > past"),
        enter_short: Some("starts and close < past"),
        ..Definition::EMPTY
    },
    Definition {
        id: "rsi-50",
        title: "RSI crosses 50",
        family: Family::Momentum,
        about: "Follows the relative strength index through its middle.",
        source: "Wilder, New Concepts in Technical Trading Systems (1978)",
        parameters: &[int("length", 14, 4, 70, "bars of the index")],
        lets: &["r = ta.rsi(close, length)"],
        enter_long: Some("ta.crossover(r, 50)"),
        enter_short: Some("ta.crossunder(r, 50)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "tsi-signal",
        title: "True strength index crosses its signal line",
        family: Family::Momentum,
        about: "Follows the crossing of the true strength index and its signal line.",
        source: "Blau, Momentum, Direction and Divergence (1995)",
        parameters: &[
            int("long_length", 25, 7, 125, "bars of the first smoothing"),
            int("short_length", 13, 4, 65, "bars of the second smoothing"),
            int("signal_length", 7, 2, 35, "bars of the signal line"),
        ],
        constraints: &["short_length < long_length"],
        lets: &["t = ta.tsi(close, short_length, long_length)", "signal = ta.ema(t, signal_length)"],
        enter_long: Some("ta.crossover(t, signal)"),
        enter_short: Some("ta.crossunder(t, signal)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "cmo-zero",
        title: "Chande's oscillator crosses zero",
        family: Family::Momentum,
        about: "Follows the sign of Chande's momentum oscillator.",
        source: "Chande and Kroll, The New Technical Trader (1994)",
        parameters: &[int("length", 20, 5, 100, "bars of the sums")],
        lets: &["c = ta.cmo(close, length)"],
        enter_long: Some("ta.crossover(c, 0)"),
        enter_short: Some("ta.crossunder(c, 0)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "awesome",
        title: "Awesome oscillator",
        family: Family::Momentum,
        about: "Follows the sign of the distance of two averages of the bars' middles.",
        source: "Williams, New Trading Dimensions (1998)",
        parameters: &[
            int("fast", 5, 2, 25, "bars of the fast average"),
            int("slow", 34, 9, 170, "bars of the slow average"),
        ],
        constraints: &["fast < slow"],
        lets: &["ao = ta.sma(hl2, fast) - ta.sma(hl2, slow)"],
        enter_long: Some("ta.crossover(ao, 0)"),
        enter_short: Some("ta.crossunder(ao, 0)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "ppo",
        title: "Percentage price oscillator",
        family: Family::Momentum,
        about: "Is in the market while the distance of two averages in percent is beyond zero and beyond its signal line.",
        source: "Murphy, Technical Analysis of the Financial Markets (1999)",
        parameters: &[
            int("fast", 12, 3, 60, "bars of the fast average"),
            int("slow", 26, 7, 130, "bars of the slow average"),
            int("signal_length", 9, 3, 45, "bars of the signal line"),
        ],
        constraints: &["fast < slow"],
        lets: &[
            "s = ta.ema(close, slow)",
            "p = 100 * (ta.ema(close, fast) - s) / s",
            "signal = ta.ema(p, signal_length)",
        ],
        enter_long: Some("p > 0 and p > signal"),
        exit_long: Some("p < signal"),
        enter_short: Some("p < 0 and p < signal"),
        exit_short: Some("p > signal"),
        ..Definition::EMPTY
    },
    Definition {
        id: "fisher",
        title: "Fisher transform",
        family: Family::Momentum,
        about: "Follows the turns of the Fisher transform.",
        source: "Ehlers, Using the Fisher Transform (2002)",
        parameters: &[int("length", 9, 3, 45, "bars of the range")],
        lets: &["f = fisher(hl2, length)"],
        enter_long: Some("ta.crossover(f, f[1])"),
        enter_short: Some("ta.crossunder(f, f[1])"),
        ..Definition::EMPTY
    },
    Definition {
        id: "kst",
        title: "Know sure thing",
        family: Family::Momentum,
        about: "Follows the crossing of a weighted sum of four changes and its signal line.",
        source: "Pring, Summed Rate of Change (1992)",
        parameters: &[
            int("scale", 1, 1, 5, "factor of all lengths"),
            int("signal_length", 9, 3, 45, "bars of the signal line"),
        ],
        lets: &[
            "a = ta.sma(ta.roc(close, 10 * scale), 10 * scale)",
            "b = ta.sma(ta.roc(close, 15 * scale), 10 * scale)",
            "c = ta.sma(ta.roc(close, 20 * scale), 10 * scale)",
            "d = ta.sma(ta.roc(close, 30 * scale), 15 * scale)",
            "k = a + 2 * b + 3 * c + 4 * d",
            "signal = ta.sma(k, signal_length)",
        ],
        enter_long: Some("ta.crossover(k, signal)"),
        enter_short: Some("ta.crossunder(k, signal)"),
        ..Definition::EMPTY
    },
    Definition {
        id: "elder-ray",
        title: "Elder-ray",
        family: Family::Momentum,
        about: "Buys while bears weaken in a rising trend, and sells while bulls weaken in a falling one.",
        source: "Elder, Trading for a Living (1993)",
        parameters: &[int("length", 13, 4, 65, "bars of the average")],
        lets: &["e = ta.ema(close, length)", "bulls = high - e", "bears = low - e"],
        enter_long: Some("e > e[1] and bears < 0 and bears > bears[1]"),
        enter_short: Some("e < e[1] and bulls > 0 and bulls < bulls[1]"),
        ..Definition::EMPTY
    },
];
