insert into market_data_live_candles as stored
    (symbol, timeframe, timestamp, open, high, low, close, volume, closes_at)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
where not exists (
    select 1 from market_data_candles c where c.symbol = ?1 and c.timeframe = ?2 and c.timestamp = ?3)
on conflict (symbol, timeframe, timestamp) do update set
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, updated_at = excluded.updated_at,
    closes_at = coalesce(excluded.closes_at, stored.closes_at)
    where excluded.volume >= stored.volume or stored.updated_at < excluded.updated_at - 10
