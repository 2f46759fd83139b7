-- The newest candle of each series in the relation series(symbol, timeframe), closed or forming. The time at which a closed one
-- was stored is read by way of JSON, because an adopted table need not have the column, or may have another type under its name.
left join lateral (
    select either."timestamp", either.line,
           case when either.received ~ '^\d{4}-\d\d-\d\d'
                then floor(extract(epoch from either.received::timestamptz) * 1000)::bigint end as received
    from (
        (select c."timestamp", concat_ws(' ', c.open, c.high, c.low, c.close, c.volume, 1) as line, 1 as closed,
                to_jsonb(c) ->> 'created_at' as received
         from market_data_candles c
         where c.symbol = series.symbol and c.timeframe = series.timeframe
           and c."timestamp" >= timestamptz '0001-01-01 00:00Z' and c."timestamp" < timestamptz '10000-01-01 00:00Z'
         order by c."timestamp" desc limit 1)
        union all
        (select l."timestamp", concat_ws(' ', l.open, l.high, l.low, l.close, l.volume, 0), 0, l.updated_at::text
         from market_data_live_candles l
         where l.symbol = series.symbol and l.timeframe = series.timeframe
           and l."timestamp" >= timestamptz '0001-01-01 00:00Z' and l."timestamp" < timestamptz '10000-01-01 00:00Z'
         order by l."timestamp" desc limit 1)
    ) either
    order by either."timestamp" desc, either.closed desc limit 1) newest on true
