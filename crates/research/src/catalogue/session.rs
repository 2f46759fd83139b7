//! Strategies that act by the clock.

use super::{choice, float, int};
use crate::definition::{Definition, Family, Timeframes};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "session-range",
        title: "Break of a session's range",
        family: Family::Session,
        about: "Follows the close out of the range of earlier hours of the day, and leaves at a later hour (UTC).",
        source: "Toby Crabel, Day Trading with Short-Term Price Patterns (1990); London breakout of the Asian range",
        timeframes: Timeframes::Intraday,
        parameters: &[
            int("from_hour", 0, 0, 22, "hour at which the range begins"),
            int("to_hour", 7, 1, 23, "hour at which the range ends"),
            int("close_hour", 20, 2, 23, "hour at which positions are closed"),
        ],
        constraints: &["from_hour < to_hour", "to_hour < close_hour"],
        lets: &[
            "h = hour(time, \"UTC\")",
            "in_range = h >= from_hour and h < to_hour",
            "starts = in_range and not in_range[1]",
            "top = running_max(high, starts, in_range)",
            "bottom = running_min(low, starts, in_range)",
            "tradable = h >= to_hour and h < close_hour",
            "up = ta.crossover(close, top)",
            "down = ta.crossunder(close, bottom)",
        ],
        enter_long: Some("tradable and up"),
        exit_long: Some("h >= close_hour"),
        enter_short: Some("tradable and down"),
        exit_short: Some("h >= close_hour"),
        ..Definition::EMPTY
    },
    Definition {
        id: "opening-range",
        title: "Break of the opening range",
        family: Family::Session,
        about: "Follows the close out of the range of the first bars of the day, and leaves at a later hour (UTC).",
        source: "Crabel, Day Trading with Short-Term Price Patterns (1990)",
        timeframes: Timeframes::Intraday,
        parameters: &[
            int("bars", 4, 1, 60, "bars of the opening range"),
            int("close_hour", 20, 1, 23, "hour at which positions are closed"),
            int("session_offset", 0, 0, 1439, "minutes after midnight UTC at which the day begins"),
        ],
        lets: &[
            "day = math.floor((time - session_offset * 60000) / 86400000)",
            "starts = day != day[1]",
            "age = ta.barssince(starts)",
            "top = running_max(high, starts, age < bars)",
            "bottom = running_min(low, starts, age < bars)",
            "h = hour(time, \"UTC\")",
            "tradable = age >= bars and h < close_hour",
            "up = ta.crossover(close, top)",
            "down = ta.crossunder(close, bottom)",
        ],
        enter_long: Some("tradable and up"),
        exit_long: Some("h >= close_hour"),
        enter_short: Some("tradable and down"),
        exit_short: Some("h >= close_hour"),
        ..Definition::EMPTY
    },
    Definition {
        id: "hour-window",
        title: "Hours of the day",
        family: Family::Session,
        about: "Holds between two hours of the day (UTC).",
        source: "Kaufman, Trading Systems and Methods (2013)",
        timeframes: Timeframes::Intraday,
        parameters: &[
            int("enter_hour", 8, 0, 23, "hour at whose first close a position is ordered"),
            int("exit_hour", 16, 0, 23, "hour at whose first close it is left"),
        ],
        constraints: &["enter_hour != exit_hour"],
        lets: &["h = hour(time, \"UTC\")"],
        enter_long: Some("h == enter_hour"),
        exit_long: Some("h == exit_hour"),
        ..Definition::EMPTY
    },
    Definition {
        id: "weekday",
        title: "Days of the week",
        family: Family::Session,
        about: "Holds between two days of the week (UTC, 1 for Sunday).",
        source: "French, Stock Returns and the Weekend Effect (1980)",
        parameters: &[
            int("enter_day", 2, 1, 7, "day at whose first close a position is ordered"),
            int("exit_day", 5, 1, 7, "day at whose first close it is left"),
        ],
        constraints: &["enter_day != exit_day"],
        lets: &["d = dayofweek(time, \"UTC\")"],
        enter_long: Some("d == enter_day"),
        exit_long: Some("d == exit_day"),
        ..Definition::EMPTY
    },
    Definition {
        id: "turn-of-month",
        title: "Turn of the month",
        family: Family::Session,
        about: "Holds over the last days of a month and the first of the next, known by the day of the month (UTC).",
        source: "Ariel, A Monthly Effect in Stock Returns (1987); Lakonishok and Smidt (1988)",
        parameters: &[
            int("enter_day", 26, 20, 31, "day of the month from which a position is ordered"),
            int("exit_day", 4, 1, 15, "day of the next month from which it is left"),
        ],
        lets: &["d = dayofmonth(time, \"UTC\")"],
        enter_long: Some("d >= enter_day"),
        exit_long: Some("d >= exit_day and d < enter_day"),
        ..Definition::EMPTY
    },
    Definition {
        id: "day-gap",
        title: "Gap at the start of the day",
        family: Family::Session,
        about: "Follows or fades a gap between the last close of a day and the first open of the next.",
        source: "Crabel, Day Trading with Short-Term Price Patterns (1990)",
        parameters: &[
            choice("mode", "fade", &["fade", "follow"], "what is done with a gap"),
            float("multiple", 0.2, 0.1, 3.0, 0.1, "average ranges that a gap must exceed"),
            int("atr_length", 14, 4, 70, "bars of the average range"),
            int("hold", 10, 1, 50, "most bars of a position"),
            int("session_offset", 0, 0, 1439, "minutes after midnight UTC at which the day begins"),
        ],
        lets: &[
            "day = math.floor((time - session_offset * 60000) / 86400000)",
            "starts = day != day[1]",
            "gap = open - close[1]",
            "least = multiple * ta.atr(atr_length)[1]",
            "rose = starts and gap > least",
            "fell = starts and gap < -least",
        ],
        enter_long: Some("mode == \"follow\" ? rose : fell"),
        enter_short: Some("mode == \"follow\" ? fell : rose"),
        max_bars: Some("hold"),
        ..Definition::EMPTY
    },
];
