/** Draws the trades of a backtest: an arrow at each entry, a square at each exit, and a line between them. */
import type { Chart, IndicatorDrawParams } from 'klinecharts';

/** A closed trade, as the API answers it. */
export type ChartTrade = {
  side: 'long' | 'short';
  entry_time: number;
  entry_price: number;
  exit_time: number;
  exit_price: number;
  profit: number;
  /** Why it ended. */
  exit: string;
};

/** The size of an arrow, its distance from the candle, and half of a square's side, in pixels. */
const [ARROW, DISTANCE, SQUARE] = [5, 6, 3];

type Times = { timestamp: number }[];

/** The first place in a list in ascending order that `is` holds for; the length of the list if there is none. */
function firstPlace<Item>(list: Item[], is: (item: Item) => boolean): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (is(list[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The trades that were open at some time of a span. They follow each other, so both of their times ascend. */
export function tradesBetween(trades: ChartTrade[], from: number, to: number): ChartTrade[] {
  const first = firstPlace(trades, (it) => it.exit_time >= from);
  const end = firstPlace(trades, (it) => it.entry_time > to);
  return trades.slice(first, end);
}

/** The entries and exits at the candle that opened at `time`, in words. */
export function tradesAt(trades: ChartTrade[], time: number, precision: number): string[] {
  return tradesBetween(trades, time, time).flatMap(({ side, entry_time, entry_price, exit_time, exit_price, exit, profit }) => [
    ...(entry_time === time ? [`${side} at ${entry_price.toFixed(precision)}`] : []),
    ...(exit_time === time ? [`${exit} at ${exit_price.toFixed(precision)}, ${profit < 0 ? '−' : '+'}${Math.abs(profit).toFixed(2)}`] : []),
  ]);
}

type Colors = { up: string; down: string; background: string };
type Drawing = Pick<IndicatorDrawParams<unknown, unknown, unknown>, 'ctx' | 'yAxis'> & { chart: Chart };

/** Draws the trades that are in view. `x` is the middle of the candle at a place. */
export function drawTrades({ ctx, chart, yAxis }: Drawing, trades: ChartTrade[], x: (index: number) => number, colors: Colors): void {
  const candles: (Times[number] & { high: number; low: number })[] = chart.getDataList();
  const { from, to } = chart.getVisibleRange();
  const [first, last] = [candles[Math.max(0, from)], candles[Math.min(candles.length, to) - 1]];
  if (!first || !last) return;
  const placeOf = (time: number) => firstPlace(candles, ({ timestamp }) => timestamp >= time);
  for (const trade of tradesBetween(trades, first.timestamp, last.timestamp)) {
    const [entry, exit] = [placeOf(trade.entry_time), placeOf(trade.exit_time)];
    const sideColor = trade.side === 'long' ? colors.up : colors.down;
    const [entryX, entryY] = [x(entry), yAxis.convertToPixel(trade.entry_price)];
    const [exitX, exitY] = [x(exit), yAxis.convertToPixel(trade.exit_price)];
    ctx.strokeStyle = trade.profit < 0 ? colors.down : colors.up;
    ctx.lineWidth = 1.5;
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(entryX, entryY);
    ctx.lineTo(exitX, exitY);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = colors.background;
    ctx.fillRect(exitX - SQUARE, exitY - SQUARE, SQUARE * 2, SQUARE * 2);
    ctx.strokeRect(exitX - SQUARE, exitY - SQUARE, SQUARE * 2, SQUARE * 2);
    const candle = candles[entry];
    // The entry of a trade that began before the oldest loaded candle is not on the chart.
    if (!candle || candle.timestamp !== trade.entry_time) continue;
    const [tip, down] =
      trade.side === 'long' ? [yAxis.convertToPixel(candle.low) + DISTANCE, 1] : [yAxis.convertToPixel(candle.high) - DISTANCE, -1];
    ctx.fillStyle = sideColor;
    ctx.beginPath();
    ctx.moveTo(entryX, tip);
    ctx.lineTo(entryX + ARROW, tip + down * ARROW * 1.7);
    ctx.lineTo(entryX - ARROW, tip + down * ARROW * 1.7);
    ctx.fill();
  }
}
