"""Posts, compared with the rows of the database."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy
import pandas
import pytest
from support import KEY, MINUTE, START, OnLog, Server, Service, answer, answers, candle, minutes, passing, plain

from candlewick import Candlewick, CandlewickError, Conflict, Posted


def test_a_batch_without_an_answer_is_posted_again(service: Service) -> None:
    # The service stores the first batch, and its answer is lost.
    with Server(passing(service, most=lambda number: 0 if number == 0 else None)) as proxy:
        posted = Candlewick(proxy.url, key=KEY).post(minutes(100), symbol="EURUSD", timeframe="M1")
    assert posted == Posted(received=100, duplicate=100)
    assert [row[0] for row in service.stored()] == [START + number * MINUTE for number in range(100)]


def test_posts_go_on_after_a_restart(service: Service) -> None:
    client = Candlewick(service.url, key=KEY)
    client.post(minutes(10), symbol="EURUSD", timeframe="M1")
    service.kill()
    with OnLog(service.start) as log:
        assert client.post(minutes(20), symbol="EURUSD", timeframe="M1") == Posted(received=20, added=10, duplicate=10)
    assert log.records


def test_candles_come_from_wherever_they_are(service: Service, client: Candlewick[Decimal]) -> None:
    moment = datetime(2025, 8, 4, tzinfo=timezone.utc)
    prices = {"open": Decimal("1.08500"), "high": 2, "low": numpy.float64(0.5), "close": "1.0850"}
    broker = {"timestamp": "2025.08.04 04:00", "utc_offset": 10_800, **prices, "volume": numpy.int64(3)}
    client.post([{"timestamp": moment, **prices, "volume": 1}, broker], symbol="A", timeframe="M1")
    assert service.stored("A") == [
        (START, "1.08500", "2", "0.5", "1.0850", 1),
        (START + 60 * MINUTE, "1.08500", "2", "0.5", "1.0850", 3),
    ]
    # Candles that were read, forming ones included, and a data frame.
    client.post([candle(START + 61 * MINUTE, complete=False)], symbol="A", timeframe="M1")
    assert client.post(client.candles("A", "M1"), symbol="B", timeframe="M1") == Posted(received=3, added=2, live=1)
    assert service.stored("B") == service.stored("A")
    assert plain(client.candles("B", "M1")) == plain(client.candles("A", "M1"))
    frame = pandas.DataFrame([{**candle(), "timestamp": pandas.Timestamp(moment)}]).drop(columns="unit")
    assert client.post(frame.to_dict("records"), symbol="C", timeframe="M1").added == 1
    with pytest.raises(TypeError, match="neither a number nor a text nor a time"):
        client.post([candle(volume=object())], symbol="D", timeframe="M1")


def test_a_refusal_names_each_wrong_candle_and_what_is_stored(service: Service, client: Candlewick[Decimal]) -> None:
    candles = list(minutes(4_500))
    candles[2_500] |= {"volume": -1}
    candles[3_000] |= {"open": float("nan"), "low": "9"}
    with pytest.raises(
        CandlewickError, match="^The first 2000 candles are stored. In the batch after them: "
    ) as refused:
        client.post(candles, symbol="EURUSD", timeframe="M1")
    error = refused.value
    assert (error.code, error.status, error.stored) == ("invalid_values", 422, Posted(received=2_000, added=2_000))
    assert {(each.loc, each.type) for each in error.errors} >= {
        (("body", "candles", 2_500, "volume"), "out_of_range"),
        (("body", "candles", 3_000, "open"), "not_a_number"),
    }
    assert len(service.stored()) == 2_000
    # The good ones of a lenient post are stored, and those of the first batch are known.
    posted = client.post(candles, symbol="EURUSD", timeframe="M1", lenient=True)
    assert (posted.received, posted.added, posted.duplicate, posted.rejected) == (4_500, 2_498, 2_000, 2)
    assert {each.index for each in posted.rejections} == {2_500, 3_000}
    assert all(each.error.loc[2] == each.index for each in posted.rejections)
    assert len(service.stored()) == 4_498


def test_conflicts_and_early_candles_have_their_places(client: Candlewick[Decimal]) -> None:
    client.post(minutes(2_100), symbol="EURUSD", timeframe="M1")
    candles = list(minutes(2_100))
    candles[2_050] |= {"volume": 7}
    posted = client.post(candles, symbol="EURUSD", timeframe="M1")
    assert (posted.duplicate, posted.conflicting, posted.conflicts) == (2_100, 1, (Conflict(2_050, ("volume",)),))
    now = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    month = candle(timeframe="MN1", timestamp=now.replace(day=1).isoformat())
    del month["unit"]
    posted = client.post([*minutes(2_000), {**month, "symbol": "MONTH"}], timeframe="M1", symbol="EURUSD")
    assert (posted.live, posted.early) == (1, (2_000,))


def test_a_batch_that_is_too_large_is_halved(tmp_path: Path) -> None:
    service = Service(tmp_path, MAX_BATCH="300").start()
    try:
        client = Candlewick(service.url, key=KEY)
        assert client.post(minutes(2_500), symbol="EURUSD", timeframe="M1") == Posted(received=2_500, added=2_500)
        assert len(service.stored()) == 2_500
    finally:
        service.kill()
    # A proxy may refuse a body as well. One candle cannot be halved.
    page = answer("413 Content Too Large", "text/html", b"<html>")
    with Server(answers(page)) as proxy, pytest.raises(CandlewickError) as refused:
        Candlewick(proxy.url, key=KEY, patience=0).post(minutes(3), symbol="EURUSD", timeframe="M1")
    assert (refused.value.status, refused.value.stored) == (413, Posted())


def test_nothing_is_posted_of_nothing(client: Candlewick[Decimal]) -> None:
    assert client.post([]) == Posted()
    assert client.series() == []
