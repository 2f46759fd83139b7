select timestamp, line, received from (
    select * from (
        select timestamp, concat_ws(' ', open, high, low, close, volume, 1) as line, 1 as closed, created_at as received
        from market_data_candles
        where symbol = :symbol and timeframe = :timeframe and timestamp >= :first and timestamp < :end
        order by timestamp desc limit 1)
    union all
    select * from (
        select timestamp, concat_ws(' ', open, high, low, close, volume, 0), 0, updated_at
        from market_data_live_candles
        where symbol = :symbol and timeframe = :timeframe and timestamp >= :first and timestamp < :end
        order by timestamp desc limit 1)
) order by timestamp desc, closed desc limit 1
