"""Posts: candles as JSON, in batches, by the rules of an Expert Advisor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from candlewick.errors import CandlewickError
from candlewick.model import Candle, Posted
from candlewick.transport import Reply, Transport

# The number of candles in a post. The service accepts 10,000 unless its operator has changed that.
BATCH_CANDLES = 2_000


class Poster:
    """Posts batches. The service may accept fewer candles at once; then batches become smaller."""

    def __init__(self, transport: Transport, shared: Mapping[str, object], *, lenient: bool) -> None:
        self._transport = transport
        self._shared = {name: value for name, value in shared.items() if value is not None}
        self._headers = {"Prefer": "handling=lenient"} if lenient else {}
        self._max_candles = BATCH_CANDLES

    def post(self, candles: Iterable[Mapping[str, object] | Candle[Any]]) -> Posted:
        """Posts all candles, in their order."""
        stored = Posted()
        offset = 0
        try:
            for batch in _batches(map(_fields, candles), BATCH_CANDLES):
                while batch:
                    part = batch[: self._max_candles]
                    result = self._post_batch(part, offset)
                    if result is None:
                        self._max_candles = (len(part) + 1) // 2
                        continue
                    stored += result
                    offset += len(part)
                    batch = batch[len(part) :]
        except CandlewickError as error:
            raise _with_place(error, stored, offset) from error
        return stored

    def _post_batch(self, batch: list[Mapping[str, object]], offset: int) -> Posted | None:
        """Posts a batch. Returns None if it is too large for the service."""
        body = json.dumps({**self._shared, "candles": batch}, default=_plain, separators=(",", ":"))
        try:
            reply: Reply = self._transport.post("candles", body.encode(), self._headers)
        except CandlewickError as error:
            if error.status == 413 and len(batch) > 1:
                return None
            raise
        return reply.read(lambda fields: Posted.read(fields, offset))


def _batches(candles: Iterator[Mapping[str, object]], size: int) -> Iterator[list[Mapping[str, object]]]:
    while batch := list(islice(candles, size)):
        yield batch


def _fields(candle: Mapping[str, object] | Candle[Any]) -> Mapping[str, object]:
    """A candle as it is posted. One of this client has its time in milliseconds."""
    if not isinstance(candle, Candle):
        return candle
    return {
        "timestamp": candle.timestamp,
        "unit": "ms",
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "complete": candle.complete,
    }


def _plain(value: object) -> object:
    """Makes something of a value that JSON does not know. A decimal becomes text, which keeps its digits."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    # Numbers of numpy.
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    raise TypeError(f"a candle has {value!r}, which is neither a number nor a text nor a time")


def _with_place(error: CandlewickError, stored: Posted, offset: int) -> CandlewickError:
    """Returns the error with the places of candles among all that were given, and what was stored before it."""
    detail = error.detail
    if offset:
        detail = f"The first {offset} candles are stored. In the batch after them: {detail}"
    moved = CandlewickError(
        detail,
        code=error.code,
        status=error.status,
        request_id=error.request_id,
        errors=[each.moved(offset) for each in error.errors],
        retry_after=error.retry_after,
    )
    moved.stored = stored
    return moved
