//! Strategies that test a statistic.

use super::{float, int};
use crate::definition::{Definition, Family};

pub(super) const DEFINITIONS: &[Definition<'static>] = &[
    Definition {
        id: "linreg-channel",
        title: "Outside the regression channel",
        family: Family::Statistical,
        about: "Enters outside the channel around the line of least squares, and leaves at the line.",
        source: "Raff, Trading the Regression Channel (1991)",
        parameters: &[
            int("length", 100, 10, 500, "bars of the regression"),
            float("multiple", 2.0, 0.7, 6.0, 0.1, "deviations of the residuals between line and channel"),
        ],
        lets: &[
            "line = ta.linreg(close, length, 0)",
            "r = ta.correlation(close, bar_index, length)",
            "reach = multiple * ta.stdev(close, length) * math.sqrt(math.max(0.0, 1 - r * r))",
        ],
        enter_long: Some("close < line - reach"),
        exit_long: Some("close >= line"),
        enter_short: Some("close > line + reach"),
        exit_short: Some("close <= line"),
        ..Definition::EMPTY
    },
    Definition {
        id: "percent-rank",
        title: "Low percent rank",
        family: Family::Statistical,
        about: "Buys a close that is low among many, and leaves when it is in the middle.",
        source: "Connors and Alvarez, An Introduction to ConnorsRSI (2012)",
        parameters: &[
            int("length", 100, 25, 500, "bars of the rank"),
            float("below", 10.0, 1.0, 50.0, 1.0, "rank below which the close is low"),
            float("above", 60.0, 10.0, 99.0, 1.0, "rank above which the position is closed"),
        ],
        constraints: &["below < above"],
        lets: &["p = ta.percentrank(close, length)"],
        enter_long: Some("p < below"),
        exit_long: Some("p > above"),
        ..Definition::EMPTY
    },
    Definition {
        id: "correlation-trend",
        title: "Correlation with time",
        family: Family::Statistical,
        about: "Follows a price that is strongly correlated with time, and leaves when the correlation changes its sign.",
        source: "Ehlers, Correlation as a Trend Indicator (2020)",
        parameters: &[
            int("length", 40, 10, 200, "bars of the correlation"),
            float("level", 0.7, 0.1, 0.95, 0.05, "size of a strong correlation"),
        ],
        lets: &["r = ta.correlation(close, bar_index, length)"],
        enter_long: Some("r > level"),
        exit_long: Some("r < 0"),
        enter_short: Some("r < -level"),
        exit_short: Some("r > 0"),
        ..Definition::EMPTY
    },
    Definition {
        id: "variance-ratio",
        title: "Variance ratio",
        family: Family::Statistical,
        about: "Follows the last change while changes of several bars vary more than those of single bars suggest, and fades it while they vary less.",
        source: "Lo and MacKinlay, Stock Market Prices Do Not Follow Random Walks (1988)",
        parameters: &[
            int("length", 60, 15, 300, "bars of the variances"),
            int("lag", 4, 2, 20, "bars of a long change"),
        ],
        constraints: &["lag < length"],
        lets: &[
            "one = math.log(close / close[1])",
            "many = math.log(close / close[lag])",
            "ratio = ta.variance(many, length) / (lag * ta.variance(one, length))",
            "rose = many > 0",
            "fell = many < 0",
        ],
        enter_long: Some("ratio > 1 and rose or ratio < 1 and fell"),
        enter_short: Some("ratio > 1 and fell or ratio < 1 and rose"),
        ..Definition::EMPTY
    },
    Definition {
        id: "t-stat",
        title: "t statistic of returns",
        family: Family::Statistical,
        about: "Follows returns whose mean is far from zero beside its standard error, and leaves at zero.",
        source: "Chan, Algorithmic Trading (2013)",
        parameters: &[
            int("length", 60, 15, 300, "bars of the returns"),
            float("level", 2.0, 0.5, 4.0, 0.1, "standard errors that the mean must exceed"),
        ],
        lets: &[
            "step = close / close[1] - 1",
            "t = ta.sma(step, length) / (ta.stdev(step, length) / math.sqrt(length))",
        ],
        enter_long: Some("t > level"),
        exit_long: Some("t < 0"),
        enter_short: Some("t < -level"),
        exit_short: Some("t > 0"),
        ..Definition::EMPTY
    },
];
