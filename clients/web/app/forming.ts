import { registerIndicator, type KLineData } from 'klinecharts';

/** The name of the indicator that draws forming candles hollow. */
export const FORMING = 'forming';

registerIndicator({
  name: FORMING,
  calc: () => [],
  draw: ({ ctx, chart, xAxis, yAxis }) => {
    const { from, to } = chart.getVisibleRange();
    const candles = chart.getDataList();
    const { gapBar, halfGapBar } = chart.getBarSpace();
    ctx.fillStyle = getComputedStyle(chart.getDom()!).getPropertyValue('--background');
    // The chart makes a body an odd number of pixels wide, so that its wick is in the middle.
    const width = gapBar % 2 === 0 ? gapBar + 1 : gapBar;
    for (let index = from; index < to; index++) {
      const candle: KLineData | undefined = candles[index];
      if (candle?.complete !== false) continue;
      const left = xAxis.convertToPixel(index) - halfGapBar;
      const top = yAxis.convertToPixel(Math.max(candle.open, candle.close));
      const height = yAxis.convertToPixel(Math.min(candle.open, candle.close)) - top;
      if (width > 2 && height > 2) ctx.fillRect(left + 1, top + 1, width - 2, height - 2);
    }
    return true;
  },
});
