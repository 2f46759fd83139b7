/** The result of a backtest: figures, warnings, trades on the chart, curves, and the list of trades. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { ChartHandle } from '../../../web/chart/candle-chart';
import { addressOf, send, useAnswer } from '../api';
import { counted, utc } from '../format';
import { Problem } from '../problem';
import { VirtualRows } from '../virtual-rows';
import { adviceOn } from './advice';
import { EquityCurves } from './curve';
import { GROUPS, HEADLINE, money, number, shown } from './figures';
import { PineText } from './pine-text';
import type { Tested } from './series';
import { COMMISSIONS, kindOf, type Settings } from './settings';
import { TradeChart } from './trade-chart';
import type { BacktestResult, Trade } from './types';

export function BacktestReport({ result, tested, settings }: { result: BacktestResult; tested: Tested; settings: Settings }) {
  const chart = useRef<ChartHandle>(null);
  const frame = useRef<HTMLDivElement>(null);
  const { metrics, trades, equity, assumptions, fingerprint, gaps } = result;
  const [, commission] = kindOf(settings.commission, COMMISSIONS);
  const hasCosts = Number(commission) > 0 || Number(settings.slippage_ticks) > 0;
  const advice = adviceOn(result, hasCosts);
  // A result of another series is on the chart of that series until the new one comes.
  const isOfChart = result.symbol === tested.symbol && result.timeframe === tested.timeframe;
  const last = trades.at(-1)?.exit_time;
  const shownSeries = useRef('');
  useEffect(() => {
    const key = `${result.symbol} ${result.timeframe} ${result.from} ${result.to}`;
    if (!isOfChart || last === undefined || shownSeries.current === key) return;
    shownSeries.current = key;
    chart.current?.show(last);
  }, [result, isOfChart, last]);
  const show = (time: number) => {
    chart.current?.show(time);
    frame.current?.scrollIntoView({ block: 'nearest' });
  };
  return (
    <>
      <dl className="figures">
        {HEADLINE.map((figure) => (
          <div key={figure.id} title={figure.about}>
            <dt>{figure.name}</dt>
            <dd className={signOf(figure.id, metrics[figure.id])}>{shown(figure, metrics)}</dd>
          </div>
        ))}
      </dl>
      {advice.length > 0 && <Warnings sentences={advice} />}
      <div className="result-grid">
        <div ref={frame}>
          <TradeChart ref={chart} tested={tested} trades={isOfChart ? trades : NO_TRADES} />
        </div>
        <EquityCurves equity={equity} capital={Number(settings.capital) || 0} />
      </div>
      {trades.length > 0 && <TradeList trades={trades} precision={tested.precision} onShow={show} />}
      <PineOfTest result={result} settings={settings} />
      <h2>All figures</h2>
      <div className="figure-groups">
        {GROUPS.map(({ title, figures }) => (
          <table key={title}>
            <caption>{title}</caption>
            <tbody>
              {figures.map((figure) => (
                <tr key={figure.id} title={figure.about}>
                  <th scope="row">{figure.name}</th>
                  <td className="number">{shown(figure, metrics)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
      </div>
      <h2>What the test assumes</h2>
      <ul className="sentences">
        {assumptions.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
        {gaps !== null && gaps > 0 && (
          <li>The next candle begins late at {counted(gaps, 'place')}, weekends included. Indicators count candles, not time.</li>
        )}
        <li>
          The candles have the fingerprint <code>{fingerprint}</code>. Another one in a later test says that somebody has corrected them.
        </li>
      </ul>
    </>
  );
}

const NO_TRADES: Trade[] = [];

/** The script of the strategy with the parameters and settings of a test, which is loaded once it is opened. */
function PineOfTest({ result: { strategy, parameters }, settings }: { result: BacktestResult; settings: Settings }) {
  const [open, setOpen] = useState(false);
  const query = JSON.stringify({ ...parameters, ...settings });
  const load = useCallback(
    async (signal: AbortSignal) => (await send(addressOf(`strategies/${encodeURIComponent(strategy)}/pine`, JSON.parse(query)), { signal })).text(),
    [strategy, query],
  );
  const { answer, error } = useAnswer(open ? load : undefined);
  return (
    <details className="settings" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>Pine script of this test, for TradingView</summary>
      {error && <Problem error={error} />}
      {answer !== undefined && <PineText text={answer} />}
    </details>
  );
}

export function Warnings({ sentences }: { sentences: string[] }) {
  return (
    <ul className="warnings">
      {sentences.map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </ul>
  );
}

function signOf(id: string, value: number | null | undefined): string | undefined {
  if (id !== 'net_profit_percent' || value == null || value === 0) return undefined;
  return value > 0 ? 'up' : 'down';
}

/** The height of a row in pixels. */
const ROW = 26;

function TradeList({ trades, precision, onShow }: { trades: Trade[]; precision: number; onShow: (time: number) => void }) {
  // The newest first, because they are at the right edge of the chart.
  const newest = useMemo(() => [...trades].reverse(), [trades]);
  const row = (index: number) => {
    const trade = newest[index];
    if (!trade) return null;
    return (
      <>
        <span role="cell" className="number">
          {trades.length - index}
        </span>
        <span role="cell" className={trade.side === 'long' ? 'up' : 'down'}>
          {trade.side}
        </span>
        <span role="cell">
          <button type="button" className="as-link" title="Show it on the chart" onClick={() => onShow(trade.entry_time)}>
            {utc(trade.entry_time)}
          </button>
        </span>
        <span role="cell" className="number price-cell">
          {trade.entry_price.toFixed(precision)}
        </span>
        <span role="cell" className="wide-cell">
          {utc(trade.exit_time)}
        </span>
        <span role="cell" className="number wide-cell">
          {trade.exit_price.toFixed(precision)}
        </span>
        <span role="cell" className="wide-cell">
          {trade.exit.replace('_', ' ')}
        </span>
        <span role="cell" className="number wide-cell">
          {trade.bars}
        </span>
        <span role="cell" className="number wide-cell">
          {number(trade.quantity)}
        </span>
        <span role="cell" className={`number ${trade.profit < 0 ? 'down' : 'up'}`}>
          {money(trade.profit)}
        </span>
      </>
    );
  };
  const head = (name: string, classes = '') => (
    <span role="columnheader" className={classes}>
      {name}
    </span>
  );
  return (
    <>
      <h2>Trades</h2>
      <div className="trades">
        <VirtualRows
          count={newest.length}
          height={ROW}
          label="Trades, the newest first"
          row={row}
          head={
            <div role="row" className="row" aria-rowindex={1}>
              {head('No.', 'number')}
              {head('Side')}
              {head('Entry, UTC')}
              {head('Price', 'number price-cell')}
              {head('Exit, UTC', 'wide-cell')}
              {head('Price', 'number wide-cell')}
              {head('By', 'wide-cell')}
              {head('Candles', 'number wide-cell')}
              {head('Quantity', 'number wide-cell')}
              {head('Profit', 'number')}
            </div>
          }
        />
      </div>
    </>
  );
}
