/** Loads candles into a series of lightweight-charts 5. */
import type { Candle } from './api.ts';
import { SeriesFeed, type FeedOptions, type SeriesName } from './series-feed.ts';

/** A bar of lightweight-charts, whose time is in seconds. */
type Bar = { time: number; open: number; high: number; low: number; close: number };
type RangeListener = (range: { from: number; to: number } | null) => void;

// The methods that are used, declared here so that this file needs none of the library's types.
type Series = { setData(bars: never[]): void; update(bar: never, historicalUpdate?: boolean): void };
type Chart = {
  timeScale(): {
    subscribeVisibleLogicalRangeChange(listener: RangeListener): void;
    unsubscribeVisibleLogicalRangeChange(listener: RangeListener): void;
  };
};

/** Older candles are asked for when fewer than this number are left of the view. */
const MIN_LEFT = 50;

function toBar({ timestamp, open, high, low, close }: Candle): never {
  return { time: timestamp / 1000, open, high, low, close } satisfies Bar as never;
}

/**
 * Shows a series of candles on a candlestick series of lightweight-charts 5: the newest page, older pages as the view
 * approaches the first candle, and new and corrected candles, until the returned function is called. Call it before you
 * remove the chart or show other candles on the series. Times are in UTC.
 */
export function showOnLightweightCharts(
  { chart, series: bars }: { chart: Chart; series: Series },
  series: SeriesName,
  options: FeedOptions,
): () => void {
  const feed = new SeriesFeed(series, options);
  const draw = () => bars.setData(feed.candles.map(toBar));
  let isLoading = false;
  const load = async () => {
    const first = feed.candles[0];
    if (isLoading || !first) return;
    isLoading = true;
    const older = await feed.older(first.timestamp);
    isLoading = false;
    if (older && older.length > 0) draw();
  };
  const onRange: RangeListener = (range) => {
    if (range && range.from < MIN_LEFT) void load();
  };
  const begin = async () => {
    let candles = await feed.first();
    if (candles?.length === 0) {
      draw();
      candles = await feed.some();
    }
    if (!candles) return;
    draw();
    chart.timeScale().subscribeVisibleLogicalRangeChange(onRange);
    void feed.follow({
      draw: (candle) => bars.update(toBar(candle)),
      correct: (changed) => changed.forEach((candle) => bars.update(toBar(candle), candle !== feed.candles.at(-1))),
      reshape: draw,
    });
  };
  void begin();
  return () => {
    feed.stop();
    chart.timeScale().unsubscribeVisibleLogicalRangeChange(onRange);
  };
}
