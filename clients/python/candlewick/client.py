"""The client: one object for a service, with a method for each thing that can be asked of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from decimal import Decimal
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, overload

from candlewick import queries
from candlewick.files import download, export_to, format_of
from candlewick.model import Candle, Fields, LatestCandle, Posted, Price, Series, SeriesName, Time
from candlewick.pages import PageReader, read_list
from candlewick.posting import Poster
from candlewick.stream import Event, LiveStream
from candlewick.transport import Query, Transport

if TYPE_CHECKING:
    import pandas
    import polars


class Candlewick(Generic[Price]):
    """A candlewick service.

    `url` is its address, such as `https://candles.example.com`. Reading needs a read token (`token`), posting an ingest key
    (`key`). Requests go to this address alone: redirects are errors.

    `prices` is the type of all prices. The default `Decimal` and `str` keep every digit that was posted; `float` is faster to
    calculate with and keeps some 15 digits.

    `ca_file` is a PEM file with the certificate of your own authority. If it is given, no other authority is trusted.

    `timeout` is the maximum number of seconds for connecting, and from one part of an answer to the next. `patience` is the
    number of seconds for which a request is repeated if it got no answer, or one that another attempt may change: 408, 429,
    and from 500 on, also from a proxy. Pauses between attempts grow, and are at least those of `Retry-After`. All other
    refusals are a `CandlewickError` at once.

    A client can be used by several threads.

    >>> from candlewick import Candlewick
    >>> with Candlewick(URL, TOKEN) as service:
    ...     newest = list(service.candles("EURUSD", "H1", limit=1))
    >>> print(newest[0].time, newest[0].close)
    2025-08-03 14:00:00+00:00 1.08620
    """

    @overload
    def __init__(
        self: Candlewick[Decimal],
        url: str,
        token: str | None = None,
        *,
        key: str | None = None,
        ca_file: str | PathLike[str] | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
    ) -> None: ...

    @overload
    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        key: str | None = None,
        prices: type[Price],
        ca_file: str | PathLike[str] | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
    ) -> None: ...

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        key: str | None = None,
        prices: type[Any] = Decimal,
        ca_file: str | PathLike[str] | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
    ) -> None:
        if prices not in (Decimal, str, float):
            raise ValueError("prices must be Decimal, str or float")
        secrets = {"X-Internal-Token": token, "X-API-KEY": key}
        self._transport = Transport(url, secrets, ca_file=ca_file, timeout=timeout, patience=patience)
        self._price: Callable[[str], Price] = prices

    def __enter__(self) -> Candlewick[Price]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Candlewick({self._transport.url!r})"

    def close(self) -> None:
        """Closes the connections that are kept between requests."""
        self._transport.close()

    def candles(
        self,
        symbol: str,
        timeframe: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        limit: int | None = None,
        source: str | None = None,
        align: str | None = None,
        week: str | None = None,
    ) -> Iterator[Candle[Price]]:
        """Yields the candles of a series in ascending order, forming ones included, and reads as many pages as that takes.

        `start` and `end` are the first and the last opening time, both inclusive. `limit` is the maximum number: the first
        ones from `start` on, or without `start` the newest ones, up to `end`. Without any of them the whole series is read.

        With `source`, candles are built from the stored ones of this shorter timeframe; `align` and `week` say where their
        days and weeks begin (docs/api.md, Candles that are not stored).

        >>> for candle in service.candles("EURUSD", "H1", start="2025-08-03T13:00:00Z"):
        ...     print(candle.time.hour, candle.open, candle.complete)
        13 1.08600 True
        14 1.08610 False
        >>> len(list(service.candles("EURUSD", "D1", source="H1", align="Europe/Athens")))
        1
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}; give 1 or more, or leave it out for all candles")
        query = queries.of_series(symbol, timeframe, source, align, week)
        reader = PageReader(self._transport, self._price)
        if start is None and limit is not None:
            return reader.newest(query + queries.bounds(None, end), limit)
        first = queries.BEGINNING if start is None else start
        last = queries.END if end is None else end
        return reader.from_start(query + queries.bounds(first, last), limit)

    def latest(
        self, symbol: str | Iterable[str] | None = None, timeframe: str | None = None
    ) -> list[LatestCandle[Price]]:
        """Returns the newest candle of every series, closed or forming, or of those of one symbol, several, or a timeframe.

        >>> for latest in service.latest("EURUSD"):
        ...     print(latest.timeframe, latest.candle.close, latest.candle.complete)
        H1 1.08620 False
        """
        return list(read_list(self._transport, "latest", queries.of_list(symbol, timeframe), self._read_latest))

    def series(
        self, symbol: str | Iterable[str] | None = None, timeframe: str | None = None, *, statistics: bool = False
    ) -> list[Series]:
        """Returns the stored series, or those of one symbol, several, or a timeframe. An ingest key may ask for them too.

        With `statistics`, each has counts and sizes, or None as long as the service has not counted it: ask again.

        >>> for series in service.series("EURUSD"):
        ...     print(series.symbol, series.timeframe, series.price_precision)
        EURUSD H1 5
        """
        query = queries.of_list(symbol, timeframe) + ([("stats", "true")] if statistics else [])
        return list(read_list(self._transport, "series", query, Series.read))

    def export(
        self,
        path: str | PathLike[str],
        symbol: str,
        timeframe: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        source: str | None = None,
        align: str | None = None,
        week: str | None = None,
        forming: bool = False,
        format: str | None = None,
        time: str | None = None,
        prices: str | None = None,
    ) -> Path:
        """Writes the closed candles of a series into a file, and returns its path.

        The ending of `path` chooses the format: `.csv`, `.ndjson` or `.parquet`; `format` outranks it. `forming` adds forming
        candles and a column `complete`. `time` is the form of times in CSV (`iso`, `ms` or `s`), and `prices` the type of
        prices in Parquet (`decimal`, `double` or `text`).

        The file is whole or it is not there: it is written beside its place and appears under its name once it is whole and
        on disk. An answer that broke off is a `CandlewickError` with the code `broke_off`.

        >>> path = service.export(FOLDER / "EURUSD_H1.csv", "EURUSD", "H1", end="2025-08-03T10:00:00Z")
        >>> print(path.read_text(), end="")
        timestamp,open,high,low,close,volume
        2025-08-03T10:00:00Z,1.08500,1.08650,1.08480,1.08620,1200
        """
        path = Path(path)
        form = [(name, value) for name, value in (("time", time), ("prices", prices)) if value is not None]
        query = queries.of_export(symbol, timeframe, start, end, source, align, week, forming) + form
        export_to(self._transport, path, format or format_of(path), query)
        return path

    def to_pandas(
        self,
        symbol: str,
        timeframe: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        source: str | None = None,
        align: str | None = None,
        week: str | None = None,
        forming: bool = False,
        prices: str = "double",
    ) -> pandas.DataFrame:
        """Returns the closed candles of a series as a data frame of pandas, indexed by their opening times in UTC.

        `prices` is `double`, `decimal` (objects of `Decimal`, exact) or `text`. Needs pandas and pyarrow.

        >>> frame = service.to_pandas("EURUSD", "H1")
        >>> frame["open"].resample("2h").first().tolist()
        [1.085, 1.0862]
        """
        try:
            import pandas
            import pyarrow  # noqa: F401, because pandas reads Parquet with it
        except ImportError as missing:
            raise ImportError(f"to_pandas needs pandas and pyarrow: pip install pandas pyarrow ({missing})") from None
        query = queries.of_export(symbol, timeframe, start, end, source, align, week, forming) + [("prices", prices)]
        return pandas.read_parquet(self._parquet(query), engine="pyarrow").set_index("timestamp")

    def to_polars(
        self,
        symbol: str,
        timeframe: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        source: str | None = None,
        align: str | None = None,
        week: str | None = None,
        forming: bool = False,
        prices: str = "double",
    ) -> polars.DataFrame:
        """Returns the closed candles of a series as a data frame of Polars, oldest first.

        `prices` is `double`, `decimal` (exact) or `text`. Needs polars.

        >>> service.to_polars("EURUSD", "H1", prices="decimal")["close"].max()
        Decimal('1.08620')
        """
        try:
            import polars
        except ImportError as missing:
            raise ImportError(f"to_polars needs polars: pip install polars ({missing})") from None
        query = queries.of_export(symbol, timeframe, start, end, source, align, week, forming) + [("prices", prices)]
        return polars.read_parquet(self._parquet(query))

    def post(
        self,
        candles: Iterable[Mapping[str, object] | Candle[Any]],
        *,
        symbol: str | None = None,
        timeframe: str | None = None,
        unit: str | None = None,
        utc_offset: int | None = None,
        lenient: bool = False,
    ) -> Posted:
        """Posts candles, however many, and returns when all are on disk. Needs an ingest key.

        A candle is a `Candle`, or a mapping with the fields of docs/api.md (Posting candles); those that all candles share
        may be given once as arguments. Decimals keep their digits.

        As an Expert Advisor does, it posts a batch again if it got no answer, or one that another attempt may change, which is
        always safe: candles that were stored nevertheless count as duplicates. A batch that is too large is halved. Other
        refusals are a `CandlewickError` whose `errors` name the place of each wrong candle. `stored` is then the
        result of the batches before. With `lenient`, good candles are stored and `rejections` names the others.

        >>> from decimal import Decimal
        >>> hour = {"timestamp": "2025-08-03T12:00:00Z", "open": Decimal("1.08500"), "high": 1.0865, "low": 1.08, "close": 1.086, "volume": 7}
        >>> service.post([hour], symbol="GBPUSD", timeframe="H1").added
        1
        >>> service.post([hour], symbol="GBPUSD", timeframe="H1").duplicate
        1
        """
        shared = {"symbol": symbol, "timeframe": timeframe, "unit": unit, "utc_offset": utc_offset}
        return Poster(self._transport, shared, lenient=lenient).post(candles)

    def live(
        self,
        *series: SeriesName,
        since: Time | Mapping[SeriesName, Time] | None = None,
        position: str | None = None,
        patience: float | None = None,
    ) -> Generator[Event[Price], None, None]:
        """Yields the candles of up to 32 series as they are stored, for ever.

        It begins with the newest candle of each series, or with the one that opened at `since`, which is one time for all
        series or a mapping with those of some. With the `position` of an earlier event of the same series it goes on after that.
        So read the candles that you need, and follow them with the time of the last one as `since`: nothing is missed.

        A `HistoryEvent` says that older candles changed and have to be read again.

        A stream that ends is opened again where it ended, with growing pauses. Before the first connection, the patience is
        that of the client; later it is `patience` seconds without a stream, or without end if that is None. A program that
        takes longer than 30 s over an event is disconnected by the service, and goes on after that as well.

        >>> for event in service.live(("EURUSD", "H1"), since="2025-08-03T13:00:00Z"):
        ...     if isinstance(event, CandleEvent):
        ...         print(event.candle.time.hour, event.candle.complete)
        ...         if not event.candle.complete:
        ...             break
        13 True
        14 False
        """
        query = [("series", queries.of_stream(name, since)) for name in series]
        return LiveStream(self._transport, query, self._price, position=position, patience=patience).events()

    def _read_latest(self, fields: Fields) -> LatestCandle[Price]:
        return LatestCandle.read(fields, self._price)

    def _parquet(self, query: Query) -> io.BytesIO:
        file = io.BytesIO()
        download(self._transport, "parquet", query, file)
        file.seek(0)
        return file
