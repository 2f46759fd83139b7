"""Requests over HTTP: connections that are kept, time-outs, repetition, and answers that are whole or an error."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import logging
import random
import ssl
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import Message
from os import PathLike
from typing import Any, NoReturn, TypeAlias, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from candlewick.errors import CandlewickError, FieldError

Query: TypeAlias = Sequence[tuple[str, str]]
Result = TypeVar("Result")

log = logging.getLogger("candlewick")

# The pause before a second attempt in seconds. It doubles with each further one, up to the maximum.
FIRST_PAUSE = 0.5
MAX_PAUSE = 30.0
# The bytes of a file that are read at once.
PIECE_BYTES = 64 * 1024


class Pauses:
    """The pauses between attempts: each twice as long as the one before, and of random length, so that clients that failed
    together do not come back together."""

    def __init__(self, first: float = FIRST_PAUSE) -> None:
        self._next = first

    def next(self, asked: float | None = None) -> float:
        """Returns the seconds of the next pause, which are at least those that the service asks for."""
        pause = min(self._next, MAX_PAUSE)
        self._next = pause * 2
        return max(pause * random.uniform(0.5, 1.0), asked or 0.0)


class Reply:
    """A whole answer whose status is a success."""

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    def read(self, shape: Callable[[Any], Result], *, numbers_as_text: bool = False) -> Result:
        """Makes something of the JSON. With `numbers_as_text` no number loses digits."""
        try:
            if numbers_as_text:
                return shape(json.loads(self._body, parse_float=str, parse_int=str))
            return shape(json.loads(self._body))
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
            raise not_candlewicks(self.status, self.headers) from None

    def flag(self, name: str) -> bool:
        """Returns a header that is `true` or `false`. It has to be there, because a list would end early without it."""
        value = self.headers.get(name)
        if value not in ("true", "false"):
            detail = f"The answer has no header {name}; check whether a proxy between here and the service drops it."
            raise CandlewickError(detail, code="unreadable", status=self.status)
        return value == "true"

    def link(self, relation: str) -> list[tuple[str, str]]:
        """Returns the query of the neighbouring page, which is `next` or `prev`."""
        for link in self.headers.get_all("link", []):
            target, _, rest = link.partition(">")
            if f'rel="{relation}"' in rest:
                return parse_qsl(urlsplit(target.lstrip("<")).query, keep_blank_values=True, strict_parsing=True)
        detail = "The answer has no header Link; check whether a proxy between here and the service drops it."
        raise CandlewickError(detail, code="unreadable", status=self.status)


class Transport:
    """The connections to a service."""

    def __init__(
        self,
        url: str,
        secrets: Mapping[str, str | None],
        *,
        ca_file: str | PathLike[str] | None,
        timeout: float,
        patience: float,
    ) -> None:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if not is_address or parts.query or parts.fragment or parts.path.rstrip("/").endswith("/api/v1"):
            raise ValueError(
                "url must be the address of the service, such as https://candles.example.com, without /api/v1"
            )
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.patience = patience
        self._host, self._port = parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/") + "/api/v1/"
        self._context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._headers = {"User-Agent": "candlewick-python"}
        for name, secret in secrets.items():
            if secret is not None:
                self._headers[name] = _checked_secret(secret)
        self._idle: deque[http.client.HTTPConnection] = deque()

    def close(self) -> None:
        """Closes the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def get(self, route: str, query: Query) -> Reply:
        """Reads an answer, and repeats the request as long as another attempt may succeed."""
        return self.repeat(lambda: self._whole("GET", route, query, None, {"Accept-Encoding": "gzip"}))

    def post(self, route: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Posts JSON, and repeats that as long as another attempt may succeed."""
        headers = {"Content-Type": "application/json", **headers}
        return self.repeat(lambda: self._whole("POST", route, (), body, headers))

    def repeat(self, attempt: Callable[[], Result]) -> Result:
        """Makes attempts until one succeeds, fails for good, or the patience is over."""
        end = time.monotonic() + self.patience
        pauses = Pauses()
        while True:
            try:
                return attempt()
            except CandlewickError as error:
                pause = pauses.next(error.retry_after)
                if not error.is_temporary or time.monotonic() + pause > end:
                    raise
                log.info("trying again in %.1f s: %s", pause, error)
            time.sleep(pause)

    @contextlib.contextmanager
    def stream(
        self, route: str, query: Query, headers: Mapping[str, str], *, kind: str, timeout: float | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Opens an answer of the type `kind` that is read while it arrives, on a connection of its own."""
        connection = self._connect(timeout or self.timeout)
        try:
            response = self._ask(connection, "GET", route, query, None, headers)
            if response.status != 200:
                raise _refusal(response.status, response.headers, self._rest(response))
            if response.headers.get_content_type() != kind:
                raise not_candlewicks(response.status, response.headers)
            yield response
        finally:
            connection.close()

    def pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """Yields the body piece by piece, decompressed. Raises an error unless it is whole."""
        if not response.chunked and response.length is None:
            # Such a body ends with the connection, and nothing tells a whole one from one that broke off.
            detail = "A proxy passes files on without their length, so nobody could notice if one broke off; let it speak HTTP/1.1."
            raise CandlewickError(detail, code="unreadable", status=response.status)
        expander = _expander(response)
        while piece := self._piece(response):
            try:
                yield expander.decompress(piece) if expander else piece
            except zlib.error as cause:
                raise _broke_off(response) from cause
        if response.length or (expander and not expander.eof):
            raise _broke_off(response)

    def lost(self, cause: Exception) -> NoReturn:
        """Raises the error for a failure without an answer."""
        if isinstance(cause, ssl.SSLCertVerificationError):
            detail = (
                f"The certificate of {self.url} is not trusted ({cause.verify_message}); check the address, or name the "
                "certificate of your own authority as ca_file."
            )
            raise CandlewickError(detail, code="untrusted") from cause
        if isinstance(cause, TimeoutError):
            detail = f"No answer came from {self.url} in time; try again."
            raise CandlewickError(detail, code="timed_out") from cause
        detail = f"No answer came from {self.url} ({cause}); check its address, and whether it runs."
        raise CandlewickError(detail, code="unreachable") from cause

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._context:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        route: str,
        query: Query,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        """Sends a request on a connection, and returns the answer once its head is there."""
        target = self._prefix + route + ("?" + urlencode(query, quote_via=quote) if query else "")
        try:
            connection.request(method, target, body, {**self._headers, **headers})
            response = connection.getresponse()
            # A head that broke off reads like a shorter one, which then has neither a length nor a body.
            if not response.chunked and response.length is None and not response.peek(1):
                raise http.client.IncompleteRead(b"")
            return response
        except (OSError, http.client.HTTPException) as cause:
            connection.close()
            self.lost(cause)

    def _whole(self, method: str, route: str, query: Query, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Makes one attempt. An idle connection may have been closed at the other end, which does not count as one."""
        while True:
            try:
                connection = self._idle.pop()
                is_new = False
            except IndexError:
                connection = self._connect(self.timeout)
                is_new = True
            try:
                response = self._ask(connection, method, route, query, body, headers)
                break
            except CandlewickError as error:
                if is_new or error.code != "unreachable":
                    raise
        try:
            answer = self._rest(response)
        except CandlewickError:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        if not 200 <= response.status < 300:
            raise _refusal(response.status, response.headers, answer)
        return Reply(response.status, response.headers, answer)

    def _rest(self, response: http.client.HTTPResponse) -> bytes:
        """Reads the body of an answer that is not a file."""
        try:
            body = response.read()
            return gzip.decompress(body) if response.headers.get("content-encoding") == "gzip" else body
        except TimeoutError as cause:
            self.lost(cause)
        except (OSError, EOFError, zlib.error, http.client.HTTPException) as cause:
            raise _broke_off(response) from cause

    def _piece(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read(PIECE_BYTES)
        except TimeoutError as cause:
            self.lost(cause)
        except (OSError, http.client.HTTPException) as cause:
            raise _broke_off(response) from cause


def _expander(response: http.client.HTTPResponse) -> zlib._Decompress | None:
    # 31: the container of gzip around the largest window.
    return zlib.decompressobj(wbits=31) if response.headers.get("content-encoding") == "gzip" else None


def _checked_secret(secret: str) -> str:
    """A key as it is in a header. The message does not show it."""
    secret = secret.strip()
    if not secret or not all("!" <= letter <= "~" for letter in secret):
        raise ValueError("a key must be letters, digits and signs of ASCII without blanks")
    return secret


def _broke_off(response: http.client.HTTPResponse) -> CandlewickError:
    detail = "The answer broke off before it was whole; try again."
    return CandlewickError(
        detail, code="broke_off", status=response.status, request_id=response.headers.get("x-request-id")
    )


def not_candlewicks(status: int, headers: Message) -> CandlewickError:
    """The error for an answer that the service cannot have sent."""
    if status >= 500:
        detail = f"The answer (HTTP {status}) comes from a proxy; check whether the service behind it runs."
    else:
        detail = f"The answer (HTTP {status}) is not candlewick's; check that the address leads to it and not to something else."
    return CandlewickError(
        detail,
        code="unreadable",
        status=status,
        request_id=headers.get("x-request-id"),
        retry_after=_retry_after(headers),
    )


def _refusal(status: int, headers: Message, body: bytes) -> CandlewickError:
    """The error for an answer other than a success."""
    try:
        problem = json.loads(body)
        return CandlewickError(
            str(problem["detail"]),
            code=str(problem["code"]),
            status=status,
            request_id=problem.get("request_id") or headers.get("x-request-id"),
            errors=[FieldError.read(error) for error in problem.get("errors", ())],
            retry_after=_retry_after(headers),
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return not_candlewicks(status, headers)


def _retry_after(headers: Message) -> float | None:
    """The seconds of Retry-After. A date, which proxies may send, counts as none."""
    value = headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None
