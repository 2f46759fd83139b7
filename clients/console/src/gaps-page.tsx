import { useCallback, useMemo } from 'react';
import { minutesOf } from '../../web/lib/candlewick';
import { addressOf, go } from './address';
import { read, useAnswer } from './api';
import { count, counted, duration, share, utc } from './format';
import { Link } from './link';
import type { ViewProps } from './main';
import { Problem } from './problem';
import { SeriesFields, useChosen } from './series-fields';

type Gap = { from: number; to: number; missing: number; kind: 'closure' | 'hole' };
type Report = {
  from: number;
  to: number;
  session: { source: string; timezone: string; weeks?: number; hours?: string; expected_per_week: number };
  expected: number;
  stored: number;
  coverage: number | null;
  gaps: Gap[];
  more: boolean;
};

const DAY = 86_400_000;
const SPANS: Record<string, number> = { '7 days': 7, '30 days': 30, '90 days': 90, '1 year': 365 };
const ZONES = ['America/New_York', 'utc', 'Europe/Athens', 'Europe/London', 'Asia/Tokyo'];
const SESSIONS = { learned: 'as in the weeks before', '24x7': 'all day, every day', '1700-1700:23456': 'Sunday to Friday, 17:00' };

const dateOf = (time: number) => new Date(time).toISOString().slice(0, 10);

export function GapsPage({ query }: ViewProps) {
  const known = useChosen(query);
  const { symbol, timeframe } = known.chosen;
  const to = query.get('to') ?? dateOf(Date.now());
  const from = query.get('from') ?? dateOf(Date.parse(to) - 30 * DAY);
  const [session, tz, kinds] = [query.get('session') ?? 'learned', query.get('tz') ?? 'America/New_York', query.get('kinds') ?? 'all'];
  const change = (changed: Record<string, string | undefined>) =>
    go(addressOf('gaps', { symbol, timeframe, from: query.get('from') ?? undefined, to: query.get('to') ?? undefined, session, tz, kinds, ...changed }), true);
  const load = useCallback(
    (signal: AbortSignal) => {
      // The last day counts whole, but the future does not.
      const end = Math.min(Date.parse(to) + DAY - 60_000, Date.now());
      return read<Report>('gaps', { symbol, timeframe, from: new Date(from).toISOString(), to: new Date(end).toISOString(), session, tz }, signal);
    },
    [symbol, timeframe, from, to, session, tz],
  );
  const complete = symbol && timeframe && from && to;
  const { answer, error } = useAnswer(complete ? load : undefined);
  const span = Object.keys(SPANS).find((name) => SPANS[name] === Math.round((Date.parse(to) - Date.parse(from)) / DAY));
  return (
    <section className="view">
      <header className="view-head">
        <h1>Gaps</h1>
        <p className="muted">Periods in which a candle is expected and none is stored. Times are UTC.</p>
      </header>
      <form className="fields" onSubmit={(event) => event.preventDefault()}>
        <SeriesFields {...known} onChoose={(chosen) => change({ ...chosen, ...(chosen.symbol && { timeframe: undefined }) })} />
        <label>
          <span>Span</span>
          <select value={span ?? ''} onChange={({ target }) => change({ to: undefined, from: dateOf(Date.now() - SPANS[target.value]! * DAY) })}>
            {!span && <option value="">other</option>}
            {Object.keys(SPANS).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          <span>From</span>
          <input type="date" value={from} onChange={({ target }) => target.value && change({ from: target.value })} />
        </label>
        <label>
          <span>To</span>
          <input type="date" value={to} onChange={({ target }) => target.value && change({ to: target.value })} />
        </label>
        <label>
          <span>Expected</span>
          <select value={session} onChange={({ target }) => change({ session: target.value })}>
            {Object.entries(SESSIONS).map(([id, name]) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span>By the clock of</span>
          <select value={tz} onChange={({ target }) => change({ tz: target.value })}>
            {ZONES.map((zone) => (
              <option key={zone} value={zone}>
                {zone === 'utc' ? 'UTC' : zone.replace('_', ' ')}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span>Show</span>
          <select value={kinds} onChange={({ target }) => change({ kinds: target.value })}>
            <option value="all">holes and closures</option>
            <option value="hole">holes</option>
          </select>
        </label>
      </form>
      {known.error && <Problem error={known.error} />}
      {error && <Problem error={error} />}
      {known.isLoaded && !symbol && <p>Nothing is stored yet.</p>}
      {complete && !answer && !error && <p role="status">Comparing with the weeks before …</p>}
      {answer && <GapReport report={answer} symbol={symbol} timeframe={timeframe} kinds={kinds} />}
    </section>
  );
}

function GapReport({ report, symbol, timeframe, kinds }: { report: Report; symbol: string; timeframe: string; kinds: string }) {
  const period = minutesOf(timeframe) * 60_000;
  const gaps = useMemo(() => report.gaps.filter(({ kind }) => kinds === 'all' || kind === kinds), [report, kinds]);
  const width = report.to - report.from;
  const { session } = report;
  return (
    <>
      <dl className="figures">
        <div>
          <dt>Coverage</dt>
          <dd>{report.coverage === null ? '–' : share(report.coverage)}</dd>
        </div>
        <div>
          <dt>Expected</dt>
          <dd>{count(report.expected)}</dd>
        </div>
        <div>
          <dt>Missing</dt>
          <dd>{count(report.expected - report.stored)}</dd>
        </div>
        <div>
          <dt>Gaps</dt>
          <dd>
            {count(gaps.length)}
            {report.more && '+'}
          </dd>
        </div>
        <div className="wide-figure">
          <dt>Expected when</dt>
          <dd className="small">
            {session.source === 'learned' ? `learned from ${counted(session.weeks ?? 0, 'week')}` : (session.hours ?? session.source)},{' '}
            {counted(session.expected_per_week, 'candle')} a week by the clock of {session.timezone.replace('_', ' ')}
          </dd>
        </div>
      </dl>
      <svg className="strip gap-strip" viewBox="0 0 1000 1" preserveAspectRatio="none" role="img" aria-label={`The gaps from ${utc(report.from)} to ${utc(report.to)}`}>
        <rect className="whole" width="1000" height="1" />
        {gaps.map(({ from, to, kind }) => (
          <rect
            key={from}
            className={kind}
            x={((from - report.from) / width) * 1000}
            width={Math.max(1, ((to + period - from) / width) * 1000)}
            height="1"
          />
        ))}
      </svg>
      {gaps.length === 0 ? (
        <p>Nothing is missing.</p>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Gaps">
          <table>
            <thead>
              <tr>
                <th>First missing</th>
                <th>Last missing</th>
                <th className="number">Candles</th>
                <th className="number">Length</th>
                <th>Kind</th>
                <th>
                  <span className="hidden">Chart</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {gaps.map(({ from, to, missing, kind }) => (
                <tr key={from}>
                  <td>{utc(from)}</td>
                  <td>{utc(to)}</td>
                  <td className="number">{count(missing)}</td>
                  <td className="number">{duration(to + period - from)}</td>
                  <td>
                    <span className={`kind ${kind}`}>{kind}</span>
                  </td>
                  <td>
                    <Link href={addressOf('chart', { symbol, timeframe, at: dateOf(from) })} aria-label={`Chart of ${dateOf(from)}`}>
                      chart
                    </Link>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {report.more && <p className="muted">More gaps follow; choose a shorter span.</p>}
        </div>
      )}
    </>
  );
}
