"""Live streams: events, resuming after cuts and restarts, and when they give up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from support import KEY, MINUTE, START, TOKEN, OnLog, Server, Service, answer, answers, candle, minutes, passing

from candlewick import CandleEvent, Candlewick, CandlewickError, Event, HistoryEvent

EURUSD, GBPUSD = ("EURUSD", "M1"), ("GBPUSD", "M1")


def until(events: Iterator[Event[Decimal]], time: int) -> list[int]:
    """Takes events up to the closed candle of a time, and returns the times of all that came."""
    times = []
    for event in events:
        assert isinstance(event, CandleEvent)
        times.append(event.candle.timestamp)
        if event.candle.timestamp == time and event.candle.complete:
            return times
    raise AssertionError


def test_candles_come_as_they_are_stored(service: Service, client: Candlewick[Decimal]) -> None:
    client.post(minutes(3), symbol="EURUSD", timeframe="M1")
    with closing(client.live(EURUSD, GBPUSD)) as events:
        first = next(events)
        assert isinstance(first, CandleEvent)
        assert (first.symbol, first.timeframe, first.candle.timestamp) == (*EURUSD, START + 2 * MINUTE)
        client.post([candle(START + 3 * MINUTE, complete=False)], symbol="EURUSD", timeframe="M1")
        forming = next(events)
        assert isinstance(forming, CandleEvent) and not forming.candle.complete
        client.post([candle(START + 3 * MINUTE, close="1.085005")], symbol="EURUSD", timeframe="M1")
        closed = next(events)
        assert isinstance(closed, CandleEvent) and closed.candle.complete
        assert str(closed.candle.close) == service.stored()[-1][4]
        client.post([candle(START)], symbol="GBPUSD", timeframe="M1")
        other = next(events)
        assert isinstance(other, CandleEvent) and other.symbol == "GBPUSD"
    # A page and the stream from its last candle on have no hole, also where series differ.
    read = list(client.candles("EURUSD", "M1", limit=2))
    since = {EURUSD: read[-1].time}
    client.post(minutes(2, START + 4 * MINUTE), symbol="EURUSD", timeframe="M1")
    with closing(client.live(EURUSD, GBPUSD, since=since)) as events:
        assert until(events, START + 5 * MINUTE)[0] == read[-1].timestamp
    with closing(client.live(EURUSD, since="2025-08-04")) as events:
        assert until(events, START + 5 * MINUTE) == [START + number * MINUTE for number in range(6)]


def test_older_history_that_changes_is_an_event(client: Candlewick[Decimal]) -> None:
    client.post(minutes(30, START), symbol="EURUSD", timeframe="M1")
    with closing(client.live(EURUSD)) as events:
        newest = next(events)
        client.post([candle(START - 10 * MINUTE)], symbol="EURUSD", timeframe="M1")
        late = next(events)
        assert isinstance(late, HistoryEvent)
        assert (late.symbol, late.kind, late.position) == ("EURUSD", "late", newest.position)
        assert late.start <= START - 10 * MINUTE <= late.end
    # More is missing than a stream carries.
    client.post(minutes(1_500, START + 30 * MINUTE), symbol="EURUSD", timeframe="M1")
    with closing(client.live(EURUSD, position=newest.position)) as events:
        missed = next(events)
        assert isinstance(missed, HistoryEvent) and missed.kind == "missed"
        assert until(events, START + 1_529 * MINUTE)


def test_a_stream_goes_on_after_a_restart(service: Service, client: Candlewick[Decimal]) -> None:
    client.post(minutes(3), symbol="EURUSD", timeframe="M1")
    with closing(client.live(EURUSD)) as events:
        first = next(events)
        service.kill()

        def come_back() -> None:
            service.start()
            client.post(minutes(5, START + 3 * MINUTE), symbol="EURUSD", timeframe="M1")

        with OnLog(come_back) as log:
            times = until(events, START + 7 * MINUTE)
        assert log.records
        # The last one before the restart may be repeated; none is missing.
        assert sorted(set(times) | {START + 2 * MINUTE}) == [START + number * MINUTE for number in range(2, 8)]
        # A stop is as harmless.
        service.stop()
        with OnLog(service.start):
            client.post([candle(START + 8 * MINUTE)], symbol="EURUSD", timeframe="M1")
        assert START + 8 * MINUTE in until(events, START + 8 * MINUTE)
    # Another process goes on from the position.
    with closing(Candlewick(service.url, TOKEN).live(EURUSD, position=first.position)) as events:
        assert until(events, START + 8 * MINUTE)[-6:] == [START + number * MINUTE for number in range(3, 9)]


def test_a_stream_that_is_cut_anywhere_loses_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("candlewick.transport.Pauses.next", lambda *_: 0.0)
    Candlewick(service.url, key=KEY).post(minutes(60), symbol="EURUSD", timeframe="M1")
    # Each connection carries a few events more than the head, and ends amid the next one.
    with Server(passing(service, most=lambda number: 1_500 + 37 * number)) as proxy:
        client = Candlewick(proxy.url, TOKEN)
        with closing(client.live(EURUSD, since=START)) as events:
            times = until(events, START + 59 * MINUTE)
    assert sorted(set(times)) == [START + number * MINUTE for number in range(60)]
    assert len(times) > 60


def test_a_stream_gives_up_where_another_attempt_is_vain(service: Service, client: Candlewick[Decimal]) -> None:
    with pytest.raises(CandlewickError, match="series is given 33 times") as refused:
        next(client.live(*[(f"S{number}", "M1") for number in range(33)]))
    assert refused.value.code == "invalid_values"
    with pytest.raises(CandlewickError) as refused:
        next(client.live(("EURUSD", "M7")))
    assert refused.value.code == "invalid_values"
    with pytest.raises(ValueError, match="has no time zone"):
        client.live(EURUSD, since="2025-08-04T10:00:00")
    # Nobody answers, or something else does, before the first connection.
    with Server(answers(b"")) as gone:
        url = gone.url
    for reply, code in [(None, "unreachable"), (answer("200 OK", "text/html", b"<html>"), "unreadable")]:
        with Server(answers(reply or b"")) as server, pytest.raises(CandlewickError) as refused:
            next(Candlewick(url if reply is None else server.url, TOKEN, patience=0).live(EURUSD))
        assert refused.value.code == code
    event = b'event: candle\ndata: {"symbol":"EURUSD"}\n\n'
    with Server(answers(answer("200 OK", "text/event-stream", event))) as server:
        with pytest.raises(CandlewickError, match="not candlewick's"):
            next(Candlewick(server.url, TOKEN).live(EURUSD))


def test_a_stream_gives_up_once_its_patience_is_over(service: Service, client: Candlewick[Decimal]) -> None:
    client.post(minutes(1), symbol="EURUSD", timeframe="M1")
    events = client.live(EURUSD, patience=0)
    next(events)
    service.kill()
    with pytest.raises(CandlewickError) as failed:
        next(events)
    assert failed.value.is_temporary


def test_a_silent_stream_is_opened_again(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("candlewick.stream.SILENCE_SECONDS", 0.3)
    Candlewick(service.url, key=KEY).post(minutes(1), symbol="EURUSD", timeframe="M1")
    through = passing(service, most=lambda number: None)

    def handle(connection: socket.socket, number: int) -> None:
        if number > 0:
            through(connection, number)
        # Sends nothing, as if the cable were out.
        connection.recv(1 << 16)
        connection.recv(1)

    with Server(handle) as proxy:
        event = next(Candlewick(proxy.url, TOKEN).live(EURUSD))
    assert isinstance(event, CandleEvent) and event.candle.timestamp == START
