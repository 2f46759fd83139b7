/** Keeps one live stream open for many subscribers. */
import type { Candlewick } from './client.ts';
import { CandlewickError } from './errors.ts';
import type { LiveCandle, LiveEvent, LiveHistory, LiveSeries } from './live-events.ts';
import { LONGEST_PAUSE, Pace } from './pace.ts';

/** The maximum number of series in a stream. */
const MAX_SERIES = 32;
/** The time in which several subscriptions become one stream, in milliseconds. */
const GATHERING_MILLISECONDS = 10;

/** Where a stream is: its series, in its order, the `id` of its last event, and the subscriptions that it serves. */
export type Position = { keys: string[]; id?: string; subscriptions: string[] };

export type LiveMessage =
  /** The stream carries these subscriptions, each from the candle that it named. */
  | { type: 'open'; position: Position }
  /** There is no stream. */
  | { type: 'lost' }
  | { type: 'candle'; key: string; candle: LiveCandle; id?: string }
  | { type: 'history'; key: string; history: LiveHistory; id?: string };

export function keyOf({ symbol, timeframe }: LiveSeries): string {
  return `${timeframe}:${symbol}`;
}

function seriesOf(key: string): LiveSeries {
  const colon = key.indexOf(':');
  return { timeframe: key.slice(0, colon), symbol: key.slice(colon + 1) };
}

/**
 * Opens a stream for all subscriptions, the first 32 series of them, and opens it again after it has ended: where it
 * ended if the series are the same, and otherwise with each series' newest candle. A stream for more subscriptions is
 * open before the old one ends, so that nothing is missed in between. A stream that was refused is tried again after 30 s.
 */
export class LiveStream {
  readonly #client: Candlewick;
  readonly #emit: (message: LiveMessage) => void;
  /** Says whether a subscription's tab still exists. */
  readonly #existing: () => Promise<(subscription: string) => boolean>;
  readonly #subscriptions = new Map<string, LiveSeries>();
  readonly #pace = new Pace(2000);
  #position?: Position;
  /** The stream that is read. */
  #current?: AbortController;
  /** The stream that is being opened. */
  #opening?: AbortController;
  #timer?: ReturnType<typeof setTimeout>;
  #retry = 2000;
  #stopped = false;

  /** `position` is where another stream of the same subscriptions ended. */
  constructor(
    client: Candlewick,
    emit: (message: LiveMessage) => void,
    options: { position?: Position; existing?: () => Promise<(subscription: string) => boolean> } = {},
  ) {
    this.#client = client;
    this.#emit = emit;
    this.#existing = options.existing ?? (async () => () => true);
    this.#position = options.position;
  }

  /** Adds a subscription, whose name no other has. */
  add(subscription: string, series: LiveSeries): void {
    this.#subscriptions.set(subscription, { ...series });
    this.#schedule(GATHERING_MILLISECONDS);
  }

  /** Removes subscriptions. Their series stay in the stream until the next one is opened. */
  remove(subscriptions: string[]): void {
    for (const each of subscriptions) this.#subscriptions.delete(each);
    if (this.#subscriptions.size === 0) this.#end();
  }

  stop(): void {
    this.#stopped = true;
    this.#end();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#opening?.abort();
    this.#current?.abort();
    this.#opening = this.#current = this.#position = undefined;
  }

  /** Opens a stream after the pause, or after a longer one that has begun already. */
  #schedule(milliseconds: number): void {
    if (this.#stopped || this.#timer || this.#opening) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#open();
    }, milliseconds);
  }

  async #open(): Promise<void> {
    const opening = (this.#opening = new AbortController());
    const position = await this.#next();
    if (opening.signal.aborted) return;
    const isOverlapping = this.#current !== undefined;
    if (position.keys.length === 0) {
      this.#opening = undefined;
      return;
    }
    const series = position.keys.map((key) => ({ ...seriesOf(key), newest: this.#newest(key) }));
    try {
      const events = await this.#client.live(series, { lastEventId: position.id, signal: opening.signal });
      if (opening.signal.aborted) return;
      this.#pace.succeeded();
      // The old stream has ended before this one began, so only its position leads to what came in between.
      if (isOverlapping && !this.#current && this.#position?.id) return this.#openAgain();
      this.#current?.abort();
      this.#current = opening;
      this.#opening = undefined;
      this.#position = position;
      this.#emit({ type: 'open', position });
      if (this.#hasNew()) this.#schedule(0);
      void this.#read(events, opening);
    } catch (error) {
      if (opening.signal.aborted) return;
      if (!(error instanceof CandlewickError)) throw error;
      this.#opening = undefined;
      this.#pace.failed(error);
      if (!this.#current) this.#emit({ type: 'lost' });
      this.#schedule(this.#pauseAfter(error));
    }
  }

  #openAgain(): void {
    this.#opening?.abort();
    this.#opening = undefined;
    this.#schedule(0);
  }

  /** The position of the next stream: where the last one ended, if there is none, or else all subscriptions. */
  async #next(): Promise<Position> {
    const exists = await this.#existing();
    for (const each of this.#subscriptions.keys()) if (!exists(each)) this.#subscriptions.delete(each);
    if (!this.#current && this.#position?.id) return this.#position;
    const keys = this.#keys();
    const carried = [...this.#subscriptions].filter(([, series]) => keys.has(keyOf(series)));
    return { keys: [...keys], subscriptions: carried.map(([name]) => name) };
  }

  #keys(): Set<string> {
    return new Set([...new Set([...this.#subscriptions.values()].map(keyOf))].slice(0, MAX_SERIES));
  }

  /** Returns whether subscriptions came while the stream was being opened. */
  #hasNew(): boolean {
    const keys = this.#keys();
    const known = new Set(this.#position?.subscriptions);
    return [...this.#subscriptions].some(([name, series]) => !known.has(name) && keys.has(keyOf(series)));
  }

  /** The oldest of the candles from which the subscriptions of a series want it; undefined if none wants earlier ones. */
  #newest(key: string): number | undefined {
    const wanted = [...this.#subscriptions.values()].filter((it) => keyOf(it) === key).map(({ newest }) => newest);
    const times = wanted.filter((time) => time !== undefined);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  async #read(events: AsyncIterable<LiveEvent>, stream: AbortController): Promise<void> {
    try {
      for await (const event of events) {
        if (this.#current !== stream) return;
        if (event.type === 'retry') this.#retry = event.milliseconds;
        if (event.type === 'candle') this.#pass({ ...event, key: keyOf(event.candle) });
        if (event.type === 'history') this.#pass({ ...event, key: keyOf(event.history) });
      }
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    if (this.#current !== stream) return;
    this.#current = undefined;
    this.#emit({ type: 'lost' });
    this.#schedule(this.#retry);
  }

  #pass(message: LiveMessage & { type: 'candle' | 'history' }): void {
    const position = this.#position!;
    if (message.id) position.id = message.id;
    if (message.type === 'candle') {
      for (const name of position.subscriptions) {
        const series = this.#subscriptions.get(name);
        if (!series || keyOf(series) !== message.key) continue;
        series.newest = Math.max(series.newest ?? -Infinity, message.candle.timestamp);
      }
    }
    this.#emit(message);
  }

  #pauseAfter({ status, retryAfter = 0 }: CandlewickError): number {
    // Without an answer, from the service or the page's server, the service may be back soon.
    const isAway = status === 0 || status === 502 || status === 504;
    return isAway ? this.#pace.pause : Math.max(LONGEST_PAUSE, retryAfter * 1000);
  }
}
