with bound as materialized (
    select set_config('lock_timeout', '200ms', true)
), due as (
    select symbol, timeframe, "timestamp", open, high, low, close, volume
    from market_data_live_candles
    where closes_at < 'infinity' and closes_at <= $1 {filter}
    order by symbol collate "C", timeframe collate "C", "timestamp"
    limit $2
    for update skip locked
), closed as (
    insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
    select symbol, timeframe, "timestamp", open, high, low, close, volume from due cross join bound
    on conflict (symbol, timeframe, "timestamp") do nothing
    returning symbol, timeframe, "timestamp"
), deleted as (
    delete from market_data_live_candles l using due
    where l.symbol = due.symbol and l.timeframe = due.timeframe and l."timestamp" = due."timestamp"
)
select due.symbol::text, due.timeframe::text, due."timestamp", closed.symbol is not null
from due left join closed using (symbol, timeframe, "timestamp")
