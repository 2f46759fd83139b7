-- The record of changes after $1, the first $2 of them, of one symbol and timeframe where $3 and $4 are given. At least one, and then
-- as many as have at most $5 bytes of detail together.
select id, at, actor, kind, symbol, timeframe, first, last, candles, reason, detail
from (
    select c.id, (extract(epoch from c.at) * 1000)::bigint as at, c.actor, c.kind, c.symbol::text, c.timeframe::text,
           (extract(epoch from c.first) * 1000)::bigint as first, (extract(epoch from c.last) * 1000)::bigint as last,
           c.candles, c.reason, c.detail::text as detail,
           sum(octet_length(c.detail::text)) over (order by c.id) - octet_length(c.detail::text) as bytes_before
    from (
        select * from market_data_changes c
        where c.id > $1 and ($3::text is null or c.symbol = $3) and ($4::text is null or c.timeframe = $4)
        order by c.id limit $2) c
) page
where bytes_before < $5
order by id
