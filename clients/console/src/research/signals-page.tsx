import { useCallback, useMemo, useState } from 'react';
import { byLength } from '../../../web/chart/choice';
import { useSeries } from '../../../web/chart/use-series';
import { CandlewickError } from '../../../web/lib/candlewick';
import { addressOf, go } from '../address';
import { addressOf as routeOf, send, useAnswer } from '../api';
import { counted, utc, utcSeconds } from '../format';
import { Link } from '../link';
import type { ViewProps } from '../main';
import { Problem } from '../problem';
import { SelectField } from './fields';
import { number } from './figures';
import { client } from './series';
import type { Signal, Signals, Vote } from './types';

/** Milliseconds between two looks, and the symbols of a request. */
const INTERVAL = 60_000;
const SYMBOLS = 200;
/** Symbols of a board, so that a look is a few requests. */
const MAX_SYMBOLS = 1000;

const REASONS: Record<string, string> = {
  unknown_series: 'no such candles are stored',
  too_few_candles: 'too few candles',
  intraday_only: 'a strategy that reads the hour needs a shorter timeframe',
};
type Order = 'symbol' | 'score';

async function signalsOf(symbols: string[], timeframe: string | undefined, signal: AbortSignal): Promise<Signals> {
  const all: Signals = { as_of: 0, signals: [], errors: [] };
  for (let first = 0; first < symbols.length; first += SYMBOLS) {
    const part = symbols.slice(first, first + SYMBOLS);
    try {
      const body = JSON.stringify({ symbols: part, timeframe });
      const answer: Signals = await (await send(routeOf('run'), { method: 'POST', body, signal })).json();
      all.as_of = Math.max(all.as_of, answer.as_of);
      all.signals.push(...answer.signals);
      all.errors.push(...answer.errors);
    } catch (error) {
      // None of these has a signal, and others may have one.
      if (!(error instanceof CandlewickError) || error.code !== 'no_signals' || symbols.length <= SYMBOLS) throw error;
    }
  }
  return all;
}

export function SignalsPage({ query }: ViewProps) {
  const { series, error: seriesError } = useSeries(client);
  const timeframe = query.get('timeframe') ?? '';
  const [order, setOrder] = useState<Order>('symbol');
  const symbols = useMemo(() => [...new Set((series ?? []).map((it) => it.symbol))].slice(0, MAX_SYMBOLS), [series]);
  const timeframes = useMemo(() => [...new Set((series ?? []).map((it) => it.timeframe))].sort(byLength), [series]);
  // The list of series is read every few seconds, and mostly has the same symbols.
  const names = symbols.join('\n');
  const load = useCallback((signal: AbortSignal) => signalsOf(names.split('\n'), timeframe || undefined, signal), [names, timeframe]);
  const { answer, error } = useAnswer(names ? load : undefined, INTERVAL);
  const rows = useMemo(() => {
    const signals = answer?.signals ?? [];
    return order === 'score' ? [...signals].sort((one, other) => Math.abs(other.score) - Math.abs(one.score)) : signals;
  }, [answer, order]);
  return (
    <section className="view research">
      <header className="view-head">
        <h1>Signals</h1>
        <div className="fields bare">
          <SelectField
            label="Timeframe"
            value={timeframe}
            options={{ '': 'the longest that suits', ...Object.fromEntries(timeframes.map((it) => [it, it])) }}
            onPick={(timeframe) => go(addressOf('signals', { timeframe: timeframe || undefined }), true)}
          />
          <SelectField label="Order" value={order} options={{ symbol: 'by symbol', score: 'by strength' }} onPick={(order) => setOrder(order as Order)} />
        </div>
        <p className="muted">
          Twelve strategies vote on the newest closed candle of each symbol. The score runs from −1, all short, to 1, all long. Nothing here is
          advice.
        </p>
      </header>
      {seriesError && <Problem error={seriesError} />}
      {error && <Problem error={error} />}
      {series?.length === 0 && <p>Nothing is stored yet.</p>}
      {names && !answer && !error && <p role="status">Asking the strategies …</p>}
      {rows.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Signals">
          <table className="board">
            <thead>
              <tr>
                <th>Symbol</th>
                <th>Signal</th>
                <th className="number">Score</th>
                <th>
                  <span className="hidden">Score as a bar</span>
                </th>
                <th>Votes</th>
                <th className="number">Close</th>
                <th>Candle, UTC</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((it) => (
                <Row key={it.symbol} signal={it} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {answer && answer.errors.length > 0 && (
        <p className="muted note">Without a signal: {answer.errors.map(({ symbol, code }) => `${symbol} (${REASONS[code] ?? code})`).join(', ')}.</p>
      )}
      {answer && answer.as_of > 0 && <p className="muted note">As of {utcSeconds(answer.as_of)} UTC; asked again every minute.</p>}
    </section>
  );
}

function Row({ signal: { symbol, timeframe, candle, close, signal, score, stale, votes } }: { signal: Signal }) {
  const of = (position: Vote['position']) => votes.filter((it) => it.position === position).length;
  return (
    <tr>
      <td>
        <Link href={addressOf('chart', { symbol, timeframe })}>
          <b>{symbol}</b> {timeframe}
        </Link>
      </td>
      <td>
        <span className={`badge signal-${signal}`}>{signal}</span>
      </td>
      <td className="number">{number(score)}</td>
      <td>
        <svg className="score" viewBox="-1 0 2 1" preserveAspectRatio="none" aria-hidden="true">
          <rect className="track" x="-1" width="2" height="1" />
          <rect className={score < 0 ? 'score-down' : 'score-up'} x={Math.min(0, score)} width={Math.abs(score)} height="1" />
          <path className="score-middle" d="M0 0V1" />
        </svg>
      </td>
      <td className="reason">
        <details>
          <summary>
            {of('long')} long, {of('short')} short, {of('flat')} flat
          </summary>
          <ul>
            {votes.map((vote) => (
              <li key={vote.strategy}>
                <Link href={addressOf('backtest', { strategy: vote.strategy, symbol, timeframe })}>{vote.strategy}</Link>: {inWords(vote)}
              </li>
            ))}
          </ul>
        </details>
      </td>
      <td className="number">{close}</td>
      <td>
        {utc(candle)} {stale && <span className="badge bad">stale</span>}
      </td>
    </tr>
  );
}

function inWords({ position, order, bars_in_position: bars, since }: Vote): string {
  if (position === 'flat') return order ? 'leaves at the next open' : 'flat';
  if (order) return `goes ${position} at the next open`;
  return `${position} for ${counted(bars, 'candle')}${since ? `, since ${utc(since)}` : ''}`;
}
