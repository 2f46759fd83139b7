"""The service's answers: candles, series, and the results of posts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, TypeAlias, TypeVar

from candlewick.errors import FieldError

Price = TypeVar("Price", Decimal, str, float)
"""The type of prices: `Decimal`, `str` or `float`."""

Time: TypeAlias = int | str | datetime | date
"""A moment: epoch milliseconds, a text in RFC 3339 with its zone, a `datetime` with its zone, or a date, which means its midnight
in UTC, also as a text."""

SeriesName: TypeAlias = tuple[str, str]
"""A symbol and a timeframe."""

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# JSON of which all numbers are text, so that none of their digits is lost.
Fields: TypeAlias = Mapping[str, Any]


def time_text(value: Time) -> str:
    """Writes a moment as the service reads it. Nothing is rounded: the service refuses a time that is too fine.

    >>> time_text(datetime(2025, 8, 3, 13, 30, tzinfo=timezone(timedelta(hours=3))))
    '2025-08-03T10:30:00+00:00'
    >>> time_text(datetime(2025, 8, 3))
    Traceback (most recent call last):
    ...
    ValueError: 2025-08-03 00:00:00 has no time zone; give it one, as in datetime(2025, 8, 3, tzinfo=timezone.utc)
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; give it one, as in datetime(2025, 8, 3, tzinfo=timezone.utc)")
        # In UTC, because the offset of an old local time may have seconds, which RFC 3339 does not know.
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"{value!r} is not a time; give epoch milliseconds, a text, a datetime or a date")


def epoch_millis(value: Time) -> int:
    """Returns a moment as epoch milliseconds.

    >>> epoch_millis("2025-08-03T10:00:00Z") == epoch_millis("1754215200000") == epoch_millis(1754215200000)
    True
    >>> epoch_millis(date(1970, 1, 2))
    86400000
    """
    text = time_text(value)
    if text.removeprefix("-").isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    if moment.tzinfo is None:
        if len(text) > len("2025-08-03"):
            raise ValueError(f"{text} has no time zone; write 2025-08-03T10:00:00Z for a time in UTC")
        moment = moment.replace(tzinfo=timezone.utc)
    millis, rest = divmod(moment - EPOCH, timedelta(milliseconds=1))
    if rest:
        raise ValueError(f"{text} is finer than a millisecond")
    return millis


@dataclass(frozen=True, slots=True)
class Candle(Generic[Price]):
    """One candle. Prices have the type that the client was made with; `Decimal` and `str` keep all digits.

    >>> from decimal import Decimal
    >>> candle = Candle(1754215200000, Decimal("1.08500"), Decimal("1.08650"), Decimal("1.08480"), Decimal("1.08620"), 1200)
    >>> print(candle.open, candle.time)
    1.08500 2025-08-03 10:00:00+00:00
    """

    timestamp: int
    """When the candle opened, in epoch milliseconds."""
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int
    """Ticks in the period."""
    complete: bool = True
    """False while the candle is forming."""

    @property
    def time(self) -> datetime:
        """When the candle opened, in UTC."""
        return EPOCH + timedelta(milliseconds=self.timestamp)

    @classmethod
    def read(cls, fields: Fields, price: Callable[[str], Price]) -> Candle[Price]:
        """Reads a candle of an answer, and makes prices of their text by `price`."""
        return cls(
            int(fields["timestamp"]),
            price(fields["open"]),
            price(fields["high"]),
            price(fields["low"]),
            price(fields["close"]),
            int(fields["volume"]),
            bool(fields.get("complete", True)),
        )


@dataclass(frozen=True, slots=True)
class LatestCandle(Generic[Price]):
    """The newest candle of a series."""

    symbol: str
    timeframe: str
    candle: Candle[Price]
    received: int | None
    """When it was stored, in epoch milliseconds; None if the table does not keep that."""

    @classmethod
    def read(cls, fields: Fields, price: Callable[[str], Price]) -> LatestCandle[Price]:
        """Reads an entry of a list of newest candles."""
        received = fields["received"]
        candle = Candle.read(fields, price)
        return cls(fields["symbol"], fields["timeframe"], candle, None if received is None else int(received))


@dataclass(frozen=True, slots=True)
class Statistics:
    """The size of a series, as it was counted in the background."""

    as_of: int
    """Everything that was stored by this time is counted, in epoch milliseconds."""
    candles: int
    """The number of closed candles."""
    bytes: int
    """An estimate of the space that they take."""
    received: int | None
    """When the newest closed candle was stored, in epoch milliseconds; None if the table does not keep that."""
    coverage: Mapping[str, int]
    """The number of closed candles in each month in UTC that has any, such as `{"2025-08": 24}`."""

    @classmethod
    def read(cls, fields: Fields) -> Statistics | None:
        """Reads the statistics of a series, if it was counted already."""
        if fields.get("as_of") is None:
            return None
        received = fields["received"]
        return cls(
            int(fields["as_of"]),
            int(fields["candles"]),
            int(fields["bytes"]),
            None if received is None else int(received),
            {month["month"]: int(month["candles"]) for month in fields["coverage"]},
        )


@dataclass(frozen=True, slots=True)
class Series:
    """A stored series, described by its closed candles."""

    symbol: str
    timeframe: str
    first: int
    """Opening time of the oldest candle, in epoch milliseconds."""
    last: int
    """Opening time of the newest candle, in epoch milliseconds."""
    price_precision: int
    """The number of digits after the point that a chart should draw."""
    statistics: Statistics | None = None
    """Present if they were asked for and the series was counted already."""

    @classmethod
    def read(cls, fields: Fields) -> Series:
        """Reads an entry of a list of series."""
        return cls(
            fields["symbol"],
            fields["timeframe"],
            int(fields["first"]),
            int(fields["last"]),
            int(fields["price_precision"]),
            Statistics.read(fields),
        )


@dataclass(frozen=True, slots=True)
class Rejection:
    """An error in a candle that a lenient post did not store."""

    index: int
    """The place of the candle among those that were given to `post`."""
    error: FieldError


@dataclass(frozen=True, slots=True)
class Conflict:
    """A posted candle that is stored with other values, which stay."""

    index: int
    """Its place among the candles that were given to `post`."""
    fields: tuple[str, ...]
    """The fields that differ."""


@dataclass(frozen=True, slots=True)
class Posted:
    """The result of a post: received = added + duplicate + live + rejected."""

    received: int = 0
    added: int = 0
    """Closed candles that were not stored before."""
    duplicate: int = 0
    """Candles that changed nothing."""
    live: int = 0
    """Forming candles that were stored or updated."""
    rejected: int = 0
    """Candles that a lenient post did not store."""
    conflicting: int | None = 0
    """Duplicates whose values differ from the stored ones; None if a comparison failed."""
    rejections: tuple[Rejection, ...] = ()
    """The errors of rejected candles, the first 100 of each batch."""
    conflicts: tuple[Conflict, ...] = ()
    """The conflicting candles, the first 100 of each batch."""
    early: tuple[int, ...] = ()
    """Places of candles that were kept as forming because their period ends later."""

    @classmethod
    def read(cls, fields: Fields, offset: int) -> Posted:
        """Reads the answer to a batch whose first candle has the place `offset` among all that were given."""
        rejections = (
            Rejection(each["index"] + offset, FieldError.read(each, offset)) for each in fields.get("rejected", ())
        )
        conflicts = (Conflict(each["index"] + offset, tuple(each["fields"])) for each in fields.get("conflicts", ()))
        return cls(
            received=fields["records_received"],
            added=fields["records_added"],
            duplicate=fields["records_duplicate"],
            live=fields["records_live"],
            rejected=fields.get("records_rejected", 0),
            conflicting=fields.get("records_conflicting", 0),
            rejections=tuple(rejections),
            conflicts=tuple(conflicts),
            early=tuple(index + offset for index in fields.get("early", ())),
        )

    def __add__(self, other: Posted) -> Posted:
        """The result of both posts."""
        unknown = self.conflicting is None or other.conflicting is None
        return Posted(
            received=self.received + other.received,
            added=self.added + other.added,
            duplicate=self.duplicate + other.duplicate,
            live=self.live + other.live,
            rejected=self.rejected + other.rejected,
            conflicting=None if unknown else (self.conflicting or 0) + (other.conflicting or 0),
            rejections=self.rejections + other.rejections,
            conflicts=self.conflicts + other.conflicts,
            early=self.early + other.early,
        )
