insert into market_data_candles (symbol, timeframe, "timestamp", open, high, low, close, volume)
select * from unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::bigint[])
on conflict (symbol, timeframe, "timestamp") do nothing
