import { dispose, init, utils, type Chart } from 'klinecharts';
import { useEffect, useRef, type KeyboardEvent } from 'react';
import { CandleLoader, toPeriod, type Candlewick } from '../lib/candlewick';
import { chartStyles } from './chart-styles';
import { FORMING } from './forming';
import type { Choice } from './series-picker';
import type { ShownFeed } from './status';

/** The chart's own element. Its property `chart` lets tests read what is drawn. */
type Host = HTMLDivElement & { chart?: Chart };

const DARK = '(prefers-color-scheme: dark)';

/** Draws candles that changed in the middle, and keeps the view. */
function drawAgain(chart: Chart): void {
  const last = chart.getDataList()[chart.getVisibleRange().to - 1]?.timestamp;
  const place = () => {
    const dataIndex = chart.getDataList().findIndex(({ timestamp }) => timestamp === last);
    const { x } = chart.convertToPixel({ dataIndex, value: 0 }, { paneId: 'candle_pane' }) as { x: number };
    return dataIndex < 0 ? undefined : x;
  };
  const before = place();
  chart.resetData();
  const after = place();
  if (before !== undefined && after !== undefined) chart.scrollByDistance(before - after);
}

export function CandleChart(props: { client: Candlewick; choice: Choice; onFeed: (feed: ShownFeed) => void }) {
  const { client, choice, onFeed } = props;
  const { symbol, timeframe, source, precision } = choice;
  const host = useRef<Host>(null);

  useEffect(() => {
    const element = host.current!;
    const chart = init(element, {
      timezone: 'Etc/UTC',
      styles: chartStyles(element),
      formatter: {
        // Labels of days, weeks and months have the hour, too, because in UTC a broker's day often opens on the evening
        // before.
        formatDate: ({ dateTimeFormat, timestamp, template }) =>
          utils.formatDate(dateTimeFormat, timestamp, template.includes('HH') ? template : 'YYYY-MM-DD HH:mm'),
        // Shows every number with all of its digits: no 1.2K, no commas, no 0.0{4}1.
        formatBigNumber: String,
      },
      thousandsSeparator: { format: String },
      decimalFold: { format: String },
    })!;
    chart.createIndicator({ name: 'VOL', calcParams: [] });
    chart.setPaneOptions({ id: chart.getIndicators({ name: 'VOL' })[0]!.paneId, height: 72 });
    chart.createIndicator({ name: FORMING, paneId: 'candle_pane' }, true);
    const loader = new CandleLoader({
      client,
      onFeed: (feed) => (feed.state === 'changed' ? drawAgain(chart) : onFeed(feed)),
    });
    chart.setDataLoader(loader);
    element.chart = chart;
    const followScheme = () => chart.setStyles(chartStyles(element));
    const scheme = window.matchMedia(DARK);
    scheme.addEventListener('change', followScheme);
    return () => {
      scheme.removeEventListener('change', followScheme);
      loader.stop();
      dispose(element);
    };
  }, [client, onFeed]);

  useEffect(() => {
    const { chart } = host.current!;
    chart!.setSymbol({ ticker: symbol, source, pricePrecision: precision, volumePrecision: 0 });
    chart!.setPeriod(toPeriod(timeframe));
  }, [symbol, timeframe, source, precision, client, onFeed]);

  const move = (event: KeyboardEvent) => {
    const chart = host.current!.chart!;
    const step = 10 * chart.getBarSpace().bar;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => chart.scrollByDistance(step),
      ArrowRight: () => chart.scrollByDistance(-step),
      ArrowUp: () => chart.zoomAtCoordinate(1.2),
      ArrowDown: () => chart.zoomAtCoordinate(1 / 1.2),
      Home: () => {
        // The chart scrolls a candle to its right edge, so this picks the one that puts the first candle at the left edge.
        const { width } = chart.getSize('candle_pane', 'main')!;
        chart.scrollToDataIndex(Math.floor(width / chart.getBarSpace().bar) - 1);
      },
      End: () => chart.scrollToRealTime(),
    };
    const known = moves[event.key];
    // Leaves key combinations with a modifier to the browser.
    if (!known || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    known();
  };

  return (
    <div
      ref={host}
      className="chart"
      tabIndex={0}
      role="application"
      aria-label={`Candles of ${symbol} ${timeframe}. Left and right scroll, up and down zoom, End goes to the newest candle.`}
      onKeyDown={move}
    />
  );
}
