import { useEffect, useState } from 'react';
import type { Candle } from '../lib/candlewick';

/** A row of the record of changes, as far as a chart needs it. */
export type Change = {
  id: string;
  at: number;
  kind: string;
  from: number;
  to: number;
  candles: number;
  reason: string;
  before?: Candle[];
  after?: Candle[];
};

/** Milliseconds between two looks at the record. */
const INTERVAL = 10_000;
const PAGE = 1000;
const NONE = new Map<number, string>();

/**
 * The corrections of a series in words, by the opening times of the candles. `base` is the address of the API; without it there
 * are none.
 */
export function useChanges(base: string | undefined, symbol?: string, timeframe?: string): Map<number, string> {
  const [known, setKnown] = useState<{ of: string; words: Map<number, string> }>();
  const of = `${timeframe}:${symbol}`;
  useEffect(() => {
    if (!base || !symbol || !timeframe) return;
    const stay = new AbortController();
    let after: string | undefined;
    const words = new Map<number, string>();
    const read = async () => {
      for (;;) {
        const query = new URLSearchParams({ symbol, timeframe, limit: String(PAGE), ...(after && { after }) });
        const answer = await fetch(`${base}/changes?${query}`, { signal: stay.signal });
        if (!answer.ok) return;
        const changes: Change[] = await answer.json();
        if (changes.length === 0) break;
        after = changes.at(-1)!.id;
        for (const change of changes) describe(change, words);
        setKnown({ of, words: new Map(words) });
      }
    };
    // The chart's own requests report what is wrong.
    const look = () => void read().catch(() => {});
    look();
    const timer = setInterval(() => document.hidden || look(), INTERVAL);
    return () => {
      clearInterval(timer);
      stay.abort();
    };
  }, [base, symbol, timeframe, of]);
  return known?.of === of ? known.words : NONE;
}

/** Adds what a correction did to each candle. */
function describe({ kind, reason, before = [], after = [] }: Change, words: Map<number, string>): void {
  if (kind !== 'correction') return;
  for (const candle of after) {
    const old = before.find(({ timestamp }) => timestamp === candle.timestamp);
    const fields = (['open', 'high', 'low', 'close', 'volume'] as const).filter((it) => old && old[it] !== candle[it]);
    const changes = fields.map((field) => `${field} ${old![field]} → ${candle[field]}`).join(', ');
    words.set(candle.timestamp, `corrected: ${changes || 'digits'} (${reason})`);
  }
}
