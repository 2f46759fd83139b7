/**
 * One live stream for all charts of a page and for all tabs of a browser, because a browser opens at most six connections
 * to a server over HTTP/1.1, in all of its tabs together.
 *
 * The tabs elect a leader by a Web Lock, which the browser gives to the next tab when the leader closes or crashes. The
 * leader keeps the stream and sends its events to the others by a BroadcastChannel. A SharedWorker would do the same, but it
 * is a script of its own that every bundler and content security policy has to know, and Chrome on Android lacks it.
 *
 * A hidden tab takes no part, because browsers freeze hidden tabs, and a frozen leader would keep the lock. It joins again
 * when it is shown, with its newest candles. Where there are no locks, which is the case for pages over plain HTTP, each
 * visible tab has a stream of its own.
 */
import type { Candlewick } from './client.ts';
import type { LiveCandle, LiveHistory, LiveSeries } from './live-events.ts';
import { keyOf, LiveStream, type LiveMessage, type Position } from './live-stream.ts';

/** A leader that has no subscriber for so long ends the stream, in milliseconds. Charts that change their series return sooner. */
const LINGER_MILLISECONDS = 1000;
/** The version of the messages between tabs. Tabs that loaded another version of a page must not read them. */
const VERSION = 1;

export type LiveListener = {
  /** The series is live: every candle from the subscription's newest one on comes. */
  open(): void;
  /** The series is not live any more, or cannot be. */
  lost(): void;
  candle(candle: LiveCandle): void;
  history(history: LiveHistory): void;
};

type Subscriber = { series: LiveSeries; listener: LiveListener; isLive: boolean };

type TabMessage =
  | LiveMessage
  /** A tab became the leader, and the others have to subscribe again. */
  | { type: 'elected' }
  | { type: 'subscribe'; name: string; series: LiveSeries }
  | { type: 'unsubscribe'; names: string[] };

const byAddress = new Map<string, LiveTabs>();
const byClient = new WeakMap<Candlewick, LiveTabs>();

/** The stream of this page for the client's address, or of a client that has a token for itself. */
export function liveOf(client: Candlewick): LiveTabs {
  const known = client.hasToken ? byClient.get(client) : byAddress.get(client.base);
  if (known) return known;
  const stream = new LiveTabs(client);
  if (client.hasToken) byClient.set(client, stream);
  else byAddress.set(client.base, stream);
  return stream;
}

export class LiveTabs {
  readonly #client: Candlewick;
  readonly #name: string;
  readonly #tab = globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36).slice(2);
  readonly #subscribers = new Map<string, Subscriber>();
  #count = 0;
  /** Exists while this tab takes part. */
  #session?: { end: AbortController; channel?: BroadcastChannel };
  /** The stream, in the leader. */
  #stream?: LiveStream;
  #position?: Position;
  #lingering?: ReturnType<typeof setTimeout>;

  constructor(client: Candlewick) {
    this.#client = client;
    this.#name = `candlewick-live-${VERSION} ${isPage() ? new URL(client.base, location.href).href : ''}`;
    if (isPage()) document.addEventListener('visibilitychange', () => this.#show());
  }

  /** Follows a series from its candle `newest` on, until the returned function is called. */
  subscribe(series: LiveSeries, listener: LiveListener): () => void {
    const name = `${this.#tab} ${this.#count++}`;
    this.#subscribers.set(name, { series: { ...series }, listener, isLive: false });
    clearTimeout(this.#lingering);
    this.#show();
    this.#tell({ type: 'subscribe', name, series });
    return () => {
      if (!this.#subscribers.delete(name)) return;
      this.#tell({ type: 'unsubscribe', names: [name] });
      clearTimeout(this.#lingering);
      if (this.#subscribers.size === 0) this.#lingering = setTimeout(() => this.#leave(), LINGER_MILLISECONDS);
    };
  }

  /** Takes part while the tab is visible. */
  #show(): void {
    if (isPage() && document.hidden) return this.#leave();
    if (this.#session || this.#subscribers.size === 0) return;
    const end = new AbortController();
    if (!isShareable(this.#client)) {
      this.#session = { end };
      return this.#lead();
    }
    const channel = new BroadcastChannel(this.#name);
    channel.onmessage = ({ data }: MessageEvent<TabMessage>) => this.#hear(data);
    this.#session = { end, channel };
    // This lock says that the tab exists. Without it, the leader drops its subscriptions.
    void hold(`${this.#name} ${this.#tab}`, end.signal, () => this.#subscribeAll());
    void hold(this.#name, end.signal, () => this.#lead());
  }

  #leave(): void {
    if (!this.#session) return;
    this.#tell({ type: 'unsubscribe', names: [...this.#subscribers.keys()] });
    const { end, channel } = this.#session;
    this.#session = undefined;
    this.#stream?.stop();
    this.#stream = undefined;
    end.abort();
    channel?.close();
    this.#lose();
  }

  #lead(): void {
    const existing = async () => {
      const { held = [] } = this.#session?.channel ? await navigator.locks.query() : {};
      const tabs = new Set(held.map(({ name }) => name));
      return (name: string) => this.#subscribers.has(name) || tabs.has(`${this.#name} ${name.split(' ')[0]}`);
    };
    const emit = (message: LiveMessage) => {
      this.#session?.channel?.postMessage(message);
      this.#hear(message);
    };
    this.#stream = new LiveStream(this.#client, emit, { existing, position: this.#position });
    this.#session?.channel?.postMessage({ type: 'elected' });
    this.#subscribeAll();
  }

  #subscribeAll(): void {
    for (const [name, { series }] of this.#subscribers) this.#tell({ type: 'subscribe', name, series });
  }

  /** Sends a message to the leader. */
  #tell(message: TabMessage): void {
    if (this.#stream) this.#hear(message);
    else this.#session?.channel?.postMessage(message);
  }

  #hear(message: TabMessage): void {
    switch (message.type) {
      case 'elected':
        this.#lose();
        return this.#subscribeAll();
      case 'subscribe':
        return this.#stream?.add(message.name, message.series);
      case 'unsubscribe':
        return this.#stream?.remove(message.names);
      case 'open':
        return this.#opened(message.position);
      case 'lost':
        return this.#lose();
      case 'candle':
      case 'history':
        return this.#pass(message);
    }
  }

  #opened(position: Position): void {
    this.#position = { ...position };
    const carried = new Set(position.subscriptions);
    for (const [name, subscriber] of this.#subscribers) {
      const wasLive = subscriber.isLive;
      subscriber.isLive = carried.has(name);
      if (subscriber.isLive && !wasLive) apart(() => subscriber.listener.open());
      if (!subscriber.isLive && wasLive) apart(() => subscriber.listener.lost());
    }
  }

  #lose(): void {
    for (const subscriber of this.#subscribers.values()) {
      if (subscriber.isLive) {
        subscriber.isLive = false;
        apart(() => subscriber.listener.lost());
      }
    }
  }

  #pass(message: LiveMessage & { type: 'candle' | 'history' }): void {
    if (this.#position && message.id) this.#position.id = message.id;
    for (const { series, listener, isLive } of [...this.#subscribers.values()]) {
      if (!isLive || keyOf(series) !== message.key) continue;
      if (message.type === 'history') {
        apart(() => listener.history(message.history));
        continue;
      }
      // Without a newest candle, the subscriber wants none of those that it misses while there is no stream.
      if (series.newest !== undefined) series.newest = Math.max(series.newest, message.candle.timestamp);
      apart(() => listener.candle(message.candle));
    }
  }
}

/** Calls a listener. An error of one chart must not end the stream of the others, so it is thrown by itself. */
function apart(listen: () => void): void {
  try {
    listen();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function isPage(): boolean {
  return typeof document !== 'undefined' && typeof location !== 'undefined';
}

function isShareable({ hasToken }: Candlewick): boolean {
  return isPage() && !hasToken && typeof BroadcastChannel === 'function' && navigator.locks !== undefined;
}

/** Waits for a lock, calls `got`, and keeps the lock until `signal` aborts. */
async function hold(name: string, signal: AbortSignal, got: () => void): Promise<void> {
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  const use = async () => {
    if (signal.aborted) return;
    got();
    await aborted;
  };
  await navigator.locks.request(name, { signal }, use).catch(() => {});
}
