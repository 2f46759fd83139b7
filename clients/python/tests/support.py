"""The service that is tested, the truth in its database, and servers between the service and its client."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KEY, TOKEN = "ingest-key-of-the-tests", "read-token-of-the-tests"
# A Sunday evening on which nothing else is posted.
START = 1_754_265_600_000
MINUTE = 60_000
# The bytes that a server reads or passes on at once.
PIECE = 64 * 1024


class Service:
    """The built binary on a folder of its own. It can be stopped and started again on the same port."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = variables
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        scheme = "https" if "TLS_CERT" in self.variables else "http"
        return f"{scheme}://localhost:{self.port}"

    @property
    def file(self) -> Path:
        return self.folder / "candlewick.db"

    def start(self) -> Service:
        keys = {"MT5_API_KEY": KEY, "INTERNAL_API_TOKEN": TOKEN}
        unlimited = dict.fromkeys(("RATE_LIMIT_INGEST", "RATE_LIMIT_QUERY", "RATE_LIMIT_ANONYMOUS"), "off")
        environment = {"PORT": str(self.port), "LOG_FORMAT": "json", **keys, **unlimited, **self.variables}
        self.process = subprocess.Popen(
            [os.environ["CANDLEWICK"]],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        awaited = {"listening", "ready"}
        said = []
        assert self.process.stdout
        for text in self.process.stdout:
            said.append(text)
            line = json.loads(text) if text.startswith("{") else {}
            if line.get("message") == "listening":
                self.port = int(line["address"].rpartition(":")[2])
            awaited.discard(line.get("message"))
            if not awaited:
                break
        assert not awaited, "".join(said)
        # Reads on, so that the service never waits for its log to be read.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return self

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stored(self, symbol: str = "EURUSD", timeframe: str = "M1") -> list[tuple[int, str, str, str, str, int]]:
        """The closed candles of a series as the SQLite file has them, prices as text."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            return connection.execute(
                "select timestamp, open, high, low, close, volume from market_data_candles"
                " where symbol = ? and timeframe = ? order by timestamp",
                (symbol, timeframe),
            ).fetchall()

    def run_sql(self, statement: str, *values: object) -> None:
        """Changes the file as another program might."""
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            connection.execute(statement, values)
            connection.commit()


def minutes(count: int, start: int = START) -> Iterator[dict[str, object]]:
    """Closed candles of M1 whose prices have trailing zeros and differ from each other."""
    for number in range(count):
        base = 1_085_000 + number % 1000
        price = [f"{(base + step) / 1_000_000:.6f}" for step in (0, 9, -9, 3)]
        yield {
            "timestamp": start + number * MINUTE,
            "unit": "ms",
            "open": price[0],
            "high": price[1],
            "low": price[2],
            "close": price[3],
            "volume": number,
            "complete": True,
        }


def candle(opened: int = START, **fields: object) -> dict[str, object]:
    """One candle of M1."""
    return {**next(minutes(1, opened)), **fields}


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds that needs a moment, such as that a page in memory is read anew."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.05)


class OnLog(logging.Handler):
    """Calls a function once, in a thread, when the client logs that it tries again."""

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__(logging.INFO)
        self._thread = threading.Thread(target=action)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage())
        if len(self.records) == 1:
            self._thread.start()

    def __enter__(self) -> OnLog:
        log = logging.getLogger("candlewick")
        log.setLevel(logging.INFO)
        log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("candlewick").removeHandler(self)
        if self.records:
            self._thread.join()


class Server:
    """Accepts connections on a port and hands each, with its number from 0, to a function in a thread."""

    def __init__(self, handle: Callable[[socket.socket, int], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A connection ends the waiting for one.
        self._closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()

    _closing = False

    def _accept(self) -> None:
        number = 0
        while True:
            connection, _ = self._listener.accept()
            if self._closing:
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()
            number += 1

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            self._handle(connection, number)


def request_of(connection: socket.socket) -> bytes:
    """Reads a request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(PIECE)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(PIECE)
    return head + b"\r\n\r\n" + body


def answers(*replies: bytes) -> Callable[[socket.socket, int], None]:
    """Answers each connection with the reply of its number, the last one for all further ones, and closes it."""

    def handle(connection: socket.socket, number: int) -> None:
        if request_of(connection):
            connection.sendall(replies[min(number, len(replies) - 1)])

    return handle


def answer(status: str, kind: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """An answer with its length."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode() + body


def passing(
    service: Service, *, most: Callable[[int], int | None], then: Callable[[], object] = lambda: None
) -> Callable[[socket.socket, int], None]:
    """Passes requests on to the service, one for each connection, and cuts the answer of connection n after `most(n)` bytes."""

    def handle(connection: socket.socket, number: int) -> None:
        request = request_of(connection)
        if not request:
            return
        request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        rest = most(number)
        with socket.create_connection(("localhost", service.port)) as upstream:
            upstream.sendall(request)
            while rest is None or rest > 0:
                piece = upstream.recv(PIECE if rest is None else min(PIECE, rest))
                if not piece:
                    return
                connection.sendall(piece)
                rest = rest if rest is None else rest - len(piece)
            if rest == 0 and most(number) == 0:
                # The service has answered, and its client does not learn it.
                while upstream.recv(PIECE):
                    pass
        then()

    return handle


def plain(candles: Any) -> list[tuple[int, str, str, str, str, int]]:
    """Candles of the client as `Service.stored` has them."""
    return [(each.timestamp, *map(str, (each.open, each.high, each.low, each.close)), each.volume) for each in candles]
