set statement_timeout = '5s';
-- Far longer than a batch takes, and short enough that what waits behind this one can still be written in time.
set lock_timeout = '2s';
set idle_in_transaction_session_timeout = '10s';
-- Our statements have one good plan each. Left to itself, the server plans those on long series anew every time: not
-- knowing the limit, it takes the plan for any parameters to be dearer than one for these.
set plan_cache_mode = force_generic_plan;
-- Compiling takes longer than any statement of ours runs that is worth an answer.
set jit = off;
-- A 201 means durable, also where the database's default is to answer before the disk has.
select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
select pid, backend_start::text from pg_stat_get_activity(pg_backend_pid())
