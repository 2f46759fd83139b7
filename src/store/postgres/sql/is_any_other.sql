select exists (
    select * from unnest(
        $5::timestamptz[], $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::bigint[])
    except
    (select "timestamp", open, high, low, close, volume from market_data_candles
     where symbol = $1 and timeframe = $2 and "timestamp" between $3 and $4 limit $11))
