'use client';

import { useSearchParams } from 'next/navigation';
import { Suspense, useEffect, useRef } from 'react';
import { Candlewick, showOnLightweightCharts } from '../../../lib/candlewick';

const client = new Candlewick({ base: '/api' });

/** A series on lightweight-charts 5: `/examples/lightweight-charts?symbol=EURUSD&timeframe=H1`. */
function Example() {
  const address = useSearchParams();
  const [symbol, timeframe] = [address.get('symbol') ?? 'EURUSD', address.get('timeframe') ?? 'H1'];
  const host = useRef<HTMLDivElement & { series?: unknown }>(null);
  useEffect(() => {
    const element = host.current!;
    let end = () => {};
    const begin = import('lightweight-charts').then(({ createChart, CandlestickSeries }) => {
      const chart = createChart(element, { autoSize: true, timeScale: { timeVisible: true } });
      const series = chart.addSeries(CandlestickSeries, { priceFormat: { type: 'price', precision: 5, minMove: 1e-5 } });
      const stop = showOnLightweightCharts({ chart, series }, { symbol, timeframe }, { client });
      element.series = series;
      end = () => {
        stop();
        chart.remove();
      };
    });
    return () => void begin.then(() => end());
  }, [symbol, timeframe]);
  return <div ref={host} className="chart" style={{ height: '100vh' }} />;
}

export default function Page() {
  return (
    <Suspense>
      <Example />
    </Suspense>
  );
}
