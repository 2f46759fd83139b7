'use client';

import dynamic from 'next/dynamic';
import { useSearchParams } from 'next/navigation';
import { ChartClient } from '../chart/client';
import { useSeries } from '../chart/use-series';
import { explain } from './explain';

// Not rendered on the server, because klinecharts uses the window as soon as it is loaded.
const TradingChart = dynamic(() => import('../chart/trading-chart'), { ssr: false });

const client = new ChartClient({ base: '/api' });

type Shown = { symbol: string; timeframe: string };
const link = ({ symbol, timeframe }: Shown) => `?${new URLSearchParams({ symbol, timeframe })}`;

const pick = (series: Shown) => window.history.pushState(null, '', link(series));

function correctAddress(series: Shown): void {
  if (link(series) !== window.location.search) window.history.replaceState(null, '', link(series));
}

export function Market() {
  const address = useSearchParams();
  const { series, error } = useSeries(client);
  return (
    <main>
      <TradingChart
        client={client}
        series={series}
        error={error}
        symbol={address.get('symbol')}
        timeframe={address.get('timeframe')}
        onPick={pick}
        onShown={correctAddress}
        explain={explain}
        changes="/api"
        exports="/api"
      />
    </main>
  );
}
