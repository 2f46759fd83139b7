import { useCallback } from 'react';
import { FIELDS, type Field } from './candle-fields';
import { addressOf, go } from './address';
import { read, useAnswer } from './api';
import { CorrectForm } from './correct-form';
import { DeleteForm } from './delete-form';
import { count, counted, utc, utcSeconds } from './format';
import { Link } from './link';
import type { ViewProps } from './main';
import { Problem } from './problem';
import { SignIn } from './sign-in';

type Recorded = Record<Field, number> & { timestamp: number };
type Change = {
  id: string;
  at: number;
  actor: string;
  kind: string;
  symbol: string;
  timeframe: string;
  from: number;
  to: number;
  candles: number;
  reason: string;
  before?: Recorded[];
  after?: Recorded[];
};

/** Milliseconds between two looks at the record, and its limits: changes in a request, requests, and rows that are shown. */
const INTERVAL = 10_000;
const PAGE = 1000;
const MAX_PAGES = 50;
const MAX_ROWS = 500;
/** The number of candles of a change whose values are shown. */
const MAX_CANDLES = 20;

async function record(signal: AbortSignal): Promise<Change[]> {
  const changes: Change[] = [];
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await read<Change[]>('changes', { limit: PAGE, after: changes.at(-1)?.id }, signal);
    if (answer.length === 0) break;
    changes.push(...answer);
  }
  return changes.reverse();
}

const TASKS = { record: 'Record', correct: 'Correct', delete: 'Delete' } as const;

export function ChangesPage({ query, session, signIn }: ViewProps) {
  const task = query.get('do') ?? 'record';
  const { answer: changes, error, again } = useAnswer(useCallback(record, []), INTERVAL);
  const changeAddress = (changed: Record<string, string | undefined>) =>
    go(addressOf('changes', { ...Object.fromEntries(query), ...changed }), true);
  const form = { query, onAddress: changeAddress, onDone: again };
  const mayChange = session.scopes.includes('maintenance');
  return (
    <section className="view">
      <header className="view-head">
        <h1>Changes</h1>
        <nav className="tasks" aria-label="Tasks">
          {Object.entries(TASKS).map(([id, name]) => (
            <Link
              key={id}
              href={addressOf('changes', { ...Object.fromEntries(query), do: id === 'record' ? undefined : id })}
              aria-current={task === id ? 'true' : undefined}
            >
              {name}
            </Link>
          ))}
        </nav>
        <p className="muted">Closed history changes only by a maintenance key, with a reason, and leaves a record. Times are UTC.</p>
      </header>
      {task !== 'record' && !mayChange && <SignIn session={session} signIn={signIn} needed="This takes a maintenance key" />}
      {task === 'correct' && mayChange && <CorrectForm {...form} />}
      {task === 'delete' && mayChange && <DeleteForm {...form} />}
      {error && <Problem error={error} />}
      {!changes && !error && <p role="status">Loading …</p>}
      {changes?.length === 0 && <p>No candle was corrected, deleted or imported so far.</p>}
      {changes && changes.length > 0 && <RecordTable changes={changes} />}
    </section>
  );
}

function RecordTable({ changes }: { changes: Change[] }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Record of changes">
      <table>
        <thead>
          <tr>
            <th className="number">Id</th>
            <th>At</th>
            <th>Kind</th>
            <th>Series</th>
            <th>Candles of</th>
            <th className="number">Count</th>
            <th>By</th>
            <th>Reason</th>
          </tr>
        </thead>
        <tbody>
          {changes.slice(0, MAX_ROWS).map((change) => (
            <tr key={change.id}>
              <td className="number">{change.id}</td>
              <td>{utcSeconds(change.at)}</td>
              <td>
                <span className={`kind ${change.kind}`}>{change.kind}</span>
              </td>
              <td>
                <Link href={addressOf('chart', { symbol: change.symbol, timeframe: change.timeframe, at: utc(change.from).slice(0, 10) })}>
                  {change.symbol} {change.timeframe}
                </Link>
              </td>
              <td>
                {utc(change.from)}
                {change.to > change.from && ` to ${utc(change.to)}`}
              </td>
              <td className="number">{count(change.candles)}</td>
              <td>{change.actor}</td>
              <td className="reason">
                {change.reason}
                <Differences change={change} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {changes.length > MAX_ROWS && <p className="muted">The newest {MAX_ROWS} of {counted(changes.length, 'change')}</p>}
    </div>
  );
}

/** The values of a correction, old and new. */
function Differences({ change: { kind, before = [], after = [] } }: { change: Change }) {
  if (kind !== 'correction') return null;
  return (
    <details>
      <summary>values</summary>
      <ul>
        {after.slice(0, MAX_CANDLES).map((candle) => {
          const old = before.find(({ timestamp }) => timestamp === candle.timestamp);
          const different = FIELDS.filter((field) => old && old[field] !== candle[field]);
          return (
            <li key={candle.timestamp}>
              {utc(candle.timestamp)}: {different.map((field) => `${field} ${old![field]} → ${candle[field]}`).join(', ') || 'digits only'}
            </li>
          );
        })}
      </ul>
    </details>
  );
}
