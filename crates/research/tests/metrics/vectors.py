"""Writes curves.csv, returns.csv and figures.csv, with which tests/metrics/main.rs compares the figures of the crate.

The figures come from empyrical-reloaded 0.7.1, purgedcv 0.1.11, scipy 1.17.1, numpy 2.4.6 and pandas 3.1.1:

    pip install empyrical-reloaded==0.7.1 purgedcv==0.1.11 scipy==1.17.1
    python vectors.py
"""

import csv
import pathlib

import empyrical
import numpy
import pandas
import purgedcv
import scipy.stats

HERE = pathlib.Path(__file__).parent
CAPITAL = 10_000.0
DAY_MS = 86_400_000
YEAR_MS = 365.25 * DAY_MS


def curve(name, days, weekdays_only, drift, seed):
    """Daily equities of a random walk, from 2020-01-01."""
    dates = pandas.date_range("2020-01-01", periods=days * 2, freq="B" if weekdays_only else "D")[:days]
    steps = numpy.random.default_rng(seed).standard_t(5, days) * 0.01 + drift
    equity = numpy.round(CAPITAL * numpy.cumprod(1 + steps), 6)
    return name, pandas.Series(equity, index=dates)


def figures(equity):
    times = equity.index.as_unit("ms").asi8
    years = (times[-1] - times[0]) / YEAR_MS
    before = numpy.concatenate([[CAPITAL], equity.to_numpy()[:-1]])
    returns = pandas.Series(equity.to_numpy() / before - 1, index=equity.index)
    with_capital = numpy.concatenate([[CAPITAL], equity.to_numpy()])
    peaks = numpy.maximum.accumulate(with_capital)
    drawdowns = ((peaks - with_capital) / peaks)[1:]
    deepest = int(numpy.argmax(drawdowns))
    months = equity.groupby(equity.index.to_period("M")).last().to_numpy()
    monthly = months / numpy.concatenate([[CAPITAL], months[:-1]]) - 1
    annual = (len(returns) - 1) / years
    cagr = (equity.iloc[-1] / CAPITAL) ** (1 / years) - 1
    sharpe = empyrical.sharpe_ratio(returns, annualization=annual)
    yield "sharpe", sharpe if len(returns) >= 30 else None
    yield "sortino", empyrical.sortino_ratio(returns, annualization=annual) if len(returns) >= 30 else None
    yield "cagr", cagr if years >= 30 / 365.25 else None
    yield "max_drawdown_percent", -100 * empyrical.max_drawdown(returns)
    yield "max_drawdown", (peaks - with_capital)[1:][deepest]
    yield "ulcer_index", 100 * numpy.sqrt(numpy.mean(drawdowns**2))
    yield "calmar", cagr / -empyrical.max_drawdown(returns) if years >= 30 / 365.25 else None
    yield "sharpe_tradingview", (monthly.mean() - 0.02 / 12) / monthly.std(ddof=1) if len(monthly) > 1 else None
    yield "skewness", scipy.stats.skew(returns, bias=False)
    yield "kurtosis", scipy.stats.kurtosis(returns, fisher=False, bias=False)
    yield "psr", purgedcv.probabilistic_sharpe_ratio(returns.to_numpy(), 0.0)
    trial_sharpes = numpy.random.default_rng(7).normal(0.02, 0.05, 200).round(6)
    for trials in (2, 200, 2_000, 100_000):
        variance = float(numpy.var(trial_sharpes, ddof=1))
        yield f"dsr_{trials}", purgedcv.deflated_sharpe_ratio(returns.to_numpy(), trials, variance)
    yield "trial_variance", numpy.var(trial_sharpes, ddof=1)


def main():
    curves = [
        curve("weekdays", 400, True, 0.0008, 1),
        curve("every_day", 500, False, 0.0, 2),
        curve("losing", 300, True, -0.001, 3),
        curve("thirty", 30, False, 0.001, 4),
        curve("twenty_nine", 29, True, 0.001, 5),
    ]
    with open(HERE / "curves.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["curve", "time", "equity"])
        for name, equity in curves:
            writer.writerows((name, time, repr(float(value))) for time, value in zip(equity.index.as_unit("ms").asi8, equity))
    trials = numpy.random.default_rng(11).normal(0.0, 0.01, (12, 150)).round(6)
    # Some trials are better throughout, and two are equal.
    trials[3] += 0.001
    trials[7] = trials[5]
    with open(HERE / "returns.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([repr(float(value)) for value in trial] for trial in trials)
    with open(HERE / "figures.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["curve", "figure", "value"])
        for name, equity in curves:
            for figure, value in figures(equity):
                writer.writerow([name, figure, "" if value is None else repr(float(value))])
        # Blocks of equal length, as the crate takes them: the oldest 6 of 150 days are left out.
        writer.writerow(["returns", "pbo", repr(float(pbo(trials[:, 6:])))])


def pbo(trials):
    """The definition, one split after the other; purgedcv ranks equal trials in another way."""
    import itertools

    blocks = numpy.split(trials, 16, axis=1)
    bad = total = 0
    for chosen in itertools.combinations(range(16), 8):
        inside = numpy.concatenate([blocks[block] for block in chosen], axis=1)
        outside = numpy.concatenate([blocks[block] for block in range(16) if block not in chosen], axis=1)
        winner = numpy.argmax(inside.mean(axis=1) / inside.std(axis=1, ddof=1))
        ranks = scipy.stats.rankdata(outside.mean(axis=1) / outside.std(axis=1, ddof=1))
        omega = ranks[winner] / (len(trials) + 1)
        bad += numpy.log(omega / (1 - omega)) <= 0
        total += 1
    assert total == 12_870
    return bad / total


if __name__ == "__main__":
    main()
