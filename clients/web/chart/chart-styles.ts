import type { DeepPartial, Styles } from 'klinecharts';

/** The colours that the style sheet gives `element`, light or dark. */
export function paletteOf(element: HTMLElement) {
  const computed = getComputedStyle(element);
  // A custom property holds `light-dark(…)` as it is written, and only a colour that is used is one of the two.
  const probe = element.ownerDocument.createElement('i');
  element.append(probe);
  const color = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const palette = {
    family: computed.fontFamily,
    background: color('background'),
    text: color('text'),
    muted: color('muted'),
    faint: color('faint'),
    line: color('line'),
    up: color('up'),
    down: color('down'),
    upSoft: color('up-soft'),
    downSoft: color('down-soft'),
    gap: color('gap'),
    change: color('change'),
    studies: [1, 2, 3, 4, 5].map((number) => color(`study-${number}`)),
  };
  probe.remove();
  return palette;
}

export type Palette = ReturnType<typeof paletteOf>;

export function chartStyles(palette: Palette): DeepPartial<Styles> {
  const { up, down, faint, muted, family, background, text } = palette;
  const font = { family, size: 12, color: muted };
  const changing = { upColor: up, downColor: down, noChangeColor: muted };
  const label = { ...font, color: background, backgroundColor: text, borderColor: text, borderRadius: 3 };
  const axis = { axisLine: { show: false }, tickLine: { show: false }, tickText: font };
  return {
    grid: { horizontal: { color: faint, style: 'solid' }, vertical: { show: false } },
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
        // The library draws them for candles that are not in view, too, where the edge cuts them.
        high: { show: false },
        low: { show: false },
        last: { ...changing, text: { family, color: background, borderRadius: 3 } },
      },
      tooltip: { title: { show: false }, legend: { ...font, marginLeft: 6, marginRight: 4 } },
    },
    indicator: {
      bars: [{ upColor: palette.upSoft, downColor: palette.downSoft, noChangeColor: faint }],
      lines: palette.studies.map((color) => ({ color, size: 1, style: 'solid' as const, smooth: false })),
      tooltip: { title: { show: false }, legend: { ...font, size: 11, marginLeft: 6, marginRight: 4 } },
      lastValueMark: { show: false },
    },
    xAxis: axis,
    yAxis: axis,
    separator: { color: palette.line },
    crosshair: {
      horizontal: { line: { color: muted }, text: label },
      vertical: { line: { color: muted }, text: label },
    },
  };
}
