/**
 * A client of candlewick without dependencies: candles, series, live streams, problems as errors, and data loaders for
 * charts. It runs in Node.js (with the read token, against the service) and in browsers (without a token, against routes of
 * your own server that add it).
 */
export type * from './api.ts';
export { Candlewick, type Page, type SeriesSelection } from './client.ts';
export { CandlewickError } from './errors.ts';
export { CandleLoader } from './klinecharts.ts';
export { showOnKlinecharts9 } from './klinecharts9.ts';
export { showOnLightweightCharts } from './lightweight-charts.ts';
export type { LiveCandle, LiveEvent, LiveHistory, LiveSeries } from './live-events.ts';
export { LiveStream, type LiveMessage } from './live-stream.ts';
export { Pace } from './pace.ts';
export { SeriesFeed, type Drawing, type Feed, type FeedOptions, type SeriesName } from './series-feed.ts';
export { minutesOf, sourceOf, toPeriod, toTimeframe } from './timeframe.ts';
