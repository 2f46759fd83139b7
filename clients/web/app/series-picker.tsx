import { toPeriod, type Series } from '../lib/candlewick';

/** The series on the chart, and how many digits its prices have. */
export type Choice = { symbol: string; timeframe: string; precision: number };

/** Digits of a series that has no closed candle to count them on: those of most currency pairs. */
const USUAL_PRECISION = 5;
const MINUTES = { minute: 1, hour: 60, day: 1440, week: 10_080, month: 43_200 };

/** What the address asks for; where it leaves that open, hours of the first symbol. */
export function choose(series: Series[], symbol: string | null, timeframe: string | null): Choice | undefined {
  const chosenSymbol = symbol || series[0]?.symbol;
  if (!chosenSymbol) return undefined;
  const offered = timeframesOf(series, chosenSymbol);
  const chosenTimeframe =
    timeframe && isTimeframe(timeframe) ? timeframe : offered.includes('H1') ? 'H1' : (offered[0] ?? 'H1');
  const known = series.find((it) => it.symbol === chosenSymbol && it.timeframe === chosenTimeframe);
  return { symbol: chosenSymbol, timeframe: chosenTimeframe, precision: known?.price_precision ?? USUAL_PRECISION };
}

export function SeriesPicker(props: { series: Series[]; choice?: Choice; onPick: (choice: Choice) => void }) {
  const { series, choice, onPick } = props;
  if (!choice) return <h1>candlewick</h1>;
  const symbols = [...new Set([...series.map((it) => it.symbol), choice.symbol])];
  const timeframes = [...new Set([...timeframesOf(series, choice.symbol), choice.timeframe])].sort(byLength);
  // Another symbol is shown in the same timeframe if it has that.
  const pickSymbol = (symbol: string) =>
    onPick(choose(series, symbol, timeframesOf(series, symbol).find((it) => it === choice.timeframe) ?? null)!);
  return (
    <div className="picker">
      <h1>
        <select aria-label="Symbol" value={choice.symbol} onChange={(event) => pickSymbol(event.target.value)}>
          {symbols.map((symbol) => (
            <option key={symbol}>{symbol}</option>
          ))}
        </select>
      </h1>
      <fieldset>
        <legend>Timeframe</legend>
        {timeframes.map((timeframe) => (
          <label key={timeframe}>
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

function timeframesOf(series: Series[], symbol: string): string[] {
  return series.flatMap((it) => (it.symbol === symbol ? [it.timeframe] : [])).sort(byLength);
}

function byLength(one: string, other: string): number {
  return minutes(one) - minutes(other);
}

function minutes(timeframe: string): number {
  const { type, span } = toPeriod(timeframe);
  return MINUTES[type] * span;
}

function isTimeframe(text: string): boolean {
  try {
    return minutes(text) > 0;
  } catch {
    return false;
  }
}
