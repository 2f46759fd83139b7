import type { DataLoader, DataLoaderGetBarsParams } from 'klinecharts';
import { CandlewickError, Pace, toTimeframe, type Candle, type Candlewick, type CandlesQuery, type Page } from '../lib/candlewick';

/** The candles on each side of the date that are loaded first. */
const AROUND = 400;
/** Milliseconds before a failed request is repeated. */
const PAUSE = 2000;

/** Calls that report what the loader did. */
export type HistoryEvents = {
  /** The candles around the date are on the chart; `newest` is the newest of the series. */
  loaded: (newest: Candle | undefined) => void;
  /** The newest candle was loaded. */
  end: () => void;
  error: (error: CandlewickError) => void;
};

/**
 * A data loader for klinecharts that begins at a date instead of the newest candle, and loads pages in both directions.
 * Forming candles do not move in it.
 */
export class HistoryLoader implements DataLoader {
  readonly #client: Candlewick;
  readonly #time: number;
  readonly #on: HistoryEvents;
  readonly #stay = new AbortController();
  /** True while the first candles are put on the chart, which begins at their end. */
  #isPlacing = false;

  /** `time` is the date in epoch milliseconds. */
  constructor(client: Candlewick, time: number, on: HistoryEvents) {
    this.#client = client;
    this.#time = time;
    this.#on = on;
  }

  stop(): void {
    this.#stay.abort();
  }

  getBars = (request: DataLoaderGetBarsParams): void => {
    // Without an answer the chart would not ask again.
    if (this.#isPlacing) setTimeout(() => request.callback([], { forward: true, backward: true }));
    else void this.#load(request);
  };

  async #load({ type, timestamp, symbol, period, callback }: DataLoaderGetBarsParams): Promise<void> {
    const source = typeof symbol.source === 'string' ? symbol.source : undefined;
    const series = { symbol: symbol.ticker, timeframe: toTimeframe(period), source };
    const iso = (time: number) => new Date(time).toISOString();
    if (type === 'init') {
      const from = await this.#ask({ ...series, from: iso(this.#time), limit: AROUND });
      const before = from && (await this.#ask({ ...series, before: iso(this.#time), limit: AROUND }));
      const newest = before && (await this.#ask({ ...series, limit: 1 }));
      if (!newest) return;
      const candles = [...before.candles, ...from.candles];
      this.#isPlacing = true;
      callback(candles, { forward: before.moreBefore, backward: true });
      this.#on.loaded(newest.candles[0]);
      this.#isPlacing = false;
    } else if (type === 'forward') {
      const page = await this.#ask({ ...series, before: iso(timestamp!) });
      if (page) callback(page.candles, { forward: page.moreBefore, backward: true });
    } else {
      const page = await this.#ask({ ...series, after: iso(timestamp!) });
      if (!page) return;
      callback(page.candles, { forward: true, backward: page.moreAfter });
      if (!page.moreAfter) this.#on.end();
    }
  }

  /** Asks until an answer comes or the chart turns to something else. */
  async #ask(query: CandlesQuery): Promise<Page | undefined> {
    const { signal } = this.#stay;
    const pace = new Pace(PAUSE);
    let { limit } = query;
    while (!signal.aborted) {
      try {
        const page = await this.#client.candles({ ...query, limit }, signal);
        return signal.aborted ? undefined : page;
      } catch (error) {
        if (signal.aborted) return undefined;
        if (!(error instanceof CandlewickError)) throw error;
        // The service may allow smaller pages only; without a limit it chooses their size.
        if (error.status === 422 && limit !== undefined) limit = undefined;
        else {
          this.#on.error(error);
          pace.failed(error);
          await pace.wait(signal);
        }
      }
    }
    return undefined;
  }
}
