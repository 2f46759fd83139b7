"""Generates a Python client from docs/openapi.json by openapi-python-client, and uses it against the service.

scripts/contract calls this as `generated_client.py SERVICE GENERATOR`. It fails if the generator warns of anything, if a module of
the client cannot be imported, or if the client does not read the candles that the database holds.
"""

import contextlib
import datetime
import importlib
import pathlib
import pkgutil
import secrets
import sqlite3
import subprocess
import sys
import tempfile

from run import HERE, Service

DOCUMENT = HERE.parents[1] / "docs" / "openapi.json"
# 2025-08-03T10:00:00Z in milliseconds.
START, HOUR = 1_754_215_200_000, 3_600_000
PRICES = ("open", "high", "low", "close")


def main(service, generator):
    keys = {"MT5_API_KEY": secrets.token_hex(16), "INTERNAL_API_TOKEN": secrets.token_hex(16)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        client = generate(generator, folder)
        running = Service(service, folder, {"DATABASE_URL": "sqlite://generated.db", **keys})
        try:
            address = running.wait_until_ready()
            use(client, address, keys, folder / "generated.db")
        finally:
            running.stop()
    print("contract: the generated Python client reads what the database holds", flush=True)


def generate(generator, folder):
    """Writes the client, imports each of its modules, and returns a function that imports one by its name."""
    command = [generator, "generate", "--path", DOCUMENT, "--config", HERE / "generator.yml", "--meta", "none"]
    command += ["--output-path", folder / "generated", "--fail-on-warning"]
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode != 0:
        sys.exit(f"contract: openapi-python-client does not read docs/openapi.json without warnings:\n{ended.stdout}")
    sys.path.insert(0, str(folder))
    package = importlib.import_module("generated")
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, "generated.")]
    for name in modules:
        importlib.import_module(name)
    print(f"contract: openapi-python-client wrote {len(modules)} modules", flush=True)
    return lambda name: importlib.import_module(f"generated.{name}")


def use(client, address, keys, file):
    models = client("models")
    connect = client("client").AuthenticatedClient
    feed, reader = (connect(base_url=address, token=keys[name]) for name in ("MT5_API_KEY", "INTERNAL_API_TOKEN"))
    post = client("api.candles.post_candles").sync

    posted = post(client=feed, body=models.Batch(symbol="EURUSD", timeframe="H1", candles=candles(models)))
    assert isinstance(posted, models.Ingested), posted
    assert (posted.records_received, posted.records_added, posted.records_live) == (3, 2, 1), posted
    stored = rows(file)
    assert len(stored) == 2, stored

    (series,) = client("api.series.get_series").sync(client=reader, symbol=["EURUSD"])
    assert (series.symbol, series.timeframe, series.first, series.last) == ("EURUSD", "H1", START, START + HOUR), series
    read = client("api.candles.get_candles").sync
    every = read(client=reader, symbol="EURUSD", timeframe="H1")
    assert [values(candle) for candle in every[:2]] == stored, every
    assert [candle.complete for candle in every[1:]] == [client("types").UNSET, False], every
    second = datetime.datetime.fromtimestamp((START + HOUR) / 1000, datetime.timezone.utc)
    for start in (second, second.isoformat(), START + HOUR):
        part = read(client=reader, symbol="EURUSD", timeframe="H1", from_=start, to=second, limit=5)
        assert [values(candle) for candle in part] == stored[1:], part
    (latest,) = client("api.candles.get_latest").sync(client=reader)
    assert (latest.timestamp, latest.complete) == (START + 2 * HOUR, False), latest
    check_files(client, reader, stored)

    refused = post(client=feed, body=models.Batch(candles=[models.PostedCandle(open_=1, high=1, low=1, close="1,5")]))
    assert isinstance(refused, models.Problem) and refused.code == "invalid_values", refused
    assert {tuple(error.loc) for error in refused.errors} >= {("body", "candles", 0, "close")}, refused
    forbidden = read(client=feed, symbol="EURUSD", timeframe="H1")
    assert isinstance(forbidden, models.Problem) and forbidden.code == "wrong_scope", forbidden


def candles(models):
    """Three candles whose times, prices and volumes have different forms; the last one is forming."""
    opened = [datetime.datetime.fromtimestamp((START + n * HOUR) / 1000, datetime.timezone.utc) for n in range(3)]
    first = models.PostedCandle(timestamp=opened[0], open_="1.08500", high="1.08650", low="1.08480", close="1.08620", volume=1200)
    second = models.PostedCandle(
        time=START + HOUR, unit=models.PostedCandleUnit.MS, open_=1.0862, high=1.087, low=1.08, close=1.0861, tick_volume="7"
    )
    third = models.PostedCandle(timestamp=opened[2].isoformat(), open_=1, high=2, low=1, close=2, volume=0, complete=False)
    return [first, second, third]


def check_files(client, reader, stored):
    query = {"client": reader, "symbol": "EURUSD", "timeframe": "H1"}
    csv = client("api.exports.export_csv").sync(**query)
    assert csv.splitlines()[1].startswith("2025-08-03T10:00:00Z,1.08500,1.08650,1.08480,1.08620,1200"), csv
    ndjson = client("api.exports.export_ndjson").sync(**query)
    assert len(ndjson.splitlines()) == len(stored), ndjson
    parquet = client("api.exports.export_parquet").sync(**query)
    assert parquet.payload.read().startswith(b"PAR1"), parquet


def values(candle):
    return (candle.timestamp, candle.open_, candle.high, candle.low, candle.close, candle.volume)


def rows(file):
    """The closed candles of the file, with prices as the doubles that the generated client makes of them."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        found = connection.execute(f"select timestamp, {', '.join(PRICES)}, volume from market_data_candles order by timestamp")
        return [(time, *map(float, prices), volume) for time, *prices, volume in found]


if __name__ == "__main__":
    main(*sys.argv[1:])
