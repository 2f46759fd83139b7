select a.pid, given.start, given.session, pg_terminate_backend(a.pid)
from unnest($1::int[], $2::text[], $3::text[]) as given(pid, start, session),
     pg_stat_get_activity(given.pid) a
where a.backend_start::text = given.start and a.application_name = given.session
