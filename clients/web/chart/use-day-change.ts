import { useEffect, useState } from 'react';
import { sourceOf, type Candle } from '../lib/candlewick';
import type { ChartClient } from './client';
import type { Choice } from './choice';

/** Milliseconds between two looks at the days. */
const INTERVAL = 60_000;

/** The close of the day before the newest candle's, if the symbol has or can be built into days. */
export function useDayBefore(client: ChartClient, choice: Choice | undefined, align: string, last?: Candle) {
  const [days, setDays] = useState<{ of: string; candles: Candle[] }>();
  const symbol = choice?.symbol;
  const stored = choice?.stored.includes('D1');
  const source = choice && sourceOf('D1', choice.stored);
  const of = `${symbol} ${source ?? ''} ${align}`;
  useEffect(() => {
    if (!symbol || (!stored && !source)) return;
    const stay = new AbortController();
    const read = async () => {
      const query = { symbol, timeframe: 'D1', limit: 3, ...(source && { source, align }) };
      try {
        const { candles } = await client.candles(query, stay.signal);
        setDays({ of, candles });
      } catch {
        // The chart's own requests report what is wrong.
      }
    };
    void read();
    const timer = setInterval(() => document.hidden || void read(), INTERVAL);
    return () => {
      clearInterval(timer);
      stay.abort();
    };
  }, [client, symbol, stored, source, align, of]);
  if (days?.of !== of || !last) return undefined;
  const today = days.candles.findLastIndex(({ timestamp }) => timestamp <= last.timestamp);
  return days.candles[today - 1]?.close;
}
