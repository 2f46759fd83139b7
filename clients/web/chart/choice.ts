/** Chooses the series on the chart, and the timeframes that are offered for it. */
import { minutesOf, sourceOf, type Series } from '../lib/candlewick';

/** The series on the chart, the stored timeframe that it is built from if it is not stored, and the digits of its prices. */
export type Choice = { symbol: string; timeframe: string; source?: string; precision: number; stored: string[] };

/** The digits of most currency pairs, for a series without a closed candle that would show them. */
const USUAL_PRECISION = 5;
/** MetaTrader's timeframes, of which the page offers those that can be built. */
const TIMEFRAMES = ['M1', 'M2', 'M3', 'M4', 'M5', 'M6', 'M10', 'M12', 'M15', 'M20', 'M30', 'H1', 'H2', 'H3', 'H4', 'H6', 'H8', 'H12', 'D1', 'W1', 'MN1'];
/** Those that are buttons; the others are in a list. */
const USUAL = ['M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1'];

/** The series that the address names; without a symbol the first one, without a timeframe H1 or a shorter stored one. */
export function choose(series: Series[], symbol: string | null, timeframe: string | null): Choice | undefined {
  const chosenSymbol = symbol || series[0]?.symbol;
  if (!chosenSymbol) return undefined;
  const stored = timeframesOf(series, chosenSymbol);
  const chosen = timeframe && isTimeframe(timeframe) ? timeframe : stored.includes('H1') ? 'H1' : (stored[0] ?? 'H1');
  const source = sourceOf(chosen, stored);
  const known = series.find((it) => it.symbol === chosenSymbol && it.timeframe === (source ?? chosen));
  return { symbol: chosenSymbol, timeframe: chosen, source, precision: known?.price_precision ?? USUAL_PRECISION, stored };
}

/** The series of another symbol, in the same timeframe if it has that or a shorter one, or if the list does not have the symbol yet. */
export function chooseSymbol(series: Series[], symbol: string, timeframe: string): Choice {
  const stored = timeframesOf(series, symbol);
  const { usual, others } = offered(stored);
  const keeps = stored.length === 0 || [...usual, ...others].includes(timeframe);
  return choose(series, symbol, keeps ? timeframe : null)!;
}

/** The timeframes that are stored or can be built: the usual and stored ones, and the others. */
export function offered(stored: string[], chosen?: string): { usual: string[]; others: string[] } {
  const all = new Set([...stored, ...TIMEFRAMES.filter((it) => sourceOf(it, stored))]);
  const usual = [...new Set([...[...all].filter((it) => USUAL.includes(it) || stored.includes(it)), ...(chosen ? [chosen] : [])])];
  return { usual: usual.sort(byLength), others: [...all].filter((it) => !usual.includes(it)).sort(byLength) };
}

export function timeframesOf(series: Series[], symbol: string): string[] {
  return series.flatMap((it) => (it.symbol === symbol ? [it.timeframe] : [])).sort(byLength);
}

/** The symbols that contain a text in upper or lower case, with those that begin with it first. */
export function matching(symbols: string[], text: string): string[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return symbols;
  const at = (symbol: string) => symbol.toLowerCase().indexOf(wanted);
  return [...symbols.filter((symbol) => at(symbol) === 0), ...symbols.filter((symbol) => at(symbol) > 0)];
}

export function byLength(one: string, other: string): number {
  return minutesOf(one) - minutesOf(other);
}

function isTimeframe(text: string): boolean {
  try {
    return minutesOf(text) > 0;
  } catch {
    return false;
  }
}
