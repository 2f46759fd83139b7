-- Deletes the candles of a series in a span and adds that to the record, or changes nothing unless their digest is $6. $5 is one
-- more than the most candles, $7 the actor, $8 the kind of the change, $9 the reason.
with {rows}, confirmed as materialized (
    select 1 from summary where digest = $6 and closed + forming between 1 and $5 - 1
), removed as (
    delete from market_data_candles c {closed}
      and exists (select from confirmed)
), removed_forming as (
    delete from market_data_live_candles l using forming
    where l.symbol = forming.symbol and l.timeframe = forming.timeframe and l."timestamp" = forming."timestamp"
      and exists (select from confirmed)
), recorded as (
    insert into market_data_changes (actor, kind, symbol, timeframe, first, last, candles, reason, detail)
    select $7, $8, $1, $2, s.first, s.last, s.closed + s.forming, $9,
           case when s.closed + s.forming <= $10 then jsonb_build_object('before', (
               {values})) else '{}' end
    from summary s where exists (select from confirmed)
    returning id
)
select s.closed, s.forming, s.first, s.last, s.digest, (select id from recorded) from summary s
