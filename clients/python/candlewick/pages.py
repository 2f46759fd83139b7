"""Answers that come in pages."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from candlewick.errors import CandlewickError, SkippedRowsWarning
from candlewick.model import Candle, Fields, Price
from candlewick.queries import Parameters
from candlewick.transport import Reply, Transport

Item = TypeVar("Item")

# The number of candles in a page. A service whose operator has set MAX_LIMIT to less refuses it.
PAGE_CANDLES = 10_000


def read_list(transport: Transport, route: str, query: Parameters, read: Callable[[Fields], Item]) -> Iterator[Item]:
    """Yields the entries of a list of series."""
    while True:
        reply = transport.get(route, query)
        yield from reply.read(lambda items: [read(fields) for fields in items], numbers_as_text=True)
        if not reply.flag("x-more-after"):
            return
        query = reply.link("next")


class PageReader(Generic[Price]):
    """Reads candles page by page. Nothing is held on the service between two pages, so a page may take any time."""

    def __init__(self, transport: Transport, price: Callable[[str], Price]) -> None:
        self._transport = transport
        self._price: Callable[[str], Price] = price

    def from_start(self, query: Parameters, limit: int | None) -> Iterator[Candle[Price]]:
        """Yields the first candles of a range."""
        return islice((candle for page in self._pages(query, limit, "next") for candle in page), limit)

    def newest(self, query: Parameters, limit: int) -> Iterator[Candle[Price]]:
        """Yields the last candles of a range, in ascending order, once all pages are read."""
        pages: list[list[Candle[Price]]] = []
        count = 0
        for page in self._pages(query, limit, "prev"):
            pages.append(page)
            count += len(page)
            if count >= limit:
                break
        ascending = (candle for page in reversed(pages) for candle in page)
        yield from islice(ascending, max(count - limit, 0), None)

    def _pages(
        self, query: Parameters, limit: int | None, direction: Literal["next", "prev"]
    ) -> Iterator[list[Candle[Price]]]:
        more = {"next": "x-more-after", "prev": "x-more-before"}[direction]
        reply = self._first_page(query, limit)
        while True:
            _warn_of_skipped(reply)
            yield reply.read(self._candles, numbers_as_text=True)
            if not reply.flag(more):
                return
            reply = self._transport.get("candles", reply.link(direction))

    def _first_page(self, query: Parameters, limit: int | None) -> Reply:
        if limit is not None:
            try:
                return self._transport.get("candles", [*query, ("limit", str(min(limit, PAGE_CANDLES)))])
            except CandlewickError as error:
                if not any(each.loc == ("query", "limit") for each in error.errors):
                    raise
        # Either all are wanted, or the service gives fewer at once. Its default is within its limit.
        return self._transport.get("candles", query)

    def _candles(self, items: list[Any]) -> list[Candle[Price]]:
        return [Candle.read(fields, self._price) for fields in items]


def _warn_of_skipped(reply: Reply) -> None:
    skipped = reply.headers.get("x-skipped")
    if skipped:
        text = f"a page leaves out rows that are not candles, at the epoch milliseconds {skipped}; ask the operator to mend them"
        warnings.warn(text, SkippedRowsWarning, stacklevel=3)
