/** The formulas of indicators, as TradingView defines them. A value is `undefined` until there are enough candles. */

type Value = number | undefined;
export type Bar = { high: number; low: number; close: number };

/** The simple moving average. */
export function sma(values: Value[], length: number): Value[] {
  const averages: Value[] = [];
  let sum = 0;
  let count = 0;
  values.forEach((value, i) => {
    if (value === undefined) return averages.push(undefined);
    sum += value;
    count += 1;
    if (count > length) sum -= values[i - length]!;
    averages.push(count < length ? undefined : sum / length);
  });
  return averages;
}

/** An average in which each new value has the weight `weight`, and which begins with the simple average of the first ones. */
function smoothed(values: Value[], length: number, weight: number): Value[] {
  const first = sma(values, length);
  let last: Value;
  return values.map((value, i) => {
    if (value === undefined) return undefined;
    last = last === undefined ? first[i] : last + weight * (value - last);
    return last;
  });
}

/** The exponential moving average. */
export function ema(values: Value[], length: number): Value[] {
  return smoothed(values, length, 2 / (length + 1));
}

/** Wilder's moving average. */
function rma(values: Value[], length: number): Value[] {
  return smoothed(values, length, 1 / length);
}

/** Bollinger's bands: the average, and `width` standard deviations above and below it. */
export function bollinger(values: number[], length: number, width: number): { middle: Value; upper: Value; lower: Value }[] {
  return sma(values, length).map((middle, i) => {
    if (middle === undefined) return { middle, upper: undefined, lower: undefined };
    let squares = 0;
    for (let at = i - length + 1; at <= i; at++) squares += (values[at]! - middle) ** 2;
    const distance = width * Math.sqrt(squares / length);
    return { middle, upper: middle + distance, lower: middle - distance };
  });
}

/** Wilder's relative strength index. */
export function rsi(values: number[], length: number): Value[] {
  const changes = values.map((value, i) => (i === 0 ? undefined : value - values[i - 1]!));
  const gains = rma(changes.map((change) => change && Math.max(change, 0)), length);
  const losses = rma(changes.map((change) => change && Math.max(-change, 0)), length);
  return gains.map((gain, i) => {
    const loss = losses[i];
    if (gain === undefined || loss === undefined) return undefined;
    return loss === 0 ? 100 : 100 - 100 / (1 + gain / loss);
  });
}

/** Moving average convergence/divergence, its signal line, and their difference. */
export function macd(values: number[], fast: number, slow: number, signal: number) {
  const [one, other] = [ema(values, fast), ema(values, slow)];
  const line = one.map((value, i) => (value === undefined || other[i] === undefined ? undefined : value - other[i]!));
  const signals = ema(line, signal);
  return line.map((value, i) => {
    const smooth = signals[i];
    return { line: value, signal: smooth, histogram: value === undefined || smooth === undefined ? undefined : value - smooth };
  });
}

/** Wilder's average true range. */
export function atr(bars: Bar[], length: number): Value[] {
  const ranges = bars.map(({ high, low }, i) => {
    const before = bars[i - 1]?.close ?? high;
    return i === 0 ? high - low : Math.max(high - low, Math.abs(high - before), Math.abs(low - before));
  });
  return rma(ranges, length);
}
