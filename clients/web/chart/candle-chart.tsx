import { dispose, init, type CandleTooltipLegendsCustomCallback, type Chart } from 'klinecharts';
import { useEffect, useImperativeHandle, useRef, type KeyboardEvent, type Ref } from 'react';
import { CandleLoader, minutesOf, toPeriod } from '../lib/candlewick';
import { chartStyles, paletteOf } from './chart-styles';
import type { Choice } from './choice';
import type { ChartClient } from './client';
import { addDrawings, annotate, annotationsOf, breaksOf, viewOf } from './drawings';
import { HistoryLoader } from './history-loader';
import type { ShownFeed } from './status';
import { showStudies } from './studies';
import { axisTicks } from './time-axis';
import { tradesAt, type ChartTrade } from './trades';
import { midnight, openingTime, type Zone } from './zones';

/** The chart's own element. Its property `chart` lets tests read what is drawn. */
type Host = HTMLDivElement & { chart?: Chart };

export type ChartHandle = {
  /** Shows the newest candle, live. */
  newest(): void;
  /** Shows the candles around a date such as `2025-08-01`. */
  goTo(date: string): void;
  /** The candles in view, by the times at which the first and the last of them open; undefined without candles. */
  inView(): Span | undefined;
  /** Shows the candles around a time in epoch milliseconds. */
  show(time: number): void;
};

/** Times in epoch milliseconds. */
export type Span = { from: number; to: number };

/** Where the reader is: `history` if the candles were loaded around a date, and do not move. */
export type Place = { newest: boolean; history: boolean };

type Props = {
  client: ChartClient;
  choice: Choice;
  zone: Zone;
  studies: string[];
  log: boolean;
  /** The changes to candles by their opening times. */
  changes: Map<number, string>;
  /** The trades of a backtest in the order of their times. */
  trades?: ChartTrade[];
  onFeed: (feed: ShownFeed) => void;
  onPlace: (place: Place) => void;
  ref?: Ref<ChartHandle>;
};

const CANDLES = 'candle_pane';
const NO_TRADES: ChartTrade[] = [];
/** The width of a candle with its gap, and the space at the right edge, in pixels. */
const BAR = 8;
const OFFSET = 48;

export function CandleChart(props: Props) {
  const { client, choice, zone, studies, log, changes, trades = NO_TRADES, onFeed, onPlace, ref } = props;
  const { symbol, timeframe, source, precision } = choice;
  const host = useRef<Host>(null);
  const loader = useRef<CandleLoader>(null);
  const history = useRef<HistoryLoader>(null);
  // Read by callbacks of the chart, which is made only once.
  const latest = useRef({ zone, changes, trades, timeframe, studies });
  latest.current = { zone, changes, trades, timeframe, studies };

  useEffect(() => {
    const element = host.current!;
    const chart = makeChart(element, () => latest.current);
    loader.current = new CandleLoader({
      client,
      onFeed: (feed) => (feed.state === 'changed' ? drawAgain(chart) : onFeed(feed)),
    });
    chart.setDataLoader(loader.current);
    element.chart = chart;
    const stopPlace = followPlace(chart, () => history.current !== null, onPlace);
    const stopScheme = followScheme(() => restyle(chart, element, latest.current));
    return () => {
      stopPlace();
      stopScheme();
      history.current?.stop();
      history.current = null;
      loader.current!.stop();
      dispose(element);
    };
  }, [client, onFeed, onPlace]);

  const align = source ? zone.align : '';
  useEffect(() => {
    const chart = host.current!.chart!;
    client.align = align || 'utc';
    history.current?.stop();
    history.current = null;
    chart.setDataLoader(loader.current!);
    chart.setSymbol({ ticker: symbol, source, align, pricePrecision: precision, volumePrecision: 0 });
    chart.setPeriod(toPeriod(timeframe));
  }, [symbol, timeframe, source, align, precision, client, onFeed, onPlace]);

  useEffect(() => {
    host.current!.chart!.overrideYAxis({ paneId: CANDLES, name: log ? 'logarithm' : 'normal' });
  }, [log, client, onFeed, onPlace]);

  useEffect(() => {
    restyle(host.current!.chart!, host.current!, latest.current);
  }, [zone, changes, trades, timeframe, studies, client, onFeed, onPlace]);

  useImperativeHandle(ref, () => {
    const chart = () => host.current!.chart!;
    const newest = () => {
      if (!history.current) return chart().scrollToRealTime();
      history.current.stop();
      history.current = null;
      chart().setDataLoader(loader.current!);
    };
    const goTo = (date: string) => show(midnight(latest.current.zone, date));
    const show = (time: number) => {
      const candles = chart().getDataList();
      if (candles.length > 0 && candles[0]!.timestamp <= time && time <= candles.at(-1)!.timestamp) {
        return centre(chart(), time);
      }
      history.current?.stop();
      loader.current!.stop();
      const around: HistoryLoader = new HistoryLoader(client, time, {
        loaded: (last) => {
          centre(chart(), time);
          onFeed(last ? { state: 'ok', last } : { state: 'empty' });
        },
        end: () => {
          if (history.current === around) newest();
        },
        error: (error) => onFeed({ state: 'error', error }),
      });
      history.current = around;
      chart().setDataLoader(around);
    };
    const inView = () => {
      const { from, to } = chart().getVisibleRange();
      const candles = chart().getDataList().slice(from, to);
      return candles.length > 0 ? { from: candles[0]!.timestamp, to: candles.at(-1)!.timestamp } : undefined;
    };
    return { newest, goTo, show, inView };
  }, [client, onFeed]);

  return (
    <div
      ref={host}
      className="chart"
      tabIndex={0}
      role="application"
      aria-label={`Candles of ${symbol} ${timeframe}. Left and right scroll, up and down zoom, End goes to the newest candle.`}
      onKeyDown={(event) => move(host.current!.chart!, event)}
    />
  );
}

type Latest = () => { zone: Zone; changes: Map<number, string>; trades: ChartTrade[]; timeframe: string; studies: string[] };

function makeChart(element: Host, latest: Latest): Chart {
  const text = ({ timestamp }: { timestamp: number }) =>
    openingTime(latest().zone, timestamp, minutesOf(latest().timeframe));
  const chart = init(element, {
    timezone: 'Etc/UTC',
    styles: chartStyles(paletteOf(element)),
    formatter: {
      formatDate: text,
      // Shows every number with all of its digits: no 1.2K, no commas, no 0.0{4}1.
      formatBigNumber: String,
    },
    thousandsSeparator: { format: String },
    decimalFold: { format: String },
    // The page has keys of its own.
    hotkey: { enabled: false },
  })!;
  chart.setStyles({ candle: { tooltip: { legend: { template: legendOf(chart) } } } });
  // The library would make it the first stop of the tab key on the whole page; the element around it is one in its place.
  chart.getDom()!.tabIndex = -1;
  chart.setBarSpace(BAR);
  chart.setOffsetRightDistance(OFFSET);
  chart.overrideXAxis({ createTicks: () => ticksOf(chart) });
  addDrawings(chart);
  return chart;
}

function ticksOf(chart: Chart) {
  const annotations = annotationsOf(chart);
  if (!annotations || chart.getDataList().length === 0) return [];
  const view = viewOf(chart, annotations.minutes);
  return axisTicks(annotations.zone, view).map(({ x, text, index }) => ({ coord: x, text, value: index }));
}

/** The line above the candles: values of the candle under the cross, its change, and the reason of a mark. */
function legendOf(chart: Chart): CandleTooltipLegendsCustomCallback {
  return ({ prev, current }, styles) => {
    const annotations = annotationsOf(chart);
    if (!current || !annotations) return [];
    const precision = chart.getSymbol()!.pricePrecision;
    const { upColor, downColor, noChangeColor } = styles.bar;
    const change = prev ? current.close - prev.close : 0;
    const color = change > 0 ? upColor : change < 0 ? downColor : noChangeColor;
    const percent = prev?.close ? percentOf(change / prev.close) : '';
    const missing = breaksOf(chart, annotations.minutes).get(current.timestamp);
    const changed = annotations.changes.get(current.timestamp);
    const price = (title: string, value: number) => ({ title: `${title} `, value: { text: value.toFixed(precision), color } });
    return [
      { title: '', value: '{time}' },
      price('O', current.open),
      price('H', current.high),
      price('L', current.low),
      price('C', current.close),
      ...(percent ? [{ title: '', value: { text: percent, color } }] : []),
      ...(missing ? [{ title: '', value: { text: missingText(missing), color: annotations.colors.gap } }] : []),
      ...(changed ? [{ title: '', value: { text: changed, color: annotations.colors.change } }] : []),
      ...tradesAt(annotations.trades, current.timestamp, precision).map((text) => ({ title: '', value: { text, color: annotations.colors.change } })),
    ];
  };
}

function percentOf(part: number): string {
  const digits = Math.abs(part * 100).toFixed(2);
  return `${Number(digits) === 0 ? '' : part > 0 ? '+' : '−'}${digits} %`;
}

function missingText(count: number): string {
  return count === 1 ? '1 candle is missing before' : `${count} candles are missing before`;
}

function restyle(chart: Chart, element: HTMLElement, { zone, changes, trades, timeframe, studies }: ReturnType<Latest>): void {
  const palette = paletteOf(element);
  const { background, line, gap, change, up, down } = palette;
  const colors = { background, line, gap, change, up, down };
  annotate(chart, { zone, changes, trades, minutes: minutesOf(timeframe), colors });
  chart.setStyles(chartStyles(palette));
  showStudies(chart, studies, palette);
}

/** Calls back when the colours of the page may have changed. */
function followScheme(changed: () => void): () => void {
  const scheme = window.matchMedia('(prefers-color-scheme: dark)');
  scheme.addEventListener('change', changed);
  const theme = new MutationObserver(changed);
  theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  return () => {
    scheme.removeEventListener('change', changed);
    theme.disconnect();
  };
}

/** Reports whether the newest candle is in view, and hides the line of the last price if it is not. */
function followPlace(chart: Chart, isHistory: () => boolean, onPlace: (place: Place) => void): () => void {
  let known = '';
  const follow = () => {
    const { to } = chart.getVisibleRange();
    const history = isHistory();
    const newest = !history && to >= chart.getDataList().length;
    if (known === `${newest} ${history}`) return;
    known = `${newest} ${history}`;
    // Not while the chart draws.
    queueMicrotask(() => {
      chart.setStyles({ candle: { priceMark: { last: { show: newest } } } });
      onPlace({ newest, history });
    });
  };
  chart.subscribeAction('onVisibleRangeChange', follow);
  return () => chart.unsubscribeAction('onVisibleRangeChange', follow);
}

/** Draws candles that changed in the middle, and keeps the last candle in view where it is. */
function drawAgain(chart: Chart): void {
  const last = chart.getDataList()[chart.getVisibleRange().to - 1]?.timestamp;
  const place = () => {
    const dataIndex = chart.getDataList().findIndex(({ timestamp }) => timestamp === last);
    const [point] = chart.convertToPixel([{ dataIndex }], { paneId: CANDLES }) as { x: number }[];
    return dataIndex < 0 ? undefined : point!.x;
  };
  const before = place();
  chart.resetData();
  const after = place();
  if (before !== undefined && after !== undefined) chart.scrollByDistance(before - after);
}

/** Scrolls a time to the middle of the chart. */
function centre(chart: Chart, time: number): void {
  chart.scrollToTimestamp(time);
  const { width } = chart.getSize(CANDLES, 'main')!;
  chart.scrollByDistance(-Math.round(width / 2));
}

function move(chart: Chart, event: KeyboardEvent): void {
  const step = 10 * chart.getBarSpace().bar;
  const page = chart.getSize(CANDLES, 'main')!.width * 0.8;
  const moves: Record<string, () => void> = {
    ArrowLeft: () => chart.scrollByDistance(step),
    ArrowRight: () => chart.scrollByDistance(-step),
    PageUp: () => chart.scrollByDistance(page),
    PageDown: () => chart.scrollByDistance(-page),
    ArrowUp: () => chart.zoomAtCoordinate(1.2),
    ArrowDown: () => chart.zoomAtCoordinate(1 / 1.2),
    Home: () => {
      // The chart scrolls a candle to its right edge, so this picks the one that puts the first candle at the left edge.
      const { width } = chart.getSize(CANDLES, 'main')!;
      chart.scrollToDataIndex(Math.floor(width / chart.getBarSpace().bar) - 1);
    },
    End: () => chart.scrollToRealTime(),
  };
  const known = moves[event.key];
  // Leaves key combinations with a modifier to the browser.
  if (!known || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  known();
}
