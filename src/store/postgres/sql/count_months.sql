-- The closed candles of a series by month in UTC. $1 is the symbol, $2 the timeframe, $3 the first instant of a month, $4 the
-- number of months, $5 the number of newest rows whose size is measured.
with recursive
-- The months that hold a row. Each is that of the next row beyond the one before, so that empty ones cost nothing.
month (n, starts) as (
    select 1::bigint, date_trunc('month', opened at time zone 'UTC')
    from (
        select "timestamp" as opened from market_data_candles
        where symbol = $1 and timeframe = $2 and "timestamp" >= $3 and "timestamp" < timestamptz '10000-01-01 00:00Z'
        order by "timestamp" limit 1) as first
    union all
    select n + 1, date_trunc('month', opened at time zone 'UTC')
    from month
    cross join lateral (
        select "timestamp" as opened from market_data_candles
        where symbol = $1 and timeframe = $2 and "timestamp" >= (starts + interval '1 month') at time zone 'UTC'
          and "timestamp" < timestamptz '10000-01-01 00:00Z'
        order by "timestamp" limit 1) as next
    where n < $4
),
newest as (
    select c."timestamp", to_jsonb(c) ->> 'created_at' as received, pg_column_size(c) as bytes
    from market_data_candles c
    where symbol = $1 and timeframe = $2
      and "timestamp" >= timestamptz '0001-01-01 00:00Z' and "timestamp" < timestamptz '10000-01-01 00:00Z'
    order by "timestamp" desc limit $5
)
select coalesce(array_agg((extract(year from starts) * 12 + extract(month from starts) - 1)::int order by starts), '{}'),
       coalesce(array_agg(candles order by starts), '{}'),
       (select count(*) from newest),
       -- Each row has a pointer of four bytes in its page.
       (select coalesce(sum(bytes + 4), 0)::bigint from newest),
       -- Read by way of JSON, because an adopted table need not have the column, or may have another type under its name.
       (select case when received ~ '^\d{4}-\d\d-\d\d' then floor(extract(epoch from received::timestamptz) * 1000)::bigint end
        from newest order by "timestamp" desc limit 1)
from month
cross join lateral (
    select count(*) as candles from market_data_candles
    where symbol = $1 and timeframe = $2
      and "timestamp" >= starts at time zone 'UTC' and "timestamp" < (starts + interval '1 month') at time zone 'UTC') as counted
