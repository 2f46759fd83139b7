-- Builds candles of a longer timeframe from rows of market_data_candles and market_data_live_candles. $1 is the symbol, $2 the
-- timeframe that is read, $3 and $4 the span, which holds whole buckets, $5 the starts of its days, weeks or months with the end
-- of the last one, $6 the length of a bucket within a day, or null if those of $5 are the buckets, $7 the number of buckets, $8
-- the end of all times.
with recursive
-- The buckets that hold a row, from the wanted end on. Each is that of the next row beyond the one before, so that empty ones
-- cost nothing. The closed row with which a bucket begins at this end is kept, because it is found on the way.
bucket (n, starts, ends, edge_time, edge_price) as (
    select 1::bigint, starts, ends, closed_time, closed_price
    from (select) as one
    left join lateral (
        select "timestamp" as closed_time, {edge} as closed_price from market_data_candles
        where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
        order by "timestamp" {order} limit 1) as closed on true
    left join lateral (
        select "timestamp" as forming_time from market_data_live_candles
        where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < $4
        order by "timestamp" {order} limit 1) as forming on true
    cross join lateral ({part}) as part
    union all
    select n + 1, part.starts, part.ends, closed_time, closed_price
    from bucket
    left join lateral (
        select "timestamp" as closed_time, {edge} as closed_price from market_data_candles
        where symbol = $1 and timeframe = $2 and {beyond}
        order by "timestamp" {order} limit 1) as closed on true
    left join lateral (
        select "timestamp" as forming_time from market_data_live_candles
        where symbol = $1 and timeframe = $2 and {beyond}
        order by "timestamp" {order} limit 1) as forming on true
    cross join lateral ({part}) as part
    where n < $7
),
-- The closed rows of each bucket.
built as (
    select starts, ends, {first}_time as first_time, {last}_time as last_time, finite,
           rows,
           case when other_time is null then '' else concat_ws(
               ' ', trim_scale({first}_price), trim_scale(high), trim_scale(low), trim_scale({last}_price), volume
           ) end as line
    from bucket
    cross join lateral (
        -- NaN and the infinities take no more bytes than a number of one digit, so that hardly any price has to be compared.
        select max(high) as high, min(low) as low, sum(volume) as volume, count(*) as rows,
               coalesce(bool_and((pg_column_size(open) > 6 or (open > '-Infinity' and open < 'Infinity'))
                   and (pg_column_size(high) > 6 or (high > '-Infinity' and high < 'Infinity'))
                   and (pg_column_size(low) > 6 or (low > '-Infinity' and low < 'Infinity'))
                   and (pg_column_size(close) > 6 or (close > '-Infinity' and close < 'Infinity'))), true) as finite
        from market_data_candles
        where symbol = $1 and timeframe = $2 and "timestamp" >= starts and "timestamp" < ends) as extremes
    left join lateral (
        select "timestamp" as other_time, {other} as other_price from market_data_candles
        where symbol = $1 and timeframe = $2 and "timestamp" >= starts and "timestamp" < ends
        order by "timestamp" {reverse} limit 1) as other on true
),
-- The forming rows of all buckets. They are few, and a look at their table for each bucket would take as long as the rest.
forming as (
    select array_agg("timestamp") as times,
           string_agg(concat_ws(' ', open, high, low, close, volume, 0), E'\n') as lines
    from (
        select * from market_data_live_candles l
        where symbol = $1 and timeframe = $2
          and "timestamp" >= (select min(starts) from bucket) and "timestamp" < (select max(ends) from bucket)
          and not exists (
            select from market_data_candles c
            where c.symbol = $1 and c.timeframe = $2 and c."timestamp" = l."timestamp")
        order by "timestamp") as l
)
select coalesce(array_agg(starts), '{}'), coalesce(array_agg(ends), '{}'),
       coalesce(array_agg(first_time), '{}'), coalesce(array_agg(last_time), '{}'),
       coalesce(string_agg(line, E'\n'), ''), coalesce(bool_and(finite), true),
       coalesce((select times from forming), '{}'), coalesce((select lines from forming), ''),
       greatest(
           (select "timestamp" from market_data_candles
            where symbol = $1 and timeframe = $2 and "timestamp" < $8 order by "timestamp" desc limit 1),
           (select "timestamp" from market_data_live_candles
            where symbol = $1 and timeframe = $2 and "timestamp" < $8 order by "timestamp" desc limit 1)),
       coalesce(sum(rows), 0)::bigint
from built
