-- Whether a unique key tells candles apart: in this order, because reading hops over the index; without collations that take EURUSDm and EURUSDM for one symbol, unless it has them
-- from its columns. Beside it, the names of deferrable ones, since "on conflict" fails where there is one.
select exists (
    select from pg_index i
    where i.indrelid = to_regclass('market_data_candles') and i.indisunique and i.indimmediate and i.indisvalid
      and i.indpred is null and i.indexprs is null
      and (select array_agg(a.attname::text order by k.position)
           from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k(number, position)
           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number)
          = array['symbol', 'timeframe', 'timestamp']
      and not exists (
          select from unnest(i.indcollation::oid[]) as used
          join pg_collation c on c.oid = used and not c.collisdeterministic
          where not exists (select from pg_attribute a where a.attrelid = i.indrelid and a.attcollation = used))) as has_key,
    array(
        select quote_ident(k.conname) from pg_constraint k
        where k.conrelid = to_regclass('market_data_candles') and k.contype in ('p', 'u') and k.condeferrable
          and (select array_agg(a.attname::text order by a.attname)
               from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any (k.conkey))
              = array['symbol', 'timeframe', 'timestamp']) as deferrable
