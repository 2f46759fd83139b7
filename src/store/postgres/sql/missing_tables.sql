-- The tables that are missing, whether the migrations' table exists and the login may read it, and every table that
-- must be dropped before migrations can create all of them again.
select to_regclass('market_data_candles') is null as lacks_closed,
       to_regclass('market_data_live_candles') is null as lacks_forming,
       to_regclass('_sqlx_migrations') is not null as has_migrations,
       coalesce(has_table_privilege(to_regclass('_sqlx_migrations'), 'select'), false) as may_read_migrations,
       (select string_agg(quote_ident(c.relname), ', ' order by c.relname)
        from pg_class c
        where c.relnamespace = (select relnamespace from pg_class where oid = to_regclass('_sqlx_migrations'))
          and c.relkind in ('r', 'p')
          and (c.relname = '_sqlx_migrations'
               or c.relname like 'market\_data\_%candles' and c.relname <> 'market_data_candles')) as leftovers
