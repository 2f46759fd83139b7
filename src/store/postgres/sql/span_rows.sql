closed as materialized (
    select c.symbol, c.timeframe, c."timestamp", c.open, c.high, c.low, c.close, c.volume
    from market_data_candles c
    where c.symbol = $1 and c.timeframe = $2 and c."timestamp" >= $3 and c."timestamp" < $4
    order by c."timestamp" limit $5
    {lock}
), forming as materialized (
    select l.symbol, l.timeframe, l."timestamp", l.open, l.high, l.low, l.close, l.volume
    from market_data_live_candles l
    where l.symbol = $1 and l.timeframe = $2 and l."timestamp" >= $3 and l."timestamp" < $4
    order by l."timestamp" limit $5
    {lock}
), rows as (
    select "timestamp", 0 as place, 'closed' as state, open, high, low, close, volume from closed
    union all
    select "timestamp", 1, 'forming', open, high, low, close, volume from forming
), summary as materialized (
    select count(*) filter (where place = 0) as closed, count(*) filter (where place = 1) as forming,
           min("timestamp") as first, max("timestamp") as last,
           -- The selection and the text of every row, so that the digest differs whenever one of them does.
           left(encode(sha256(convert_to(
               concat_ws(E'\n', $1::text, $2::text, extract(epoch from $3::timestamptz)::text,
                         extract(epoch from $4::timestamptz)::text,
                         string_agg(concat_ws(' ', state, extract(epoch from "timestamp")::text, open::text, high::text, low::text,
                                              close::text, volume::text), E'\n' order by "timestamp", place)),
               'UTF8')), 'hex'), 12) as digest
    from rows
)
