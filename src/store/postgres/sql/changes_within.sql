-- The corrections and deletions of symbol $1 and timeframe $2 that touch the opening times from $3 to before $4, the last $5 of them by
-- their first candle. The values are those of corrections of at most $6 candles.
select c.id, (extract(epoch from c.at) * 1000)::bigint, c.actor, c.kind, c.symbol::text, c.timeframe::text,
       (extract(epoch from c.first) * 1000)::bigint, (extract(epoch from c.last) * 1000)::bigint, c.candles, c.reason,
       case when c.kind = 'correction' and c.candles <= $6 then c.detail::text else '{}' end
from market_data_changes c
where c.symbol = $1 and c.timeframe = $2 and c.kind in ('correction', 'deletion') and c.last >= $3 and c.first < $4
order by c.first desc, c.id desc limit $5
