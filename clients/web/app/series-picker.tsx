import { useMemo, useState, type KeyboardEvent } from 'react';
import { minutesOf, sourceOf, type Series } from '../lib/candlewick';

/** The series on the chart, the stored timeframe that it is built from if it is not stored, and the digits of its prices. */
export type Choice = { symbol: string; timeframe: string; source?: string; precision: number };

/** The digits of most currency pairs, for a series without a closed candle that would show them. */
const USUAL_PRECISION = 5;
/** The number of symbols from which on the page has a filter. */
const MIN_FILTERED_SYMBOLS = 30;
/** The maximum number of symbols in the list, because a browser needs seconds to lay out tens of thousands. */
const MAX_LISTED_SYMBOLS = 300;
/** The timeframes that the page offers for a symbol that does not have them but a shorter one. */
const BUILT_TIMEFRAMES = ['M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1'];

/** The series that the address names; without a symbol the first one, without a timeframe H1 if there is one. */
export function choose(series: Series[], symbol: string | null, timeframe: string | null): Choice | undefined {
  const chosenSymbol = symbol || series[0]?.symbol;
  if (!chosenSymbol) return undefined;
  const offered = timeframesOf(series, chosenSymbol);
  const chosenTimeframe =
    timeframe && isTimeframe(timeframe) ? timeframe : offered.includes('H1') ? 'H1' : (offered[0] ?? 'H1');
  const source = sourceOf(chosenTimeframe, offered);
  const known = series.find((it) => it.symbol === chosenSymbol && it.timeframe === (source ?? chosenTimeframe));
  const precision = known?.price_precision ?? USUAL_PRECISION;
  return { symbol: chosenSymbol, timeframe: chosenTimeframe, source, precision };
}

export function SeriesPicker(props: { series: Series[]; choice?: Choice; onPick: (choice: Choice) => void }) {
  const { series, choice, onPick } = props;
  const [filter, setFilter] = useState('');
  const symbols = useMemo(() => [...new Set(series.map((it) => it.symbol))], [series]);
  const found = useMemo(() => matching(symbols, filter), [symbols, filter]);
  const options = useMemo(() => listed(found, choice?.symbol), [found, choice?.symbol]);
  if (!choice) return <h1>candlewick</h1>;
  const stored = timeframesOf(series, choice.symbol);
  const timeframes = [...new Set([...withBuilt(stored), choice.timeframe])].sort(byLength);
  // Shows another symbol in the same timeframe if it has that or a shorter one.
  const pickSymbol = (symbol: string) => {
    setFilter('');
    const offered = withBuilt(timeframesOf(series, symbol));
    onPick(choose(series, symbol, offered.find((it) => it === choice.timeframe) ?? null)!);
  };
  // A symbol that is not listed may be stored all the same, because the list is limited.
  const pickFiltered = ({ key }: KeyboardEvent) => {
    const typed = filter.trim();
    if (key === 'Enter' && typed) pickSymbol(symbols.find((it) => it === typed) ?? found[0] ?? typed);
  };
  return (
    <div className="picker">
      <h1>
        <select aria-label="Symbol" value={choice.symbol} onChange={(event) => pickSymbol(event.target.value)}>
          {options}
        </select>
      </h1>
      {symbols.length >= MIN_FILTERED_SYMBOLS && (
        <input
          type="search"
          aria-label="Filter"
          placeholder={`Find in ${symbols.length} symbols`}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
          onKeyDown={pickFiltered}
        />
      )}
      <fieldset>
        <legend>Timeframe</legend>
        {timeframes.map((timeframe) => (
          <label key={timeframe} title={builtFrom(timeframe, stored)}>
            <input
              type="radio"
              name="timeframe"
              value={timeframe}
              checked={timeframe === choice.timeframe}
              onChange={() => onPick({ ...choice, timeframe })}
            />
            {timeframe}
          </label>
        ))}
      </fieldset>
    </div>
  );
}

/** The symbols that contain a text in upper or lower case, with those that begin with it first. */
function matching(symbols: string[], text: string): string[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return symbols;
  const at = (symbol: string) => symbol.toLowerCase().indexOf(wanted);
  return [...symbols.filter((symbol) => at(symbol) === 0), ...symbols.filter((symbol) => at(symbol) > 0)];
}

/** Options for the first symbols and the chosen one, and the number of the others. */
function listed(symbols: string[], chosen = '') {
  const first = symbols.slice(0, MAX_LISTED_SYMBOLS);
  const others = symbols.length - first.length;
  return [
    ...(first.includes(chosen) ? first : [chosen, ...first]).map((symbol) => (
      <option key={symbol} value={symbol}>
        {symbol}
      </option>
    )),
    others > 0 && (
      <option key="" disabled>
        … and {others} more
      </option>
    ),
  ];
}

function timeframesOf(series: Series[], symbol: string): string[] {
  return series.flatMap((it) => (it.symbol === symbol ? [it.timeframe] : [])).sort(byLength);
}

/** The stored timeframes of a symbol, and those that can be built from them. */
function withBuilt(stored: string[]): string[] {
  return [...stored, ...BUILT_TIMEFRAMES.filter((it) => sourceOf(it, stored))];
}

function builtFrom(timeframe: string, stored: string[]): string | undefined {
  const source = sourceOf(timeframe, stored);
  return source && `Built from ${source}; days begin at midnight UTC`;
}

function byLength(one: string, other: string): number {
  return minutesOf(one) - minutesOf(other);
}

function isTimeframe(text: string): boolean {
  try {
    return minutesOf(text) > 0;
  } catch {
    return false;
  }
}
