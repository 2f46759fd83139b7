/** The requests of the API: pages of candles, lists of series, and live streams. */
import type { Candle, CandlesQuery, Series, SeriesQuery } from './api.ts';
import { CandlewickError, errorOf, parseJson } from './errors.ts';
import { readEvents, type LiveEvent, type LiveSeries } from './live-events.ts';

/** Candles in ascending order, and whether the series has more on either side of them. */
export type Page = { candles: Candle[]; moreBefore: boolean; moreAfter: boolean };

/** The query of `series`: one symbol or several, and a limit of any size. */
export type SeriesSelection = Omit<SeriesQuery, 'symbol'> & { symbol?: string | string[] };

/** An answer of the service, and its query. */
type Answer<Item> = { query: string; body: Item[]; headers: Headers };

/** The maximum number of series in an answer of the service, which is also its default limit. */
const PAGE_OF_SERIES = 10_000;
const MAX_SERIES = 100_000;
/** Limits the requests for a list, because a page may hold fewer series than its maximum. */
const MAX_PAGES_OF_SERIES = 100;

export class Candlewick {
  /** The address of the API, without a slash at its end. */
  readonly base: string;
  readonly #headers: Record<string, string>;
  readonly #timeout: number;
  /** True if the requests carry a token of their own. */
  readonly hasToken: boolean;
  /** The last list of series and its pages. Pages that have not changed are neither sent nor parsed again. */
  #listed: { pages: Answer<Series>[]; series: Series[] } = { pages: [], series: [] };

  /**
   * `base` is the address of `candles` and `series` without their names: `https://candles.example.com/api/v1`, or a path of
   * the page's own server. `timeout` limits each request, in milliseconds.
   */
  constructor({ base, token, timeout = 10_000 }: { base: string; token?: string; timeout?: number }) {
    this.base = base.replace(/\/+$/, '');
    this.#headers = { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    this.#timeout = timeout;
    this.hasToken = token !== undefined;
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

  /**
   * Opens one live stream of up to 32 series, and resolves once the service has accepted it. The events end when the
   * stream does, for whatever reason. `lastEventId` is the `id` of the last event of an earlier stream of the same
   * series. `LiveStream` keeps a stream open.
   */
  async live(
    series: LiveSeries[],
    { lastEventId, signal }: { lastEventId?: string; signal?: AbortSignal } = {},
  ): Promise<AsyncGenerator<LiveEvent, void>> {
    const query = new URLSearchParams();
    for (const { symbol, timeframe, newest } of series) {
      query.append('series', `${timeframe}${newest === undefined ? '' : `@${newest}`}:${symbol}`);
    }
    if (lastEventId) query.append('last_event_id', lastEventId);
    const stop = new AbortController();
    const timeout = AbortSignal.timeout(this.#timeout);
    const giveUp = () => stop.abort(timeout.reason);
    timeout.addEventListener('abort', giveUp);
    const leave = () => stop.abort(signal!.reason);
    signal?.addEventListener('abort', leave);
    try {
      signal?.throwIfAborted();
      const response = await fetch(`${this.base}/live?${query}`, {
        headers: { ...this.#headers, accept: 'text/event-stream' },
        cache: 'no-store',
        signal: stop.signal,
      });
      const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
      if (!response.ok || !isStream || !response.body) {
        throw errorOf(response, parseJson(isStream ? '' : await response.text()));
      }
      return readEvents(response.body, stop);
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      if (cause instanceof CandlewickError) throw cause;
      throw this.#noAnswer(timeout, cause);
    } finally {
      // From here on, only the caller ends the stream.
      timeout.removeEventListener('abort', giveUp);
    }
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
      response = await fetch(`${this.base}/${route}?${asked}`, {
        headers: { ...this.#headers, ...(etag && { 'if-none-match': etag }) },
        // Always asks the service. Without our own tag, the browser sends the tag of its cached page, and uses that
        // page if nothing has changed.
        cache: etag ? 'no-store' : 'no-cache',
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      text = await response.text();
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw this.#noAnswer(timeout, cause);
    }
    if (response.status === 304 && known && etag) return known;
    const answer = parseJson(text);
    if (response.ok && Array.isArray(answer)) return { query: asked, body: answer, headers: response.headers };
    throw errorOf(response, answer);
  }

  #noAnswer(timeout: AbortSignal, cause: unknown): CandlewickError {
    const detail = timeout.aborted
      ? `No answer came within ${this.#timeout / 1000} s; try again.`
      : 'No complete answer came from the server; check its address, and whether it runs.';
    return new CandlewickError(detail, { status: 0, code: timeout.aborted ? 'timed_out' : 'unreachable', cause });
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
