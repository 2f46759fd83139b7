'use client';

import { useSearchParams } from 'next/navigation';
import { Suspense, useEffect, useRef } from 'react';
import { Candlewick, CandleLoader, toPeriod } from '../../../lib/candlewick';

const client = new Candlewick({ base: '/api' });

/** A series on klinecharts 10: `/examples/klinecharts-10?symbol=EURUSD&timeframe=H1`. */
function Example() {
  const address = useSearchParams();
  const [symbol, timeframe] = [address.get('symbol') ?? 'EURUSD', address.get('timeframe') ?? 'H1'];
  const host = useRef<HTMLDivElement & { chart?: unknown }>(null);
  useEffect(() => {
    const element = host.current!;
    let end = () => {};
    // Imported here, because klinecharts reads the window as soon as it is imported.
    const begin = import('klinecharts').then(({ init, dispose }) => {
      const chart = init(element)!;
      const loader = new CandleLoader({ client, onFeed: ({ state }) => state === 'changed' && chart.resetData() });
      chart.setSymbol({ ticker: symbol, pricePrecision: 5, volumePrecision: 0 });
      chart.setPeriod(toPeriod(timeframe));
      chart.setDataLoader(loader);
      element.chart = chart;
      end = () => {
        loader.stop();
        dispose(element);
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
