'use client';

import { useSearchParams } from 'next/navigation';
import { Suspense, useEffect, useRef } from 'react';
import { Candlewick, showOnKlinecharts9 } from '../../../lib/candlewick';

const client = new Candlewick({ base: '/api' });

/** A series on klinecharts 9: `/examples/klinecharts-9?symbol=EURUSD&timeframe=H1`. */
function Example() {
  const address = useSearchParams();
  const [symbol, timeframe] = [address.get('symbol') ?? 'EURUSD', address.get('timeframe') ?? 'H1'];
  const host = useRef<HTMLDivElement & { chart?: unknown }>(null);
  useEffect(() => {
    const element = host.current!;
    let end = () => {};
    // Imported here, because klinecharts reads the window as soon as it is imported.
    const begin = import('klinecharts9').then(({ init, dispose }) => {
      const chart = init(element)!;
      chart.setPriceVolumePrecision(5, 0);
      const stop = showOnKlinecharts9(chart, { symbol, timeframe }, { client });
      element.chart = chart;
      end = () => {
        stop();
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
