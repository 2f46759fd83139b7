"""Candles, series and newest candles, compared with the rows of the database."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from support import KEY, MINUTE, START, TOKEN, OnLog, Service, candle, eventually, minutes, plain

from candlewick import Candlewick, CandlewickError, SkippedRowsWarning

# More than a page of 10,000.
MANY = 11_000


def test_all_candles_are_read_page_by_page(service: Service, client: Candlewick[Decimal]) -> None:
    assert client.post(minutes(MANY), symbol="EURUSD", timeframe="M1").added == MANY
    stored = service.stored()
    assert len(stored) == MANY
    assert plain(client.candles("EURUSD", "M1")) == stored
    # The newest ones, in one page and in several, and the first ones.
    assert plain(client.candles("EURUSD", "M1", limit=3)) == stored[-3:]
    assert plain(client.candles("EURUSD", "M1", limit=10_500)) == stored[-10_500:]
    assert plain(client.candles("EURUSD", "M1", limit=10 * MANY)) == stored
    assert plain(client.candles("EURUSD", "M1", start=START, limit=10_500)) == stored[:10_500]
    end = START + 10_900 * MINUTE
    assert plain(client.candles("EURUSD", "M1", end=end, limit=10_500)) == stored[401:10_901]
    assert plain(client.candles("EURUSD", "M1", start=START + MINUTE, end=end)) == stored[1:10_901]


def test_prices_keep_their_digits_or_are_doubles_as_asked(service: Service, client: Candlewick[Decimal]) -> None:
    prices = {"open": "0.00000001", "high": "12345678901234567890.12345678", "low": "-5", "close": "1.08500"}
    client.post([candle() | prices], symbol="=\"a+b'&", timeframe="M1")
    (exact,) = client.candles("=\"a+b'&", "M1")
    assert (exact.high, str(exact.close), f"{exact.open:f}") == (Decimal(prices["high"]), "1.08500", "0.00000001")
    with Candlewick(service.url, TOKEN, prices=str) as texts:
        (text,) = texts.candles("=\"a+b'&", "M1")
    assert {name: getattr(text, name) for name in prices} == prices
    with Candlewick(service.url, TOKEN, prices=float) as doubles:
        (double,) = doubles.candles("=\"a+b'&", "M1")
        (latest,) = doubles.latest()
    assert {name: getattr(double, name) for name in prices} == {name: float(price) for name, price in prices.items()}
    assert latest.candle == double


def test_a_service_that_gives_less_at_once_is_asked_for_less(tmp_path: Path) -> None:
    service = Service(tmp_path, MAX_LIMIT="150", MAX_BATCH="100").start()
    try:
        client = Candlewick(service.url, TOKEN, key=KEY)
        assert client.post(minutes(1_000), symbol="EURUSD", timeframe="M1").added == 1_000
        stored = service.stored()
        assert plain(client.candles("EURUSD", "M1")) == stored
        assert plain(client.candles("EURUSD", "M1", limit=400)) == stored[-400:]
        assert plain(client.candles("EURUSD", "M1", start=START, limit=400)) == stored[:400]
        # D1 of 2,000,000 minutes at most.
        assert len(list(client.candles("EURUSD", "D1", source="M1", limit=5_000))) == 1
    finally:
        service.kill()


def test_candles_of_other_timeframes_are_built(client: Candlewick[Decimal]) -> None:
    client.post(minutes(180), symbol="EURUSD", timeframe="M1")
    hours = list(client.candles("EURUSD", "H1", source="M1"))
    assert [hour.volume for hour in hours] == [sum(range(n * 60, n * 60 + 60)) for n in range(3)]
    (day,) = client.candles("EURUSD", "D1", source="M1", align="America/New_York@17:00", week="sunday")
    assert day.time.hour == 21 and not day.complete


def test_times_are_given_in_every_form(service: Service, client: Candlewick[Decimal]) -> None:
    client.post(minutes(120), symbol="EURUSD", timeframe="M1")
    stored = service.stored()
    moment = datetime(2025, 8, 4, 1, 0, tzinfo=timezone.utc)
    athens = moment.astimezone(timezone(timedelta(hours=3)))
    for start in (
        START + 60 * MINUTE,
        str(START + 60 * MINUTE),
        "2025-08-04T01:00:00Z",
        "2025-08-04T04:00:00+03:00",
        moment,
        athens,
    ):
        assert plain(client.candles("EURUSD", "M1", start=start)) == stored[60:], start
    for day in (date(2025, 8, 4), "2025-08-04"):
        assert plain(client.candles("EURUSD", "M1", start=day)) == stored
    with pytest.raises(ValueError, match="has no time zone"):
        client.candles("EURUSD", "M1", start=datetime(2025, 8, 4))
    with pytest.raises(TypeError, match="is not a time"):
        client.candles("EURUSD", "M1", start=1.5)  # type: ignore[arg-type]
    # Milliseconds of 1970, which a service would take for seconds without their unit.
    client.post([candle(5 * MINUTE)], symbol="OLD", timeframe="M1")
    assert [each.timestamp for each in client.candles("OLD", "M1", start=5 * MINUTE, end=5 * MINUTE)] == [5 * MINUTE]
    # A time that is too fine is refused and not rounded.
    with pytest.raises(CandlewickError, match="finer than a millisecond") as refused:
        next(client.candles("EURUSD", "M1", start=moment + timedelta(microseconds=1)))
    assert refused.value.errors[0].loc == ("query", "from")


def test_series_and_newest_candles_are_listed(service: Service, client: Candlewick[Decimal]) -> None:
    symbols = [f"S{number:05}" for number in range(12_000)]
    service.run_sql(
        "insert into market_data_candles (symbol, timeframe, timestamp, open, high, low, close, volume)"
        " select value, 'M1', ?, '1.000001', '1.000001', '1.000001', '1.000001', 1 from json_each(?)",
        START,
        json.dumps(symbols),
    )
    client.post([candle(START + MINUTE, complete=False)], symbol="S00007", timeframe="M1")
    # More than a page of 10,000. A list may be a second old.
    eventually(lambda: [each.symbol for each in client.series()] == symbols)
    assert [(each.symbol, each.first, each.last, each.price_precision) for each in client.series("S00007")] == [
        ("S00007", START, START, 6)
    ]
    assert [each.symbol for each in client.series(["S00001", "S00003"], "M1")] == ["S00001", "S00003"]
    assert client.series(timeframe="H1") == []
    latest = client.latest()
    assert [each.symbol for each in latest] == symbols
    (forming,) = client.latest(["S00007"], "M1")
    assert (forming.candle.timestamp, forming.candle.complete) == (START + MINUTE, False)
    assert forming.received is not None
    # An ingest key may list series.
    with Candlewick(service.url, key=KEY) as feed:
        assert len(feed.series("S00001")) == 1


def test_statistics_are_there_once_the_series_is_counted(client: Candlewick[Decimal]) -> None:
    client.post(minutes(100), symbol="EURUSD", timeframe="M1")
    eventually(lambda: client.series("EURUSD", statistics=True)[0].statistics is not None)
    (series,) = client.series("EURUSD", statistics=True)
    assert series.statistics
    assert (series.statistics.candles, series.statistics.coverage) == (100, {"2025-08": 100})
    assert client.series("EURUSD")[0].statistics is None


def test_rows_that_are_not_candles_are_warned_of(service: Service, client: Candlewick[Decimal]) -> None:
    client.post(minutes(3), symbol="EURUSD", timeframe="M1")
    service.run_sql("update market_data_candles set open = 'NaN' where timestamp = ?", START + MINUTE)
    # A page shows what another process changed within a second.
    with pytest.warns(SkippedRowsWarning, match=str(START + MINUTE)):
        eventually(lambda: len(list(client.candles("EURUSD", "M1"))) == 2)
        found = list(client.candles("EURUSD", "M1"))
    assert [each.timestamp for each in found] == [START, START + 2 * MINUTE]


def test_a_service_that_restarts_amid_paging_loses_nothing(tmp_path: Path) -> None:
    service = Service(tmp_path, MAX_LIMIT="100").start()
    try:
        client = Candlewick(service.url, TOKEN, key=KEY)
        client.post(minutes(250), symbol="EURUSD", timeframe="M1")
        candles = client.candles("EURUSD", "M1")
        found = [next(candles)]
        service.kill()
        with OnLog(service.start) as log:
            found += candles
        assert log.records
        assert plain(found) == service.stored()
    finally:
        service.kill()


def test_an_idle_connection_that_was_closed_is_no_failure(service: Service) -> None:
    client = Candlewick(service.url, TOKEN, key=KEY, patience=0)
    client.post(minutes(3), symbol="EURUSD", timeframe="M1")
    service.kill()
    service.start()
    assert client.post(minutes(3), symbol="EURUSD", timeframe="M1").duplicate == 3
    assert len(list(client.candles("EURUSD", "M1"))) == 3


def test_threads_share_a_client(service: Service, client: Candlewick[Decimal]) -> None:
    client.post(minutes(300), symbol="EURUSD", timeframe="M1")
    stored = service.stored()
    together = threading.Barrier(8)

    def read(number: int) -> bool:
        together.wait()
        return all(
            plain(client.candles("EURUSD", "M1", start=START + number * MINUTE)) == stored[number:] for _ in range(5)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


def test_wrong_arguments_are_errors(service: Service, client: Candlewick[Decimal]) -> None:
    for url in (
        "localhost:8000",
        "ftp://localhost",
        "http://user@localhost",
        f"{service.url}/api/v1/",
        f"{service.url}?a=1",
    ):
        with pytest.raises(ValueError, match="without /api/v1"):
            Candlewick(url, TOKEN)
    with pytest.raises(ValueError, match="a key must be") as refused:
        Candlewick(service.url, "secret\r\nHost: elsewhere")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="prices must be"):
        Candlewick(service.url, TOKEN, prices=int)
    with pytest.raises(ValueError, match="limit is 0"):
        client.candles("EURUSD", "M1", limit=0)
    assert TOKEN not in repr(client)
