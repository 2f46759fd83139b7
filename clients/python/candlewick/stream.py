"""Live streams: Server-Sent Events, and connecting again from the position of the last event."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Generic, TypeAlias, Union

from candlewick.errors import CandlewickError
from candlewick.model import Candle, Price
from candlewick.transport import Pauses, Query, Transport

log = logging.getLogger("candlewick")

# The service sends something every 15 s, so a stream that is silent for as long as three of these is lost.
SILENCE_SECONDS = 45.0
# The pause before a stream is opened again, until the service names another one.
PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CandleEvent(Generic[Price]):
    """A candle that is new, changed or closed. States of a candle may be skipped and repeated, and the last one always comes."""

    symbol: str
    timeframe: str
    candle: Candle[Price]
    position: str
    """From here `live` goes on, in this process or another one."""


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """Older candles changed: read those from `start` to `end` again."""

    symbol: str
    timeframe: str
    start: int
    """Opening time of the first candle, in epoch milliseconds."""
    end: int
    """Opening time of the last candle, in epoch milliseconds."""
    kind: str
    """`late`, `import`, `correction`, `deletion`, or `missed` if too many candles came while nobody listened."""
    position: str
    """From here `live` goes on, in this process or another one."""


Event: TypeAlias = Union[CandleEvent[Price], HistoryEvent]


@dataclass(slots=True)
class Message:
    """A message of a stream of Server-Sent Events."""

    event: str = "message"
    data: str | None = None
    id: str | None = None
    """The position, if the message moves it."""
    retry: float | None = None
    """The pause in seconds that the service asks for before the next connection."""


def messages(lines: Iterator[bytes]) -> Iterator[Message]:
    """Parses Server-Sent Events. Comments are messages without anything. A message without its end is left out.

    >>> list(messages(iter([b"retry: 2000\\n", b"\\n", b": 1754265675\\n", b"\\n", b"data: cut off"])))
    [Message(event='message', data=None, id=None, retry=2.0), Message(event='message', data=None, id=None, retry=None)]
    """
    message = Message()
    for line in lines:
        if not line.endswith(b"\n"):
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            yield message
            message = Message()
            continue
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                message.event = value
            case "data":
                message.data = value if message.data is None else f"{message.data}\n{value}"
            case "id":
                message.id = value
            case "retry" if value.isdecimal():
                message.retry = int(value) / 1000


def read_event(message: Message, position: str, price: Callable[[str], Price]) -> Event[Price] | None:
    """Makes an event of a message. Returns None for a kind that this client does not know."""
    if message.data is None or message.event not in ("candle", "history"):
        return None
    fields: Mapping[str, Any] = json.loads(message.data, parse_float=str, parse_int=str)
    symbol, timeframe = str(fields["symbol"]), str(fields["timeframe"])
    if message.event == "candle":
        return CandleEvent(symbol, timeframe, Candle.read(fields, price), position)
    return HistoryEvent(symbol, timeframe, int(fields["from"]), int(fields["to"]), str(fields["kind"]), position)


class LiveStream(Generic[Price]):
    """A stream that is opened again when it ends, from the position of its last event."""

    def __init__(
        self,
        transport: Transport,
        query: Query,
        price: Callable[[str], Price],
        *,
        position: str | None,
        patience: float | None,
    ) -> None:
        self._transport = transport
        self._query = query
        self._price: Callable[[str], Price] = price
        self._position = position
        self._patience = patience
        self._pause = PAUSE_SECONDS

    def events(self) -> Generator[Event[Price], None, None]:
        """Yields events for ever, or until the service refuses the stream or the patience is over."""
        # Until a stream has been open once, the address may be wrong, so the patience is that of other requests.
        patience: float | None = self._transport.patience
        lost_since = time.monotonic()
        pauses = Pauses(self._pause)
        while True:
            was_open = False
            try:
                for message in self._messages():
                    was_open = True
                    self._pause = message.retry or self._pause
                    self._position = message.id or self._position
                    event = self._event(message)
                    if event is not None:
                        yield event
                error = CandlewickError("The stream ended.", code="broke_off")
            except CandlewickError as failure:
                error = failure
            if was_open:
                patience, lost_since, pauses = self._patience, time.monotonic(), Pauses(self._pause)
            pause = pauses.next(error.retry_after)
            is_over = patience is not None and time.monotonic() + pause > lost_since + patience
            if not error.is_temporary or is_over:
                raise error
            log.info("opening the stream again in %.1f s: %s", pause, error)
            time.sleep(pause)

    def _messages(self) -> Iterator[Message]:
        """Opens the stream once and yields its messages."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self._position} if self._position else {})}
        with self._transport.stream(
            "live", self._query, headers, kind="text/event-stream", timeout=SILENCE_SECONDS
        ) as response:
            try:
                yield from messages(_lines(response))
            except (OSError, HTTPException) as cause:
                self._transport.lost(cause)

    def _event(self, message: Message) -> Event[Price] | None:
        try:
            return read_event(message, self._position or "", self._price)
        except (ValueError, TypeError, LookupError, ArithmeticError) as cause:
            detail = "The stream has an event that is not candlewick's; check that the address leads to it."
            raise CandlewickError(detail, code="unreadable") from cause


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    while line := response.readline():
        yield line
