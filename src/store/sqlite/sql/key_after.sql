select * from (
    select symbol, timeframe from market_data_candles
    where symbol = :symbol and timeframe > :timeframe order by timeframe limit 1)
union all
select * from (
    select symbol, timeframe from market_data_candles where symbol > :symbol order by symbol, timeframe limit 1)
limit 1
