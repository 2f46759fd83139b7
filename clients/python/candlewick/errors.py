"""The errors of the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candlewick.model import Posted

# Statuses of which another attempt may have another one. Statuses from 500 on are among them too, because a proxy answers
# with one of these while the service behind it restarts.
TEMPORARY_STATUSES = frozenset({408, 429})
# Codes of failures without an answer of the service, after which another attempt may succeed.
TEMPORARY_CODES = frozenset({"unreachable", "timed_out", "broke_off"})


@dataclass(frozen=True, slots=True)
class FieldError:
    """One value of a request that was refused."""

    loc: tuple[str | int, ...]
    """The path to the value: `body`, `query` or `header`, then field names and indexes. The index of a posted candle is its
    place among all candles that were given to `post`."""
    message: str
    """Says what is wrong with the value and what would be right."""
    type: str
    """Stable name of the rule that was broken."""

    @classmethod
    def read(cls, fields: Mapping[str, Any], offset: int = 0) -> FieldError:
        """Reads an entry of `errors`. `offset` is the place of the first candle of the batch among all that were given."""
        return cls(tuple(fields["loc"]), fields["msg"], fields["type"]).moved(offset)

    def moved(self, offset: int) -> FieldError:
        """Returns the same error with the place of its candle moved."""
        match self.loc:
            case ("body", "candles", int(index), *fields):
                return replace(self, loc=("body", "candles", index + offset, *fields))
        return self


class CandlewickError(Exception):
    """A request failed. Its text is one sentence that says what was wrong and what to do.

    >>> service.series(timeframe="H5")
    Traceback (most recent call last):
    ...
    candlewick.errors.CandlewickError: The query is not valid: timeframe is not a timeframe; send M1, M5, ...
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int = 0,
        request_id: str | None = None,
        errors: Iterable[FieldError] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        """One sentence that says what was wrong and what to do."""
        self.code = code
        """A code of the service (docs/api.md, Problems), or one of the client's own:

        - `unreachable`: no connection could be made, or it was lost before an answer came.
        - `timed_out`: no answer, or no further part of one, came within the time-out. The service has this code too.
        - `broke_off`: the answer ended before it was whole.
        - `untrusted`: the certificate of the server is not trusted.
        - `unreadable`: the answer is not candlewick's, such as a page of a proxy.
        """
        self.status = status
        """The HTTP status; 0 if no answer came."""
        self.request_id = request_id
        """The id of the request, to be quoted in a report of a fault of the service."""
        self.errors = tuple(errors)
        """The wrong values of a refused request, the first 100."""
        self.retry_after = retry_after
        """The seconds to wait before the next attempt, if the answer says so."""
        self.stored: Posted | None = None
        """The result of the batches of the same `post` that were stored before the one that failed."""

    @property
    def is_temporary(self) -> bool:
        """True if the same request may succeed later."""
        return self.code in TEMPORARY_CODES or self.status in TEMPORARY_STATUSES or self.status >= 500


class SkippedRowsWarning(UserWarning):
    """The database holds rows that are not candles, such as one whose price is NaN, and a page leaves them out."""
