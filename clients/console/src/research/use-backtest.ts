import { useCallback, useEffect, useState } from 'react';
import { CandlewickError } from '../../../web/lib/candlewick';
import { addressOf, send } from '../api';
import type { BacktestResult } from './types';

/** The maximum milliseconds of a run that is repeated by itself when the request changes. */
const CHEAP = 1000;
/** Milliseconds to wait for further changes. */
const PAUSE = 250;

type Known = { of?: string; result?: BacktestResult; error?: CandlewickError; took: number };

/** The backtest of a request's body. The first one runs by itself, and so do the next while they are quick. */
export function useBacktest(body: string | undefined) {
  const [known, setKnown] = useState<Known>({ took: 0 });
  const [asked, setAsked] = useState<{ body: string }>();
  const start = useCallback(() => body !== undefined && setAsked({ body }), [body]);
  const isCheap = known.took <= CHEAP;
  useEffect(() => {
    if (body === undefined || !isCheap || body === known.of) return;
    const timer = setTimeout(start, PAUSE);
    return () => clearTimeout(timer);
  }, [body, isCheap, start, known.of]);
  useEffect(() => {
    if (!asked) return;
    const stay = new AbortController();
    const began = performance.now();
    const run = async () => {
      try {
        const answer = await send(addressOf('backtests'), { method: 'POST', body: asked.body, signal: stay.signal });
        const result: BacktestResult = await answer.json();
        if (!stay.signal.aborted) setKnown({ of: asked.body, result, took: performance.now() - began });
      } catch (error) {
        if (stay.signal.aborted) return;
        if (!(error instanceof CandlewickError)) throw error;
        setKnown(({ result }) => ({ of: asked.body, result, error, took: performance.now() - began }));
      }
      setAsked((now) => (now === asked ? undefined : now));
    };
    void run();
    return () => stay.abort();
  }, [asked]);
  return { result: known.result, error: known.error, isRunning: asked !== undefined, isOld: known.of !== body || Boolean(known.error), start };
}
