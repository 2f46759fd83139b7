-- Citus takes immutable functions only, such as the difference of two times.
on conflict (symbol, timeframe, "timestamp") do update set
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume, updated_at = excluded.updated_at,
    closes_at = coalesce(excluded.closes_at, stored.closes_at)
    where excluded.volume >= stored.volume or excluded.updated_at - stored.updated_at > interval '10 seconds'
returning symbol, timeframe, "timestamp", false
