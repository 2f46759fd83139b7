"""The parameters of requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from candlewick.model import SeriesName, Time, epoch_millis, time_text

Parameters: TypeAlias = list[tuple[str, str]]

# The first and the last moment that a candle can have.
BEGINNING, END = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"


def of_series(symbol: str, timeframe: str, source: str | None, align: str | None, week: str | None) -> Parameters:
    """The candles of a series, stored ones or those built from `source`."""
    built = [("source", source), ("align", align), ("week", week)]
    return [("symbol", symbol), ("timeframe", timeframe), *given(built)]


def bounds(start: Time | None, end: Time | None) -> Parameters:
    """The first and the last opening time. Numbers are milliseconds."""
    times = [(name, time_text(value)) for name, value in (("from", start), ("to", end)) if value is not None]
    return [*times, ("unit", "ms")]


def of_export(
    symbol: str,
    timeframe: str,
    start: Time | None,
    end: Time | None,
    source: str | None,
    align: str | None,
    week: str | None,
    forming: bool,
) -> Parameters:
    """An export of a series."""
    more = [("forming", "true")] if forming else []
    return of_series(symbol, timeframe, source, align, week) + bounds(start, end) + more


def of_list(symbol: str | Iterable[str] | None, timeframe: str | None) -> Parameters:
    """The series of one symbol, several or all, and of one timeframe or all."""
    symbols = [symbol] if isinstance(symbol, str) else None if symbol is None else list(symbol)
    if symbols == []:
        raise ValueError("no symbol is given; name some, or leave symbol out for all series")
    return [("symbol", each) for each in symbols or []] + given([("timeframe", timeframe)])


def of_stream(name: SeriesName, since: Time | Mapping[SeriesName, Time] | None) -> str:
    """A series of a stream, with the time at which it begins."""
    symbol, timeframe = name
    start = since.get(name) if isinstance(since, Mapping) else since
    return f"{timeframe}:{symbol}" if start is None else f"{timeframe}@{epoch_millis(start)}:{symbol}"


def given(parameters: Iterable[tuple[str, str | None]]) -> Parameters:
    """Leaves out parameters without a value."""
    return [(name, value) for name, value in parameters if value is not None]
