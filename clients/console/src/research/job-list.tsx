import { useCallback } from 'react';
import { addressOf } from '../address';
import { read, useAnswer } from '../api';
import { count, utcSeconds } from '../format';
import { Link } from '../link';
import { Problem } from '../problem';
import { keyOf, type Session } from '../session';
import { number } from './figures';
import { inWords } from './parameters';
import type { JobLine } from './types';

/** Milliseconds between two looks, and the number of jobs that are listed. */
const INTERVAL = 3000;
const LIMIT = 200;

export function JobList({ session }: { session: Session }) {
  const load = useCallback((signal: AbortSignal) => read<JobLine[]>('jobs', { limit: LIMIT }, signal), []);
  const { answer, error } = useAnswer(load, INTERVAL);
  const own = keyOf(session, 'research');
  // A read token sees the jobs of all keys.
  const jobs = own === undefined ? answer : answer?.filter(({ owner }) => owner === own);
  return (
    <>
      {error && <Problem error={error} />}
      {!jobs && !error && <p role="status">Loading …</p>}
      {jobs?.length === 0 && (
        <p>
          No search was started so far. <Link href={addressOf('optimize')}>Start one</Link>
        </p>
      )}
      {jobs && jobs.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Jobs">
          <table>
            <thead>
              <tr>
                <th>Job</th>
                <th>State</th>
                <th className="number">Tries</th>
                <th>Best so far</th>
                <th>Started, UTC</th>
                {own === undefined && <th>By</th>}
              </tr>
            </thead>
            <tbody>
              {jobs.map(({ id, name, state, progress, best, created, owner }) => (
                <tr key={id}>
                  <td>
                    <Link href={addressOf('optimize', { job: id })}>{name ?? id}</Link>
                  </td>
                  <td>
                    <span className={`badge state-${state}`}>{state}</span>
                  </td>
                  <td className="number">
                    {count(progress.done)} of {count(progress.total)}
                  </td>
                  <td>{best[0] ? `${inWords(best[0].parameters)}: ${best[0].objective === null ? '–' : number(best[0].objective)}` : '–'}</td>
                  <td>{utcSeconds(created)}</td>
                  {own === undefined && <td>{owner}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <p className="muted note">A job is deleted a day after its end, together with its files, unless the operator has set another time.</p>
    </>
  );
}
