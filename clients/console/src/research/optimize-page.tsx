import { addressOf, go } from '../address';
import { Link } from '../link';
import type { ViewProps } from '../main';
import { JobList } from './job-list';
import { JobView } from './job-view';
import { OptimizeForm } from './optimize-form';

export function OptimizePage({ query, session, signIn }: ViewProps) {
  const id = query.get('job');
  const isList = query.has('jobs');
  const open = (id: string) => go(addressOf('optimize', { job: id }));
  return (
    <section className="view research">
      <header className="view-head">
        <h1>Optimize</h1>
        <nav className="tasks" aria-label="Tasks">
          <Link href={addressOf('optimize')} aria-current={!id && !isList ? 'true' : undefined}>
            New search
          </Link>
          <Link href={addressOf('optimize', { jobs: 'all' })} aria-current={isList ? 'true' : undefined}>
            Jobs
          </Link>
        </nav>
        <p className="muted">Searches the parameters of a strategy in the background, and says what the winner is worth.</p>
      </header>
      {id ? <JobView key={id} id={id} session={session} signIn={signIn} /> : isList ? <JobList session={session} /> : <OptimizeForm query={query} session={session} signIn={signIn} onStarted={open} />}
    </section>
  );
}
