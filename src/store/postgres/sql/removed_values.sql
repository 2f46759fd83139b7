-- The values of the rows of a span, for the record.
select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
           'timestamp', (extract(epoch from r."timestamp") * 1000)::bigint, 'open', r.open, 'high', r.high,
           'low', r.low, 'close', r.close, 'volume', r.volume,
           'complete', case when r.place = 1 then false end)) order by r."timestamp", r.place)
from rows r
