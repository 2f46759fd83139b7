-- The privileges that the service needs, and where $1 is true those for corrections and deletions, where $2 is true those for jobs, whether the login has them, and whether row security lets it see every row.
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
    ('market_data_candles', 'select', 'r', true), ('market_data_candles', 'insert', 'a', true),
    ('market_data_live_candles', 'select', 'r', true), ('market_data_live_candles', 'insert', 'a', true),
    ('market_data_live_candles', 'update', 'w', true), ('market_data_live_candles', 'delete', 'd', true),
    ('market_data_candles', 'update', 'w', $1), ('market_data_candles', 'delete', 'd', $1),
    ('market_data_changes', 'select', 'r', $1), ('market_data_changes', 'insert', 'a', $1),
    ('research_jobs', 'select', 'r', $2), ('research_jobs', 'insert', 'a', $2), ('research_jobs', 'update', 'w', $2),
    ('research_jobs', 'delete', 'd', $2),
    ('research_items', 'select', 'r', $2), ('research_items', 'insert', 'a', $2), ('research_items', 'update', 'w', $2),
    ('research_items', 'delete', 'd', $2),
    ('research_files', 'select', 'r', $2), ('research_files', 'insert', 'a', $2), ('research_files', 'delete', 'd', $2)
) as needed(relation, command, letter, is_needed)
where needed.is_needed
