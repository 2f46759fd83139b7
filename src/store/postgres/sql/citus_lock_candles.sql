-- Locks the closed candles of symbol $1 and timeframe $2 that open at the times $3, in the order of the key, as all writers lock them.
-- Returns their places in $3 and their values.
select a.place, c.open::text, c.high::text, c.low::text, c.close::text, c.volume
from unnest($3::timestamptz[]) with ordinality as a("timestamp", place)
    join market_data_candles c on c."timestamp" = a."timestamp"
where c.symbol = $1 and c.timeframe = $2
order by c."timestamp"
for update of c
