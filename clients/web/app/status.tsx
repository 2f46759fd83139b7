import { useEffect, useState } from 'react';
import type { Candle, Feed } from '../lib/candlewick';

/** The states that the page names. The chart itself deals with changes in its middle. */
export type ShownFeed = Exclude<Feed, { state: 'changed' }>;

const WORDS = { loading: 'Loading', empty: 'Waiting for candles', ok: 'Live', error: 'Trying again' };
const TIME = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'short',
  timeZone: 'UTC',
});

export function LastPrice({ candle, precision }: { candle?: Candle; precision?: number }) {
  if (!candle) return null;
  const change = candle.close - candle.open;
  const direction = change > 0 ? 'up' : change < 0 ? 'down' : 'same';
  return (
    <p className="price">
      <data className="last" value={candle.close}>
        {candle.close.toFixed(precision)}
      </data>
      <span className={direction}>
        {{ up: '▲', down: '▼', same: '■' }[direction]} {Math.abs(change).toFixed(precision)}
      </span>
    </p>
  );
}

/** The line below the chart, which says whether the chart is up to date. */
export function Status({ feed }: { feed: ShownFeed }) {
  return (
    <footer data-state={feed.state}>
      <span className="state">{WORDS[feed.state]}</span>
      {feed.last && <Newest candle={feed.last} />}
      <span className="zone">Times in UTC</span>
    </footer>
  );
}

function Newest({ candle }: { candle: Candle }) {
  const now = useNow();
  return (
    <>
      <span className={candle.complete === false ? 'forming' : undefined}>
        {candle.complete === false ? 'Forming since' : 'Closed candle of'}{' '}
        <time dateTime={new Date(candle.timestamp).toISOString()}>{TIME.format(candle.timestamp)}</time>
      </span>
      <span className="age">{ago(now - candle.timestamp)}</span>
    </>
  );
}

/** The current time, updated every second. */
function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

function ago(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `opened ${seconds} s ago`;
  if (seconds < 3600) return `opened ${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `opened ${Math.floor(seconds / 3600)} h ago`;
  return `opened ${Math.floor(seconds / 86_400)} days ago`;
}
