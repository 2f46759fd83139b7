/** A chart without a screen. */
import { Candlewick, CandleLoader, toPeriod, type Candle, type Feed } from '../lib/candlewick.ts';
import { READ_TOKEN } from './support.ts';

type ModelOptions = { base?: string; client?: Candlewick; pageSize?: number; live?: boolean };

/** Uses a data loader like klinecharts 10, without drawing. */
export class ChartModel {
  list: Candle[] = [];
  more = false;
  readonly feeds: Feed[] = [];
  readonly loader: CandleLoader;
  #series: { symbol: { ticker: string; source?: string }; period: ReturnType<typeof toPeriod> } = {
    symbol: { ticker: '' },
    period: toPeriod('H1'),
  };
  #loading = false;

  constructor({ base, client, pageSize, live }: ModelOptions) {
    const own = () => new Candlewick({ base: `${base}/api/v1`, token: READ_TOKEN });
    const onFeed = (feed: Feed) => {
      this.feeds.push(feed);
      if (feed.state === 'changed') this.#reset();
    };
    this.loader = new CandleLoader({ client: client ?? own(), pageSize, interval: 10, live, onFeed });
  }

  show(ticker: string, timeframe = 'H1', source?: string): void {
    this.#series = { symbol: { ticker, source }, period: toPeriod(timeframe) };
    this.#reset();
  }

  /** Shows the oldest candle, which makes the chart ask for older ones. */
  scrollBack(): void {
    if (this.more) this.#ask('forward', this.list[0]?.timestamp ?? null);
  }

  get state(): string | undefined {
    return this.feeds.at(-1)?.state;
  }

  #reset(): void {
    this.loader.unsubscribeBar();
    this.#loading = false;
    this.#ask('init', null);
  }

  #ask(type: 'init' | 'forward', timestamp: number | null): void {
    if (this.#loading) return;
    this.#loading = true;
    this.loader.getBars({
      ...this.#series,
      type,
      timestamp,
      callback: (candles, more) => {
        this.#loading = false;
        this.list = type === 'init' ? candles : [...candles, ...this.list];
        this.more = more?.forward ?? false;
        if (type !== 'init') return;
        if (this.list.length === 0) this.scrollBack();
        this.loader.subscribeBar({ ...this.#series, callback: (candle) => this.#update(candle) });
      },
    });
  }

  #update(candle: Candle): void {
    const last = this.list.at(-1)?.timestamp ?? 0;
    if (candle.timestamp > last) this.list.push(candle);
    if (candle.timestamp === last) this.list[this.list.length - 1] = candle;
  }
}

/** Returns whether the chart holds exactly these candles. */
export const holds = (chart: ChartModel, candles: Candle[]) => () => JSON.stringify(chart.list) === JSON.stringify(candles);
