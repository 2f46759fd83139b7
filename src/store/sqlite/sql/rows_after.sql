select * from (
    select symbol, timeframe, timestamp, open, high, low, close from market_data_candles
    where symbol = :symbol and timeframe > :timeframe order by timeframe, timestamp limit :count)
union all
select * from (
    select symbol, timeframe, timestamp, open, high, low, close from market_data_candles
    where symbol > :symbol order by symbol, timeframe, timestamp limit :count)
limit :count
