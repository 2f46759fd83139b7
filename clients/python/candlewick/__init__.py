"""A client of candlewick, which keeps OHLCV candles and serves them. It needs nothing but the standard library.

`Candlewick` is a service. Its methods read candles (`candles`, `latest`, `series`), write them into files and data frames (`export`,
`to_pandas`, `to_polars`), follow them live (`live`), and post them (`post`). README.md shows each.
"""

from candlewick.client import Candlewick
from candlewick.errors import CandlewickError, FieldError, SkippedRowsWarning
from candlewick.model import Candle, Conflict, LatestCandle, Posted, Rejection, Series, Statistics, Time
from candlewick.stream import CandleEvent, Event, HistoryEvent

__all__ = [
    "Candle",
    "CandleEvent",
    "Candlewick",
    "CandlewickError",
    "Conflict",
    "Event",
    "FieldError",
    "HistoryEvent",
    "LatestCandle",
    "Posted",
    "Rejection",
    "Series",
    "SkippedRowsWarning",
    "Statistics",
    "Time",
]
