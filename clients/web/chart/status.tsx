import { useEffect, useState } from 'react';
import { minutesOf, type Candle, type Feed } from '../lib/candlewick';
import type { Place } from './candle-chart';
import { openingTime, type Zone } from './zones';

/** The states that the page names. The chart itself deals with changes in its middle. */
export type ShownFeed = Exclude<Feed, { state: 'changed' }>;

const WORDS = { loading: 'Loading', empty: 'Waiting for candles', error: 'Trying again' };
/** The time in milliseconds in which a closed candle still comes after its end. */
const LATE = 60_000;

/** The change since the close of the day before, as traders read it. */
export function LastPrice(props: { candle?: Candle; precision?: number; before?: number }) {
  const { candle, precision, before } = props;
  if (!candle) return null;
  const change = before ? candle.close - before : 0;
  const direction = change > 0 ? 'up' : change < 0 ? 'down' : 'same';
  const percent = before && Math.abs((change / before) * 100).toFixed(2);
  return (
    <p className="price">
      <data className="last" value={candle.close}>
        {candle.close.toFixed(precision)}
      </data>
      {before && (
        <span className={direction} title={`Since the close of the day before, ${before.toFixed(precision)}`}>
          {{ up: '▲', down: '▼', same: '■' }[direction]} {Math.abs(change).toFixed(precision)} ({percent} %)
        </span>
      )}
    </p>
  );
}

/** The line below the chart, which says whether candles come. */
export function Status(props: { feed: ShownFeed; place: Place; zone: Zone; timeframe?: string }) {
  const { feed, place, zone, timeframe = 'M1' } = props;
  const now = useNow();
  const { last } = feed;
  const state = feed.state === 'ok' ? (isLive(feed.last, timeframe, now) ? 'live' : 'quiet') : feed.state;
  const words =
    feed.state !== 'ok'
      ? WORDS[feed.state]
      : place.history
        ? 'History'
        : state === 'live'
          ? 'Live'
          : `Last candle ${ago(now - feed.last.timestamp)} ago`;
  return (
    <footer className="status" data-state={place.history ? 'quiet' : state}>
      <span className="state">{words}</span>
      {last && (
        <>
          <span className={last.complete === false ? 'forming' : undefined}>
            {last.complete === false ? 'Forming since' : 'Closed candle of'}{' '}
            <time dateTime={new Date(last.timestamp).toISOString()}>
              {openingTime(zone, last.timestamp, minutesOf(timeframe))}
            </time>
          </span>
          {state !== 'quiet' && <span className="age">opened {ago(now - last.timestamp)} ago</span>}
        </>
      )}
      <span className="zone">Times: {zone.name}</span>
    </footer>
  );
}

/** Candles come if the newest one is forming or the next one is not late yet. */
function isLive({ timestamp, complete }: Candle, timeframe: string, now: number): boolean {
  const period = minutesOf(timeframe) * 60_000;
  return now < timestamp + (complete === false ? 1 : 2) * period + LATE;
}

/** The current time, updated every second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];

/** The length of a time in its largest unit. */
export function ago(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const count = (unit: number, name: string) => {
    const number = Math.floor(seconds / unit);
    return `${number} ${name}${number === 1 ? '' : 's'}`;
  };
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / HOUR)} h`;
  if (seconds < 60 * DAY) return count(DAY, 'day');
  if (seconds < 730 * DAY) return count(30.44 * DAY, 'month');
  return count(365.25 * DAY, 'year');
}
