import { useCallback, useEffect } from 'react';
import { ChartClient } from '../../web/chart/client';
import TradingChart from '../../web/chart/trading-chart';
import { useSeries } from '../../web/chart/use-series';
import { addressOf, go } from './address';
import { API, SIGNED_OUT } from './api';
import { explain } from './explain';
import type { ViewProps } from './main';

const client = new ChartClient({ base: API });

type Shown = { symbol: string; timeframe: string };
const pick = (series: Shown) => go(addressOf('chart', series));

export function ChartPage({ query }: ViewProps) {
  const { series, error } = useSeries(client);
  const at = query.get('at');
  const isSignedOut = error?.status === 401;
  useEffect(() => {
    if (isSignedOut) window.dispatchEvent(new Event(SIGNED_OUT));
  }, [isSignedOut]);
  const correctAddress = useCallback(
    (shown: Shown) => go(addressOf('chart', { ...shown, at: at ?? undefined }), true),
    [at],
  );
  return (
    <TradingChart
      client={client}
      series={series}
      error={error}
      symbol={query.get('symbol')}
      timeframe={query.get('timeframe')}
      onPick={pick}
      at={at}
      onShown={correctAddress}
      explain={explain}
      changes={API}
      exports={API}
    />
  );
}
