/** The indicators that a reader can put on the chart. */
import { registerIndicator, type Chart, type IndicatorFigure, type KLineData } from 'klinecharts';
import { atr, bollinger, ema, macd, rsi, sma } from './indicators';

const CANDLES = 'candle_pane';

export type Study = {
  id: string;
  name: string;
  /** The klinecharts indicator. */
  indicator: string;
  parameters: number[];
  /** The height of its pane in pixels; absent if it is drawn on the candles. */
  height?: number;
};

export const STUDIES: Study[] = [
  { id: 'volume', name: 'Volume', indicator: 'cw-volume', parameters: [], height: 72 },
  { id: 'ma', name: 'MA 20, 50', indicator: 'cw-ma', parameters: [20, 50] },
  { id: 'ema', name: 'EMA 20, 200', indicator: 'cw-ema', parameters: [20, 200] },
  { id: 'bollinger', name: 'Bollinger 20, 2', indicator: 'cw-bollinger', parameters: [20, 2] },
  { id: 'rsi', name: 'RSI 14', indicator: 'cw-rsi', parameters: [14], height: 92 },
  { id: 'macd', name: 'MACD 12, 26, 9', indicator: 'cw-macd', parameters: [12, 26, 9], height: 92 },
  { id: 'atr', name: 'ATR 14', indicator: 'cw-atr', parameters: [14], height: 80 },
];

type Row = Record<string, number | undefined>;
const closes = (candles: KLineData[]) => candles.map(({ close }) => close);
const line = (key: string, title: string): IndicatorFigure<Row> => ({ key, title: `${title} `, type: 'line' });

/** Averages with one line for each parameter. */
function registerAverages(name: string, short: string, average: (values: number[], length: number) => Row[string][]) {
  registerIndicator<Row, number>({
    name,
    shortName: short,
    series: 'price',
    regenerateFigures: (lengths) => lengths.map((length) => line(`of${length}`, `${short} ${length}`)),
    calc: (candles, { calcParams }) => {
      const columns = calcParams.map((length) => average(closes(candles), length));
      return candles.map((_, i) => Object.fromEntries(calcParams.map((length, at) => [`of${length}`, columns[at]![i]])));
    },
  });
}

registerAverages('cw-ma', 'MA', sma);
registerAverages('cw-ema', 'EMA', ema);

registerIndicator<Row, number>({
  name: 'cw-bollinger',
  shortName: 'BB',
  series: 'price',
  figures: [line('upper', 'BB upper'), line('middle', 'middle'), line('lower', 'lower')],
  calc: (candles, { calcParams: [length, width] }) => bollinger(closes(candles), length!, width!),
});

registerIndicator<Row, number>({
  name: 'cw-rsi',
  shortName: 'RSI',
  precision: 1,
  minValue: 0,
  maxValue: 100,
  figures: [line('rsi', 'RSI'), line('low', ''), line('high', '')],
  calc: (candles, { calcParams: [length] }) => rsi(closes(candles), length!).map((value) => ({ rsi: value })),
  draw: ({ ctx, bounding, yAxis, chart }) => {
    ctx.strokeStyle = chart.getStyles().separator.color;
    ctx.setLineDash([4, 4]);
    for (const level of [30, 70]) {
      const y = Math.round(yAxis.convertToPixel(level)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(0, y);
      ctx.lineTo(bounding.width, y);
      ctx.stroke();
    }
    return false;
  },
});

registerIndicator<Row, number>({
  name: 'cw-macd',
  shortName: 'MACD',
  figures: [
    {
      key: 'histogram',
      title: 'Histogram ',
      type: 'bar',
      baseValue: 0,
      styles: ({ data: { current }, defaultStyles }) => {
        const { upColor, downColor } = defaultStyles!.bars[0]!;
        return { color: (current?.histogram ?? 0) >= 0 ? upColor : downColor };
      },
    },
    line('line', 'MACD'),
    line('signal', 'Signal'),
  ],
  calc: (candles, { calcParams: [fast, slow, signal] }) => macd(closes(candles), fast!, slow!, signal!),
});

registerIndicator<Row, number>({
  name: 'cw-atr',
  shortName: 'ATR',
  series: 'price',
  minValue: 0,
  figures: [line('atr', 'ATR')],
  calc: (candles, { calcParams: [length] }) => atr(candles, length!).map((value) => ({ atr: value })),
});

registerIndicator<Row, number>({
  name: 'cw-volume',
  shortName: 'Vol',
  series: 'volume',
  minValue: 0,
  precision: 0,
  figures: [
    {
      key: 'volume',
      title: 'Vol ',
      type: 'bar',
      baseValue: 0,
      styles: ({ data: { current }, defaultStyles }) => {
        const { upColor, downColor } = defaultStyles!.bars[0]!;
        return { color: (current?.rise ?? 0) >= 0 ? upColor : downColor };
      },
    },
  ],
  calc: (candles) => candles.map(({ volume, open, close }) => ({ volume, rise: close - open })),
  // The colours of the bars are too faint for a text.
  createTooltipDataSource: ({ chart, indicator, crosshair }) => {
    const { result } = indicator;
    const at = crosshair.dataIndex ?? result.length - 1;
    const { color } = chart.getStyles().indicator.tooltip.legend;
    const text = String(result[at]?.volume ?? '');
    return { name: '', calcParamsText: '', features: [], legends: [{ title: { text: 'Vol ', color }, value: { text, color } }] };
  },
});

/** Makes the chart show exactly the studies with these ids. */
export function showStudies(chart: Chart, ids: string[]): void {
  for (const { id, indicator, parameters, height } of STUDIES) {
    const shown = chart.getIndicators({ name: indicator })[0];
    if (!ids.includes(id)) {
      if (shown) chart.removeIndicator({ name: indicator });
      continue;
    }
    if (shown) continue;
    const create = { name: indicator, calcParams: parameters };
    if (height === undefined) {
      chart.createIndicator({ ...create, paneId: CANDLES }, true);
      continue;
    }
    chart.createIndicator(create);
    chart.setPaneOptions({ id: chart.getIndicators({ name: indicator })[0]!.paneId, height, minHeight: 40 });
  }
}
