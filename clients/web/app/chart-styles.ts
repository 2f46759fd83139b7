import type { DeepPartial, Styles } from 'klinecharts';

/** Styles for the chart, in the colours and the font that the style sheet gives `element`, light or dark. */
export function chartStyles(element: HTMLElement): DeepPartial<Styles> {
  const computed = getComputedStyle(element);
  const color = (name: string) => computed.getPropertyValue(`--${name}`).trim();
  const [up, down, faint, muted] = [color('up'), color('down'), color('faint'), color('muted')];
  const font = { family: computed.fontFamily, size: 12, color: muted };
  const changing = { upColor: up, downColor: down, noChangeColor: muted };
  const label = {
    ...font,
    color: color('background'),
    backgroundColor: color('text'),
    borderColor: color('text'),
    borderRadius: 4,
  };
  const mark = { color: muted, textFamily: computed.fontFamily, textSize: 11 };
  return {
    grid: { horizontal: { color: faint }, vertical: { show: false } },
    candle: {
      bar: {
        ...changing,
        upBorderColor: up,
        downBorderColor: down,
        noChangeBorderColor: muted,
        upWickColor: up,
        downWickColor: down,
        noChangeWickColor: muted,
      },
      priceMark: {
        high: mark,
        low: mark,
        last: { ...changing, text: { family: computed.fontFamily, color: color('background'), borderRadius: 4 } },
      },
      tooltip: {
        title: { show: false },
        legend: {
          ...font,
          template: [
            { title: '', value: '{time}' },
            { title: 'O ', value: '{open}' },
            { title: 'H ', value: '{high}' },
            { title: 'L ', value: '{low}' },
            { title: 'C ', value: '{close}' },
            { title: 'V ', value: '{volume}' },
          ],
        },
      },
    },
    indicator: {
      bars: [{ upColor: color('up-soft'), downColor: color('down-soft'), noChangeColor: faint }],
      tooltip: { showRule: 'none' },
    },
    xAxis: { axisLine: { show: false }, tickLine: { show: false }, tickText: font },
    yAxis: { axisLine: { show: false }, tickLine: { show: false }, tickText: font },
    separator: { color: faint },
    crosshair: {
      horizontal: { line: { color: muted }, text: label },
      vertical: { line: { color: muted }, text: label },
    },
  };
}
