/** Loads the candles of one series and follows it, for any chart. */
import type { Candle, CandlesQuery } from './api.ts';
import type { Candlewick, Page } from './client.ts';
import { CandlewickError } from './errors.ts';
import type { LiveCandle, LiveHistory } from './live-events.ts';
import { liveOf } from './live-tabs.ts';
import { LoadedCandles, type Changes } from './loaded-candles.ts';
import { LONGEST_PAUSE, Pace, sleep } from './pace.ts';
import { minutesOf } from './timeframe.ts';

/** The state of the series that the chart shows; `last` is the newest candle on the chart. */
export type Feed =
  | { state: 'loading'; last?: undefined }
  | { state: 'empty'; last?: undefined }
  | { state: 'ok'; last: Candle }
  /** Candles in the middle changed, and the chart has to load its candles again. */
  | { state: 'changed'; last: Candle }
  | { state: 'error'; error: CandlewickError; last?: Candle };

/** The name of a series, and the stored timeframe that it is built from if it is not stored. */
export type SeriesName = { symbol: string; timeframe: string; source?: string };

export type FeedOptions = {
  client: Candlewick;
  onFeed?: (feed: Feed) => void;
  /** The number of candles in a page; a service that allows fewer (`MAX_LIMIT`) sends pages of its own size. */
  pageSize?: number;
  /** The pause between two requests for new candles while the series is not live, in milliseconds. */
  interval?: number;
  /** False if the service is only asked every `interval`, without a live stream. */
  live?: boolean;
};

/** Draws news on a chart. The candles are the feed's own objects, which change in place. */
export type Drawing = {
  /** Draws the newest candle, which is new or has changed. */
  draw(candle: Candle): void;
  /** These older candles have changed; `isHistory` if older history was read again. */
  correct(candles: Candle[], isHistory: boolean): void;
  /** Candles came or went in the middle. `feed.candles` is what the chart has to show. */
  reshape(): void;
};

type Span = Pick<LiveHistory, 'from' | 'to' | 'kind'>;

/** The number of newest candles that are read again each time: the forming one, and those that may have closed late. */
const RECENT = 3;
/** The maximum number of pages that are read again. If more has changed, the feed begins anew with the newest page. */
const MAX_PAGES_AGAIN = 20;
const MINUTE = 60_000;
/** A month of 31 days and an hour, in months of `minutesOf`. */
const LONGEST_MONTH = 1.04;

/**
 * One series on one chart. It repeats a failed request until it succeeds or the feed is stopped, and reports each state to
 * `onFeed`. While the series is live, new candles come by the page's live stream, and otherwise by requests.
 */
export class SeriesFeed {
  readonly #series: SeriesName;
  readonly #client: Candlewick;
  readonly #onFeed: (feed: Feed) => void;
  readonly #pageSize: number;
  readonly #isLive: boolean;
  readonly #pace: Pace;
  readonly #stop = new AbortController();
  readonly #loaded = new LoadedCandles();
  /** Aborts when the chart does not want the older candles any more that it asked for. */
  #loading = new AbortController();
  /** False once the service has refused pages of `#pageSize` candles. From then on, the service chooses their size. */
  #setsLimit = true;
  /** Resolves with the first candles, or when the feed is stopped. */
  readonly #filled: Promise<void>;
  #fill = () => {};
  #drawing?: Drawing;
  #isFollowing = false;
  /** Aborts when the series is live, and then nothing is asked for. */
  #polling?: AbortController;
  /** The span of history that has to be read again, and whether one is being read. */
  #span?: Span;
  #isReading = false;
  /** True while the built candles are asked for because their source has changed, and whether it has changed since. */
  #isBuilding = false;
  #isStale = false;

  constructor(series: SeriesName, options: FeedOptions) {
    this.#series = series;
    this.#client = options.client;
    this.#onFeed = options.onFeed ?? (() => {});
    this.#pageSize = options.pageSize ?? 500;
    this.#isLive = options.live ?? true;
    this.#pace = new Pace(options.interval ?? 2000);
    this.#filled = new Promise((resolve) => (this.#fill = resolve));
    this.#stop.signal.addEventListener('abort', () => this.#fill());
  }

  /** The candles that were handed out, ascending. */
  get candles(): readonly Candle[] {
    return this.#loaded.candles;
  }

  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  stop(): void {
    this.#stop.abort();
    this.#loading.abort();
  }

  /** Drops requests for older candles, and draws nothing until `follow` is called again. `candles` stay up to date. */
  pause(): void {
    this.#drawing = undefined;
    this.#loading.abort();
    this.#loading = new AbortController();
  }

  /** Asks once for the newest page; the result is empty if there is none or the request failed, undefined if stopped. */
  async first(): Promise<Candle[] | undefined> {
    const { signal } = this.#stop;
    const page = await this.#ask({ limit: this.#pageSize }, signal);
    if (signal.aborted) return undefined;
    if (page) this.#begin(page);
    return page?.candles ?? [];
  }

  /** Asks for the newest page until there is one; undefined if stopped. */
  async some(): Promise<Candle[] | undefined> {
    for (;;) {
      await this.#pace.wait(this.#stop.signal);
      const candles = await this.first();
      if (!candles || candles.length > 0) return candles;
    }
  }

  /** The page before the candle that opened at `time`; empty after a while if there is none, undefined if dropped. */
  async older(time: number): Promise<Candle[] | undefined> {
    const { signal } = this.#loading;
    while (!signal.aborted) {
      const page = await this.#ask({ before: rfc3339(time), limit: this.#pageSize }, signal);
      if (signal.aborted) return undefined;
      if (!page) {
        await this.#pace.wait(signal);
        continue;
      }
      this.#report();
      // While the chart shows the first candle, it asks again as soon as it has an answer, so the answer is delayed.
      if (page.candles.length === 0) await sleep(LONGEST_PAUSE, signal);
      if (signal.aborted) return undefined;
      this.#loaded.prepend(page.candles);
      return page.candles;
    }
  }

  /** Draws what is new from the first candle on, until the feed is stopped or paused. */
  async follow(drawing: Drawing): Promise<void> {
    this.#drawing = drawing;
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    await this.#filled;
    if (this.isStopped) return;
    void this.#poll();
    if (!this.#isLive) return;
    const { symbol, timeframe, source } = this.#series;
    // The newest candle of the source is not known, and what the source missed is in the built candles.
    const newest = source === undefined ? this.candles.at(-1)?.timestamp : undefined;
    const leave = liveOf(this.#client).subscribe(
      { symbol, timeframe: source ?? timeframe, newest },
      {
        open: () => this.#opened(),
        lost: () => void this.#poll(),
        candle: (candle) => this.#take(candle),
        history: (history) => void this.#readAgain(history),
      },
    );
    this.#stop.signal.addEventListener('abort', leave);
  }

  #begin(page: Page): void {
    this.#loaded.begin(page.candles);
    if (page.candles.length > 0) this.#fill();
    this.#report();
  }

  #opened(): void {
    this.#polling?.abort();
    this.#polling = undefined;
    this.#pace.succeeded();
    this.#report();
    if (this.#series.source !== undefined) return void this.#build();
    // The stream begins with the newest candle. One before it may have closed in the meantime.
    const isUnclosed = this.candles.slice(-RECENT, -1).some(({ complete }) => complete === false);
    if (isUnclosed) void this.#readNew(this.#stop.signal);
  }

  #take({ symbol, timeframe, ...candle }: LiveCandle): void {
    // A candle of the source changes a built one, whose values only the service can give.
    if (this.#series.source !== undefined) return void this.#build();
    this.#loaded.touch(candle);
    this.#show(this.#loaded.merge([candle]));
    this.#report();
  }

  /** Asks for new candles every interval until the series is live. */
  async #poll(): Promise<void> {
    if (this.#polling || this.isStopped) return;
    this.#polling = new AbortController();
    const signal = AbortSignal.any([this.#polling.signal, this.#stop.signal]);
    while (!signal.aborted) {
      await this.#pace.wait(signal);
      await this.#readNew(signal);
    }
  }

  /** Asks for built candles at once and then every interval, as long as their source changes. */
  async #build(): Promise<void> {
    this.#isStale = true;
    if (this.#isBuilding) return;
    this.#isBuilding = true;
    while (this.#isStale && !this.isStopped) {
      this.#isStale = false;
      await this.#readNew(this.#stop.signal);
      await this.#pace.wait(this.#stop.signal);
    }
    this.#isBuilding = false;
  }

  /** Reads the newest candles that are known, and those after them. */
  async #readNew(signal: AbortSignal): Promise<void> {
    let overlap = RECENT;
    while (!signal.aborted) {
      const { moment } = this.#loaded;
      const first = this.candles.at(-overlap) ?? this.candles[0]!;
      const page = await this.#ask({ from: rfc3339(first.timestamp), limit: this.#pageSize + RECENT }, signal);
      if (!page) return;
      const newest = this.candles.at(-1)!.timestamp;
      this.#show(this.#loaded.merge(page.candles, moment));
      this.#report();
      if (!page.moreAfter) return;
      // If more candles than a page were stored between the known ones, the next page would be the same again, so the
      // next request begins at the newest known candle.
      overlap = this.candles.at(-1)!.timestamp === newest ? 1 : RECENT;
    }
  }

  async #readAgain(history: LiveHistory): Promise<void> {
    this.#span = this.#span ? union(this.#span, history) : history;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#span && !this.isStopped) {
      const span = this.#span;
      this.#span = undefined;
      await this.#readSpan(span);
    }
    this.#isReading = false;
  }

  /** Reads a span of history again, as far as it is loaded. */
  async #readSpan({ from, to, kind }: Span): Promise<void> {
    const length = this.#series.source === undefined ? 0 : LONGEST_MONTH * minutesOf(this.#series.timeframe) * MINUTE;
    const oldest = this.candles[0];
    if (!oldest || to < oldest.timestamp) return;
    const start = Math.max(from - length, oldest.timestamp);
    const { moment } = this.#loaded;
    const found: Candle[] = [];
    for (let pages = 0; pages < MAX_PAGES_AGAIN && kind !== 'missed'; pages++) {
      const last = found.at(-1);
      const begin = last ? { after: rfc3339(last.timestamp) } : { from: rfc3339(start) };
      const page = await this.#askUntil({ ...begin, to: rfc3339(to), limit: this.#pageSize });
      if (!page) return;
      found.push(...page.candles);
      if (page.moreAfter && page.candles.length > 0) continue;
      this.#show(this.#loaded.replace(start, to, found, moment), true);
      return this.#report();
    }
    const newest = await this.#askUntil({ limit: this.#pageSize });
    if (!newest || newest.candles.length === 0) return;
    this.#loaded.begin(newest.candles);
    this.#drawing?.reshape();
    this.#report();
  }

  #show({ added, changed, isReshaped }: Changes, isHistory = false): void {
    if (isReshaped || this.candles.length === 0) return this.#drawing?.reshape();
    const newest = this.candles.at(-1)!;
    const isFirst = added.length === 0 && changed.includes(newest) && !isHistory;
    const older = changed.filter((candle) => isHistory || candle !== newest);
    if (older.length > 0) this.#drawing?.correct(older, isHistory);
    if (isFirst) this.#drawing?.draw(newest);
    for (const candle of added) this.#drawing?.draw(candle);
  }

  /** Sends a request until it succeeds; returns no page if the feed was stopped. */
  async #askUntil(query: Query): Promise<Page | undefined> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const page = await this.#ask(query, signal);
      if (page) return page;
      await this.#pace.wait(signal);
    }
  }

  /** Sends a request; returns no page if it failed or was aborted. */
  async #ask(query: Query, signal: AbortSignal): Promise<Page | undefined> {
    const limit = this.#setsLimit ? query.limit : undefined;
    try {
      const page = await this.#client.candles({ ...this.#series, ...query, limit }, signal);
      this.#pace.succeeded();
      return signal.aborted ? undefined : page;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof CandlewickError)) throw error;
      if (limit !== undefined && refusesLimit(error)) {
        this.#setsLimit = false;
        return this.#ask(query, signal);
      }
      this.#pace.failed(error);
      this.#onFeed({ state: 'error', error, last: this.#last() });
      return undefined;
    }
  }

  #report(): void {
    if (this.isStopped) return;
    const last = this.#last();
    this.#onFeed(last ? { state: 'ok', last } : { state: 'empty' });
  }

  #last(): Candle | undefined {
    const last = this.candles.at(-1);
    return last && { ...last };
  }
}

type Query = Omit<CandlesQuery, 'symbol' | 'timeframe' | 'source'>;

function union(one: Span, other: Span): Span {
  const kind = one.kind === 'missed' ? one.kind : other.kind;
  return { from: Math.min(one.from, other.from), to: Math.max(one.to, other.to), kind };
}

function refusesLimit({ status, errors }: CandlewickError): boolean {
  return status === 422 && errors.some(({ loc }) => loc.join('.') === 'query.limit');
}

/** Formats a time for a query as RFC 3339, because the service would read milliseconds around 1970 as seconds. */
function rfc3339(timestamp: number): string {
  return new Date(timestamp).toISOString();
}
