-- The columns of an existing market_data_candles.
select a.attname::text as name,
       format_type(a.atttypid, a.atttypmod) as type,
       format_type(a.atttypid, null) as base_type,
       t.typcategory::text as category,
       a.attnotnull as not_null,
       a.attnotnull and not a.atthasdef and a.attidentity = '' as must_be_given,
       a.attgenerated <> '' as is_generated,
       exists (select from pg_index i
               where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any (i.indkey)) as in_primary_key,
       pg_get_serial_sequence(to_regclass('market_data_candles')::text, a.attname) as sequence,
       coalesce(not c.collisdeterministic, false) as is_blind,
       -- The objects that prevent a change of the column's type.
       (select string_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
        from pg_depend d
        where d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum
          and d.classid in ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_trigger'::regclass)) as dependents
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_collation c on c.oid = a.attcollation
where a.attrelid = to_regclass('market_data_candles') and a.attnum > 0 and not a.attisdropped
order by a.attnum
