'use client';

import { useEffect, useRef, useState } from 'react';
import type { CandlewickError, Series } from '../lib/candlewick';
import { CandleChart, type ChartHandle, type Place } from './candle-chart';
import { choose, chooseSymbol } from './choice';
import type { ChartClient } from './client';
import { Notice, type Explain } from './notice';
import { useSettings } from './settings';
import { LastPrice, Status, type ShownFeed } from './status';
import { SymbolSearch } from './symbol-search';
import { Timeframes } from './timeframes';
import { Toolbar } from './toolbar';
import { useChanges } from './use-changes';
import { useDayBefore } from './use-day-change';
import { zoneOf } from './zones';

type Props = {
  client: ChartClient;
  series?: Series[];
  /** The error of the list of series. */
  error?: CandlewickError;
  /** The series that the address names. */
  symbol: string | null;
  timeframe: string | null;
  /** A date such as `2025-08-01` to begin at, instead of the newest candle. */
  at?: string | null;
  onPick: (series: { symbol: string; timeframe: string }) => void;
  /** Called with the series that is shown, even if the address names none or one that cannot be shown. */
  onShown: (series: { symbol: string; timeframe: string }) => void;
  explain: Explain;
  /** The address of the API, if the page's server passes on the record of changes. */
  changes?: string;
  /** The same for exports. */
  exports?: string;
};

/** A chart with everything around it: symbol, timeframes, tools, price and state. */
export default function TradingChart(props: Props) {
  const { client, series, error, at, onPick, onShown, explain, changes, exports } = props;
  const [feed, setFeed] = useState<ShownFeed>({ state: 'loading' });
  const [place, setPlace] = useState<Place>({ newest: true, history: false });
  const [settings, changeSettings] = useSettings();
  const chart = useRef<ChartHandle>(null);
  const stage = useRef<HTMLElement>(null);
  const zone = zoneOf(settings.zone);
  const choice = series && choose(series, props.symbol, props.timeframe);
  const { symbol, timeframe, precision, source } = choice ?? {};
  const shown: ShownFeed = choice ? feed : error ? { state: 'error', error } : { state: series ? 'empty' : 'loading' };
  const { last } = shown;
  const before = useDayBefore(client, choice, zone.align, last);
  const corrected = useChanges(changes, symbol, source ?? timeframe);

  useEffect(() => {
    if (symbol) onShown({ symbol, timeframe: timeframe! });
  }, [symbol, timeframe, onShown]);

  useEffect(() => {
    if (symbol && at && /^\d{4}-\d\d-\d\d$/.test(at)) chart.current?.goTo(at);
  }, [symbol, timeframe, at]);

  useEffect(() => {
    document.title = symbol ? [symbol, timeframe, last?.close.toFixed(precision)].join(' ') : 'candlewick';
  }, [symbol, timeframe, precision, last?.close]);

  return (
    <section className="trading" ref={stage} aria-label="Chart">
      <header className="chart-head">
        {choice ? (
          <>
            <h1>
              <SymbolSearch
                series={series ?? []}
                symbol={choice.symbol}
                onPick={(picked) => onPick(chooseSymbol(series ?? [], picked, choice.timeframe))}
              />
            </h1>
            <Timeframes
              choice={choice}
              zone={zone}
              onPick={(picked) => onPick({ symbol: choice.symbol, timeframe: picked })}
            />
            <Toolbar {...{ choice, settings, place, chart, stage, exports }} onSettings={changeSettings} />
          </>
        ) : (
          <h1>candlewick</h1>
        )}
        <LastPrice candle={last} precision={precision} before={before} />
      </header>
      <div className="stage" data-state={shown.state} data-bare={!last || undefined}>
        {choice && (
          <CandleChart
            ref={chart}
            client={client}
            choice={choice}
            zone={zone}
            studies={settings.studies}
            log={settings.log}
            changes={corrected}
            onFeed={setFeed}
            onPlace={setPlace}
          />
        )}
        <Notice feed={shown} choice={choice} explain={explain} />
      </div>
      <Status feed={shown} place={place} zone={zone} timeframe={timeframe} />
    </section>
  );
}
