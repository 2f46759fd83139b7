/** The series, the span and the strategy that a test is made on: by the address, or else sensible ones. */
import { useCallback, useMemo } from 'react';
import { choose, offered, timeframesOf, type Choice } from '../../../web/chart/choice';
import { ChartClient } from '../../../web/chart/client';
import { useSeries } from '../../../web/chart/use-series';
import { minutesOf, sourceOf, type CandlewickError, type Series } from '../../../web/lib/candlewick';
import { API, read, useAnswer, type Loaded } from '../api';
import { SymbolField } from '../series-fields';
import { DateField, SelectField } from './fields';
import type { Strategy } from './types';

export const client = new ChartClient({ base: API });

const DAY = 86_400_000;
/** The timeframe, the span in days and the strategy of a first test: it is quick, and everybody knows it. */
const TIMEFRAME = 'H1';
const SPAN = 365;
export const FIRST_STRATEGY = 'sma-cross';
/** Where the days of built candles begin. */
const ALIGNS = { utc: 'midnight UTC', ny17: '17:00 New York', 'Europe/Athens': 'midnight Athens' };

/** The choices for a test. Dates are like `2025-08-01`, and an empty one sets no bound. */
export type Tested = Choice & { align: string; from: string; to: string };
export type ChosenSeries = { tested?: Tested; symbols: string[]; timeframes: string[]; isLoaded: boolean; error?: CandlewickError };

/** The start of a span without one, in an address. */
const ALL = 'all';

const dateOf = (time: number) => new Date(time).toISOString().slice(0, 10);

/** The series that the address names, or the first one in hours, over its newest year. */
export function useTested(query: URLSearchParams): ChosenSeries {
  const { series, error } = useSeries(client);
  return useMemo(() => {
    const symbols = [...new Set((series ?? []).map((it) => it.symbol))];
    const tested = series && testedOf(series, query);
    const { usual, others } = offered(tested?.stored ?? [], tested?.timeframe);
    return { tested, symbols, timeframes: [...usual, ...others], isLoaded: series !== undefined, error };
  }, [series, error, query.toString()]);
}

function testedOf(series: Series[], query: URLSearchParams): Tested | undefined {
  const symbol = query.get('symbol') || series[0]?.symbol;
  if (!symbol) return undefined;
  const stored = timeframesOf(series, symbol);
  const hasHours = stored.includes(TIMEFRAME) || sourceOf(TIMEFRAME, stored) !== undefined;
  const choice = choose(series, symbol, query.get('timeframe') ?? (hasHours ? TIMEFRAME : null))!;
  const known = series.find((it) => it.symbol === symbol && it.timeframe === (choice.source ?? choice.timeframe));
  const from = query.get('from');
  const usual = known ? dateOf(Math.max(known.first, known.last - SPAN * DAY)) : '';
  return { ...choice, align: query.get('align') ?? 'utc', from: from === ALL ? '' : (from ?? usual), to: query.get('to') ?? '' };
}

/** The series and the span that an address names, for the address of another view. */
export function chosenIn(query: URLSearchParams): Record<string, string | undefined> {
  return Object.fromEntries(['symbol', 'timeframe', 'align', 'from', 'to'].map((name) => [name, query.get(name) ?? undefined]));
}

/** The parts of a request that name the candles. */
export function seriesBody({ symbol, timeframe, source, align }: Pick<Tested, 'symbol' | 'timeframe' | 'source' | 'align'>) {
  return { symbol, timeframe, ...(source && { source, align }) };
}

/** The bounds of a request; both dates are inclusive. */
export function spanBody({ from, to }: Pick<Tested, 'from' | 'to'>) {
  return { ...(from && { from: `${from}T00:00:00Z` }), ...(to && { to: `${to}T23:59:59Z` }) };
}

export function SeriesChoice(props: ChosenSeries & { onChange: (changed: Record<string, string | undefined>) => void }) {
  const { tested, symbols, timeframes, onChange } = props;
  if (!tested) return null;
  const { symbol, timeframe, source, align, from, to } = tested;
  return (
    <>
      <SymbolField symbols={symbols} symbol={symbol} onChoose={(symbol) => onChange({ symbol, timeframe: undefined, from: undefined, to: undefined })} />
      <SelectField
        label="Timeframe"
        title={source && `Built from ${source}`}
        value={timeframe}
        options={Object.fromEntries(timeframes.map((it) => [it, sourceOf(it, tested.stored) ? `${it}, from ${sourceOf(it, tested.stored)}` : it]))}
        onPick={(timeframe) => onChange({ timeframe })}
      />
      {source && minutesOf(timeframe) > 60 && (
        <SelectField label="Days begin at" value={align} options={ALIGNS} onPick={(align) => onChange({ align })} />
      )}
      <DateField label="From" title="Empty for the oldest candle" value={from} onPick={(from) => onChange({ from: from || ALL })} />
      <DateField label="To" title="Empty for the newest candle" value={to} onPick={(to) => onChange({ to: to || undefined })} />
    </>
  );
}

/** All strategies, in the order of the catalogue. */
export function useStrategies(): Loaded<Strategy[]> {
  return useAnswer(useCallback((signal: AbortSignal) => read<Strategy[]>('strategies', {}, signal), []));
}

export const FAMILIES: Record<string, string> = {
  trend: 'Trend',
  mean_reversion: 'Mean reversion',
  breakout: 'Breakout',
  momentum: 'Momentum',
  volatility: 'Volatility',
  volume: 'Volume',
  pattern: 'Patterns',
  several: 'Several signals',
  session: 'Hours of the day',
  statistical: 'Statistics',
};

/** A list of all strategies by family. */
export function StrategyChoice({ strategies, value, onPick }: { strategies: Strategy[]; value: string; onPick: (id: string) => void }) {
  const families = [...new Set(strategies.map(({ family }) => family))];
  return (
    <label className="strategy-choice">
      <span>Strategy</span>
      <select value={value} onChange={({ target }) => onPick(target.value)}>
        {!strategies.some(({ id }) => id === value) && <option value={value}>{value}</option>}
        {families.map((family) => (
          <optgroup key={family} label={FAMILIES[family] ?? family}>
            {strategies
              .filter((it) => it.family === family)
              .map(({ id, title }) => (
                <option key={id} value={id}>
                  {title}
                </option>
              ))}
          </optgroup>
        ))}
      </select>
    </label>
  );
}
