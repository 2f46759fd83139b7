"""Files and data frames, compared with the rows of the database. A file is whole or it is not there."""

from __future__ import annotations

import gzip
import json
import socket
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pandas
import polars
import pyarrow.parquet
import pytest
from support import KEY, MINUTE, START, TOKEN, OnLog, Server, Service, answer, answers, candle, minutes, passing, plain

from candlewick import Candlewick, CandlewickError

FORMATS = ("csv", "ndjson", "parquet")
# More than an answer holds in one piece, also compressed.
MANY = 12_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with candles that no test changes."""
    service = Service(tmp_path_factory.mktemp("filled")).start()
    client = Candlewick(service.url, key=KEY)
    client.post(minutes(MANY), symbol="EURUSD", timeframe="M1")
    client.post([candle(START + MANY * MINUTE, complete=False)], symbol="EURUSD", timeframe="M1")
    yield service
    service.kill()


@pytest.fixture
def reader(filled: Service) -> Candlewick[Decimal]:
    return Candlewick(filled.url, TOKEN)


def test_files_hold_the_stored_candles(filled: Service, reader: Candlewick[Decimal], tmp_path: Path) -> None:
    stored = filled.stored()
    path = reader.export(tmp_path / "all.csv", "EURUSD", "M1", time="ms")
    lines = [line.split(",") for line in path.read_text().splitlines()]
    assert [(int(time), *prices, int(volume)) for time, *prices, volume in lines[1:]] == stored
    path = reader.export(str(tmp_path / "part.ndjson"), "EURUSD", "M1", start=START + MINUTE, end=START + 9 * MINUTE)
    found = [json.loads(line, parse_float=str) for line in path.read_text().splitlines()]
    assert [tuple(each.values()) for each in found] == stored[1:10]
    path = reader.export(tmp_path / "all", "EURUSD", "M1", format="parquet", prices="text", forming=True)
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == ["timestamp", "open", "high", "low", "close", "volume", "complete"]
    assert table["close"].to_pylist()[:MANY] == [row[4] for row in stored]
    assert table["complete"].to_pylist() == [True] * MANY + [False]
    path = reader.export(tmp_path / "days.CSV", "EURUSD", "H4", source="M1", align="ny17", time="s")
    assert len(path.read_text().splitlines()) == 1 + MANY // 240
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all", "all.csv", "days.CSV", "part.ndjson"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_broke_off_is_not_there(filled: Service, format: str, tmp_path: Path) -> None:
    path = tmp_path / f"EURUSD.{format}"
    # The answer is cut in its head, behind it, in the middle, and before its last chunk. The first export measures it.
    sizes: list[int] = []

    def whole(connection: socket.socket, number: int) -> None:
        passing(filled, most=lambda _: None)(Counting(connection, sizes), number)  # type: ignore[arg-type]

    with Server(whole) as proxy:
        Candlewick(proxy.url, TOKEN).export(path, "EURUSD", "M1")
    (size,) = sizes
    before = path.read_bytes()
    for most in (300, 1_500, size // 2, size - 5):
        with Server(passing(filled, most=lambda _, most=most: most)) as proxy:  # type: ignore[misc]
            with pytest.raises(CandlewickError) as failed:
                Candlewick(proxy.url, TOKEN, patience=0).export(path, "EURUSD", "M1")
            assert failed.value.code == ("unreachable" if most == 300 else "broke_off"), most
        # The file of the earlier export is still there, and nothing else.
        assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_a_data_frame_is_whole_or_an_error(filled: Service) -> None:
    for most in (300, 5_000):
        with Server(passing(filled, most=lambda _, most=most: most)) as proxy:  # type: ignore[misc]
            client = Candlewick(proxy.url, TOKEN, patience=0)
            for frame in (client.to_pandas, client.to_polars):
                with pytest.raises(CandlewickError):
                    frame("EURUSD", "M1")


class Counting:
    """A connection that counts the bytes of an answer."""

    def __init__(self, connection: socket.socket, sizes: list[int]) -> None:
        self.recv = connection.recv
        self._connection = connection
        self._sizes = sizes
        sizes.append(0)

    def sendall(self, data: bytes) -> None:
        self._sizes[-1] += len(data)
        self._connection.sendall(data)


def test_a_service_that_dies_amid_an_export_leaves_no_file(service: Service, tmp_path: Path) -> None:
    Candlewick(service.url, key=KEY).post(minutes(MANY), symbol="EURUSD", timeframe="M1")
    folder = tmp_path / "files"
    folder.mkdir()
    with Server(passing(service, most=lambda _: 50_000, then=service.kill)) as proxy:
        with pytest.raises(CandlewickError) as failed:
            Candlewick(proxy.url, TOKEN).export(folder / "EURUSD.csv", "EURUSD", "M1")
    assert failed.value.code == "broke_off"
    assert list(folder.iterdir()) == []
    # Before an answer begins, an export waits for the service as other requests do.
    with OnLog(service.start):
        Candlewick(service.url, TOKEN).export(folder / "EURUSD.csv", "EURUSD", "M1", time="ms")
    assert len((folder / "EURUSD.csv").read_text().splitlines()) == 1 + MANY


def test_answers_that_could_break_off_unnoticed_are_refused(tmp_path: Path) -> None:
    csv = b"timestamp,open,high,low,close,volume\n"
    packed = gzip.compress(csv * 100)
    kind = "text/csv"
    for reply, code in [
        # The answer of a proxy that speaks HTTP/1.0 ends with the connection.
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\n\r\n" + csv, "unreadable"),
        (answer("200 OK", kind, csv, length=len(csv) + 1), "broke_off"),
        (answer("200 OK", kind, packed[:-4], "Content-Encoding: gzip"), "broke_off"),
        (answer("200 OK", kind, b"\x00" + packed, "Content-Encoding: gzip"), "broke_off"),
        (answer("200 OK", "text/html", b"<html>welcome to the hotel"), "unreadable"),
        (answer("502 Bad Gateway", "text/html", b"<html>"), "unreadable"),
    ]:
        with Server(answers(reply)) as server, pytest.raises(CandlewickError) as failed:
            Candlewick(server.url, TOKEN, patience=0).export(tmp_path / "a.csv", "EURUSD", "M1")
        assert failed.value.code == code, reply
        assert list(tmp_path.iterdir()) == []
    with Server(answers(answer("200 OK", kind, packed, "Content-Encoding: gzip"))) as server:
        Candlewick(server.url, TOKEN).export(tmp_path / "a.csv", "EURUSD", "M1")
    assert (tmp_path / "a.csv").read_bytes() == csv * 100


def test_an_export_waits_for_a_place(tmp_path: Path) -> None:
    service = Service(tmp_path, MAX_EXPORTS="1").start()
    try:
        client = Candlewick(service.url, TOKEN, key=KEY)
        client.post(minutes(MANY), symbol="EURUSD", timeframe="M1")
        # Takes the place, because nothing is read after the first bytes. A small buffer holds only a part of the file.
        busy = socket.socket()
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        busy.connect(("127.0.0.1", service.port))
        query = "symbol=EURUSD&timeframe=M1"
        busy.sendall(
            f"GET /api/v1/export.ndjson?{query} HTTP/1.1\r\nHost: a\r\nX-Internal-Token: {TOKEN}\r\n\r\n".encode()
        )
        busy.recv(16)
        with pytest.raises(CandlewickError, match="MAX_EXPORTS") as refused:
            Candlewick(service.url, TOKEN, patience=0).to_polars("EURUSD", "M1")
        assert refused.value.code == "overloaded"
        with OnLog(busy.close) as log:
            assert len(client.to_polars("EURUSD", "M1")) == MANY
        assert log.records
    finally:
        service.kill()


def test_files_that_cannot_be_written_are_errors(reader: Candlewick[Decimal], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ends in none of .csv, .ndjson, .parquet"):
        reader.export(tmp_path / "EURUSD.xlsx", "EURUSD", "M1")
    with pytest.raises(ValueError, match="there is no format 'xlsx'"):
        reader.export(tmp_path / "EURUSD", "EURUSD", "M1", format="xlsx")
    with pytest.raises(FileNotFoundError):
        reader.export(tmp_path / "no" / "folder.csv", "EURUSD", "M1")
    with pytest.raises(CandlewickError, match="time") as refused:
        reader.export(tmp_path / "EURUSD.csv", "EURUSD", "M1", time="minutes")
    assert refused.value.code == "invalid_values"
    assert list(tmp_path.iterdir()) == []


def test_data_frames_hold_the_stored_candles(filled: Service, reader: Candlewick[Decimal]) -> None:
    stored = filled.stored()
    frame = reader.to_pandas("EURUSD", "M1")
    assert isinstance(frame.index, pandas.DatetimeIndex) and str(frame.index.dtype) == "datetime64[ms, UTC]"
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert [int(time.timestamp() * 1000) for time in frame.index] == [row[0] for row in stored]
    assert frame["close"].tolist() == [float(row[4]) for row in stored]
    exact = reader.to_pandas("EURUSD", "M1", prices="decimal", end=START + 4 * MINUTE)
    assert [str(price) for price in exact["high"]] == [row[2] for row in stored[:5]]
    table = reader.to_polars("EURUSD", "M1", prices="text", forming=True)
    assert table.schema["timestamp"] == polars.Datetime("ms", "UTC")
    assert table["open"].to_list()[:-1] == [row[1] for row in stored]
    assert table["complete"].to_list() == [True] * MANY + [False]
    hours = reader.to_polars("EURUSD", "H1", source="M1", prices="decimal")
    assert hours["close"].to_list() == [Decimal(row[4]) for row in stored[59::60]]
    assert reader.to_pandas("NONE", "M1").empty and reader.to_polars("NONE", "M1").is_empty()


@pytest.mark.parametrize(
    ("method", "package"), [("to_pandas", "pandas"), ("to_pandas", "pyarrow"), ("to_polars", "polars")]
)
def test_a_missing_package_is_named(
    reader: Candlewick[Decimal], method: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install .*{package}"):
        getattr(reader, method)("EURUSD", "M1")


def test_the_candles_of_a_page_and_of_a_file_are_the_same(reader: Candlewick[Decimal]) -> None:
    page = list(reader.candles("EURUSD", "M1"))
    table = reader.to_polars("EURUSD", "M1", forming=True, prices="text")
    times = [round(time.timestamp() * 1000) for time in table["timestamp"]]
    columns = (table[name].to_list() for name in ("open", "high", "low", "close", "volume"))
    assert plain(page) == list(zip(times, *columns, strict=True))
