'use client';

/** A React component that draws a series with klinecharts 10. */
import { useEffect, useRef, type CSSProperties } from 'react';
import { Candlewick } from './client.ts';
import { CandleLoader } from './klinecharts.ts';
import type { Feed } from './series-feed.ts';
import { toPeriod } from './timeframe.ts';

type Props = {
  symbol: string;
  timeframe: string;
  /** The stored timeframe from which the candles are built, if `timeframe` is not stored. */
  source?: string;
  /** Digits after the point: a series' `price_precision`. */
  digits?: number;
  /** The path of the routes `candles`, `series` and `live`. */
  base?: string;
  onFeed?: (feed: Feed) => void;
  className?: string;
  style?: CSSProperties;
};

/** A chart that loads older candles as one scrolls back, and new ones live. Its element needs a height. */
export function CandleChart(props: Props) {
  const { symbol, timeframe, source, digits = 5, base = '/api', onFeed, className, style } = props;
  const host = useRef<HTMLDivElement>(null);
  const report = useRef(onFeed);
  report.current = onFeed;
  useEffect(() => {
    const element = host.current!;
    let end = () => {};
    // Imported here, because klinecharts reads the window as soon as it is imported.
    const begin = import('klinecharts').then(({ init, dispose }) => {
      const chart = init(element)!;
      const onFeed = (feed: Feed) => (feed.state === 'changed' ? chart.resetData() : report.current?.(feed));
      const loader = new CandleLoader({ client: new Candlewick({ base }), onFeed });
      chart.setSymbol({ ticker: symbol, source, pricePrecision: digits, volumePrecision: 0 });
      chart.setPeriod(toPeriod(timeframe));
      chart.setDataLoader(loader);
      Object.assign(element, { chart });
      end = () => {
        loader.stop();
        dispose(element);
      };
    });
    return () => void begin.then(() => end());
  }, [symbol, timeframe, source, digits, base]);
  return <div ref={host} className={className} style={style} />;
}
