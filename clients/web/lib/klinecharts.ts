/** A data loader for klinecharts 10. */
import type { Candle } from './api.ts';
import { SeriesFeed, type FeedOptions, type SeriesName } from './series-feed.ts';
import { sleep } from './pace.ts';
import { toTimeframe } from './timeframe.ts';

// The arguments of a klinecharts data loader, declared here so that this file needs none of its types.
type ChartSeries = { symbol: { ticker: string; source?: unknown }; period: { type: string; span: number } };
type More = { forward: boolean };
type BarsRequest = ChartSeries & {
  type: string;
  timestamp: number | null;
  callback: (candles: Candle[], more?: More) => void;
};
type Subscription = ChartSeries & { callback: (candle: Candle) => void };

function toSeries({ symbol, period }: ChartSeries): SeriesName {
  const source = typeof symbol.source === 'string' ? symbol.source : undefined;
  return { symbol: symbol.ticker, timeframe: toTimeframe(period), source };
}

/** Says that the chart has to ask for older candles again, even if there are none, because older ones may be stored later. */
const MORE: More = { forward: true };

/**
 * A data loader for klinecharts 10, whose `ticker` is candlewick's symbol. If the chart's symbol has a `source`, candles are
 * built from that stored timeframe. It loads the newest page, older pages when the chart asks for them, and then new candles.
 * It repeats a failed request until it succeeds or the chart turns to another series, and reports each state to `onFeed`.
 * On the state `changed`, call the chart's `resetData()`, which needs no request. Call `stop` before you dispose of the chart.
 */
export class CandleLoader {
  readonly #options: FeedOptions;
  #feed?: { of: string; feed: SeriesFeed };
  /** True from a change in the middle until the chart asks again. */
  #hasChanged = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  getBars = (request: BarsRequest): void => {
    // Throws for a period that candlewick cannot have, because the chart would otherwise load for ever.
    const series = toSeries(request);
    // The chart asks for newer candles. There are none, because it got the newest page first and subscribeBar adds to it.
    if (request.type === 'backward') return request.callback([]);
    if (request.type === 'init') return this.#begin(series, request);
    void this.#load(this.#feedOf(series), request);
  };

  subscribeBar = (subscription: Subscription): void => {
    const feed = this.#feedOf(toSeries(subscription));
    const { callback } = subscription;
    const report = () => {
      const last = feed.candles.at(-1);
      if (!last) return;
      this.#hasChanged = true;
      this.#options.onFeed?.({ state: 'changed', last: { ...last } });
    };
    void feed.follow({
      draw: callback,
      // The chart holds the same objects, and draws them anew with the newest one.
      correct: (_, isHistory) => (isHistory ? report() : callback(feed.candles.at(-1)!)),
      reshape: report,
    });
  };

  unsubscribeBar = (): void => {
    // If the chart is being reset, the feed goes on, so that it misses nothing.
    if (this.#hasChanged) this.#feed?.feed.pause();
    else this.stop();
  };

  stop(): void {
    this.#feed?.feed.stop();
  }

  #begin(series: SeriesName, { callback }: BarsRequest): void {
    const of = JSON.stringify(series);
    const isReset = this.#hasChanged && this.#feed?.of === of && !this.#feed.feed.isStopped;
    this.#hasChanged = false;
    if (isReset) return callback([...this.#feed!.feed.candles], MORE);
    this.stop();
    const feed = new SeriesFeed(series, this.#options);
    this.#feed = { of, feed };
    this.#options.onFeed?.({ state: 'loading' });
    void this.#loadFirst(feed, callback);
  }

  async #loadFirst(feed: SeriesFeed, callback: BarsRequest['callback']): Promise<void> {
    // A chart gets its symbol and its period one after the other, and asks for candles after each. Because of this
    // pause, the second request stops the first feed before it has sent one.
    await sleep(0, feed.stopped);
    const candles = await feed.first();
    // An empty page removes the candles of another series from the chart. The chart then asks for older candles without a
    // time, and gets the newest page.
    if (candles) callback(candles, MORE);
  }

  async #load(feed: SeriesFeed, { timestamp, callback }: BarsRequest): Promise<void> {
    const candles = await (timestamp === null ? feed.some() : feed.older(timestamp));
    if (candles) callback(candles, MORE);
  }

  #feedOf(series: SeriesName): SeriesFeed {
    const of = JSON.stringify(series);
    if (this.#feed?.of !== of) this.#feed = { of, feed: new SeriesFeed(series, this.#options) };
    return this.#feed.feed;
  }
}
