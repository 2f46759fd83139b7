/** A job: its progress, what the winner of an item is worth, its points, and files of them. */
import { useCallback, useState } from 'react';
import { CandlewickError } from '../../../web/lib/candlewick';
import { addressOf, read, send, useAnswer } from '../api';
import { count, counted, utc } from '../format';
import { Link } from '../link';
import { Problem } from '../problem';
import type { ViewProps } from '../main';
import { keyOf } from '../session';
import { SignIn } from '../sign-in';
import { addressOf as viewOf } from '../address';
import { Downloads } from './downloads';
import { number, OBJECTIVES } from './figures';
import { HeatMap } from './heat-map';
import { inWords } from './parameters';
import { PointTable } from './point-table';
import type { Job, JobItem, Results } from './types';
import { isOver, useJob } from './use-job';
import { Verdict, Winner } from './verdict';

/** The points that are read: all that the service keeps. */
const POINTS = 1000;

export function JobView({ id, session, signIn }: { id: string } & Pick<ViewProps, 'session' | 'signIn'>) {
  const { job, live, error } = useJob(id);
  const [chosen, setChosen] = useState(0);
  if (!job) return error ? <Problem error={error} /> : <p role="status">Loading …</p>;
  const own = keyOf(session, 'research');
  const mayChange = own === job.owner;
  const item = job.items.find((it) => it.item === chosen) ?? job.items[0];
  return (
    <>
      <header className="job-head">
        <h2>{job.name ?? job.id}</h2>
        <span className={`badge state-${job.state}`}>{job.state}</span>
        {!isOver(job.state) && mayChange && <Cancel id={id} />}
      </header>
      {error && <Problem error={error} />}
      {!isOver(job.state) && <ProgressOf job={job} live={live} />}
      {job.state === 'cancelled' && <p>The search was cancelled. Items that were over are kept.</p>}
      {job.error && (
        <div className="problem" role="alert">
          {job.error}
        </div>
      )}
      {job.warnings.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      {job.items.length > 1 && (
        <label className="fields">
          <span className="muted">Item</span>
          <select value={item?.item} onChange={({ target }) => setChosen(Number(target.value))}>
            {job.items.map((it) => (
              <option key={it.item} value={it.item}>
                {it.strategy} {it.symbol} {it.timeframe}: {it.winner ? number(it.winner.objective ?? 0) : it.state}
              </option>
            ))}
          </select>
        </label>
      )}
      {own === undefined && <SignIn session={session} signIn={signIn} needed="Files take a research key" />}
      {item?.error && <div className="problem">{item.error}</div>}
      {item?.state === 'done' && <ItemView key={item.item} job={job} item={item} mayExport={mayChange} />}
      {isOver(job.state) && job.expires && <p className="muted note">The job and its files are kept until {utc(job.expires)} UTC.</p>}
    </>
  );
}

function Cancel({ id }: { id: string }) {
  const [error, setError] = useState<CandlewickError>();
  const [busy, setBusy] = useState(false);
  const cancel = async () => {
    setBusy(true);
    try {
      await send(addressOf(`jobs/${id}`), { method: 'DELETE' });
    } catch (error) {
      if (!(error instanceof CandlewickError)) throw error;
      setError(error);
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" className="secondary" disabled={busy} onClick={cancel}>
        {busy ? 'Cancelling …' : 'Cancel'}
      </button>
      {error && <Problem error={error} />}
    </>
  );
}

function ProgressOf({ job, live }: { job: Job; live?: ReturnType<typeof useJob>['live'] }) {
  const progress = live ?? job.progress;
  const { done, total, evaluations_per_second: rate, remaining_s: rest } = progress;
  const best = live?.best ?? job.best[0];
  const words = [
    `${count(done)} of ${counted(total, 'try', 'tries')}`,
    ...(rate > 0 ? [`${count(Math.round(rate))} a second`] : []),
    ...(rest !== null && rate > 0 ? [`about ${counted(Math.ceil(rest), 'second')} left`] : []),
  ];
  return (
    <div className="job-progress" role="status">
      <progress max={total || 1} value={done} aria-label="Tries" />
      <p>
        {job.state === 'queued' ? (job.position ? `Waiting, at place ${job.position} of the queue.` : 'Waiting.') : words.join(', ')}
        {best && (
          <>
            {' '}
            Best so far: {inWords(best.parameters)}, {OBJECTIVES[job.request.objective] ?? job.request.objective} {best.objective === null ? '–' : number(best.objective)}
          </>
        )}
      </p>
    </div>
  );
}

function ItemView({ job, item, mayExport }: { job: Job; item: JobItem; mayExport: boolean }) {
  const load = useCallback(
    (signal: AbortSignal) => read<Results>(`jobs/${job.id}/results`, { item: item.item, limit: POINTS }, signal),
    [job.id, item.item],
  );
  const { answer, error } = useAnswer(load);
  const request = job.request.items[item.item];
  return (
    <>
      <p className="muted">
        {item.strategy} on {counted(item.bars ?? 0, 'candle')} of {item.symbol} {item.timeframe}
        {item.from && item.to && `, ${utc(item.from).slice(0, 10)} to ${utc(item.to).slice(0, 10)}`}; {counted(item.trials ?? 0, 'try', 'tries')}.{' '}
        <Link href={viewOf('strategies', { id: item.strategy })}>Rules and Pine script</Link>
      </p>
      <Verdict item={item} />
      {error && <Problem error={error} />}
      <div className="winner-grid">
        <div>
          <Winner item={item} objective={job.request.objective} />
          {mayExport && <Downloads job={job.id} item={item} />}
        </div>
        <div>{answer && <HeatMap results={answer} />}</div>
      </div>
      {answer && <PointTable results={answer} job={job} item={item} align={request?.source ? request.align : undefined} />}
    </>
  );
}
