-- Tables for closed and forming candles. A migration that has shipped is never edited: its checksum is stored.
-- Prices are text in canonical decimal form, because SQLite's numeric types keep 15 digits; times are epoch milliseconds.
-- Without a rowid the key's index is the table, so one series in a span of time lies together on disk.

create table market_data_candles (
    symbol text not null,
    timeframe text not null,
    timestamp integer not null,
    open text not null,
    high text not null,
    low text not null,
    close text not null,
    volume integer not null,
    created_at integer not null default (unixepoch()),
    primary key (symbol, timeframe, timestamp)
) strict, without rowid;

create table market_data_live_candles (
    symbol text not null,
    timeframe text not null,
    timestamp integer not null,
    open text not null,
    high text not null,
    low text not null,
    close text not null,
    volume integer not null,
    updated_at integer not null default (unixepoch()),
    primary key (symbol, timeframe, timestamp)
) strict, without rowid;
