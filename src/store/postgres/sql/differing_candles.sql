select f.position,
    case when c.open is distinct from f.open then left(coalesce(c.open::text, 'null'), $9) end,
    case when c.high is distinct from f.high then left(coalesce(c.high::text, 'null'), $9) end,
    case when c.low is distinct from f.low then left(coalesce(c.low::text, 'null'), $9) end,
    case when c.close is distinct from f.close then left(coalesce(c.close::text, 'null'), $9) end,
    case when c.volume is distinct from f.volume then left(coalesce(c.volume::text, 'null'), $9) end
from unnest(
    $1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[],
    $8::bigint[]) with ordinality
    as f(symbol, timeframe, "timestamp", open, high, low, close, volume, position)
join market_data_candles c
    on c.symbol = f.symbol and c.timeframe = f.timeframe and c."timestamp" = f."timestamp"
where c.open is distinct from f.open or c.high is distinct from f.high or c.low is distinct from f.low
   or c.close is distinct from f.close or c.volume is distinct from f.volume
