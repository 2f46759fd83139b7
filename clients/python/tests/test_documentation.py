"""Runs every example of the docstrings and of README.md, and compares what they find with the database."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import secrets
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from support import KEY, TOKEN, Service

import candlewick
from candlewick import Candlewick

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
HOUR = 3_600_000
# 2025-08-01.
FIRST = 1_754_006_400_000


def hours(count: int) -> list[dict[str, object]]:
    """Hours from the first of August on, with prices whose text sorts differently than they do."""
    return [
        {
            "timestamp": FIRST + number * HOUR,
            "unit": "ms",
            "open": f"{9 + number % 3}.50",
            "high": f"{11 + number % 3}.5000",
            "low": f"{8 + number % 3}.125",
            "close": f"{9 + number % 3}.75",
            "volume": number,
            "complete": True,
        }
        for number in range(count)
    ]


@pytest.fixture
def examples(service: Service) -> Service:
    """A service as the docstrings expect it."""
    with Candlewick(service.url, key=KEY) as client:
        prices = [("1.08500", "1.08650", "1.08480", "1.08620"), *[("1.08620", "1.08700", "1.08600", "1.08610")] * 2]
        prices += [("1.08600", "1.08650", "1.08590", "1.08610"), ("1.08610", "1.08640", "1.08600", "1.08620")]
        start = 1_754_215_200_000
        candles: list[dict[str, object]] = [
            {
                **dict(zip(("open", "high", "low", "close"), each, strict=True)),
                "timestamp": start + number * HOUR,
                "unit": "ms",
                "volume": 1200,
                "complete": number < len(prices) - 1,
            }
            for number, each in enumerate(prices)
        ]
        client.post(candles, symbol="EURUSD", timeframe="H1")
    return service


def test_the_examples_of_docstrings_run(examples: Service, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    run = 0
    for module in pkgutil.iter_modules(candlewick.__path__, "candlewick."):
        client = Candlewick(examples.url, TOKEN, key=KEY)
        names = {"service": client, "URL": examples.url, "TOKEN": TOKEN, "FOLDER": folder}
        globs = {**vars(importlib.import_module(module.name)), **vars(candlewick), **names}
        options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        result = doctest.testmod(importlib.import_module(module.name), globs=globs, optionflags=options)
        assert result.failed == 0, module.name
        run += result.attempted
    assert run > 25


def block(*words: str) -> str:
    """The block of README.md that holds all words."""
    (found,) = [each for each in BLOCKS if all(word in each for word in words)]
    return str(found)


def ran(text: str, running: Service, monkeypatch: pytest.MonkeyPatch, **names: object) -> dict[str, Any]:
    """Runs a block in the folder of a service, with the service's address, and returns its variables."""
    monkeypatch.chdir(running.folder)
    monkeypatch.setenv("TOKEN", TOKEN)
    for address in ("http://127.0.0.1:8000", "https://candles.example.com"):
        text = text.replace(address, running.url)
    variables: dict[str, Any] = {"TOKEN": TOKEN, "KEY": KEY, **names}
    exec(compile(text, str(README), "exec"), variables)
    return variables


def test_every_block_is_run_by_a_test() -> None:
    assert len(BLOCKS) == 9


def test_a_notebook_shows_what_the_database_holds(
    service: Service, client: Candlewick[Decimal], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post(hours(60), symbol="EURUSD", timeframe="H1")
    stored = service.stored(timeframe="H1")
    text = block("import os", "Candlewick(", "to_pandas")
    assert len([line for line in text.splitlines() if line]) == 10
    found = ran(text, service, monkeypatch)
    assert f"EURUSD H1 {stored[0][0]} {stored[-1][0]}" in capsys.readouterr().out
    frame = found["frame"]
    assert [round(time.timestamp() * 1000) for time in frame.index] == [row[0] for row in stored]
    for column, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        assert frame[name].tolist() == [float(row[column]) for row in stored]
    days = [list(rows) for _, rows in groupby(stored, lambda row: row[0] // (24 * HOUR))]
    assert found["days"]["high"].tolist() == [max(float(row[2]) for row in rows) for rows in days]
    assert found["days"]["volume"].tolist() == [sum(row[5] for row in rows) for rows in days]
    assert len(found["returns"]) == len(stored) - 1


def test_reading_exporting_and_posting_work_as_shown(
    service: Service, client: Candlewick[Decimal], monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes: list[dict[str, object]] = [{**each, "timestamp": FIRST + n * 60_000} for n, each in enumerate(hours(600))]
    client.post(minutes, symbol="EURUSD", timeframe="M1")
    stored = service.stored()
    found = ran(block("newest =", "prices ="), service, monkeypatch)
    assert [each.timestamp for each in found["newest"]] == [row[0] for row in stored[-500:]]
    assert found["prices"] == {"EURUSD": Decimal(stored[-1][4])}
    path = ran(block("service.export"), service, monkeypatch, service=client)["path"]
    assert candlewick_rows(path) == len(stored)
    posted = ran(block("feed.post"), service, monkeypatch)["posted"]
    assert posted.added == 1
    assert service.stored(timeframe="H1") == [(1_754_215_200_000, "1.08500", "1.08650", "1.0848", "1.0862", 1200)]


def candlewick_rows(path: Path) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def test_following_works_as_shown(
    service: Service, client: Candlewick[Decimal], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(hours(3), symbol="EURUSD", timeframe="M1")
    printed: list[tuple[object, ...]] = []

    class Enough(Exception):
        pass

    def take(*values: object) -> None:
        printed.append(values)
        if len(printed) == 1:
            client.post([{**hours(4)[3], "complete": False}], symbol="EURUSD", timeframe="M1")
        else:
            raise Enough

    with pytest.raises(Enough):
        ran(block("service.live"), service, monkeypatch, service=client, print=take)
    stored = service.stored()
    assert [(str(close), complete) for _, close, complete in printed] == [
        (stored[-1][4], True),
        (hours(4)[3]["close"], False),
    ]


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[tuple[Service, str]]:
    """A service on a database of its own, and the address of that."""
    server = os.environ["TEST_DATABASE_URL"]
    name = f"candlewick_test_python_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        url = urlsplit(server)._replace(path=f"/{name}").geturl()
        service = Service(tmp_path, DATABASE_URL=url).start()
        try:
            yield service, url
        finally:
            service.kill()
            connection.execute(f"drop database {name} with (force)")


Rows = list[tuple[int, Decimal, Decimal, Decimal, Decimal, int]]


def decimals(stored: list[tuple[int, str, str, str, str, int]]) -> Rows:
    return [(time, *map(Decimal, prices), volume) for time, *prices, volume in stored]  # type: ignore[misc]


def check_frame(frame: Any, rows: Rows) -> None:
    """A frame of pandas with doubles has exactly these candles."""
    assert [round(time.timestamp() * 1000) for time in frame.index] == [row[0] for row in rows]
    for column, name in enumerate(("open", "high", "low", "close", "volume"), start=1):
        assert frame[name].tolist() == [float(row[column]) for row in rows]


def test_the_file_of_sqlite_is_read_as_shown(
    service: Service, client: Candlewick[Decimal], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(hours(60), symbol="EURUSD", timeframe="H1")
    rows = decimals(service.stored(timeframe="H1"))
    check_frame(ran(block("sqlite3", "pandas.to_datetime"), service, monkeypatch)["frame"], rows)
    days = [list(each) for _, each in groupby(rows, lambda row: row[0] // (24 * HOUR))]
    found = ran(block("sqlite3", "duckdb"), service, monkeypatch)["rows"]
    assert [(symbol, *values) for symbol, _, *values in found] == [
        (
            "EURUSD",
            day[0][1],
            max(row[2] for row in day),
            min(row[3] for row in day),
            day[-1][4],
            sum(row[5] for row in day),
        )
        for day in days
    ]
    # The service still writes.
    assert client.post(hours(61), symbol="EURUSD", timeframe="H1").added == 1


def test_the_tables_of_postgres_are_read_as_shown(
    on_postgres: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, url = on_postgres
    with Candlewick(service.url, key=KEY) as client:
        client.post(hours(60), symbol="EURUSD", timeframe="H1")
    with psycopg.connect(url) as connection:
        columns = "(extract(epoch from timestamp) * 1000)::int8, open, high, low, close, volume"
        rows: Rows = connection.execute(f"select {columns} from market_data_candles order by timestamp").fetchall()
    assert len(rows) == 60
    monkeypatch.setenv("DATABASE_URL", url)
    check_frame(ran(block("psycopg", "pandas"), service, monkeypatch)["frame"], rows)
    totals = ran(block("psycopg", "duckdb"), service, monkeypatch)["totals"]
    low, high = min(row[3] for row in rows), max(row[2] for row in rows)
    assert totals == [("EURUSD", 60, low, high, sum(row[5] for row in rows))]
