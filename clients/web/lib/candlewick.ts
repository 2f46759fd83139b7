/**
 * A client of candlewick in one file without dependencies: candles, series, problems as errors, and a data loader for
 * klinecharts 10. It runs in Node (with the read token, against the service) and in browsers (without a token, against
 * routes of your own server that add it).
 */

// --- types of docs/openapi.json: written by `npm run types`, do not edit ---
/** One candle of an answer. */
export type Candle = {
  /** Last price of the period. */
  close: number;
  /** `false` on a candle that is still forming; absent on a closed one. */
  complete?: boolean;
  /** Highest price of the period. */
  high: number;
  /** Lowest price of the period. */
  low: number;
  /** First price of the period, with the digits it was posted with, or without trailing zeros if it was built. */
  open: number;
  /** When the candle opened, in epoch milliseconds. */
  timestamp: number;
  /** Ticks in the period. */
  volume: number;
};
/** The closed candles of a month in UTC. */
export type MonthCoverage = {
  candles: number;
  month: string;
};
/** One series, described by its closed candles. */
export type Series = {
  /**
   * With `stats=true`: everything that was stored by this time is counted, in epoch milliseconds; null if the series was not
   * counted yet, as are the other statistics then.
   */
  as_of?: number | null;
  /**
   * With `stats=true`: the bytes that their rows take if all of them are as large as the newest 100, without the index, free space and
   * compression by the database.
   */
  bytes?: number | null;
  /** With `stats=true`: the number of closed candles. */
  candles?: number | null;
  /** With `stats=true`: the months in UTC in which closed candles opened, in ascending order. */
  coverage?: MonthCoverage[] | null;
  /** Opening time of the oldest candle, in epoch milliseconds. */
  first: number;
  /** Opening time of the newest candle, in epoch milliseconds. */
  last: number;
  /**
   * Digits after the point that nearly all of the newest 100 candles need. If there are 3 or more candles, one in twenty
   * of them, and at least one, may have more.
   */
  price_precision: number;
  /** With `stats=true`: when the newest closed candle was stored, in epoch milliseconds; null too if the table does not keep it. */
  received?: number | null;
  symbol: string;
  timeframe: string;
};
/** The body of a problem. */
export type Problem = {
  /** The kind of the problem, for programs. */
  code: string;
  /** One sentence that says what to do. */
  detail: string;
  /** For 422: what is wrong with each value, the first 100. */
  errors?: Violation[];
  /** The request's id, as in the header `x-request-id` and in the log. */
  request_id: string;
  /** The HTTP status. */
  status: number;
  /** The status in words. */
  title: string;
  /** Always `about:blank`: `code` tells problems apart. */
  type: string;
};
/** One value of a request that was refused. */
export type Violation = {
  /** The path to the value: `body`, `query` or `header`, then field names and indexes. */
  loc: Step[];
  /** Says what is wrong with the value and what would be right. */
  msg: string;
  /** Stable name of the rule that was broken. */
  type: string;
};
/** A step on the way to a value. */
export type Step = string | number;
export type CandlesQuery = {
  symbol: string;
  timeframe: string;
  /** A shorter stored timeframe from which candles are built; minutes and hours have to be a multiple of it. */
  source?: string;
  /** Where the days of built candles begin: `utc` (default), `ny17`, a zone such as `Europe/Athens`, an offset such as `+03:00`, or one of these with a time, such as `America/New_York@17:00`. Only with `source`. */
  align?: string;
  /**
   * Weekday of the trading date with which weeks of built candles begin; `monday` if absent. Only with `source`.
   * @enum {string}
   */
  week?: "monday" | "tuesday" | "wednesday" | "thursday" | "friday" | "saturday" | "sunday";
  /** First opening time: epoch seconds, epoch milliseconds (from 10^10, or by `unit`), RFC 3339, or a date for its midnight in UTC. */
  from?: number | string;
  /** Last opening time. */
  to?: number | string;
  /** Only candles before this time; not with `to` or `after`. */
  before?: number | string;
  /** Only candles after this time; not with `from` or `before`. */
  after?: number | string;
  /**
   * The unit of the times that are numbers: seconds or milliseconds.
   * @enum {string}
   */
  unit?: "s" | "ms";
  /** The maximum number of candles, up to `MAX_LIMIT`; 1000 if absent, or `MAX_LIMIT` if both `from` and `to` are given. Built candles have a lower bound, by the 2,000,000 stored candles from which one answer is built. */
  limit?: number;
};
export type SeriesQuery = {
  /** Only series of this symbol; may be repeated, up to 100 times. */
  symbol?: string[];
  timeframe?: string;
  /** The maximum number of series; 10000 if absent. */
  limit?: number;
  /** Only series after this one, `TIMEFRAME:SYMBOL`, which need not be stored. */
  after?: string;
  /**
   * `true` adds statistics to each series. They are counted in the background while somebody asks, so they are null at first, and `as_of` says how old they are.
   * @enum {string}
   */
  stats?: "true" | "false";
};
// --- end of the generated types ---

/** Candles in ascending order, and whether the series has more on either side of them. */
export type Page = { candles: Candle[]; moreBefore: boolean; moreAfter: boolean };

/** The query of `series`: one symbol or several, and a limit of any size. */
export type SeriesSelection = Omit<SeriesQuery, 'symbol'> & { symbol?: string | string[] };

/** Any failure of a request, with a sentence for people and a code for programs. */
export class CandlewickError extends Error {
  override readonly name = 'CandlewickError';
  /** The HTTP status; 0 if no answer came. */
  readonly status: number;
  /** A code of the service, or `unreachable`, `timed_out`, `unreadable` or `too_many` if it sent no problem. */
  readonly code: string;
  /** The request's id, to quote in a report of a fault of the service. */
  readonly requestId?: string;
  /** For a 422: what is wrong with each value. */
  readonly errors: Violation[];
  /** Seconds to wait before the next request, if the service says so. */
  readonly retryAfter?: number;

  constructor(
    detail: string,
    facts: {
      status: number;
      code: string;
      requestId?: string;
      errors?: Violation[];
      retryAfter?: number;
      cause?: unknown;
    },
  ) {
    super(detail, { cause: facts.cause });
    this.status = facts.status;
    this.code = facts.code;
    this.requestId = facts.requestId;
    this.errors = facts.errors ?? [];
    this.retryAfter = facts.retryAfter;
  }

  /** One sentence that says what is wrong and what to do. */
  get detail(): string {
    return this.message;
  }
}

/** An answer of the service, and its query. */
type Answer<Item> = { query: string; body: Item[]; headers: Headers };

/** The maximum number of series in an answer of the service, which is also its default limit. */
const PAGE_OF_SERIES = 10_000;
const MAX_SERIES = 100_000;
/** Limits the requests for a list, because a page may hold fewer series than its maximum. */
const MAX_PAGES_OF_SERIES = 100;

export class Candlewick {
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #timeout: number;
  /** The last list of series and its pages. Pages that have not changed are neither sent nor parsed again. */
  #listed: { pages: Answer<Series>[]; series: Series[] } = { pages: [], series: [] };

  /**
   * `base` is the address of `candles` and `series` without their names: `https://candles.example.com/api/v1`, or a path of
   * the page's own server. `timeout` limits each request, in milliseconds.
   */
  constructor({ base, token, timeout = 10_000 }: { base: string; token?: string; timeout?: number }) {
    this.#base = base.replace(/\/+$/, '');
    this.#headers = { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    this.#timeout = timeout;
  }

  async candles(query: CandlesQuery, signal?: AbortSignal): Promise<Page> {
    const { body, headers } = await this.#get<Candle>('candles', query, signal);
    return {
      candles: body,
      moreBefore: headers.get('x-more-before') === 'true',
      moreAfter: headers.get('x-more-after') === 'true',
    };
  }

  /**
   * Reads all series that `query` selects, page by page, or the first `limit` of them. Without a limit, more than 100,000
   * are an error. If nothing has changed since the last call, the result is the same array.
   */
  async series(query: SeriesSelection = {}, signal?: AbortSignal): Promise<Series[]> {
    const { limit = MAX_SERIES, ...selection } = query;
    const pages: Answer<Series>[] = [];
    let { after } = selection;
    let count = 0;
    do {
      const rest = limit - count;
      // Sends a limit only if it is smaller than a page, because a service without pages does not know `limit` either.
      const part = { ...selection, after, limit: rest < PAGE_OF_SERIES ? rest : undefined };
      const page = await this.#get('series', part, signal, this.#listed.pages[pages.length]);
      pages.push(page);
      count += page.body.length;
      after = nextAfter(page);
    } while (after !== undefined && count < limit && pages.length < MAX_PAGES_OF_SERIES);
    if (after !== undefined && (count < limit || query.limit === undefined)) {
      const detail = `There are more series than the first ${count}; name a symbol or a timeframe, or set a limit.`;
      throw new CandlewickError(detail, { status: 200, code: 'too_many' });
    }
    const { pages: known, series } = this.#listed;
    if (known.length === pages.length && pages.every((page, i) => page === known[i])) return series;
    this.#listed = { pages, series: pages.flatMap(({ body }) => body) };
    return this.#listed.series;
  }

  /** Sends a request. `known` is an earlier answer, which is returned again if it has not changed. */
  async #get<Item>(
    route: string,
    query: object,
    signal?: AbortSignal,
    known?: Answer<Item>,
  ): Promise<Answer<Item>> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each !== undefined) parameters.append(name, String(each));
      }
    }
    const asked = parameters.toString();
    const etag = known?.query === asked ? known.headers.get('etag') : null;
    const timeout = AbortSignal.timeout(this.#timeout);
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.#base}/${route}?${asked}`, {
        headers: { ...this.#headers, ...(etag && { 'if-none-match': etag }) },
        // Always asks the service. Without our own tag, the browser sends the tag of its cached page, and uses that
        // page if nothing has changed.
        cache: etag ? 'no-store' : 'no-cache',
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      text = await response.text();
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      const detail = timeout.aborted
        ? `No answer came within ${this.#timeout / 1000} s; try again.`
        : 'No complete answer came from the server; check its address, and whether it runs.';
      throw new CandlewickError(detail, { status: 0, code: timeout.aborted ? 'timed_out' : 'unreachable', cause });
    }
    const { status, headers } = response;
    if (status === 304 && known && etag) return known;
    const answer = parse(text);
    if (response.ok && Array.isArray(answer)) return { query: asked, body: answer, headers };
    const retryAfter = Number(headers.get('retry-after')) || undefined;
    const requestId = headers.get('x-request-id') ?? undefined;
    if (!response.ok && isProblem(answer)) {
      const { detail, code, request_id, errors } = answer;
      throw new CandlewickError(detail, { status, code, requestId: request_id ?? requestId, errors, retryAfter });
    }
    throw new CandlewickError(
      `The answer (status ${status}) is not candlewick's; check that the address leads to it and not to something else.`,
      { status, code: 'unreadable', requestId, retryAfter },
    );
  }
}

/**
 * Returns the key after which the next page begins, if there is a next page. The header `Link` names this key. It need
 * not be the key of the page's last series, because the query may leave out most series. Without the header, which a
 * server in between may have dropped, the key of the last series is used.
 */
function nextAfter({ body, headers }: Answer<Series>): string | undefined {
  if (headers.get('x-more-after') !== 'true') return undefined;
  const [, query] = /<[^>?]*\?([^>]*)>\s*;\s*rel="?next"?/.exec(headers.get('link') ?? '') ?? [];
  const last = body.at(-1);
  return new URLSearchParams(query).get('after') ?? (last && `${last.timeframe}:${last.symbol}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(answer: unknown): answer is Omit<Problem, 'request_id'> & { request_id?: string } {
  const problem = answer as Partial<Problem> | null | undefined;
  return typeof problem?.detail === 'string' && typeof problem.code === 'string';
}

/** The pause between two requests, which grows after every failure and is at least as long as the service asks for. */
export class Pace {
  readonly #interval: number;
  #failures = 0;
  #pause: number;

  constructor(interval: number) {
    this.#interval = interval;
    this.#pause = interval;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pause = this.#interval;
  }

  failed({ status, retryAfter = 0 }: CandlewickError): void {
    this.#failures += 1;
    // More attempts do not help a refused token, and the service locks out a client that makes more than ten a minute.
    const refused = status === 401 || status === 403;
    const pause = refused ? LONGEST_PAUSE : Math.min(this.#interval * 2 ** this.#failures, LONGEST_PAUSE);
    this.#pause = Math.max(pause, retryAfter * 1000);
  }

  /** Resolves after the pause, once the page is visible, or at once when the signal aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return sleep(this.#pause, signal);
  }
}

const LONGEST_PAUSE = 30_000;

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const listeners = new AbortController();
    const end = () => {
      clearTimeout(timer);
      listeners.abort();
      resolve();
    };
    const timer = setTimeout(() => {
      if (!globalThis.document?.hidden) return end();
      document.addEventListener('visibilitychange', end, { signal: listeners.signal });
    }, milliseconds);
    signal.addEventListener('abort', end, { signal: listeners.signal });
  });
}

/** Formats a time for a query as RFC 3339, because the service would read milliseconds around 1970 as seconds. */
function rfc3339(timestamp: number): string {
  return new Date(timestamp).toISOString();
}

const UNITS = { M: 'minute', H: 'hour', D: 'day', W: 'week', MN: 'month' } as const;
type Unit = keyof typeof UNITS;

/** The klinecharts period of a timeframe: `M15` is 15 minutes. */
export function toPeriod(timeframe: string): { type: (typeof UNITS)[Unit]; span: number } {
  const [, unit, span] = /^(MN|[MHDW])(\d+)$/.exec(timeframe) ?? [];
  if (!unit) throw new RangeError(`${timeframe} is not a timeframe; they look like M15, H1, D1, W1 and MN1`);
  return { type: UNITS[unit as Unit], span: Number(span) };
}

const MINUTES = { minute: 1, hour: 60, day: 1440, week: 10_080, month: 43_200 };

/** The minutes in a timeframe; a month has 30 days. */
export function minutesOf(timeframe: string): number {
  const { type, span } = toPeriod(timeframe);
  return MINUTES[type] * span;
}

/**
 * The stored timeframe from which candles of `timeframe` are best built: the longest one up to H1 that divides it, because
 * longer ones open where the broker's day does, or else the shortest other one. `undefined` if it is stored or cannot be built.
 */
export function sourceOf(timeframe: string, stored: string[]): string | undefined {
  const length = minutesOf(timeframe);
  const divides = (source: string) => {
    const minutes = minutesOf(source);
    const inDays = length >= MINUTES.day && minutes <= MINUTES.day;
    return minutes < length && (inDays || (minutes < MINUTES.day && length % minutes === 0));
  };
  if (stored.includes(timeframe)) return undefined;
  const sources = stored.filter(divides).sort((one, other) => minutesOf(one) - minutesOf(other));
  return sources.findLast((it) => minutesOf(it) <= MINUTES.hour) ?? sources[0];
}

/** The timeframe of a klinecharts period. */
export function toTimeframe({ type, span }: { type: string; span: number }): string {
  const unit = Object.keys(UNITS).find((unit) => UNITS[unit as Unit] === type);
  if (!unit) throw new RangeError(`candlewick keeps no candles of ${span} ${type}; its periods are minute to month`);
  return `${unit}${span}`;
}

/** The state of the series that the chart shows; `last` is the newest candle on the chart. */
export type Feed =
  | { state: 'loading'; last?: undefined }
  | { state: 'empty'; last?: undefined }
  | { state: 'ok'; last: Candle }
  | { state: 'error'; error: CandlewickError; last?: Candle };

// The arguments of a klinecharts data loader, declared here so that this file needs none of its types.
type ChartSeries = { symbol: { ticker: string; source?: unknown }; period: { type: string; span: number } };
type More = { forward: boolean };
type BarsRequest = ChartSeries & {
  type: string;
  timestamp: number | null;
  callback: (candles: Candle[], more?: More) => void;
};
type Subscription = ChartSeries & { callback: (candle: Candle) => void };

type SeriesName = { symbol: string; timeframe: string; source?: string };

function toSeries({ symbol, period }: ChartSeries): SeriesName {
  const source = typeof symbol.source === 'string' ? symbol.source : undefined;
  return { symbol: symbol.ticker, timeframe: toTimeframe(period), source };
}

/**
 * A data loader for klinecharts 10, whose `ticker` is candlewick's symbol. If the chart's symbol has a `source`, candles are
 * built from that stored timeframe. It loads the newest page, older pages when the
 * chart asks for them, and then new candles. It repeats a failed request until it succeeds or the chart turns to another
 * series, and reports each state to `onFeed`. Call `stop` before you dispose of the chart.
 */
export class CandleLoader {
  readonly #client: Candlewick;
  readonly #onFeed: (feed: Feed) => void;
  readonly #pageSize: number;
  readonly #interval: number;
  /** False once the service has refused pages of `#pageSize` candles. From then on, the service chooses their size. */
  #setsLimit = true;
  /** Aborts when the chart turns to another series; answers that come later are dropped. */
  #stay = new AbortController();
  #pace: Pace;
  /** The newest candles. These are the same objects that the chart holds. */
  #recent: Candle[] = [];

  /**
   * `pageSize` is the number of candles in a page; a service that allows fewer (`MAX_LIMIT`) sends pages of its own size.
   * `interval` is the pause between two requests for new candles, in milliseconds.
   */
  constructor(options: { client: Candlewick; onFeed?: (feed: Feed) => void; pageSize?: number; interval?: number }) {
    this.#client = options.client;
    this.#onFeed = options.onFeed ?? (() => {});
    this.#pageSize = options.pageSize ?? 500;
    this.#interval = options.interval ?? 2000;
    this.#pace = new Pace(this.#interval);
  }

  getBars = (request: BarsRequest): void => {
    // Throws for a period that candlewick cannot have, because the chart would otherwise load for ever.
    const series = toSeries(request);
    // The chart asks for newer candles. There are none, because it got the newest page first and subscribeBar adds to it.
    if (request.type === 'backward') return request.callback([]);
    if (request.type === 'init') {
      this.stop();
      this.#stay = new AbortController();
      this.#pace = new Pace(this.#interval);
      this.#recent = [];
      this.#onFeed({ state: 'loading' });
    }
    void this.#load(series, request, this.#stay.signal);
  };

  subscribeBar = (subscription: Subscription): void => {
    void this.#follow(toSeries(subscription), subscription, this.#stay.signal);
  };

  unsubscribeBar = (): void => this.stop();

  stop(): void {
    this.#stay.abort();
  }

  async #load(series: SeriesName, request: BarsRequest, signal: AbortSignal): Promise<void> {
    const { type, timestamp, callback } = request;
    const query = {
      ...series,
      before: timestamp === null ? undefined : rfc3339(timestamp),
      limit: this.#pageSize,
    };
    // A chart gets its symbol and its period one after the other, and asks for candles after each. Because of this
    // pause, the second request aborts the first one before it is sent.
    if (type === 'init') await sleep(0, signal);
    else if (timestamp === null) await this.#pace.wait(signal);
    while (!signal.aborted) {
      const page = await this.#ask(query, signal);
      if (signal.aborted) return;
      if (page && timestamp === null) this.#recent = page.candles.slice(-RECENT);
      if (page) this.#report();
      // Always says that there is more, because otherwise the chart never asks again, and older candles may be stored later.
      if (page && page.candles.length > 0) return callback(page.candles, { forward: true });
      // Removes the candles of another series from the chart. The chart then asks for older candles without a time, and
      // gets the newest page.
      if (type === 'init') return callback([], { forward: true });
      if (page && timestamp !== null) {
        // While the chart shows the first candle, it asks again as soon as it has an answer, so the answer is delayed.
        await sleep(LONGEST_PAUSE, signal);
        return signal.aborted ? undefined : callback([], { forward: true });
      }
      await this.#pace.wait(signal);
    }
  }

  async #follow(series: SeriesName, { callback }: Subscription, signal: AbortSignal): Promise<void> {
    let more = false;
    while (!signal.aborted) {
      if (!more) await this.#pace.wait(signal);
      const [first] = this.#recent;
      if (signal.aborted || !first) continue;
      const query = {
        ...series,
        from: rfc3339(first.timestamp),
        limit: this.#pageSize + RECENT,
      };
      const page = await this.#ask(query, signal);
      more = page?.moreAfter ?? false;
      if (!page) continue;
      const newest = this.#recent.at(-1)!;
      this.#merge(page.candles, callback);
      // If more candles than a page were stored between the known ones, the next page would be the same again, so the
      // next request begins at the newest known candle.
      if (more && this.#recent.at(-1) === newest) this.#recent = [newest];
      this.#report();
    }
  }

  /** Puts new candles on the chart, and forming candles that changed or closed. */
  #merge(candles: Candle[], draw: (candle: Candle) => void): void {
    for (const candle of candles) {
      const known = this.#recent.find(({ timestamp }) => timestamp === candle.timestamp);
      if (known) {
        // The chart accepts candles only at its end. Earlier ones change in place, and appear when the newest is drawn.
        delete known.complete;
        Object.assign(known, candle);
      } else if (candle.timestamp > this.#recent.at(-1)!.timestamp) {
        this.#recent = [...this.#recent, candle].slice(-RECENT);
        draw(candle);
      }
    }
    draw(this.#recent.at(-1)!);
  }

  /** Sends a request; returns no page if it failed or the chart has turned to another series. */
  async #ask(query: CandlesQuery, signal: AbortSignal): Promise<Page | undefined> {
    const limit = this.#setsLimit ? query.limit : undefined;
    try {
      const page = await this.#client.candles({ ...query, limit }, signal);
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
    const last = this.#last();
    this.#onFeed(last ? { state: 'ok', last } : { state: 'empty' });
  }

  #last(): Candle | undefined {
    const last = this.#recent.at(-1);
    return last && { ...last };
  }
}

function refusesLimit({ status, errors }: CandlewickError): boolean {
  return status === 422 && errors.some(({ loc }) => loc.join('.') === 'query.limit');
}

/** The number of newest candles that are read again each time: the forming one, and those that may have closed late. */
const RECENT = 3;
