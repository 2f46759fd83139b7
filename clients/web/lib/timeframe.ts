/** Timeframes such as M15, and the periods of klinecharts. */

const UNITS = { M: 'minute', H: 'hour', D: 'day', W: 'week', MN: 'month' } as const;
type Unit = keyof typeof UNITS;

/** The klinecharts period of a timeframe: `M15` is 15 minutes. */
export function toPeriod(timeframe: string): { type: (typeof UNITS)[Unit]; span: number } {
  const [, unit, span] = /^(MN|[MHDW])(\d+)$/.exec(timeframe) ?? [];
  if (!unit) throw new RangeError(`${timeframe} is not a timeframe; they look like M15, H1, D1, W1 and MN1`);
  return { type: UNITS[unit as Unit], span: Number(span) };
}

const MINUTES = { minute: 1, hour: 60, day: 1440, week: 10_080, month: 43_200 };

/** The minutes in a timeframe; a month has 30 days. */
export function minutesOf(timeframe: string): number {
  const { type, span } = toPeriod(timeframe);
  return MINUTES[type] * span;
}

/**
 * The stored timeframe from which candles of `timeframe` are best built: the longest one up to H1 that divides it, because
 * longer ones open where the broker's day does, or else the shortest other one. `undefined` if it is stored or cannot be built.
 */
export function sourceOf(timeframe: string, stored: string[]): string | undefined {
  const length = minutesOf(timeframe);
  const divides = (source: string) => {
    const minutes = minutesOf(source);
    const inDays = length >= MINUTES.day && minutes <= MINUTES.day;
    return minutes < length && (inDays || (minutes < MINUTES.day && length % minutes === 0));
  };
  if (stored.includes(timeframe)) return undefined;
  const sources = stored.filter(divides).sort((one, other) => minutesOf(one) - minutesOf(other));
  return sources.findLast((it) => minutesOf(it) <= MINUTES.hour) ?? sources[0];
}

/** The timeframe of a klinecharts period. */
export function toTimeframe({ type, span }: { type: string; span: number }): string {
  const unit = Object.keys(UNITS).find((unit) => UNITS[unit as Unit] === type);
  if (!unit) throw new RangeError(`candlewick keeps no candles of ${span} ${type}; its periods are minute to month`);
  return `${unit}${span}`;
}
