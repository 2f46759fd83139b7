-- Gives stored closed candles other values and adds that to the record, or changes nothing if one of them is not stored or is not
-- what it was expected to be. $1 to $8 are the candles, $9 to $13 the values that are expected, or null; $14 is the actor, $15 the
-- reason. Returns for each candle the outcome and the values that were stored, and the ids of the record's new rows.
with asked as (
    select *
    from unnest($1::text[], $2::text[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::bigint[],
                $9::text[]::numeric[], $10::text[]::numeric[], $11::text[]::numeric[], $12::text[]::numeric[], $13::bigint[])
        with ordinality
        as a(symbol, timeframe, "timestamp", open, high, low, close, volume,
             expected_open, expected_high, expected_low, expected_close, expected_volume, position)
), stored as materialized (
    {stored}
), judged as materialized (
    select a.*, s.open as was_open, s.high as was_high, s.low as was_low, s.close as was_close, s.volume as was_volume,
           case
               when s.position is null then 'missing'
               when a.expected_open <> s.open or a.expected_high <> s.high or a.expected_low <> s.low
                    or a.expected_close <> s.close or a.expected_volume <> s.volume then 'other'
               -- As text, because digits count: 1.10 corrects 1.1.
               when (a.open::text, a.high::text, a.low::text, a.close::text, a.volume)
                    is not distinct from (s.open::text, s.high::text, s.low::text, s.close::text, s.volume) then 'same'
               else 'amended'
           end as outcome
    from asked a left join stored s on s.position = a.position
), amended as (
    {amended}
), recorded as (
    insert into market_data_changes (actor, kind, symbol, timeframe, first, last, candles, reason, detail)
    select $14, 'correction', j.symbol, j.timeframe, min(j."timestamp"), max(j."timestamp"), count(*), $15,
           jsonb_build_object(
               'before', jsonb_agg(jsonb_build_object(
                   'timestamp', (extract(epoch from j."timestamp") * 1000)::bigint, 'open', j.was_open, 'high', j.was_high,
                   'low', j.was_low, 'close', j.was_close, 'volume', j.was_volume) order by j."timestamp"),
               'after', jsonb_agg(jsonb_build_object(
                   'timestamp', (extract(epoch from j."timestamp") * 1000)::bigint, 'open', j.open, 'high', j.high,
                   'low', j.low, 'close', j.close, 'volume', j.volume) order by j."timestamp"))
    from judged j join amended on amended.position = j.position
    group by j.symbol, j.timeframe
    returning id
)
select j.position, j.outcome, left(j.was_open::text, $16), left(j.was_high::text, $16), left(j.was_low::text, $16),
       left(j.was_close::text, $16), j.was_volume::text, (select array_agg(id order by id) from recorded)
from judged j
order by j.position
