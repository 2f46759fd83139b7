//! One entry per function of the language.

use std::sync::Arc;

use super::{
    Arguments, First, Input, Kind, Memory, Operator, Output, Pine, Rule, Run, average, event, of_time, oscillator,
    pattern, three_columns, time, trend, two_columns, volatility, window,
};
use crate::{
    Bits,
    column::{Value, over_defined},
    number::whole,
};

const fn input(name: &'static str, kind: Kind) -> Input {
    Input { name, kind }
}

const SOURCE: Input = input("source", Kind::Number);
const LENGTH: Input = input("length", Kind::Length);
const CONDITION: Input = input("condition", Kind::Condition);
const UTC: Input = input("timezone", Kind::Utc);
const TIME: Input = input("time", Kind::Int);

const FLOAT: &[Output] = &[Output::Float];
const INT: &[Output] = &[Output::Int];
const BOOL: &[Output] = &[Output::Bool];
const TWO: &[Output] = &[Output::Float, Output::Float];
const THREE: &[Output] = &[Output::Float, Output::Float, Output::Float];

/// A function of Pine over a source and a length.
const fn windowed(
    name: &'static str,
    kernel: fn(&[f64], usize, &mut [f64]),
    first: First,
    memory: Memory,
    words: &'static str,
) -> Operator {
    let rule = Rule::Kernel { run: Run::Window(kernel), first, memory };
    Operator { name, inputs: &[SOURCE, LENGTH], outputs: FLOAT, rule, pine: Pine::Native, words }
}

/// A function that is computed bar by bar.
const fn elementwise(
    name: &'static str,
    inputs: &'static [Input],
    outputs: &'static [Output],
    of: fn(&[f64]) -> f64,
    words: &'static str,
) -> Operator {
    Operator { name, inputs, outputs, rule: Rule::Elementwise { of, lenient: false }, pine: Pine::Native, words }
}

/// A function that is an expression of others.
const fn expression(
    name: &'static str,
    inputs: &'static [Input],
    outputs: &'static [Output],
    text: &'static str,
    pine: Pine,
    words: &'static str,
) -> Operator {
    Operator { name, inputs, outputs, rule: Rule::Expression(text), pine, words }
}

/// A function with a kernel of its own.
#[expect(clippy::too_many_arguments, reason = "one line per column of the table")]
const fn kernel(
    name: &'static str,
    inputs: &'static [Input],
    outputs: &'static [Output],
    run: fn(&Arguments<'_>) -> Vec<Value>,
    first: First,
    memory: Memory,
    pine: Pine,
    words: &'static str,
) -> Operator {
    Operator { name, inputs, outputs, rule: Rule::Kernel { run: Run::Whole(run), first, memory }, pine, words }
}

fn flags(bits: Bits) -> Vec<Value> {
    vec![Value::Flags(Arc::new(bits))]
}

/// All functions, by family.
pub(crate) static OPERATORS: &[Operator] = &[
    // Averages.
    windowed("ta.sma", average::simple, First::Window, Memory::Window, "the simple average of {0} over {1} bars"),
    windowed("ta.ema", average::exponential, First::Window, Memory::Exponential, "the exponential average of {0} over {1} bars"),
    windowed("ta.rma", average::wilder, First::Window, Memory::Wilder, "Wilder's average of {0} over {1} bars"),
    windowed("ta.wma", average::weighted, First::Window, Memory::Window, "the weighted average of {0} over {1} bars"),
    expression(
        "ta.hma",
        &[SOURCE, LENGTH],
        FLOAT,
        "ta.wma(2 * ta.wma(source, math.floor(length / 2)) - ta.wma(source, length), math.floor(math.sqrt(length)))",
        Pine::Native,
        "Hull's average of {0} over {1} bars",
    ),
    expression(
        "ta.vwma",
        &[SOURCE, LENGTH],
        FLOAT,
        "ta.sma(source * volume, length) / ta.sma(volume, length)",
        Pine::Native,
        "the average of {0} weighted by volume over {1} bars",
    ),
    kernel(
        "ta.alma",
        &[SOURCE, LENGTH, input("offset", Kind::Factor), input("sigma", Kind::Factor)],
        FLOAT,
        |call| {
            let (n, offset, sigma) = (call.length(0), call.constants[1], call.constants[2]);
            vec![call.column(|out| {
                over_defined([call.numbers(0)], out, |[x], out| average::legoux(x, n, offset, sigma, out));
            })]
        },
        First::Window,
        Memory::Window,
        Pine::Native,
        "Arnaud Legoux's average of {0} over {1} bars",
    ),
    expression(
        "dema",
        &[SOURCE, LENGTH],
        FLOAT,
        "once = ta.ema(source, length)\ntwice = ta.ema(once, length)\n2 * once - twice",
        Pine::Derived,
        "the double exponential average of {0} over {1} bars",
    ),
    expression(
        "tema",
        &[SOURCE, LENGTH],
        FLOAT,
        "once = ta.ema(source, length)\ntwice = ta.ema(once, length)\nthrice = ta.ema(twice, length)\n\
         3 * once - 3 * twice + thrice",
        Pine::Derived,
        "the triple exponential average of {0} over {1} bars",
    ),
    kernel(
        "kama",
        &[SOURCE, LENGTH, input("fast", Kind::Factor), input("slow", Kind::Factor)],
        FLOAT,
        |call| {
            let (n, fast, slow) = (call.length(0), call.constants[1], call.constants[2]);
            vec![call.column(|out| {
                over_defined([call.numbers(0)], out, |[x], out| average::kaufman(x, n, fast, slow, out));
            })]
        },
        First::Length,
        // At its slowest, it is an exponential average of (slow + 1)² / 2 bars.
        Memory::Of(|constants| whole(constants[0]) + 2 * whole((constants[2] + 1.0) * (constants[2] + 1.0))),
        Pine::Helper(
            "kama(float source, simple int length, simple float fast, simple float slow) =>
    float noise = math.sum(math.abs(source - source[1]), length)
    float efficiency = noise == 0 ? 0.0 : math.abs(source - source[length]) / noise
    float speed = efficiency * (2 / (fast + 1) - 2 / (slow + 1)) + 2 / (slow + 1)
    var float average = na
    average := na(average) ? (na(noise) ? na : source[1] + speed * speed * (source - source[1])) : average + speed * speed * (source - average)
    average",
        ),
        "Kaufman's adaptive average of {0} over {1} bars",
    ),
    // Oscillators.
    windowed("ta.rsi", oscillator::strength, First::Length, Memory::Wilder, "the relative strength index of {0} over {1} bars"),
    windowed("ta.cci", oscillator::commodity, First::Window, Memory::Window, "the commodity channel index of {0} over {1} bars"),
    windowed("ta.cmo", oscillator::chande, First::Length, Memory::Window, "Chande's momentum oscillator of {0} over {1} bars"),
    kernel(
        "ta.mfi",
        &[SOURCE, LENGTH],
        FLOAT,
        |call| {
            let n = call.length(0);
            vec![call.column(|out| {
                over_defined([call.numbers(0), call.bars.volume()], out, |[x, volume], out| {
                    oscillator::money_flow(x, volume, n, out);
                });
            })]
        },
        First::Window,
        Memory::Window,
        Pine::Native,
        "the money flow index of {0} over {1} bars",
    ),
    expression(
        "ta.stoch",
        &[SOURCE, input("high_source", Kind::Number), input("low_source", Kind::Number), LENGTH],
        FLOAT,
        "lower = ta.lowest(low_source, length)\n100 * (source - lower) / (ta.highest(high_source, length) - lower)",
        Pine::Native,
        "the place of {0} in the range of {3} bars, in percent",
    ),
    expression(
        "ta.wpr",
        &[LENGTH],
        FLOAT,
        "upper = ta.highest(high, length)\n100 * (close - upper) / (upper - ta.lowest(low, length))",
        Pine::Native,
        "Williams' %R over {0} bars",
    ),
    expression(
        "ta.change",
        &[SOURCE, LENGTH],
        FLOAT,
        "source - source[length]",
        Pine::Native,
        "the change of {0} over {1} bars",
    ),
    expression("ta.mom", &[SOURCE, LENGTH], FLOAT, "source - source[length]", Pine::Native, "the change of {0} over {1} bars"),
    expression(
        "ta.roc",
        &[SOURCE, LENGTH],
        FLOAT,
        "100 * (source - source[length]) / source[length]",
        Pine::Native,
        "the change of {0} over {1} bars in percent",
    ),
    expression(
        "ta.tsi",
        &[SOURCE, input("short_length", Kind::Length), input("long_length", Kind::Length)],
        FLOAT,
        "move = source - source[1]\n\
         ta.ema(ta.ema(move, long_length), short_length) / ta.ema(ta.ema(math.abs(move), long_length), short_length)",
        Pine::Native,
        "the true strength index of {0} over {1} and {2} bars",
    ),
    expression(
        "trix",
        &[SOURCE, LENGTH],
        FLOAT,
        "thrice = ta.ema(ta.ema(ta.ema(source, length), length), length)\n100 * (thrice - thrice[1]) / thrice[1]",
        Pine::Derived,
        "the change in percent of {0} smoothed three times over {1} bars",
    ),
    expression(
        "ta.macd",
        &[SOURCE, input("fast_length", Kind::Length), input("slow_length", Kind::Length), input("signal_length", Kind::Length)],
        THREE,
        "line = ta.ema(source, fast_length) - ta.ema(source, slow_length)\nsignal = ta.ema(line, signal_length)\n\
         [line, signal, line - signal]",
        Pine::Native,
        "the difference of the exponential averages of {0} over {1} and {2} bars|the exponential average of that difference over \
         {3} bars|the distance of the two",
    ),
    kernel(
        "fisher",
        &[SOURCE, LENGTH],
        FLOAT,
        |call| {
            let n = call.length(0);
            vec![call.column(|out| over_defined([call.numbers(0)], out, |[x], out| oscillator::fisher(x, n, out)))]
        },
        First::Window,
        Memory::Of(|constants| whole(constants[0]) + 50),
        Pine::Helper(
            "fisher(float source, simple int length) =>
    float upper = ta.highest(source, length)
    float lower = ta.lowest(source, length)
    float inside = upper == lower ? 0.0 : (source - lower) / (upper - lower) - 0.5
    var float place = 0.0
    float raw = 0.66 * inside + 0.67 * place
    place := na(raw) ? place : raw > 0.99 ? 0.999 : raw < -0.99 ? -0.999 : raw
    var float result = 0.0
    result := na(raw) ? result : 0.5 * math.log((1 + place) / (1 - place)) + 0.5 * result
    na(raw) ? na : result",
        ),
        "Ehlers' Fisher transform of {0} over {1} bars",
    ),
    // Volatility.
    kernel(
        "ta.tr",
        &[input("handle_na", Kind::Flag)],
        FLOAT,
        |call| {
            let (bars, first) = (call.bars, call.constants[0] > 0.0);
            vec![call.column(|out| volatility::true_range(bars.high(), bars.low(), bars.close(), first, out))]
        },
        First::Of(|constants| [usize::from(constants[0] <= 0.0); 3]),
        Memory::None,
        Pine::Native,
        "the true range",
    ),
    expression("ta.atr", &[LENGTH], FLOAT, "ta.rma(ta.tr(true), length)", Pine::Native, "the average true range over {0} bars"),
    windowed(
        "ta.stdev",
        volatility::deviation,
        First::Window,
        Memory::Window,
        "the standard deviation of {0} over {1} bars",
    ),
    windowed("ta.variance", volatility::variance, First::Window, Memory::Window, "the variance of {0} over {1} bars"),
    windowed("ta.highest", volatility::highest, First::Extreme, Memory::Window, "the highest of {0} over {1} bars"),
    windowed("ta.lowest", volatility::lowest, First::Extreme, Memory::Window, "the lowest of {0} over {1} bars"),
    Operator {
        outputs: INT,
        ..windowed(
            "ta.highestbars",
            volatility::highest_bars,
            First::Extreme,
            Memory::Window,
            "the distance, as a negative number, to the highest of {0} over {1} bars",
        )
    },
    Operator {
        outputs: INT,
        ..windowed(
            "ta.lowestbars",
            volatility::lowest_bars,
            First::Extreme,
            Memory::Window,
            "the distance, as a negative number, to the lowest of {0} over {1} bars",
        )
    },
    expression(
        "ta.bb",
        &[SOURCE, LENGTH, input("mult", Kind::Factor)],
        THREE,
        "middle = ta.sma(source, length)\nreach = mult * ta.stdev(source, length)\n[middle, middle + reach, middle - reach]",
        Pine::Native,
        "the middle of the Bollinger bands of {0} over {1} bars|their upper band, {2} deviations above|their lower band, {2} \
         deviations below",
    ),
    expression(
        "ta.kc",
        &[SOURCE, LENGTH, input("mult", Kind::Factor)],
        THREE,
        "middle = ta.ema(source, length)\nreach = mult * ta.ema(ta.tr(false), length)\n\
         [middle, middle + reach, middle - reach]",
        Pine::Native,
        "the middle of the Keltner channel of {0} over {1} bars|its upper line, {2} average ranges above|its lower line, {2} \
         average ranges below",
    ),
    // Volume.
    expression(
        "ta.obv",
        &[],
        FLOAT,
        "ta.cum(math.sign(close - close[1]) * volume)",
        Pine::Native,
        "the on-balance volume",
    ),
    expression(
        "ta.accdist",
        &[],
        FLOAT,
        "ta.cum(high == low ? 0.0 : ((close - low) - (high - close)) / (high - low) * volume)",
        Pine::Native,
        "the accumulation/distribution line",
    ),
    expression(
        "ta.pvt",
        &[],
        FLOAT,
        "ta.cum((close - close[1]) / close[1] * volume)",
        Pine::Native,
        "the price volume trend",
    ),
    expression(
        "cmf",
        &[LENGTH],
        FLOAT,
        "flow = high == low ? 0.0 : ((close - low) - (high - close)) / (high - low) * volume\n\
         math.sum(flow, length) / math.sum(volume, length)",
        Pine::Derived,
        "Chaikin's money flow over {0} bars",
    ),
    // Trend.
    kernel(
        "ta.dmi",
        &[input("di_length", Kind::Length), input("adx_smoothing", Kind::Length)],
        THREE,
        |call| {
            let (bars, n, m) = (call.bars, call.length(0), call.length(1));
            three_columns(bars.len(), |out| trend::directional(bars.high(), bars.low(), bars.close(), n, m, out))
        },
        First::Of(|constants| {
            let (n, m) = (whole(constants[0]), whole(constants[1]));
            [n, n, n + m - 1]
        }),
        Memory::Of(|constants| 10 * (whole(constants[0]) + whole(constants[1]))),
        Pine::Native,
        "the positive directional index over {0} bars|the negative directional index|the average directional index over {1} bars",
    ),
    kernel(
        "ta.supertrend",
        &[input("factor", Kind::Factor), LENGTH],
        TWO,
        |call| {
            let (bars, factor, n) = (call.bars, call.constants[0], call.length(1));
            let mut ranges = vec![f64::NAN; bars.len()];
            volatility::true_range(bars.high(), bars.low(), bars.close(), true, &mut ranges);
            let mut range = vec![f64::NAN; bars.len()];
            average::wilder(&ranges, n, &mut range);
            let prices = [bars.high(), bars.low(), bars.close()];
            two_columns(bars.len(), |out| trend::supertrend(prices, &range, factor, n - 1, out))
        },
        First::Of(|constants| [whole(constants[1]) - 1; 3]),
        Memory::Of(|constants| 10 * whole(constants[1])),
        Pine::Native,
        "the Supertrend line at {0} average ranges of {1} bars|its direction, −1 upward and 1 downward",
    ),
    kernel(
        "ta.sar",
        &[input("start", Kind::Factor), input("inc", Kind::Factor), input("max", Kind::Factor)],
        FLOAT,
        |call| {
            let (bars, [start, step, max]) = (call.bars, [0, 1, 2].map(|place| call.constants[place]));
            vec![call.column(|out| trend::parabolic([bars.high(), bars.low()], start, step, max, out))]
        },
        First::Of(|_| [1; 3]),
        Memory::Events,
        Pine::Native,
        "Wilder's parabolic stop",
    ),
    expression(
        "aroon",
        &[LENGTH],
        TWO,
        "[100 * (ta.highestbars(high, length + 1) + length) / length, 100 * (ta.lowestbars(low, length + 1) + length) / length]",
        Pine::Derived,
        "Aroon up over {0} bars|Aroon down",
    ),
    expression(
        "vortex",
        &[LENGTH],
        TWO,
        "ranges = math.sum(ta.tr(false), length)\n\
         [math.sum(math.abs(high - low[1]), length) / ranges, math.sum(math.abs(low - high[1]), length) / ranges]",
        Pine::Derived,
        "the positive vortex over {0} bars|the negative vortex",
    ),
    // Statistics.
    kernel(
        "ta.linreg",
        &[SOURCE, LENGTH, input("offset", Kind::Factor)],
        FLOAT,
        |call| {
            let (n, offset) = (call.length(0), call.constants[1]);
            vec![call.column(|out| over_defined([call.numbers(0)], out, |[x], out| trend::regression(x, n, offset, out)))]
        },
        First::Window,
        Memory::Window,
        Pine::Native,
        "the line of least squares through {0} over {1} bars, {2} bars back",
    ),
    Operator {
        name: "ta.correlation",
        inputs: &[input("source1", Kind::Number), input("source2", Kind::Number), LENGTH],
        outputs: FLOAT,
        rule: Rule::Kernel { run: Run::Windows(trend::correlation), first: First::Window, memory: Memory::Window },
        pine: Pine::Native,
        words: "the correlation of {0} and {1} over {2} bars",
    },
    windowed(
        "ta.percentrank",
        trend::percent_rank,
        First::Length,
        Memory::Window,
        "the share of the {1} bars before with {0} not above its newest, in percent",
    ),
    windowed("ta.median", trend::median, First::Window, Memory::Window, "the median of {0} over {1} bars"),
    windowed("math.sum", window::sums, First::Window, Memory::Window, "the sum of {0} over {1} bars"),
    kernel(
        "ta.cum",
        &[SOURCE],
        FLOAT,
        |call| vec![call.column(|out| over_defined([call.numbers(0)], out, |[x], out| event::cumulate(x, out)))],
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "the sum of {0} over all bars",
    ),
    // Events.
    kernel(
        "ta.crossover",
        &[input("source1", Kind::Number), input("source2", Kind::Number)],
        BOOL,
        |call| flags(event::crossed_over(call.numbers(0), call.numbers(1))),
        First::Crossing,
        Memory::None,
        Pine::Native,
        "{0} crosses above {1}",
    ),
    kernel(
        "ta.crossunder",
        &[input("source1", Kind::Number), input("source2", Kind::Number)],
        BOOL,
        |call| flags(event::crossed_under(call.numbers(0), call.numbers(1))),
        First::Crossing,
        Memory::None,
        Pine::Native,
        "{0} crosses below {1}",
    ),
    kernel(
        "ta.barssince",
        &[CONDITION],
        INT,
        |call| vec![call.column(|out| event::bars_since(call.flags(0), out))],
        First::AtOnce,
        Memory::Events,
        Pine::Native,
        "the number of bars since {0}",
    ),
    kernel(
        "ta.valuewhen",
        &[CONDITION, SOURCE, input("occurrence", Kind::Factor)],
        FLOAT,
        |call| vec![call.column(|out| event::value_when(call.flags(0), call.numbers(1), call.length(0), out))],
        First::AtOnce,
        Memory::Events,
        Pine::Native,
        "{1} when {0} last held, {2} times before",
    ),
    kernel(
        "ta.rising",
        &[SOURCE, LENGTH],
        BOOL,
        |call| flags(event::rising(call.numbers(0), call.length(0))),
        First::Length,
        Memory::Window,
        Pine::Native,
        "{0} has risen for {1} bars",
    ),
    kernel(
        "ta.falling",
        &[SOURCE, LENGTH],
        BOOL,
        |call| flags(event::falling(call.numbers(0), call.length(0))),
        First::Length,
        Memory::Window,
        Pine::Native,
        "{0} has fallen for {1} bars",
    ),
    kernel(
        "running_max",
        &[SOURCE, input("reset", Kind::Condition), input("when", Kind::Condition)],
        FLOAT,
        |call| vec![call.column(|out| event::running(call.numbers(0), call.flags(1), call.flags(2), out, f64::max))],
        First::AtOnce,
        Memory::Events,
        Pine::Helper(
            "running_max(float value, bool reset, bool when) =>
    var float m = na
    m := reset ? value : when ? math.max(m, value) : m
    m",
        ),
        "the highest of {0} since {1}, as long as {2}",
    ),
    kernel(
        "running_min",
        &[SOURCE, input("reset", Kind::Condition), input("when", Kind::Condition)],
        FLOAT,
        |call| vec![call.column(|out| event::running(call.numbers(0), call.flags(1), call.flags(2), out, f64::min))],
        First::AtOnce,
        Memory::Events,
        Pine::Helper(
            "running_min(float value, bool reset, bool when) =>
    var float m = na
    m := reset ? value : when ? math.min(m, value) : m
    m",
        ),
        "the lowest of {0} since {1}, as long as {2}",
    ),
    kernel(
        "running_sum",
        &[SOURCE, input("reset", Kind::Condition)],
        FLOAT,
        |call| {
            let always = Bits::from_bar(0, call.bars.len());
            vec![call.column(|out| event::running(call.numbers(0), call.flags(1), &always, out, |sum, x| sum + x))]
        },
        First::AtOnce,
        Memory::Events,
        Pine::Helper(
            "running_sum(float value, bool reset) =>
    var float s = na
    s := reset ? value : s + value
    s",
        ),
        "the sum of {0} since {1}",
    ),
    // Patterns.
    kernel(
        "ta.pivothigh",
        &[SOURCE, input("leftbars", Kind::Length), input("rightbars", Kind::Length)],
        FLOAT,
        |call| {
            let (left, right) = (call.length(0), call.length(1));
            vec![call.column(|out| over_defined([call.numbers(0)], out, |[x], out| pattern::pivot_high(x, left, right, out)))]
        },
        First::Of(|constants| [whole(constants[0]) + whole(constants[1]); 3]),
        Memory::Of(|constants| whole(constants[0]) + whole(constants[1])),
        Pine::Native,
        "the high of {0} among {1} bars before and {2} after it",
    ),
    kernel(
        "ta.pivotlow",
        &[SOURCE, input("leftbars", Kind::Length), input("rightbars", Kind::Length)],
        FLOAT,
        |call| {
            let (left, right) = (call.length(0), call.length(1));
            vec![call.column(|out| over_defined([call.numbers(0)], out, |[x], out| pattern::pivot_low(x, left, right, out)))]
        },
        First::Of(|constants| [whole(constants[0]) + whole(constants[1]); 3]),
        Memory::Of(|constants| whole(constants[0]) + whole(constants[1])),
        Pine::Native,
        "the low of {0} among {1} bars before and {2} after it",
    ),
    kernel(
        "ha_open",
        &[],
        FLOAT,
        |call| {
            let bars = call.bars;
            let prices = bars.open().iter().zip(bars.high()).zip(bars.low().iter().zip(bars.close()));
            let means: Vec<f64> = prices.map(|((open, high), (low, close))| (open + high + low + close) / 4.0).collect();
            vec![call.column(|out| pattern::heikin_ashi_open(bars.open(), bars.close(), &means, out))]
        },
        First::AtOnce,
        // Each bar halves the weight of the seed.
        Memory::Of(|_| 30),
        Pine::Helper(
            "ha_open() =>
    var float o = na
    o := na(o) ? (open + close) / 2 : (o + ohlc4[1]) / 2
    o",
        ),
        "the open of the Heikin-Ashi candle",
    ),
    // Time.
    kernel(
        "minute",
        &[TIME, UTC],
        INT,
        |call| of_time(call, time::minute),
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "the minute of the hour (UTC)",
    ),
    kernel(
        "hour",
        &[TIME, UTC],
        INT,
        |call| of_time(call, time::hour),
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "the hour of the day (UTC)",
    ),
    kernel(
        "dayofweek",
        &[TIME, UTC],
        INT,
        |call| of_time(call, time::day_of_week),
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "the day of the week (UTC, 1 for Sunday)",
    ),
    kernel(
        "dayofmonth",
        &[TIME, UTC],
        INT,
        |call| of_time(call, time::day_of_month),
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "the day of the month (UTC)",
    ),
    kernel(
        "month",
        &[TIME, UTC],
        INT,
        |call| of_time(call, time::month),
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "the month (UTC)",
    ),
    // Arithmetic.
    elementwise("math.abs", &[SOURCE], &[Output::Same], |x| x[0].abs(), "the absolute value of {0}"),
    elementwise(
        "math.max",
        &[input("a", Kind::Number), input("b", Kind::Number)],
        &[Output::Same],
        // Unlike `f64::max`, the result is `na` if either argument is.
        |x| if x[0].is_nan() || x[1].is_nan() { f64::NAN } else { x[0].max(x[1]) },
        "the larger of {0} and {1}",
    ),
    elementwise(
        "math.min",
        &[input("a", Kind::Number), input("b", Kind::Number)],
        &[Output::Same],
        |x| if x[0].is_nan() || x[1].is_nan() { f64::NAN } else { x[0].min(x[1]) },
        "the smaller of {0} and {1}",
    ),
    elementwise("math.sqrt", &[SOURCE], FLOAT, |x| x[0].sqrt(), "the square root of {0}"),
    elementwise("math.log", &[SOURCE], FLOAT, |x| libm::log(x[0]), "the logarithm of {0}"),
    elementwise("math.exp", &[SOURCE], FLOAT, |x| libm::exp(x[0]), "the exponential of {0}"),
    elementwise(
        "math.pow",
        &[input("base", Kind::Number), input("exponent", Kind::Number)],
        FLOAT,
        |x| libm::pow(x[0], x[1]),
        "{0} to the power of {1}",
    ),
    elementwise(
        "math.sign",
        &[SOURCE],
        &[Output::Same],
        |x| match x[0] {
            x if x > 0.0 => 1.0,
            x if x < 0.0 => -1.0,
            x if x.is_nan() => x,
            _ => 0.0,
        },
        "the sign of {0}",
    ),
    elementwise("math.floor", &[SOURCE], INT, |x| x[0].floor(), "{0} rounded down"),
    elementwise("math.ceil", &[SOURCE], INT, |x| x[0].ceil(), "{0} rounded up"),
    Operator {
        rule: Rule::Elementwise { of: |x| if x[0].is_nan() { x[1] } else { x[0] }, lenient: true },
        ..elementwise(
            "nz",
            &[SOURCE, input("replacement", Kind::Number)],
            &[Output::Same],
            |x| x[0],
            "{0}, or {1} where there is none",
        )
    },
    Operator {
        rule: Rule::Elementwise { of: |x| f64::from(x[0].is_nan()), lenient: true },
        ..elementwise("na", &[SOURCE], BOOL, |x| x[0], "{0} does not exist")
    },
    // Reads the future, so that a test can show that lookahead would be found.
    #[cfg(test)]
    kernel(
        "peek",
        &[SOURCE],
        FLOAT,
        |call| vec![call.column(|out| out.iter_mut().zip(&call.numbers(0)[1..]).for_each(|(out, next)| *out = *next))],
        First::AtOnce,
        Memory::None,
        Pine::Native,
        "{0} one bar later",
    ),
];
