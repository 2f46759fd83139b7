"""Does the bench's work in DuckDB, on one thread and with its table in memory.

The first argument is a CSV file of the service, with times in epoch milliseconds, which becomes the table. Each line of the standard
input is a command, which is answered with the seconds that it took:

parquet FILE        writes the table as Parquet with zstd
days FIRST COUNT    builds a day's candle from the minutes of each of COUNT days, from the day that begins at FIRST milliseconds on
"""

import sys
import time

import duckdb

DAYS = """
    select date_trunc('day', timestamp) as day, arg_min(open, timestamp), max(high), min(low), arg_max(close, timestamp), sum(volume)
    from candles where timestamp >= make_timestamp($1 * 1000) and timestamp < make_timestamp(($1 + $2::bigint * 86400000) * 1000)
    group by day order by day
"""


def main():
    connection = duckdb.connect()
    connection.execute("set threads = 1")
    price = "'DECIMAL(18,5)'"
    columns = f"{{'timestamp': 'BIGINT', 'open': {price}, 'high': {price}, 'low': {price}, 'close': {price}, 'volume': 'BIGINT'}}"
    connection.execute(
        "create table candles as select make_timestamp(timestamp * 1000) as timestamp, open, high, low, close, volume"
        f" from read_csv(?, header = true, columns = {columns})",
        [sys.argv[1]],
    )
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        began = time.perf_counter()
        if name == "parquet":
            connection.execute(f"copy candles to '{arguments[0]}' (format parquet, compression zstd)")
        else:
            first, count = map(int, arguments)
            rows = connection.execute(DAYS, [first, count]).fetchall()
            assert len(rows) == count, f"{len(rows)} days"
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
