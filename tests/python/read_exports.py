"""Reads exported files with DuckDB, Polars, pandas and pyarrow, and fails unless each finds the same candles in the right types.

`read_exports.py FOLDER`, where expected.json has the candles as they are stored: `[[milliseconds, open, high, low, close, volume]]`
with the prices as text, and the files are those of `FILES`. The suite's tests of exports call this.
"""

import json
import pathlib
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

PRICES = ("open", "high", "low", "close")
COLUMNS = ("timestamp", *PRICES, "volume")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ROW_GROUP = 65_536
# The files, with the type as which prices are read from them and how the value of a price is made from its text.
FILES = {
    "decimal.parquet": ("decimal", Decimal),
    "double.parquet": ("double", float),
    "text.parquet": ("text", str),
    "candles.csv": ("text", str),
    "milliseconds.csv": ("double", float),
    "candles.ndjson": ("double", float),
}
# Files whose readers infer the types, and not all of them take numbers of 28 digits for doubles.
INFERRED = ("milliseconds.csv", "candles.ndjson")


def main(folder):
    folder = pathlib.Path(folder)
    stored = json.loads((folder / "expected.json").read_text())
    digits, scale = places([price for candle in stored for price in candle[1:5]])
    for name, (kind, value) in FILES.items():
        if digits == 38 and name in INFERRED:
            continue
        expected = [(candle[0], *map(value, candle[1:5]), candle[5]) for candle in stored]
        for reader in (by_duckdb, by_polars, by_pandas, by_pyarrow):
            found, types = reader(folder / name, as_text=name == "candles.csv")
            assert found == expected, f"{reader.__name__} of {name}: {difference(found, expected)}"
            check_types(reader, name, kind, types, (digits, scale))
            print(f"{reader.__name__:12} {name:18} {len(found)} candles")
    check_layout(folder / "decimal.parquet", len(stored), digits)


def places(prices):
    """The digits that a decimal of Parquet needs for the prices: 18, or 38 if these are too few, and those behind the point."""
    parts = [price.lstrip("-").partition(".") for price in prices]
    scale = max(len(fraction) for _, _, fraction in parts)
    return (18 if max(len(whole) for whole, _, _ in parts) + scale <= 18 else 38), scale


def difference(found, expected):
    if len(found) != len(expected):
        return f"{len(found)} candles and not {len(expected)}"
    return next(pair for pair in zip(found, expected) if pair[0] != pair[1])


def millis(value):
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return (value - EPOCH) // timedelta(milliseconds=1)
    return value


def rows(columns):
    """Rows of plain values from columns of them."""
    times = [millis(time) for time in columns["timestamp"]]
    return list(zip(times, *(columns[name] for name in COLUMNS[1:])))


def by_duckdb(path, as_text):
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    text = ", types = {'open': 'VARCHAR', 'high': 'VARCHAR', 'low': 'VARCHAR', 'close': 'VARCHAR'}" if as_text else ""
    sources = {".parquet": "read_parquet(?)", ".csv": f"read_csv(?{text})", ".ndjson": "read_ndjson(?)"}
    found = connection.execute(f"select * from {sources[path.suffix]}", [str(path)])
    types = {column[0]: str(column[1]) for column in found.description}
    names = list(types)
    values = found.fetchall()
    return rows({name: [row[names.index(name)] for row in values] for name in COLUMNS}), types


def by_polars(path, as_text):
    if path.suffix == ".parquet":
        frame = polars.read_parquet(path)
    elif path.suffix == ".csv":
        overrides = dict.fromkeys(PRICES, polars.String) if as_text else None
        frame = polars.read_csv(path, try_parse_dates=True, schema_overrides=overrides)
    else:
        frame = polars.read_ndjson(path)
    return rows({name: frame[name].to_list() for name in COLUMNS}), {name: str(frame.schema[name]) for name in COLUMNS}


def by_pandas(path, as_text):
    if path.suffix == ".parquet":
        frame = pandas.read_parquet(path)
    elif path.suffix == ".csv":
        # Only this way of reading numbers gives the nearest double.
        frame = pandas.read_csv(path, float_precision="round_trip", dtype=dict.fromkeys(PRICES, str) if as_text else None)
        if not pandas.api.types.is_integer_dtype(frame["timestamp"]):
            frame["timestamp"] = pandas.to_datetime(frame["timestamp"])
    else:
        frame = pandas.read_json(path, lines=True, precise_float=True, convert_dates=False)
    values = {name: frame[name].tolist() for name in COLUMNS}
    values["timestamp"] = [time.to_pydatetime() if hasattr(time, "to_pydatetime") else time for time in values["timestamp"]]
    return rows(values), {name: str(frame.dtypes[name]) for name in COLUMNS}


def by_pyarrow(path, as_text):
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
    elif path.suffix == ".csv":
        types = dict.fromkeys(PRICES, pyarrow.string()) if as_text else None
        table = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
    else:
        table = pyarrow.json.read_json(path)
    values = rows({name: table[name].to_pylist() for name in COLUMNS})
    return values, {name: str(table.schema.field(name).type) for name in COLUMNS}


def check_types(reader, name, kind, types, places):
    """Files of text carry no types, so only those of Parquet are checked."""
    if not name.endswith(".parquet"):
        return
    digits, scale = places
    of_reader = {
        by_duckdb: ("TIMESTAMP WITH TIME ZONE", f"DECIMAL({digits},{scale})", "DOUBLE", "VARCHAR", "BIGINT"),
        by_polars: (
            "Datetime(time_unit='ms', time_zone='UTC')",
            f"Decimal(precision={digits}, scale={scale})",
            "Float64",
            "String",
            "Int64",
        ),
        by_pandas: ("datetime64[ms, UTC]", "object", "float64", "str", "int64"),
        by_pyarrow: ("timestamp[ms, tz=UTC]", f"decimal128({digits}, {scale})", "double", "string", "int64"),
    }
    time, decimal, double, text, volume = of_reader[reader]
    price = {"decimal": decimal, "double": double, "text": text}[kind]
    expected = {"timestamp": time, **dict.fromkeys(PRICES, price), "volume": volume}
    assert types == expected, f"{reader.__name__} of {name}: {types} and not {expected}"


def check_layout(path, count, digits):
    """Row groups, encodings and metadata of the Parquet file."""
    metadata = pyarrow.parquet.ParquetFile(path).metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    whole, left = divmod(count, ROW_GROUP)
    assert [group.num_rows for group in groups] == [ROW_GROUP] * whole + [left] * (left > 0)
    assert metadata.metadata[b"timeframe"] == b"M1" and b"symbol" in metadata.metadata, metadata.metadata
    for group in groups:
        for column in map(group.column, range(len(COLUMNS))):
            assert column.compression == "ZSTD", column
            assert not column.has_dictionary_page, column
            is_integer = column.path_in_schema in ("timestamp", "volume") or digits == 18
            assert ("DELTA_BINARY_PACKED" in column.encodings) == is_integer, column


main(*sys.argv[1:])
