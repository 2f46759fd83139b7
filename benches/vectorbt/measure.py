"""Does the bench's work on strategies in vectorbt and in backtesting.py, on one thread.

The first argument is a CSV file with the columns time (epoch milliseconds), open, high, low, close and volume. Each line of the standard
input is a command, which is answered with the seconds that it took and the number of trades that were closed. Lists are separated by commas:

cross FAST SLOW                            crossings of two simple averages in vectorbt, each fast length with each slow one
stops LENGTHS MULTIPLES RSI_LENGTHS STOPS  Bollinger bands, relative strength index and a stop of average ranges in vectorbt, all combinations
single FAST SLOW                           one crossing in backtesting.py

Orders fill at the next open, as in the service. vectorbt answers five figures of each set: return, Sharpe ratio, deepest drawdown, win rate
and profit factor.
"""

import gc
import itertools
import sys
import time
import warnings

import numpy as np
import pandas as pd
import talib

CAPITAL = 10_000.0
FEES = 0.0002
# vectorbt runs so many sets at once. With more, its arrays would need more memory than a small machine has.
SETS_AT_ONCE = 100
RANGE_LENGTH = 14
LOW_LEVEL, HIGH_LEVEL = 35.0, 65.0


def at_next_bar(column: np.ndarray, first) -> np.ndarray:
    """The column one bar later."""
    later = np.empty_like(column)
    later[0] = first
    later[1:] = column[:-1]
    return later


def chunks(sets: list) -> list:
    return [sets[start : start + SETS_AT_ONCE] for start in range(0, len(sets), SETS_AT_ONCE)]


def five_figures(portfolio) -> tuple:
    return (
        portfolio.total_return(), portfolio.sharpe_ratio(), portfolio.max_drawdown(),
        portfolio.trades.win_rate(), portfolio.trades.profit_factor(),
    )


def portfolio(candles: pd.DataFrame, **signals):
    import vectorbt as vbt

    # The size is worth a tenth of the capital at the close before the fill.
    return vbt.Portfolio.from_signals(
        candles.close, open=candles.open, high=candles.high, low=candles.low, price=candles.open, val_price=-np.inf,
        size=CAPITAL / 10, size_type="value", fees=FEES, init_cash=CAPITAL, freq="1h", **signals,
    )


def in_chunks(sets: list, run) -> tuple[float, int]:
    """Runs the sets in vectorbt. What a chunk has left in memory is collected before the next one, off the clock."""
    seconds, trades = 0.0, 0
    for chunk in chunks(sets):
        began = time.perf_counter()
        made = run(chunk)
        figures = five_figures(made)
        seconds += time.perf_counter() - began
        assert all(len(figure) == len(chunk) for figure in figures)
        trades += int(made.trades.closed.count().sum())
        del made, figures
        gc.collect()
    return seconds, trades


def cross(candles: pd.DataFrame, fast: list[int], slow: list[int]) -> tuple[float, int]:
    import vectorbt as vbt

    def run(pairs):
        fast_average = vbt.MA.run(candles.close, window=[pair[0] for pair in pairs], short_name="fast")
        slow_average = vbt.MA.run(candles.close, window=[pair[1] for pair in pairs], short_name="slow")
        up = fast_average.ma_crossed_above(slow_average).vbt.signals.fshift(1)
        down = fast_average.ma_crossed_below(slow_average).vbt.signals.fshift(1)
        return portfolio(candles, entries=up, short_entries=down)

    return in_chunks(list(itertools.product(fast, slow)), run)


def stops(candles: pd.DataFrame, lengths: list[int], multiples: list[float], rsi_lengths: list[int], distances: list[float]) -> tuple[float, int]:
    opens, high, low, close = (candles[name].to_numpy() for name in ("open", "high", "low", "close"))

    def run(sets):
        # Each indicator once for each of its parameters, and then a column for each set.
        bands = {key: talib.BBANDS(close, key[0], key[1], key[1]) for key in {(length, multiple) for length, multiple, _, _ in sets}}
        indices = {length: talib.RSI(close, length) for length in {rsi_length for _, _, rsi_length, _ in sets}}
        upper, middle, lower = (np.column_stack([bands[one[:2]][band] for one in sets]) for band in range(3))
        index = np.column_stack([indices[one[2]] for one in sets])
        closes = close[:, np.newaxis]
        reach = at_next_bar(talib.ATR(high, low, close, RANGE_LENGTH), np.nan)[:, np.newaxis] * np.array([one[3] for one in sets])
        return portfolio(
            candles,
            entries=at_next_bar((closes < lower) & (index < LOW_LEVEL), False),
            exits=at_next_bar(closes >= middle, False),
            short_entries=at_next_bar((closes > upper) & (index > HIGH_LEVEL), False),
            short_exits=at_next_bar(closes <= middle, False),
            sl_stop=reach / opens[:, np.newaxis],
            stop_entry_price="fillprice",
        )

    return in_chunks(list(itertools.product(lengths, multiples, rsi_lengths, distances)), run)


def single(candles: pd.DataFrame, fast: int, slow: int) -> tuple[float, int]:
    from backtesting import Backtest, Strategy
    from backtesting.lib import crossover

    class Crossing(Strategy):
        def init(self):
            self.fast = self.I(talib.SMA, self.data.Close, fast)
            self.slow = self.I(talib.SMA, self.data.Close, slow)

        def next(self):
            if crossover(self.fast, self.slow):
                self.buy(size=0.1)
            elif crossover(self.slow, self.fast):
                self.sell(size=0.1)

    test = Backtest(candles.rename(columns=str.capitalize), Crossing, cash=CAPITAL, commission=FEES, exclusive_orders=True)
    began = time.perf_counter()
    figures = test.run()
    return time.perf_counter() - began, int(figures["# Trades"])


def numbers(text: str, kind) -> list:
    return [kind(number) for number in text.split(",")]


def main() -> None:
    # Both packages warn of positions that are still open, and of future releases of others.
    warnings.simplefilter("ignore")
    candles = pd.read_csv(sys.argv[1])
    candles.index = pd.to_datetime(candles.pop("time"), unit="ms")
    candles = candles.astype(float)
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        if name == "cross":
            seconds, trades = cross(candles, *(numbers(text, int) for text in arguments))
        elif name == "stops":
            kinds = (int, float, int, float)
            seconds, trades = stops(candles, *(numbers(text, kind) for text, kind in zip(arguments, kinds, strict=True)))
        else:
            seconds, trades = single(candles, *map(int, arguments))
        print(seconds, trades, flush=True)


if __name__ == "__main__":
    main()
