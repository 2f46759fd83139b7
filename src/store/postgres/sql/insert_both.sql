with closed as (
    insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
    select * from unnest(
        $1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::bigint[])
    on conflict (symbol, timeframe, "timestamp") do nothing
    returning symbol, timeframe, "timestamp"
), counted as (
    select count(*) as added from closed
), forming as (
    insert into market_data_live_candles as stored
        (symbol, timeframe, "timestamp", open, high, low, close, volume, closes_at)
    select f.symbol, f.timeframe, f."timestamp", f.open, f.high, f.low, f.close, f.volume, f.closes_at
    from counted, unnest(
        $9::text[], $10::text[], $11::timestamptz[], $12::numeric[], $13::numeric[], $14::numeric[], $15::numeric[],
        $16::bigint[], $17::timestamptz[]) with ordinality
        as f(symbol, timeframe, "timestamp", open, high, low, close, volume, closes_at, position)
    where not exists (
        select from market_data_candles c
        where c.symbol = f.symbol and c.timeframe = f.timeframe and c."timestamp" = f."timestamp")
    order by f.position
    on conflict (symbol, timeframe, "timestamp") do update set
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
        volume = excluded.volume, updated_at = excluded.updated_at,
        closes_at = coalesce(excluded.closes_at, stored.closes_at)
        where excluded.volume >= stored.volume or stored.updated_at < excluded.updated_at - interval '10 seconds'
    returning symbol, timeframe, "timestamp"
)
