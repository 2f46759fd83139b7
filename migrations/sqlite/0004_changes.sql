-- The record of corrections, deletions and imports. Its rows are only ever added. A migration that has shipped is never edited: its
-- checksum is stored. Times are epoch milliseconds.

-- One that is there was restored without the migrations' own table, and its rows stay.
create table if not exists market_data_changes (
    id integer primary key autoincrement,
    at integer not null default (cast(unixepoch('subsec') * 1000 as integer)),
    actor text not null,
    kind text not null,
    symbol text not null,
    timeframe text not null,
    -- Opening times of the first and the last candle.
    first integer not null,
    last integer not null,
    candles integer not null,
    reason text not null,
    -- JSON.
    detail text not null
) strict;
create index if not exists market_data_changes_series on market_data_changes (symbol, timeframe, at);
create index if not exists market_data_changes_at on market_data_changes (at);
