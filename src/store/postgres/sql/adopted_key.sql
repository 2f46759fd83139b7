-- has_key: whether a unique key identifies candles. Its columns must be in this order, because the series are read with
-- a loose index scan, and have the collations of the table's columns, because no statement of ours can use it with
-- others.
-- deferrable: the names of deferrable keys, because "on conflict" fails if there is one.
select exists (
    select from pg_index i
    where i.indrelid = to_regclass('market_data_candles') and i.indisunique and i.indimmediate and i.indisvalid
      and i.indpred is null and i.indexprs is null
      and (select array_agg(a.attname::text order by k.position)
           from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k(number, position)
           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
          = array['symbol', 'timeframe', 'timestamp']
      and not exists (
          select from unnest(i.indkey[0:i.indnkeyatts - 1], i.indcollation::oid[]) as k(number, used)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
          where a.attcollation <> k.used)) as has_key,
    array(
        select quote_ident(k.conname) from pg_constraint k
        where k.conrelid = to_regclass('market_data_candles') and k.contype in ('p', 'u') and k.condeferrable
          and (select array_agg(a.attname::text order by a.attname)
               from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any (k.conkey))
              = array['symbol', 'timeframe', 'timestamp']) as deferrable
