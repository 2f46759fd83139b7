/** A series as a strip in time: the months with candles, and the holes between them. */
import type { MonthCoverage, Series } from '../../web/lib/candlewick';

/** Months since the year 0. */
export type Span = { first: number; last: number };

const monthOf = (time: number) => {
  const date = new Date(time);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
};
const monthNamed = (name: string) => {
  const [, year, month] = /^(-?\d+)-(\d\d)$/.exec(name) ?? [];
  return Number(year) * 12 + Number(month) - 1;
};

export function spanOf(series: Series[]): Span {
  let [first, last] = [Infinity, -Infinity];
  for (const it of series) {
    first = Math.min(first, it.first);
    last = Math.max(last, it.last);
  }
  return { first: monthOf(first), last: monthOf(last) };
}

/** A month with less than this share of the usual number of candles is drawn as a part. */
const WHOLE = 0.8;

export type Months = { whole: string; part: string; count: number; holes: number };

/** The paths of whole months and of parts, from the left edge, one unit a month. */
export function monthsOf(coverage: MonthCoverage[], span: Span): Months {
  const counts = coverage.map(({ candles }) => candles).sort((one, other) => one - other);
  const usual = counts[Math.floor(counts.length / 2)] ?? 0;
  let [whole, part] = ['', ''];
  let holes = 0;
  let before: number | undefined;
  for (const { month, candles } of coverage) {
    const at = monthNamed(month);
    const box = `M${at - span.first} 0h1v1h-1z`;
    if (candles >= usual * WHOLE) whole += box;
    else part += box;
    if (before !== undefined) holes += at - before - 1;
    before = at;
  }
  return { whole, part, count: coverage.length, holes };
}

export function Strip({ series, span }: { series: Series; span: Span }) {
  const width = span.last - span.first + 1;
  const months = series.coverage && monthsOf(series.coverage, span);
  const [first, last] = [monthOf(series.first), monthOf(series.last)];
  const words = months
    ? `${months.count} months with candles, ${months.holes} without between them`
    : 'the months are being counted';
  return (
    <svg className="strip" viewBox={`0 0 ${width} 1`} preserveAspectRatio="none" role="img" aria-label={words}>
      <title>{words}</title>
      <rect className="track" x={first - span.first} width={last - first + 1} height="1" />
      {months && <path className="whole" d={months.whole} />}
      {months && <path className="part" d={months.part} />}
    </svg>
  );
}

/** The maximum number of years that are named above the strips. */
const MAX_YEARS = 7;

/** The years above the strips. */
export function Years({ span }: { span: Span }) {
  const width = span.last - span.first + 1;
  const [from, to] = [Math.ceil(span.first / 12), Math.floor(span.last / 12)];
  const step = [1, 2, 5, 10, 20, 50, 100].find((it) => (to - from) / it <= MAX_YEARS) ?? 200;
  const years: number[] = [];
  for (let year = Math.ceil(from / step) * step; year <= to; year += step) years.push(year);
  return (
    <span className="years">
      {years.map((year) => (
        <span key={year} style={{ left: `${((year * 12 - span.first) / width) * 100}%` }}>
          {year}
        </span>
      ))}
    </span>
  );
}
