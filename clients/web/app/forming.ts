import { registerIndicator, type KLineData } from 'klinecharts';

/** Name of the layer that makes candles hollow while they are forming. */
export const FORMING = 'forming';

registerIndicator({
  name: FORMING,
  calc: () => [],
  createTooltipDataSource: () => ({ name: '', calcParamsText: '', features: [], legends: [] }),
  draw: ({ ctx, chart, xAxis, yAxis }) => {
    const { from, to } = chart.getVisibleRange();
    const candles = chart.getDataList();
    const { gapBar, halfGapBar } = chart.getBarSpace();
    ctx.fillStyle = getComputedStyle(chart.getDom()!).getPropertyValue('--background');
    for (let index = from; index < to; index++) {
      const candle: KLineData | undefined = candles[index];
      if (candle?.complete !== false) continue;
      const x = Math.round(xAxis.convertToPixel(index) - halfGapBar);
      const top = Math.round(yAxis.convertToPixel(Math.max(candle.open, candle.close)));
      const bottom = Math.round(yAxis.convertToPixel(Math.min(candle.open, candle.close)));
      ctx.fillRect(x + BORDER, top + BORDER, gapBar - 2 * BORDER + 1, bottom - top - 2 * BORDER);
    }
    return true;
  },
});

const BORDER = 1.5;
