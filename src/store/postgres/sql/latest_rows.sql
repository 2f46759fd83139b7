select coalesce(array_agg(series.symbol::text order by number), '{}'),
       coalesce(array_agg(series.timeframe::text order by number), '{}'),
       coalesce(array_agg(floor(extract(epoch from newest."timestamp") * 1000)::bigint order by number), '{}'),
       coalesce(array_agg(newest.line order by number), '{}'),
       coalesce(array_agg(newest.received order by number), '{}')
