"""The oracles of the functions, and the first bar on which they are compared.

An entry has an expression, the first bar that is compared, the name of the oracle, and a function that computes the results from
the bars. The first bar is 0 if all bars are compared that the oracle defines, and `None` if the oracle begins otherwise, so that
only bars far from the start are compared.
"""

import numpy as np
import pandas as pd
import pandas_ta_classic as pandas_ta
import talib

N = 14


def series(x) -> pd.Series:
    return pd.Series(np.asarray(x, dtype=float))


# Expression, first bar to compare, oracle, results from columns o, h, l, c, v.
ORACLES = [
    ("ta.sma(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.SMA(c, N)]),
    ("ta.ema(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.EMA(c, N)]),
    ("ta.wma(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.WMA(c, N)]),
    ("dema(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.DEMA(c, N)]),
    ("tema(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.TEMA(c, N)]),
    # TA-Lib starts its average one bar later.
    ("kama(close, 14, 2, 30)", None, "TA-Lib", lambda o, h, l, c, v: [talib.KAMA(c, N)]),
    ("ta.rsi(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.RSI(c, N)]),
    ("ta.cci(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.CCI(c, c, c, N)]),
    ("ta.stoch(close, high, low, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.STOCHF(h, l, c, N, 1)[0]]),
    ("ta.wpr(14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.WILLR(h, l, c, N)]),
    ("ta.roc(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.ROC(c, N)]),
    ("ta.mom(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.MOM(c, N)]),
    ("trix(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.TRIX(c, N)]),
    ("ta.mfi(hlc3, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.MFI(h, l, c, v, N)]),
    ("ta.stdev(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.STDDEV(c, N)]),
    ("ta.bb(close, 14, 2.0)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.BBANDS(c, N)[place] for place in (1, 0, 2)]),
    ("ta.highest(high, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.MAX(h, N)]),
    ("ta.lowest(low, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.MIN(l, N)]),
    ("ta.linreg(close, 14, 0)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.LINEARREG(c, N)]),
    ("ta.correlation(close, volume, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.CORREL(c, v, N)]),
    ("math.sum(close, 14)", 0, "TA-Lib", lambda o, h, l, c, v: [talib.SUM(c, N)]),
    ("ta.rma(close, 14)", 0, "pandas-ta-classic", lambda o, h, l, c, v: [pandas_ta.rma(series(c), N)]),
    ("ta.hma(close, 14)", 0, "pandas-ta-classic", lambda o, h, l, c, v: [pandas_ta.hma(series(c), N)]),
    ("ta.vwma(close, 14)", 0, "pandas-ta-classic", lambda o, h, l, c, v: [pandas_ta.vwma(series(c), series(v), N)]),
    ("ta.median(close, 14)", 0, "pandas", lambda o, h, l, c, v: [series(c).rolling(N).median()]),
    ("cmf(14)", 0, "pandas-ta-classic", lambda o, h, l, c, v: [pandas_ta.cmf(series(h), series(l), series(c), series(v), length=N)]),
]

# Functions that PyneCore computes from the same text. Results of a tuple are compared one by one.
PYNECORE = [
    ("ta.alma(close, 14, 0.85, 6.0)", 1), ("ta.vwma(close, 14)", 1), ("ta.rma(close, 14)", 1), ("ta.atr(14)", 1), ("ta.tr(true)", 1),
    ("ta.dmi(14, 5)", 3), ("ta.macd(close, 14, 19, 5)", 3), ("ta.bb(close, 14, 2.0)", 3), ("ta.kc(close, 14, 1.5)", 3),
    ("ta.rsi(close, 14)", 1), ("ta.cmo(close, 14)", 1), ("ta.mfi(hlc3, 14)", 1), ("ta.cci(hlc3, 14)", 1), ("ta.tsi(close, 5, 14)", 1),
    ("ta.sar(0.02, 0.02, 0.2)", 1), ("ta.supertrend(1.5, 14)", 2), ("ta.obv", 1), ("ta.accdist", 1), ("ta.pvt", 1),
    ("ta.highestbars(high, 14)", 1), ("ta.lowestbars(low, 14)", 1), ("ta.percentrank(close, 14)", 1), ("ta.median(close, 14)", 1),
    ("ta.linreg(close, 14, 1)", 1), ("ta.variance(close, 14)", 1), ("ta.barssince(close > open)", 1),
    ("ta.valuewhen(close > open, close, 1)", 1), ("ta.pivothigh(high, 5, 2)", 1), ("ta.pivotlow(low, 5, 2)", 1), ("ta.hma(close, 14)", 1),
    ("ta.crossover(close, open)", 0), ("ta.crossunder(close, open)", 0), ("ta.rising(close, 3)", 0), ("ta.falling(close, 3)", 0),
    ("hour(time, \"UTC\")", 1), ("minute(time, \"UTC\")", 1), ("dayofweek(time, \"UTC\")", 1), ("dayofmonth(time, \"UTC\")", 1),
    ("month(time, \"UTC\")", 1), ("math.floor(volume / 7)", 1), ("math.sign(close - open)", 1),
]


def script(calls: list[tuple[str, int]]) -> str:
    """An indicator that plots each result; a call with 0 results is a condition."""
    lines = ["//@version=6", 'indicator("functions")']
    for place, (text, results) in enumerate(calls):
        names = [f"r{place}_{result}" for result in range(max(results, 1))]
        lines.append(f"{names[0]} = {text}" if len(names) == 1 else f"[{', '.join(names)}] = {text}")
        for name in names:
            lines.append(f'plot({name} ? 1.0 : 0.0, "{name}")' if results == 0 else f'plot({name}, "{name}")')
    return "\n".join(lines) + "\n"
