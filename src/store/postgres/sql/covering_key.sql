-- The index that was built to become the primary key's, if there is one, and whether it is whole. No row where the key stays
-- as it is: if it is on other columns or holds others beside them, if something depends on it, such as a foreign key, if the
-- table is partitioned, or if this login does not own it.
select built.indexrelid is not null as is_there, coalesce(built.indisvalid, false) as is_whole
from pg_class t
    join pg_constraint k on k.conrelid = t.oid and k.contype = 'p' and not k.condeferrable
    join pg_index i on i.indexrelid = k.conindid and not i.indisreplident
    left join pg_index built on built.indexrelid = to_regclass('market_data_candles_covering') and built.indrelid = t.oid
where t.oid = to_regclass('market_data_candles') and t.relkind = 'r' and not t.relispartition
  and not exists (select from pg_inherits where inhparent = t.oid)
  and pg_has_role(t.relowner, 'usage')
  and (select array_agg(a.attname::text order by position)
       from unnest(i.indkey::int2[]) with ordinality as key(number, position)
       join pg_attribute a on a.attrelid = t.oid and a.attnum = key.number)
      = array['symbol', 'timeframe', 'timestamp']
  and not exists (
      select from pg_depend d
      where d.deptype <> 'i'
        and (d.refclassid, d.refobjid) in (('pg_constraint'::regclass, k.oid), ('pg_class'::regclass, k.conindid)))
