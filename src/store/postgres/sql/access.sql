-- The privileges that the service needs, whether the login has them, and whether row security lets it see every row.
with applicable as (
    select polrelid, polcmd::text as command, polpermissive as permissive,
           coalesce(pg_get_expr(polqual, polrelid), 'true') = 'true'
           and coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true' as lets_all_through
    from pg_policy
    where exists (select from unnest(polroles) as role where role = 0 or pg_has_role(role, 'usage'))
)
select needed.relation, needed.command,
       has_table_privilege(needed.relation, needed.command) as granted,
       not row_security_active(needed.relation) or coalesce((
           select bool_or(p.permissive and p.lets_all_through)
                  and bool_and(p.permissive or p.lets_all_through)
           from applicable p
           where p.polrelid = needed.relation::regclass and p.command in ('*', needed.letter)
       ), false) as all_rows
from (values
    ('market_data_candles', 'select', 'r'), ('market_data_candles', 'insert', 'a'),
    ('market_data_live_candles', 'select', 'r'), ('market_data_live_candles', 'insert', 'a'),
    ('market_data_live_candles', 'update', 'w'), ('market_data_live_candles', 'delete', 'd')
) as needed(relation, command, letter)
