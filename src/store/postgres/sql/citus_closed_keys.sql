-- Those of some keys under which closed candles are stored. The second condition spares the shards that hold none of the symbols.
select c.symbol, c.timeframe, c."timestamp"
from unnest($1::text[], $2::text[], $3::timestamptz[]) as f(symbol, timeframe, "timestamp")
join market_data_candles c on c.symbol = f.symbol and c.timeframe = f.timeframe and c."timestamp" = f."timestamp"
where c.symbol = any ($1)
