'use client';

import dynamic from 'next/dynamic';
import { useSearchParams } from 'next/navigation';
import { useEffect, useState } from 'react';
import { Candlewick } from '../lib/candlewick';
import { Notice } from './notice';
import { choose, SeriesPicker, type Choice } from './series-picker';
import { LastPrice, Status, type ShownFeed } from './status';
import { useSeries } from './use-series';

// Not rendered on the server, because klinecharts uses the window as soon as it is loaded.
const CandleChart = dynamic(() => import('./candle-chart').then((module) => module.CandleChart), { ssr: false });

const client = new Candlewick({ base: '/api' });

export function Market() {
  const address = useSearchParams();
  const { series, error } = useSeries(client);
  const [feed, setFeed] = useState<ShownFeed>({ state: 'loading' });
  const choice = series && choose(series, address.get('symbol'), address.get('timeframe'));
  const { symbol, timeframe, precision } = choice ?? {};
  const shown: ShownFeed = choice ? feed : error ? { state: 'error', error } : { state: series ? 'empty' : 'loading' };

  const link = symbol && `?${new URLSearchParams({ symbol, timeframe: timeframe! })}`;
  useEffect(() => {
    // Makes the address name what is shown, even if it named nothing or something that cannot be shown.
    if (link && link !== window.location.search) window.history.replaceState(null, '', link);
  }, [link]);

  const { last } = shown;
  useEffect(() => {
    document.title = symbol ? [symbol, timeframe, last?.close.toFixed(precision)].join(' ') : 'candlewick';
  }, [symbol, timeframe, precision, last?.close]);

  const pick = ({ symbol, timeframe }: Choice) =>
    window.history.pushState(null, '', `?${new URLSearchParams({ symbol, timeframe })}`);

  return (
    <main>
      <header>
        <SeriesPicker series={series ?? []} choice={choice} onPick={pick} />
        <LastPrice candle={last} precision={precision} />
      </header>
      <section className="stage" aria-label="Chart" data-state={shown.state} data-bare={!last || undefined}>
        {choice && <CandleChart client={client} choice={choice} onFeed={setFeed} />}
        <Notice feed={shown} choice={choice} />
      </section>
      <Status feed={shown} />
    </main>
  );
}
