'use client';

import type { ISeriesApi, SeriesMarker, UTCTimestamp } from 'lightweight-charts';
import { useSearchParams } from 'next/navigation';
import { Suspense, useEffect, useRef, useState } from 'react';
import { Datafeed, type Bar, type Mark, type Shown } from './datafeed';

/** Milliseconds between two looks at the newest bars. TradingView's own adapter asks every 10 s. */
const INTERVAL = 2000;
/** The number of bars that are loaded at once, and the number left of the view at which older ones are. */
const PAGE = 500;
const MIN_LEFT = 50;

const datafeed = new Datafeed('/api/udf', INTERVAL);

/** The chart's element. Its properties let tests read what is drawn. */
type Host = HTMLDivElement & { series?: ISeriesApi<'Candlestick'>; marks?: Mark[] };

/** A series over TradingView's UDF protocol on lightweight-charts 5: `/examples/udf?symbol=EURUSD&resolution=60`. */
function Example() {
  const address = useSearchParams();
  const [symbol, resolution] = [address.get('symbol') ?? 'EURUSD', address.get('resolution') ?? '60'];
  const host = useRef<Host>(null);
  const [fault, setFault] = useState('');
  useEffect(() => {
    setFault('');
    const begin = show(host.current!, { symbol, resolution }).catch((error: Error) => setFault(error.message));
    return () => void begin.then((end) => end?.());
  }, [symbol, resolution]);
  return (
    <>
      {fault && <p role="alert">{fault}</p>}
      <div ref={host} className="chart" style={{ height: '100vh' }} />
    </>
  );
}

/** Draws a series and follows it, until the returned function is called. */
async function show(element: Host, shown: Shown): Promise<() => void> {
  const { createChart, createSeriesMarkers, CandlestickSeries } = await import('lightweight-charts');
  const { supports_marks: hasMarks } = await datafeed.config();
  const { pricescale } = await datafeed.resolve(shown.symbol);
  let bars = await datafeed.bars(shown, PAGE);

  const chart = createChart(element, { autoSize: true, timeScale: { timeVisible: true } });
  const priceFormat = { type: 'price', precision: Math.log10(pricescale), minMove: 1 / pricescale } as const;
  const series = chart.addSeries(CandlestickSeries, { priceFormat });
  const markers = createSeriesMarkers(series, []);
  const draw = () => series.setData(bars.map(toData));

  let isLoading = false;
  const loadOlder = async () => {
    const first = bars[0];
    if (isLoading || !first) return;
    isLoading = true;
    const older = await datafeed.bars(shown, PAGE, first.time).catch(() => []);
    isLoading = false;
    if (older.length === 0 || bars[0] !== first) return;
    bars = [...older, ...bars];
    draw();
  };
  const take = (bar: Bar) => {
    const place = bars.findLastIndex(({ time }) => time === bar.time);
    if (place < 0) bars.push(bar);
    else bars[place] = bar;
    series.update(toData(bar), place >= 0 && place < bars.length - 1);
  };
  /** Draws the marks, and reads the bars again where a new one says that stored bars have changed. */
  const mark = async () => {
    const first = bars[0];
    if (!first || !hasMarks) return;
    const marks = await datafeed.marks(shown, first.time);
    if (marks.every(({ id }) => element.marks?.some((known) => known.id === id))) return;
    bars = await datafeed.bars(shown, bars.length);
    draw();
    markers.setMarkers(marks.map(toMarker));
    element.marks = marks;
  };

  draw();
  element.series = series;
  element.marks = [];
  chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
    if (range && range.from < MIN_LEFT) void loadOlder();
  });
  const stop = datafeed.follow(shown, bars.at(-1)?.time ?? 0, take, mark);
  return () => {
    stop();
    chart.remove();
  };
}

function toData({ time, open, high, low, close }: Bar) {
  return { time: time as UTCTimestamp, open, high, low, close };
}

function toMarker({ id, time, color, text }: Mark): SeriesMarker<UTCTimestamp> {
  // Text has the colour of its mark here, and yellow is not readable on white.
  const shade = color === 'yellow' ? 'darkgoldenrod' : color;
  return { id, time: time as UTCTimestamp, color: shade, text, position: 'aboveBar', shape: 'circle' };
}

export default function Page() {
  return (
    <Suspense>
      <Example />
    </Suspense>
  );
}
