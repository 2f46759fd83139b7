/** The indicators that a reader can put on the chart. */
import { registerIndicator, type Chart, type IndicatorFigure, type IndicatorTemplate, type KLineData } from 'klinecharts';
import type { Palette } from './chart-styles';
import { atr, bollinger, ema, macd, rsi, sma } from './indicators';

const CANDLES = 'candle_pane';

export type Study = {
  id: string;
  name: string;
  /** The klinecharts indicator. */
  indicator: string;
  parameters: number[];
  /** The colours of its lines, as numbers of the palette. */
  colors: number[];
  /** The height of its pane in pixels; absent if it is drawn on the candles. */
  height?: number;
};

export const STUDIES: Study[] = [
  { id: 'volume', name: 'Volume', indicator: 'cw-volume', parameters: [], colors: [], height: 72 },
  { id: 'ma', name: 'MA 20, 50', indicator: 'cw-ma', parameters: [20, 50], colors: [0, 1] },
  { id: 'ema', name: 'EMA 20, 200', indicator: 'cw-ema', parameters: [20, 200], colors: [2, 3] },
  { id: 'bollinger', name: 'Bollinger 20, 2', indicator: 'cw-bollinger', parameters: [20, 2], colors: [4, 4, 4] },
  { id: 'rsi', name: 'RSI 14', indicator: 'cw-rsi', parameters: [14], colors: [1], height: 92 },
  { id: 'macd', name: 'MACD 12, 26, 9', indicator: 'cw-macd', parameters: [12, 26, 9], colors: [2, 0], height: 92 },
  { id: 'atr', name: 'ATR 14', indicator: 'cw-atr', parameters: [14], colors: [3], height: 80 },
];

type Row = Record<string, number | undefined>;
const closes = (candles: KLineData[]) => candles.map(({ close }) => close);
const line = (key: string, title: string): IndicatorFigure<Row> => ({ key, title: `${title} `, type: 'line' });

/** A legend in the colour of texts, because those of bars are too faint. */
function legendOf(titles: Record<string, string>): IndicatorTemplate<Row>['createTooltipDataSource'] {
  return ({ chart, indicator: { result, precision }, crosshair }) => {
    const row = result[crosshair.dataIndex ?? result.length - 1];
    const { color } = chart.getStyles().indicator.tooltip.legend;
    const legends = Object.entries(titles).map(([key, title]) => {
      return { title: { text: `${title} `, color }, value: { text: row?.[key]?.toFixed(precision) ?? '–', color } };
    });
    return { name: '', calcParamsText: '', features: [], legends };
  };
}

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
  figures: [line('rsi', 'RSI')],
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
  series: 'price',
  createTooltipDataSource: legendOf({ line: 'MACD', signal: 'Signal', histogram: 'Histogram' }),
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
  createTooltipDataSource: legendOf({ volume: 'Vol' }),
});

/** Makes the chart show exactly the studies with these ids. */
export function showStudies(chart: Chart, ids: string[], palette: Palette): void {
  for (const { id, indicator, parameters, colors, height } of STUDIES) {
    const isShown = chart.getIndicators({ name: indicator }).length > 0;
    if (!ids.includes(id)) {
      if (isShown) chart.removeIndicator({ name: indicator });
      continue;
    }
    const lines = colors.map((number) => ({ color: palette.studies[number]!, size: 1 }));
    const study = { name: indicator, calcParams: parameters, styles: { lines } };
    if (isShown) {
      chart.overrideIndicator(study);
    } else if (height === undefined) {
      chart.createIndicator({ ...study, paneId: CANDLES }, true);
    } else {
      chart.createIndicator(study);
      chart.setPaneOptions({ id: chart.getIndicators({ name: indicator })[0]!.paneId, height, minHeight: 40 });
    }
  }
}
