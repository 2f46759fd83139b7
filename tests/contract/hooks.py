"""The rules of the contract that a JSON Schema cannot express, and nothing else.

A request that schemathesis generates as valid fits the OpenAPI document, but may break a rule that no schema can express:
the high of a candle is its highest price, a candle lies in the past, `from` comes before `to`. The hooks change such a request
to the nearest one that also keeps these rules, so that `positive_data_acceptance` holds for every valid request. Schemathesis
then checks the result against the document again. Requests that it generates as invalid are sent unchanged.
"""

import math
import os
import re
import time
import zlib
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, ServerError
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

# The default of MAX_LIMIT, which the document cannot know.
MAX_LIMIT = 10_000
# The routes whose parameters select series.
LISTS = ("/api/v1/series", "/api/v1/latest", "/api/v1/freshness")
# The routes that take names of strategies, families, parameters and jobs, which the document does not list, and the one whose two
# uses exclude each other's parameters.
RESEARCH = (
    "/api/v1/backtests",
    "/api/v1/run",
    "/api/v1/optimizations",
    "/api/v1/exports",
    "/api/v1/strategies",
    "/api/v1/strategies/{id}",
    "/api/v1/strategies/{id}/pine",
    "/api/v1/signals.csv",
    "/api/v1/export.csv",
    "/api/v1/jobs/{id}/results",
)
# The routes whose `before` and `after` are not times.
BY_ID = ("/api/v1/jobs", "/api/v1/changes")
# The routes whose protocol answers faults of a question with 200.
UDF = "/api/v1/udf/"
# The first and the last millisecond of the years 1 to 9999.
BEGINNING, END = -62_135_596_800_000, 253_402_300_799_999
# The number from which on an epoch number counts milliseconds.
FIRST_MILLISECONDS = 10**10
# The first and the last second of the past, which begins in 1700, each a day inwards, because zones and `utc_offset` move a
# time by less than a day.
EARLIEST, LATEST = -8_520_336_000 + 86_400, int(time.time()) - 86_400
# Zones that a query may name, and timeframes that can be built from M1.
ALIGNMENTS = ("utc", "ny17", "Europe/Athens", "America/New_York@17:00", "Australia/Lord_Howe", "+03:00", "-03:30@09:15")
BUILT_FROM_M1 = ("M5", "H1", "H4", "D1", "W1", "MN1")
# The most months that are built from minutes at once, which is the smallest of these limits.
MAX_BUILT = 44
MINUTES = re.compile(r"^(?:period_)?m(\d+)$|^(\d+)m$", re.IGNORECASE)
HOURS = re.compile(r"^(period_)?h\d+$|^\d+h$", re.IGNORECASE)
RFC3339 = re.compile(r"^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})$")
ISO_TIME = re.compile(r"^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(:\d{2})?([Zz]|[+-]\d{2}(?::?\d{2})?)?$")
BROKER_TIME = re.compile(r"^\d{4}\.\d{2}\.\d{2} \d{2}:\d{2}(:\d{2})?$")
DATE_IN_DIGITS = re.compile(r"^(1[7-9]|20)\d{6}$")
DATE = re.compile(r"^\d{4}([-.])\d{2}\1\d{2}$")
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U0010ffff]"
)


@schemathesis.hook
def before_call(context, case, kwargs):
    sent_as_bearer(case)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict) and "candles" in case.body:
        keep_batch_rules(case.body)
    if case.query:
        if case.operation.path in LISTS:
            keep_list_rules(case.query)
        elif case.operation.path == "/api/v1/signals/history":
            keep_history_rules(case.query)
        elif case.operation.path not in BY_ID and not case.operation.path.startswith(UDF):
            keep_query_rules(case.query)
        if case.operation.path == "/api/v1/gaps":
            keep_gap_rules(case.query)
        elif case.operation.path == "/api/v1/freshness":
            keep_freshness_rules(case.query)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """With `Prefer: handling=lenient`, the answer to a batch with bad candles is 201 and has to name them. A 503 of the route
    for monitors is a verdict on the data and no failure, and whether a week can be learned depends on the data as well. A 200 of
    the routes of UDF may be the refusal that their protocol has. A request of research that fits the document may name a strategy, a parameter
    or a job that does not exist."""
    if isinstance(failure, AcceptedNegativeData) and case.operation.path.startswith(UDF):
        body = response.json()
        return not isinstance(body, dict) or body.get("s") != "error"
    if case.operation.path == "/api/v1/optimizations" and isinstance(failure, AcceptedNegativeData):
        # A null counts as a field that is left out.
        return None not in case.body.values()
    if isinstance(failure, UseAfterFree):
        # DELETE cancels a job, which stays with its results for a while.
        return not case.operation.path.startswith("/api/v1/jobs")
    if case.operation.path in RESEARCH and isinstance(failure, RejectedPositiveData):
        return response.status_code not in (404, 422)
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        return response.json()["code"] != "too_little_history"
    if case.operation.path == "/api/v1/freshness" and isinstance(failure, (ServerError, RejectedPositiveData)):
        return response.status_code != 503 or response.json()["status"] not in ("stale", "empty")
    if not isinstance(failure, AcceptedNegativeData) or response.status_code != 201:
        return True
    return response.json().get("records_rejected", 0) == 0


def sent_as_bearer(case):
    """Sends the key of half of the requests as a bearer token, which both kinds of key may be."""
    keys = {"X-API-KEY": os.environ["MT5_API_KEY"], "X-Internal-Token": os.environ["INTERNAL_API_TOKEN"]}
    for name, key in keys.items():
        if case.headers.get(name) == key and zlib.crc32(repr((case.query, case.body)).encode(errors="replace")) % 2:
            del case.headers[name]
            case.headers["Authorization"] = f"Bearer {key}"


def keep_batch_rules(batch):
    keep_value_rules(batch)
    for candle in batch["candles"]:
        # Both fields are in the candle or beside `candles`.
        for name, value in (("symbol", "EURUSD"), ("timeframe", "H1")):
            if name not in batch:
                candle.setdefault(name, value)
        keep_value_rules(candle)
        use_one_name(candle, "timestamp", "time", 1_754_215_200)
        use_one_name(candle, "volume", "tick_volume", 1200)
        keep_time_rules(candle, batch)
        keep_price_rules(candle)
        if isinstance(candle["volume"], str) and not whole(candle["volume"], 0, 2**63 - 1):
            candle["volume"] = "1200"


def use_one_name(candle, name, alias, value):
    """Leaves a field under only one of its two names."""
    if name in candle:
        candle.pop(alias, None)
    candle.setdefault(name, candle.pop(alias, value))


def keep_time_rules(candle, batch):
    timeframe = candle.get("timeframe", batch.get("timeframe"))
    offset = int(Decimal(str(candle.get("utc_offset", batch.get("utc_offset", 0)))))
    unit = candle.get("unit", batch.get("unit"))
    candle["timestamp"], names_zone = opening_time(candle["timestamp"], offset, unit, timeframe)
    if names_zone and offset != 0:
        candle["utc_offset"] = 0
    elif not names_zone and "utc_offset" not in batch:
        # Some forms without a zone need an offset, and for the others 0 is the default.
        candle.setdefault("utc_offset", 0)


def opening_step(timeframe):
    """The seconds of which opening times are multiples."""
    if parts := MINUTES.match(timeframe):
        return math.gcd(int(parts[1] or parts[2]), 15) * 60
    return 300 if HOURS.match(timeframe) else 60


def keep_price_rules(candle):
    names = ("low", "open", "close", "high")
    for name in names:
        candle[name] = price(candle[name])
    ascending = sorted((candle[name] for name in names), key=decimal)
    if (decimal(candle["low"]), decimal(candle["high"])) != (decimal(ascending[0]), decimal(ascending[-1])):
        candle.update(zip(names, ascending))
    if all(decimal(candle[name]) == 0 for name in names):
        # Together with time 0, prices of 0 are a record that nobody filled in.
        candle["high"] = 1


def keep_value_rules(fields):
    if "symbol" in fields:
        fields["symbol"] = UNPRINTABLE.sub("x", fields["symbol"])
    if "utc_offset" in fields:
        offset = fields["utc_offset"]
        if not whole(offset, -50_400, 50_400) or int(Decimal(str(offset))) % 900:
            fields["utc_offset"] = "-7200"


def opening_time(value, offset, unit, timeframe):
    """A time in the same form that is in the past and on the grid, and whether it names its zone."""
    step = opening_step(timeframe)
    if isinstance(value, str) and (parts := RFC3339.match(value)):
        moment, zone = epoch(value), parts[3]
        reading = epoch(f"{parts[1]}Z")
        if parts[2] is None and moment is not None and valid_opening(moment, reading, step) and on_the_hour(zone) == zone:
            return value, True
        return f"{past(value):%Y-%m-%dT%H:%M:00}{on_the_hour(zone)}", True
    if isinstance(value, str) and (parts := ISO_TIME.match(value)):
        seconds, zone = ":00" if parts[3] else "", on_the_hour(parts[4] or "")
        return f"{past(value):%Y-%m-%d %H:%M}{seconds}{zone}", zone != ""
    if isinstance(value, str) and (parts := BROKER_TIME.match(value)):
        try:
            seconds = ":%S" if parts[1] else ""
            moment = datetime.strptime(value, f"%Y.%m.%d %H:%M{seconds}").replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            moment = None
        if moment is not None and valid_opening(moment - offset, moment, step):
            return value, False
        return f"{past(value):%Y.%m.%d %H:%M}" + (":00" if parts[1] else ""), False
    if isinstance(value, str) and (parts := DATE.match(value)):
        # Below D1 a date is not enough.
        hour = " 00:00" if MINUTES.match(timeframe) or HOURS.match(timeframe) else ""
        return f"{past(value):%Y{parts[1]}%m{parts[1]}%d}{hour}", False
    if whole(value, EARLIEST * 1000, LATEST * 1000) and (unit or not DATE_IN_DIGITS.match(str(value))):
        number = int(Decimal(str(value)))
        seconds, rest = divmod(number, 1000) if in_milliseconds(number, unit) else (number, 0)
        if rest == 0 and valid_opening(seconds - offset, seconds, step):
            return value, False
    moment = int(past(value).timestamp()) * (1000 if unit == "ms" else 1)
    return (str(moment) if isinstance(value, str) else moment), False


def in_milliseconds(number, unit):
    return unit == "ms" or (unit is None and abs(number) >= FIRST_MILLISECONDS)


def valid_opening(moment, reading, step):
    """Below D1 neither the time in UTC nor the one that the clock showed may be 0."""
    return EARLIEST <= moment <= LATEST and moment % step == 0 and 0 not in (moment, reading)


def on_the_hour(zone):
    """The zone limited to 14 hours and without its minutes, which might move the time off the grid."""
    if zone in ("", "Z", "z") or (int(zone[1:3]) <= 14 and zone[3:].strip(":0") == ""):
        return zone
    return f"{zone[0]}{int(zone[1:3]) % 15:02}:00"


def past(value):
    """A whole hour from 2001 to 2020 that depends only on the value."""
    return datetime(2001, 1, 1, tzinfo=timezone.utc) + timedelta(hours=zlib.crc32(str(value).encode()) % 160_000)


def epoch(text):
    """Seconds since 1970 of an RFC 3339 time, unless its zone moves it out of the years 1 to 9999."""
    base, fraction, zone = RFC3339.match(text).groups()
    try:
        moment = datetime.fromisoformat(base + zone.replace("Z", "+00:00")).timestamp()
        datetime.fromtimestamp(moment, timezone.utc)
    except (ValueError, OverflowError):
        return None
    return Decimal(int(moment)) + Decimal(f"0{fraction or '.0'}")


def price(value):
    """The price itself, unless it has more than 28 digits in all or after the point."""
    number = decimal(value)
    if (
        number is not None
        and number.adjusted() < 28
        and number.as_tuple().exponent >= -28
        and len(number.as_tuple().digits) <= 28
    ):
        return value
    return "1.0850" if isinstance(value, str) else 1.085


def whole(value, least, most):
    number = decimal(value)
    return (
        number is not None
        and number.adjusted() < 30
        and number == number.to_integral_value()
        and least <= number <= most
    )


def decimal(value):
    """The number exactly, unless its exponent is beyond all that could be a price, a volume or a time."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def keep_list_rules(query):
    printable = lambda text: UNPRINTABLE.sub("x", text)
    if "symbol" in query:
        symbols = query["symbol"]
        query["symbol"] = [printable(symbol) for symbol in symbols] if isinstance(symbols, list) else printable(symbols)
    if "after" in query:
        query["after"] = printable(query["after"])


def keep_history_rules(query):
    """`after` is a place in the history and no time."""
    after = query.pop("after", None)
    keep_query_rules(query)
    if after is not None:
        query["after"] = UNPRINTABLE.sub("x", after)


def keep_query_rules(query):
    if "symbol" in query:
        query["symbol"] = UNPRINTABLE.sub("x", query["symbol"])
    if "limit" in query and int(query["limit"]) > MAX_LIMIT:
        query["limit"] = MAX_LIMIT
    keep_source_rules(query)
    for one, other in (("from", "after"), ("to", "before"), ("before", "after")):
        if one in query and other in query:
            del query[other]
    unit = query.get("unit")
    for name in query.keys() & {"from", "to", "before", "after", "posted_after"}:
        if bound(query[name], unit) is None:
            query[name] = "2025-08-03T10:00:00.123Z"
    # No candle can lie before the first moment or after the last.
    if "before" in query and bound(query["before"], unit) == BEGINNING:
        del query["before"]
    if "after" in query and bound(query["after"], unit) == END:
        del query["after"]
    lower, upper = query.keys() & {"from", "after"}, query.keys() & {"to", "before"}
    if lower and upper:
        (lower,), (upper,) = lower, upper
        if bound(query[lower], unit) > bound(query[upper], unit):
            query[lower], query[upper] = query[upper], query[lower]
        if bound(query[lower], unit) == bound(query[upper], unit):
            del query[upper]


def keep_source_rules(query):
    """A source that is shorter than the timeframe, and a zone that exists."""
    if "source" not in query:
        query.pop("align", None)
        query.pop("week", None)
        return
    choice = zlib.crc32(repr(sorted(query.items())).encode(errors="replace"))
    query["source"] = "M1"
    query["timeframe"] = BUILT_FROM_M1[choice % len(BUILT_FROM_M1)]
    if "align" in query:
        query["align"] = ALIGNMENTS[choice % len(ALIGNMENTS)]
    if "limit" in query and int(query["limit"]) > MAX_BUILT:
        query["limit"] = MAX_BUILT


def keep_gap_rules(query):
    """A range that is not too long, and texts that are a session and a zone."""
    unit = query.get("unit")
    bounds = [bound(query[name], unit) for name in ("from", "to") if name in query]
    months = "timeframe" in query and query["timeframe"].lower().endswith("mn1")
    if months:
        query["timeframe"] = "W1"
    if len(bounds) == 2 and bounds[1] - bounds[0] > 600_000 * 60_000:
        query["to"] = query["from"]
    keep_session_rules(query)


def keep_freshness_rules(query):
    if "session" in query:
        query["symbol"] = ["EURUSD"]
        query.setdefault("timeframe", "H1")
        if query["timeframe"].lower().endswith("mn1"):
            query["timeframe"] = "W1"
    else:
        query.pop("tz", None)
    keep_session_rules(query)


def keep_session_rules(query):
    """The document cannot say which texts are sessions and zones."""
    if query.get("session") not in (None, "learned", "24x7"):
        query["session"] = "1700-1700:23456"
    if "tz" in query:
        query["tz"] = "Europe/Athens"


def bound(value, unit):
    """Milliseconds since 1970, or `None` for a time that is finer than a millisecond or out of range."""
    if isinstance(value, str) and RFC3339.match(value):
        moment = epoch(value)
        return moment * 1000 if moment is not None and moment * 1000 == int(moment * 1000) else None
    if isinstance(value, str) and DATE.match(value):
        return bound(f"{value}T00:00:00Z", unit)
    if unit is None and DATE_IN_DIGITS.match(str(value)):
        return None
    number = int(Decimal(str(value)))
    millis = number if in_milliseconds(number, unit) else number * 1000
    return millis if BEGINNING <= millis <= END else None
