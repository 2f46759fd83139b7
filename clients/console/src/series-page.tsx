import { useCallback, useMemo, useState } from 'react';
import { byLength } from '../../web/chart/choice';
import { ago, useNow } from '../../web/chart/status';
import { Candlewick, type Series } from '../../web/lib/candlewick';
import { useActivity } from './activity';
import { addressOf } from './address';
import { API, useAnswer } from './api';
import { Problem } from './problem';
import { spanOf, Strip, Years } from './coverage';
import { count, counted, size, utc, utcSeconds } from './format';
import { Link } from './link';
import { useMedia } from './use-media';
import { VirtualRows } from './virtual-rows';

const client = new Candlewick({ base: API, timeout: 30_000 });
/** Milliseconds between two looks at the list. */
const INTERVAL = 5000;

type Order = 'symbol' | 'candles' | 'bytes' | 'last';
const ORDERS: Record<Order, (one: Series, other: Series) => number> = {
  // The service orders by symbol; within one, timeframes go by their length.
  symbol: (one, other) => (one.symbol === other.symbol ? byLength(one.timeframe, other.timeframe) : one.symbol < other.symbol ? -1 : 1),
  candles: (one, other) => (other.candles ?? 0) - (one.candles ?? 0),
  bytes: (one, other) => (other.bytes ?? 0) - (one.bytes ?? 0),
  last: (one, other) => other.last - one.last,
};

export function SeriesPage() {
  const load = useCallback((signal: AbortSignal) => client.series({ stats: 'true' }, signal), []);
  const { answer: series, error } = useAnswer(load, INTERVAL);
  const activity = useActivity().answer;
  const posted = useMemo(
    () => new Map((activity?.series ?? []).map((it) => [`${it.timeframe}:${it.symbol}`, it])),
    [activity],
  );
  const [text, setText] = useState('');
  const [order, setOrder] = useState<Order>('symbol');
  const narrow = useMedia('(max-width: 760px)');
  const now = useNow();
  const shown = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    const found = (series ?? []).filter((it) => `${it.symbol} ${it.timeframe}`.toLowerCase().includes(wanted));
    return [...found].sort(ORDERS[order]);
  }, [series, text, order]);
  const span = useMemo(() => spanOf(shown), [shown]);

  if (!series) return error ? <Problem error={error} /> : <p role="status">Loading …</p>;
  const sinceStart = activity && `To this process since its start at ${utcSeconds(activity.since)} UTC`;
  const head = (id: Order, name: string) => (
    <span role="columnheader" className={`${id} head`} aria-sort={order === id ? (id === 'symbol' ? 'ascending' : 'descending') : undefined}>
      <button type="button" onClick={() => setOrder(id)}>
        {name}
      </button>
    </span>
  );
  const row = (index: number) => {
    const it = shown[index];
    if (!it) return null;
    const { symbol, timeframe } = it;
    const post = posted.get(`${timeframe}:${symbol}`);
    const again = order === 'symbol' && shown[index - 1]?.symbol === symbol;
    return (
      <>
        <span role="cell" className={again ? 'symbol-cell again' : 'symbol-cell'}>
          {symbol}
        </span>
        <span role="cell" className="timeframe-cell">
          <Link href={addressOf('chart', { symbol, timeframe })} aria-label={`Chart of ${symbol} ${timeframe}`}>
            {timeframe}
          </Link>
        </span>
        <span role="cell" className="strip-cell">
          <Strip series={it} span={span} />
        </span>
        <span role="cell" className="first-cell">
          {utc(it.first).slice(0, 10)}
        </span>
        <span role="cell" className="last-cell" title={`${utc(it.last)} UTC${it.received ? `, stored ${utc(it.received)}` : ''}`}>
          {ago(now - it.last)}
        </span>
        <span role="cell" className="candles-cell">
          {it.candles == null ? '…' : count(it.candles)}
        </span>
        <span role="cell" className="bytes-cell">
          {it.bytes == null ? '…' : size(it.bytes)}
        </span>
        <span role="cell" className="poster-cell" title={post && `Last post ${utcSeconds(post.last_post)} UTC`}>
          {post ? `${post.poster}, ${ago(now - post.last_post)}` : '–'}
        </span>
        <span role="cell" className={post?.records_conflicting ? 'conflicts-cell error' : 'conflicts-cell'}>
          {post ? count(post.records_conflicting) : '–'}
        </span>
        <span role="cell" className="links-cell">
          <Link href={addressOf('gaps', { symbol, timeframe })} aria-label={`Gaps of ${symbol} ${timeframe}`}>
            gaps
          </Link>
        </span>
      </>
    );
  };
  return (
    <section className="view series-view">
      <header className="view-head">
        <h1>Series</h1>
        <input type="search" aria-label="Find" placeholder="Find a symbol or timeframe" value={text} onChange={(event) => setText(event.target.value)} />
        <p className="muted">{summary(shown)}</p>
        {activity && <p className="muted since">Posts and conflicts: this process, since {utc(activity.since)} UTC</p>}
      </header>
      {error && <Problem error={error} />}
      {series.length === 0 ? (
        <p>Nothing is stored yet. Series appear here as soon as their first closed candle is stored.</p>
      ) : (
        <VirtualRows
          count={shown.length}
          height={narrow ? 50 : 28}
          label="Stored series"
          row={row}
          head={
            <div role="row" className="row" aria-rowindex={1}>
              {head('symbol', 'Symbol')}
              <span role="columnheader" className="timeframe">
                Timeframe
              </span>
              <span role="columnheader" className="strip-cell">
                <span className="hidden">Months with candles</span>
                {shown.length > 0 && <Years span={span} />}
              </span>
              <span role="columnheader" className="first-cell">
                First
              </span>
              {head('last', 'Newest')}
              {head('candles', 'Candles')}
              {head('bytes', 'Size')}
              <span role="columnheader" className="poster-cell" title={sinceStart}>
                Last post by
              </span>
              <span role="columnheader" className="conflicts-cell" title={sinceStart}>
                Conflicts
              </span>
              <span role="columnheader" className="links-cell">
                <span className="hidden">Reports</span>
              </span>
            </div>
          }
        />
      )}
    </section>
  );
}

function summary(series: Series[]): string {
  const symbols = new Set(series.map((it) => it.symbol)).size;
  const known = series.filter((it) => it.candles != null);
  const sum = (field: 'candles' | 'bytes') => known.reduce((total, it) => total + (it[field] ?? 0), 0);
  const open = series.length - known.length;
  return [
    `${counted(series.length, 'series', 'series')} of ${counted(symbols, 'symbol')}`,
    ...(known.length > 0 ? [`${counted(sum('candles'), 'candle')}, about ${size(sum('bytes'))}`] : []),
    ...(open > 0 ? [`${count(open)} being counted`] : []),
  ].join(' · ');
}
