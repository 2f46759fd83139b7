import { useCallback } from 'react';
import { ago, useNow } from '../../web/chart/status';
import { useActivity, type Activity } from './activity';
import { read, useAnswer } from './api';
import { count, size, utcSeconds } from './format';
import { Problem } from './problem';

type Details = {
  status: string;
  version: string;
  revision: string;
  store: { kind: string; latency_ms: number | null; connections_open: number; connections_idle: number; connections_max: number };
  uptime_seconds: number;
  memory_bytes: number | null;
  last_ingest: number | null;
  last_write_error: { at: number; kind: string; meaning: string; recovered: boolean } | null;
  shared_limits: string | null;
};
type Latest = { symbol: string; timeframe: string; timestamp: number; received: number | null };

/** Milliseconds between two looks. */
const INTERVAL = 3000;
/** The number of series that are listed as having received something last. */
const NEWEST = 12;

export function HealthPage() {
  const details = useAnswer(useCallback((signal: AbortSignal) => read<Details>('health/detailed', {}, signal), []), INTERVAL);
  const latest = useAnswer(useCallback((signal: AbortSignal) => read<Latest[]>('latest', { limit: 1000 }, signal), []), INTERVAL);
  const activity = useActivity();
  const now = useNow();
  const { answer, error } = details;
  if (!answer) return error ? <Problem error={error} /> : <p role="status">Loading …</p>;
  const { store, last_write_error: failure } = answer;
  const healthy = answer.status === 'ok' && !error;
  const newest = [...(latest.answer ?? [])].sort((one, other) => (other.received ?? 0) - (one.received ?? 0)).slice(0, NEWEST);
  return (
    <section className="view">
      <header className="view-head">
        <h1>Health</h1>
        <p>
          <span className={`badge ${healthy ? 'good' : 'bad'}`}>{error ? 'does not answer' : healthy ? 'healthy' : answer.status}</span>
        </p>
      </header>
      {error && <Problem error={error} />}
      <dl className="figures">
        <Figure name="Store" value={store.kind === 'sqlite' ? 'SQLite' : 'Postgres'} />
        <Figure name="Answers in" value={store.latency_ms === null ? '–' : `${store.latency_ms.toFixed(1)} ms`} />
        <Figure name="Connections" value={`${store.connections_open - store.connections_idle} busy of ${store.connections_max}`} />
        <Figure name="Memory" value={answer.memory_bytes === null ? '–' : size(answer.memory_bytes)} />
        <Figure name="Running for" value={ago(answer.uptime_seconds * 1000)} />
        <Figure name="Last post" value={answer.last_ingest === null ? 'none yet' : `${ago(now - answer.last_ingest)} ago`} />
        {answer.shared_limits && <Figure name="Shared limits" value={answer.shared_limits} />}
        <Figure name="Release" value={`${answer.version}${answer.revision === 'unknown' ? '' : ` (${answer.revision.slice(0, 10)})`}`} />
      </dl>
      <h2>Last failed write</h2>
      {failure ? (
        <p className={failure.recovered ? undefined : 'error'}>
          {utcSeconds(failure.at)} UTC: {failure.meaning} <code>{failure.kind}</code>.{' '}
          {failure.recovered ? 'Writes have succeeded since.' : 'No write has succeeded since.'}
        </p>
      ) : (
        <p className="muted">None since this process started.</p>
      )}
      <h2>Keys that post</h2>
      {activity.error && <Problem error={activity.error} />}
      {activity.answer && <Posters activity={activity.answer} now={now} />}
      <h2>Series that received something last</h2>
      {latest.error && <Problem error={latest.error} />}
      <div className="scroll narrow" tabIndex={0} role="region" aria-label="Newest candles">
        <table>
          <thead>
            <tr>
              <th>Series</th>
              <th>Newest candle, UTC</th>
              <th className="number">Received</th>
            </tr>
          </thead>
          <tbody>
            {newest.map((it) => (
              <tr key={`${it.symbol} ${it.timeframe}`}>
                <td>
                  {it.symbol} {it.timeframe}
                </td>
                <td>{utcSeconds(it.timestamp)}</td>
                <td className="number">{it.received === null ? '–' : `${ago(now - it.received)} ago`}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {(latest.answer?.length ?? 0) > NEWEST && <p className="muted">The newest {NEWEST} of {count(latest.answer!.length)}</p>}
      </div>
      <p className="muted note">These figures are of the process that answers; each replica has its own.</p>
    </section>
  );
}

function Posters({ activity: { posters, since }, now }: { activity: Activity; now: number }) {
  if (posters.length === 0) return <p className="muted">Nothing was posted since {utcSeconds(since)} UTC.</p>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Keys that post">
      <table>
        <thead>
          <tr>
            <th>Key</th>
            <th className="number">Last post</th>
            <th className="number">Posts</th>
            <th className="number">Refused</th>
            <th className="number">Added</th>
            <th className="number">Forming</th>
            <th className="number">Duplicates</th>
            <th className="number">Conflicts</th>
            <th>Last refusal</th>
          </tr>
        </thead>
        <tbody>
          {posters.map((it) => (
            <tr key={it.name}>
              <td>{it.name}</td>
              <td className="number">{ago(now - it.last_post)} ago</td>
              <td className="number">{count(it.posts)}</td>
              <td className={it.refused_posts ? 'number error' : 'number'}>{count(it.refused_posts)}</td>
              <td className="number">{count(it.records_added)}</td>
              <td className="number">{count(it.records_live)}</td>
              <td className="number">{count(it.records_duplicate)}</td>
              <td className={it.records_conflicting ? 'number error' : 'number'}>{count(it.records_conflicting)}</td>
              <td className="reason">{it.last_refusal ? `${utcSeconds(it.last_refusal.at)}: ${it.last_refusal.detail}` : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
