import { useMemo } from 'react';
import { timeframesOf } from '../../web/chart/choice';
import { ChartClient } from '../../web/chart/client';
import { useSeries } from '../../web/chart/use-series';
import { API } from './api';

const client = new ChartClient({ base: API });

export type Chosen = { symbol: string; timeframe: string };

/** The stored series, and the one that is chosen: by the address, or else the first. */
export function useChosen(query: URLSearchParams) {
  const { series, error } = useSeries(client);
  const symbols = useMemo(() => [...new Set((series ?? []).map((it) => it.symbol))], [series]);
  const symbol = query.get('symbol') ?? symbols[0] ?? '';
  const timeframes = useMemo(() => timeframesOf(series ?? [], symbol), [series, symbol]);
  const timeframe = query.get('timeframe') ?? timeframes[0] ?? '';
  return { error, isLoaded: series !== undefined, symbols, timeframes, chosen: { symbol, timeframe } };
}

/** Fields for a symbol and one of its stored timeframes. */
export function SeriesFields(props: ReturnType<typeof useChosen> & { onChoose: (chosen: Partial<Chosen>) => void }) {
  const { symbols, timeframes, chosen, onChoose } = props;
  return (
    <>
      <SymbolField symbols={symbols} symbol={chosen.symbol} onChoose={(symbol) => onChoose({ symbol })} />
      <label>
        <span>Timeframe</span>
        <select name="timeframe" value={chosen.timeframe} onChange={({ target }) => onChoose({ timeframe: target.value })}>
          {[...new Set([...timeframes, chosen.timeframe])].filter(Boolean).map((it) => (
            <option key={it}>{it}</option>
          ))}
        </select>
      </label>
    </>
  );
}

/** A field for a symbol, which counts once it is that of a stored one or is left. */
export function SymbolField({ symbols, symbol, onChoose }: { symbols: string[]; symbol: string; onChoose: (symbol: string) => void }) {
  return (
    <label>
      <span>Symbol</span>
      <input
        name="symbol"
        list="symbols"
        autoComplete="off"
        spellCheck={false}
        key={symbol}
        defaultValue={symbol}
        required
        onChange={({ target }) => {
          if (symbols.includes(target.value) && target.value !== symbol) onChoose(target.value);
        }}
        onBlur={({ target }) => {
          if (target.value && target.value !== symbol) onChoose(target.value);
        }}
      />
      <datalist id="symbols">
        {symbols.slice(0, 500).map((it) => (
          <option key={it} value={it} />
        ))}
      </datalist>
    </label>
  );
}
