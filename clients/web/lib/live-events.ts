/** The events of `GET /api/v1/live`, as they are read from the bytes of a stream. */
import type { Candle } from './api.ts';

/** A series of a live stream, which begins with the candle that opened at `newest`, or with the newest one. */
export type LiveSeries = { symbol: string; timeframe: string; newest?: number };

/** A candle that is new, changed or closed. */
export type LiveCandle = Candle & { symbol: string; timeframe: string };

/** A span of older history that has to be read again, with both ends in it. */
export type LiveHistory = {
  symbol: string;
  timeframe: string;
  from: number;
  to: number;
  /** `missed` is a hole that is too long for the stream. */
  kind: 'late' | 'import' | 'correction' | 'deletion' | 'missed';
};

/** `id` is the position after the event, if the event moves it; `retry` is the pause before the next stream in milliseconds. */
export type LiveEvent =
  | { type: 'candle'; candle: LiveCandle; id?: string }
  | { type: 'history'; history: LiveHistory; id?: string }
  | { type: 'retry'; milliseconds: number };

/** A stream that is silent for so long is dead, because the service sends a comment every 15 s. */
const SILENCE_MILLISECONDS = 45_000;

/**
 * Reads events until the stream ends, breaks off or falls silent. `stop` ends the request. Events of a kind that this
 * client does not know are skipped.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  stop: AbortController,
): AsyncGenerator<LiveEvent, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), stop);
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).replace(/\r\n/g, '\n').split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) yield* eventOf(block);
    }
  } catch (error) {
    // A connection that breaks off ends the stream. An invalid event does too, and is an error.
    if (error instanceof SyntaxError) throw error;
  } finally {
    stop.abort();
  }
}

async function inTime<T>(reading: Promise<T>, stop: AbortController): Promise<T> {
  const timer = setTimeout(() => stop.abort(), SILENCE_MILLISECONDS);
  try {
    return await reading;
  } finally {
    clearTimeout(timer);
  }
}

function* eventOf(block: string): Generator<LiveEvent> {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name) fields.set(name, value!);
  }
  const [retry, type, data, id] = ['retry', 'event', 'data', 'id'].map((name) => fields.get(name));
  if (retry && /^\d+$/.test(retry)) yield { type: 'retry', milliseconds: Number(retry) };
  if (type === 'candle' && data) yield { type, candle: JSON.parse(data), id };
  if (type === 'history' && data) yield { type, history: JSON.parse(data), id };
}
