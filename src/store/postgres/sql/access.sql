-- The privileges that the service needs, and where $1 is true those for corrections and deletions, whether the login has them, and whether row security lets it see every row.
with applicable as (
    select polrelid, polcmd::text as command, polpermissive as permissive,
           coalesce(pg_get_expr(polqual, polrelid), 'true') = 'true'
           and coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true' as lets_all_through
    from pg_policy
    where exists (select from unnest(polroles) as role where role = 0 or pg_has_role(role, 'usage'))
)
select needed.relation, needed.command,
       coalesce(has_table_privilege(to_regclass(needed.relation), needed.command), false) as granted,
       not row_security_active(to_regclass(needed.relation)) or coalesce((
           select bool_or(p.permissive and p.lets_all_through)
                  and bool_and(p.permissive or p.lets_all_through)
           from applicable p
           where p.polrelid = to_regclass(needed.relation) and p.command in ('*', needed.letter)
       ), false) as all_rows
from (values
    ('market_data_candles', 'select', 'r', false), ('market_data_candles', 'insert', 'a', false),
    ('market_data_live_candles', 'select', 'r', false), ('market_data_live_candles', 'insert', 'a', false),
    ('market_data_live_candles', 'update', 'w', false), ('market_data_live_candles', 'delete', 'd', false),
    ('market_data_candles', 'update', 'w', true), ('market_data_candles', 'delete', 'd', true),
    ('market_data_changes', 'select', 'r', true), ('market_data_changes', 'insert', 'a', true)
) as needed(relation, command, letter, for_maintenance)
where $1 or not needed.for_maintenance
