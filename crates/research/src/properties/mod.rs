//! Properties of all functions and all strategies.

mod lookahead;
mod models;
mod sharing;
mod slow;
mod walks;

use crate::{Cache, Formula, Value, ops};

/// A call of every function, with lengths `N` and `M`. A function that is missing here fails a test.
const CALLS: &[(&str, &str)] = &[
    ("ta.sma", "ta.sma(close, N)"),
    ("ta.ema", "ta.ema(close, N)"),
    ("ta.rma", "ta.rma(close, N)"),
    ("ta.wma", "ta.wma(close, N)"),
    ("ta.hma", "ta.hma(close, N + 1)"),
    ("ta.vwma", "ta.vwma(close, N)"),
    ("ta.alma", "ta.alma(close, N, 0.85, 6.0)"),
    ("dema", "dema(close, N)"),
    ("tema", "tema(close, N)"),
    ("kama", "kama(close, N, 2, 30)"),
    ("ta.rsi", "ta.rsi(close, N)"),
    ("ta.cci", "ta.cci(hlc3, N)"),
    ("ta.cmo", "ta.cmo(close, N)"),
    ("ta.mfi", "ta.mfi(hlc3, N)"),
    ("ta.stoch", "ta.stoch(close, high, low, N)"),
    ("ta.wpr", "ta.wpr(N)"),
    ("ta.change", "ta.change(close, N)"),
    ("ta.mom", "ta.mom(close, N)"),
    ("ta.roc", "ta.roc(close, N)"),
    ("ta.tsi", "ta.tsi(close, M, N)"),
    ("trix", "trix(close, N)"),
    ("ta.macd", "ta.macd(close, N, N + M, M)"),
    ("fisher", "fisher(hl2, N)"),
    ("ta.tr", "ta.tr(false)"),
    ("ta.atr", "ta.atr(N)"),
    ("ta.stdev", "ta.stdev(close, N)"),
    ("ta.variance", "ta.variance(close, N)"),
    ("ta.highest", "ta.highest(high, N)"),
    ("ta.lowest", "ta.lowest(low, N)"),
    ("ta.highestbars", "ta.highestbars(high, N)"),
    ("ta.lowestbars", "ta.lowestbars(low, N)"),
    ("ta.bb", "ta.bb(close, N, 2.0)"),
    ("ta.kc", "ta.kc(close, N, 1.5)"),
    ("ta.obv", "ta.obv"),
    ("ta.accdist", "ta.accdist"),
    ("ta.pvt", "ta.pvt"),
    ("cmf", "cmf(N)"),
    ("ta.dmi", "ta.dmi(N, M)"),
    ("ta.supertrend", "ta.supertrend(1.5, N)"),
    ("ta.sar", "ta.sar(0.02, 0.02, 0.2)"),
    ("aroon", "aroon(N)"),
    ("vortex", "vortex(N)"),
    ("ta.linreg", "ta.linreg(close, N, 1)"),
    ("ta.correlation", "ta.correlation(close, volume, N)"),
    ("ta.percentrank", "ta.percentrank(close, N)"),
    ("ta.median", "ta.median(close, N)"),
    ("math.sum", "math.sum(close, N)"),
    ("ta.cum", "ta.cum(volume)"),
    ("ta.crossover", "ta.crossover(close, open)"),
    ("ta.crossunder", "ta.crossunder(close, open)"),
    ("ta.barssince", "ta.barssince(close > open)"),
    ("ta.valuewhen", "ta.valuewhen(close > open, close, 1)"),
    ("ta.rising", "ta.rising(close, M)"),
    ("ta.falling", "ta.falling(close, M)"),
    ("running_max", "running_max(high, hour(time, \"UTC\") == 3, close > open)"),
    ("running_min", "running_min(low, hour(time, \"UTC\") == 3, close > open)"),
    ("running_sum", "running_sum(volume, hour(time, \"UTC\") == 3)"),
    ("ta.pivothigh", "ta.pivothigh(high, M, 2)"),
    ("ta.pivotlow", "ta.pivotlow(low, M, 2)"),
    ("ha_open", "ha_open"),
    ("minute", "minute(time, \"UTC\")"),
    ("hour", "hour(time, \"UTC\")"),
    ("dayofweek", "dayofweek(time, \"UTC\")"),
    ("dayofmonth", "dayofmonth(time, \"UTC\")"),
    ("month", "month(time, \"UTC\")"),
    ("math.abs", "math.abs(close - open)"),
    ("math.max", "math.max(close, open[1])"),
    ("math.min", "math.min(close, open[1])"),
    ("math.sqrt", "math.sqrt(close - open)"),
    ("math.log", "math.log(close)"),
    ("math.exp", "math.exp(close / open)"),
    ("math.pow", "math.pow(close / open, 1.5)"),
    ("math.sign", "math.sign(close - open[1])"),
    ("math.floor", "math.floor(volume / 7)"),
    ("math.ceil", "math.ceil(volume / 7)"),
    ("nz", "nz(close[N], open)"),
    ("na", "na(close[N])"),
];

/// The text with these lengths.
fn with_lengths(text: &str, n: usize, m: usize) -> String {
    text.replace('N', &n.to_string()).replace('M', &m.to_string())
}

/// One bit pattern per bar, in which every `na` is the same.
fn patterns(value: &Value) -> Vec<u64> {
    match value {
        Value::Numbers(numbers) => numbers.iter().map(|number| number.to_bits()).collect(),
        Value::Flags(flags) => (0..flags.len()).map(|bar| u64::from(flags.get(bar))).collect(),
    }
}

fn evaluate(text: &str, bars: &crate::Bars) -> Vec<Value> {
    Formula::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).evaluate(bars, &Cache::new(0))
}

#[test]
fn every_function_is_called() {
    let called: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let known: Vec<&str> = ops::names().filter(|name| *name != "peek").collect();
    assert_eq!(called.len(), known.len());
    assert!(known.iter().all(|name| called.contains(name)));
    for (function, operator) in crate::expr::functions().zip(ops::table::OPERATORS) {
        assert_eq!(function.results.len(), operator.outputs.len(), "{} has words for each result", function.name);
    }
}
