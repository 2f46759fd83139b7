/** Remarks on a backtest that its reader should know, in plain words. */
import { counted } from '../format';
import type { BacktestResult } from './types';

/** The number of trades below which chance decides more than the rule. */
const FEW_TRADES = 30;

export function adviceOn(result: BacktestResult, hasCosts: boolean): string[] {
  const { metrics, warmup_missing, dropped, conflicts, ruined, trades_omitted, bars } = result;
  const trades = metrics.trades ?? 0;
  const said: string[] = [];
  if (ruined) said.push('The equity was used up, and the run ended there.');
  if (trades === 0) said.push('The strategy made no trade in this span.');
  else if (trades < FEW_TRADES) said.push(`There are only ${counted(trades, 'closed trade')}, so that chance decides more than the rule does.`);
  if (!hasCosts) said.push('No costs are counted. Set a commission or slippage, because real trades have a spread at least.');
  if (warmup_missing > 0) {
    said.push(`The indicators lack ${counted(warmup_missing, 'candle')} before the first one, so that the earliest trades may differ from later runs.`);
  }
  if (dropped > 0) said.push(`${counted(dropped, 'entry', 'entries')} could not be made, because the size rounds to 0 lots.`);
  if (conflicts > 0) said.push(`At ${counted(conflicts, 'close')} both sides were asked for, and nothing was ordered.`);
  if (trades_omitted > 0) said.push(`The list leaves ${counted(trades_omitted, 'trade')} out; all of them count in the figures.`);
  if (bars < 500) said.push(`The test has only ${counted(bars, 'candle')}.`);
  return said;
}
