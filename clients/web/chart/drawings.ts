/** Draws what the chart library does not know: forming candles hollow, days, missing candles, corrected candles, and trades. */
import { registerIndicator, type Chart, type IndicatorDrawParams } from 'klinecharts';
import { breaksIn } from './breaks';
import { dividers, type View } from './time-axis';
import { drawTrades, type ChartTrade } from './trades';
import type { Zone } from './zones';

/** The annotations of a chart, and the colours that they are drawn in. */
export type Annotations = {
  zone: Zone;
  minutes: number;
  /** The changes to candles by their opening times. */
  changes: Map<number, string>;
  /** The trades of a backtest in the order of their times. */
  trades: ChartTrade[];
  colors: { background: string; line: string; gap: string; change: string; up: string; down: string };
};

const known = new WeakMap<HTMLElement, Annotations>();

export function annotate(chart: Chart, annotations: Annotations): void {
  known.set(chart.getDom()!, annotations);
  chart.resize();
}

export function annotationsOf(chart: Chart): Annotations | undefined {
  return known.get(chart.getDom()!);
}

let counted: { list: unknown; length: number; breaks: Map<number, number> } | undefined;

/** The opening times of candles before which others are missing, with their number. */
export function breaksOf(chart: Chart, minutes: number): Map<number, number> {
  const list = chart.getDataList();
  if (counted?.list !== list || counted.length !== list.length) {
    counted = { list, length: list.length, breaks: breaksIn(list, minutes) };
  }
  return counted.breaks;
}

/** The candles of a chart that are in view. */
export function viewOf(chart: Chart, minutes: number): View {
  const candles = chart.getDataList();
  const { from, to } = chart.getVisibleRange();
  const { width } = chart.getSize('candle_pane', 'main')!;
  const [origin] = chart.convertToPixel([{ dataIndex: 0 }], { paneId: 'candle_pane' }) as { x: number }[];
  const space = chart.getBarSpace().bar;
  return { times: (index) => candles[index]?.timestamp, from, to, x: (index) => origin!.x + index * space, width, minutes };
}

type Drawing = IndicatorDrawParams<unknown, unknown, unknown>;

function drawDividers({ ctx, chart, bounding }: Drawing): boolean {
  const annotations = annotationsOf(chart);
  if (!annotations) return true;
  const view = viewOf(chart, annotations.minutes);
  const half = chart.getBarSpace().bar / 2;
  ctx.strokeStyle = annotations.colors.line;
  ctx.setLineDash([]);
  for (const index of dividers(annotations.zone, view)) {
    const x = Math.round(view.x(index) - half) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, 0);
    ctx.lineTo(x, bounding.height);
    ctx.stroke();
  }
  return true;
}

function drawForming({ ctx, chart, xAxis, yAxis }: Drawing, background: string): void {
  const { from, to } = chart.getVisibleRange();
  const candles = chart.getDataList();
  const { gapBar, halfGapBar } = chart.getBarSpace();
  ctx.fillStyle = background;
  // The chart makes a body an odd number of pixels wide, so that its wick is in the middle.
  const width = gapBar % 2 === 0 ? gapBar + 1 : gapBar;
  for (let index = from; index < to; index++) {
    const candle = candles[index];
    if (candle?.complete !== false) continue;
    const left = xAxis.convertToPixel(index) - halfGapBar;
    const top = yAxis.convertToPixel(Math.max(candle.open, candle.close));
    const height = yAxis.convertToPixel(Math.min(candle.open, candle.close)) - top;
    if (width > 2 && height > 2) ctx.fillRect(left + 1, top + 1, width - 2, height - 2);
  }
}

/** The size of a mark in pixels. */
const MARK = 4;

function drawMarks(drawing: Drawing): boolean {
  const { ctx, chart, bounding, yAxis } = drawing;
  const annotations = annotationsOf(chart);
  if (!annotations) return true;
  const { changes, colors, minutes } = annotations;
  const breaks = breaksOf(chart, minutes);
  drawForming(drawing, colors.background);
  const view = viewOf(chart, minutes);
  const space = chart.getBarSpace().bar;
  const candles = chart.getDataList();
  ctx.lineWidth = 1;
  for (let index = view.from; index < view.to; index++) {
    const candle = candles[index];
    if (!candle) continue;
    if (breaks.has(candle.timestamp)) {
      const x = Math.round(view.x(index) - space / 2) + 0.5;
      ctx.strokeStyle = colors.gap;
      ctx.setLineDash([2, 3]);
      ctx.beginPath();
      ctx.moveTo(x, 0);
      ctx.lineTo(x, bounding.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillStyle = colors.gap;
      ctx.fillRect(x - MARK, bounding.height - 3, MARK * 2, 3);
    }
    if (changes.has(candle.timestamp)) {
      const [x, y] = [view.x(index), yAxis.convertToPixel(candle.low) + 6];
      ctx.fillStyle = colors.change;
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + MARK, y + MARK * 1.6);
      ctx.lineTo(x - MARK, y + MARK * 1.6);
      ctx.fill();
    }
  }
  drawTrades(drawing, annotations.trades, view.x, colors);
  return true;
}

const DIVIDERS = 'cw-dividers';
const MARKS = 'cw-marks';
// Drawn behind the candles, because of the negative level.
registerIndicator({ name: DIVIDERS, zLevel: -1, calc: () => [], draw: drawDividers });
registerIndicator({ name: MARKS, zLevel: 1, calc: () => [], draw: drawMarks });

export function addDrawings(chart: Chart): void {
  for (const name of [DIVIDERS, MARKS]) chart.createIndicator({ name, paneId: 'candle_pane' }, true);
}
