set statement_timeout = '5s';
-- Far longer than a batch takes, but short enough that batches queued behind this one can still be written in time.
set lock_timeout = '2s';
set idle_in_transaction_session_timeout = '10s';
-- Each of our statements has one good plan. By default the server replans those on long series every time: it does not
-- know the limit, and therefore estimates the generic plan to cost more than a custom one.
-- Citus refuses generic plans (its planner: "could not create distributed plan"), so it gets one for each execution.
select set_config('plan_cache_mode', case when exists (select from pg_extension where extname = 'citus')
                                         then 'auto' else 'force_generic_plan' end, false);
-- Compiling takes longer than any of our statements should run.
set jit = off;
-- A 201 means durable, even if the database's default is to answer before the commit is on disk.
select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
select pid, backend_start::text from pg_stat_get_activity(pg_backend_pid())
