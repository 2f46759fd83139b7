-- The database's time, and the corrections, deletions (by retention too) and imports of some series after a place of the record, the
-- first $3 of them. Times are cut to milliseconds, because places in the record are compared at that precision.
select (extract(epoch from clock.now) * 1000)::bigint, floor(extract(epoch from c.at) * 1000)::bigint, c.id, c.kind, c.symbol::text,
       c.timeframe::text, (extract(epoch from c.first) * 1000)::bigint, (extract(epoch from c.last) * 1000)::bigint
from (select now() as now) clock
left join lateral (
    select * from market_data_changes c
    where (date_trunc('milliseconds', c.at), c.id) > ($1, $2) and c.at >= $1
      and c.kind in ('correction', 'deletion', 'retention', 'import')
      and (c.symbol, c.timeframe) in (select * from unnest($4::text[], $5::text[]))
    order by date_trunc('milliseconds', c.at), c.id limit $3) c on true
order by 2, 3
