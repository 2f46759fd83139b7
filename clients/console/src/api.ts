/** Requests to the service for everything but the chart's own candles. */
import { useCallback, useEffect, useState } from 'react';
import { CandlewickError, type Problem } from '../../web/lib/candlewick';

export const API = '/api/v1';
/** Sent to the window when an answer says that the session has ended. */
export const SIGNED_OUT = 'candlewick-signed-out';

/** Parameters of a query; a list repeats its name. */
export type Query = Record<string, string | number | undefined | string[]>;

export function addressOf(route: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== '') parameters.append(name, String(each));
    }
  }
  return `${API}/${route}?${parameters}`;
}

/** Sends a request and returns the answer's text. Throws a `CandlewickError`. */
export async function send(address: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { cache: 'no-cache', ...options });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    const detail = 'The service does not answer. Check your network, and whether it runs.';
    throw new CandlewickError(detail, { status: 0, code: 'unreachable', cause });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => undefined) as Partial<Problem> | undefined;
  const code = problem?.code ?? 'unreadable';
  if (response.status === 401) window.dispatchEvent(new Event(SIGNED_OUT));
  throw new CandlewickError(problem?.detail ?? `The answer has status ${response.status} and is not candlewick's.`, {
    status: response.status,
    code,
    requestId: problem?.request_id,
    errors: problem?.errors,
    retryAfter: Number(response.headers.get('retry-after')) || undefined,
  });
}

export async function read<Answer>(route: string, query?: Query, signal?: AbortSignal): Promise<Answer> {
  return (await send(addressOf(route, query), { signal })).json();
}

/** The state of an answer that a view shows. */
export type Loaded<Answer> = { answer?: Answer; error?: CandlewickError; again: () => void };

/** Loads an answer, and loads it again after `interval` milliseconds while the page is visible. */
export function useAnswer<Answer>(load: ((signal: AbortSignal) => Promise<Answer>) | undefined, interval?: number): Loaded<Answer> {
  const [state, setState] = useState<{ of?: unknown; answer?: Answer; error?: CandlewickError }>({});
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((round) => round + 1), []);
  useEffect(() => {
    if (!load) return;
    const stay = new AbortController();
    const ask = async () => {
      if (document.hidden) return;
      try {
        const answer = await load(stay.signal);
        if (!stay.signal.aborted) setState({ of: load, answer });
      } catch (error) {
        if (stay.signal.aborted) return;
        if (!(error instanceof CandlewickError)) throw error;
        setState((known) => ({ of: load, answer: known.of === load ? known.answer : undefined, error }));
      }
    };
    void ask();
    const timer = interval && setInterval(ask, interval);
    return () => {
      clearInterval(timer);
      stay.abort();
    };
  }, [load, interval, round]);
  return state.of === load ? { answer: state.answer, error: state.error, again } : { again };
}

/** A stored candle whose numbers are texts with all of their digits. */
export type ExactCandle = { timestamp: number; open: string; high: string; low: string; close: string; volume: string };

/** The closed candle of a series at a time, with the digits that are stored; `undefined` if there is none. */
export async function exactCandle(symbol: string, timeframe: string, time: string): Promise<ExactCandle | undefined> {
  const response = await send(addressOf('candles', { symbol, timeframe, from: time, to: time }));
  // A JavaScript number does not keep the zeros of 1.10.
  const text = (await response.text()).replace(/"(open|high|low|close|volume)":([^,}]+)/g, '"$1":"$2"');
  return (JSON.parse(text) as (ExactCandle & { complete?: boolean })[]).find(({ complete }) => complete !== false);
}
