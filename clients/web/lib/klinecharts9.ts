/** Loads candles into klinecharts 9. */
import type { Candle } from './api.ts';
import { SeriesFeed, type FeedOptions, type SeriesName } from './series-feed.ts';

/** The methods of a klinecharts 9 chart that are used, declared here so that this file needs none of its types. */
type Chart = {
  applyNewData(candles: Candle[], more?: boolean): void;
  updateData(candle: Candle): void;
  setLoadDataCallback(
    load: (request: {
      type: string;
      data: { timestamp: number } | null;
      callback: (candles: Candle[], more?: boolean) => void;
    }) => void,
  ): void;
};

/**
 * Shows a series on a klinecharts 9 chart: the newest page, older pages as the chart asks for them, and new and corrected
 * candles, until the returned function is called. Call it before you dispose of the chart or show another series on it.
 */
export function showOnKlinecharts9(chart: Chart, series: SeriesName, options: FeedOptions): () => void {
  const feed = new SeriesFeed(series, options);
  const reset = () => {
    feed.pause();
    chart.applyNewData([...feed.candles], true);
    follow();
  };
  const follow = () =>
    void feed.follow({
      draw: (candle) => chart.updateData(candle),
      // The chart holds the same objects, and draws them anew with the newest one.
      correct: () => chart.updateData(feed.candles.at(-1)!),
      reshape: reset,
    });
  const begin = async () => {
    const first = await feed.first();
    if (!first) return;
    chart.applyNewData(first, first.length > 0);
    const candles = first.length > 0 ? first : await feed.some();
    if (!candles) return;
    if (first.length === 0) chart.applyNewData(candles, true);
    follow();
  };
  chart.setLoadDataCallback(({ type, data, callback }) => {
    if (type !== 'forward' || !data) return callback([], false);
    // Always says that there is more, because older candles may be stored later.
    void feed.older(data.timestamp).then((candles) => candles && callback(candles, true));
  });
  void begin();
  return () => feed.stop();
}
