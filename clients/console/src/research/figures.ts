/** The figures of a run: their names for people, their units, and what they mean. */
import { count, duration } from '../format';
import type { Figures } from './types';

type Unit = 'money' | 'percent' | 'share' | 'ratio' | 'count' | 'time';
export type Figure = { id: string; name: string; unit: Unit; about: string };

const figure = (id: string, name: string, unit: Unit, about: string): Figure => ({ id, name, unit, about });

/** All figures that the table shows, in groups. */
export const GROUPS: { title: string; figures: Figure[] }[] = [
  {
    title: 'Result',
    figures: [
      figure('net_profit', 'Net profit', 'money', 'Closed trades, after commission'),
      figure('net_profit_percent', 'Net profit', 'percent', 'In percent of the capital'),
      figure('equity', 'Equity at the end', 'money', 'Capital, closed trades and the open position'),
      figure('open_profit', 'Open profit', 'money', 'The position that is open at the last close'),
      figure('cagr', 'Growth a year', 'share', 'Yearly growth of the equity; from 30 days on'),
      figure('buy_and_hold_percent', 'Buy and hold', 'percent', 'What the price itself gained from the first close to the last'),
      figure('commission', 'Commission', 'money', 'Paid at entries and exits'),
    ],
  },
  {
    title: 'Risk',
    figures: [
      figure('max_drawdown_percent', 'Max drawdown', 'percent', 'The deepest fall of the equity from a peak, over closes'),
      figure('max_drawdown', 'Max drawdown', 'money', 'The same in money'),
      figure('max_drawdown_ms', 'Longest drawdown', 'time', 'The longest time below a peak'),
      figure('sharpe', 'Sharpe', 'ratio', 'Mean daily return divided by its deviation, annualised'),
      figure('sortino', 'Sortino', 'ratio', 'As Sharpe, but only losses count as deviation'),
      figure('calmar', 'Calmar', 'ratio', 'Growth a year divided by the max drawdown'),
      figure('ulcer_index', 'Ulcer index', 'ratio', 'Root of the mean squared drawdown in percent'),
      figure('sharpe_tradingview', 'Sharpe of TradingView', 'ratio', 'Of monthly returns above 2 % a year'),
      figure('exposure', 'Exposure', 'share', 'Closes with a position'),
    ],
  },
  {
    title: 'Trades',
    figures: [
      figure('trades', 'Trades', 'count', 'Closed trades'),
      figure('win_rate', 'Won', 'share', 'Trades with a profit'),
      figure('profit_factor', 'Profit factor', 'ratio', 'Gross profit divided by gross loss'),
      figure('expectancy', 'Profit a trade', 'money', 'The mean of all closed trades'),
      figure('average_win', 'Average win', 'money', 'The mean of the trades that won'),
      figure('average_loss', 'Average loss', 'money', 'The mean of the trades that lost'),
      figure('payoff', 'Payoff', 'ratio', 'Average win divided by average loss'),
      figure('largest_win', 'Largest win', 'money', 'The best trade'),
      figure('largest_loss', 'Largest loss', 'money', 'The worst trade'),
      figure('consecutive_losses', 'Losses in a row', 'count', 'The longest run of losing trades'),
      figure('average_bars', 'Candles a trade', 'ratio', 'The mean length of a trade'),
      figure('sqn', 'SQN', 'ratio', 'System quality number, capped at 100 trades'),
    ],
  },
  {
    title: 'Sides',
    figures: [
      figure('long_trades', 'Long trades', 'count', 'Closed trades'),
      figure('long_net_profit', 'Long net profit', 'money', 'After commission'),
      figure('long_win_rate', 'Long won', 'share', 'Trades with a profit'),
      figure('short_trades', 'Short trades', 'count', 'Closed trades'),
      figure('short_net_profit', 'Short net profit', 'money', 'After commission'),
      figure('short_win_rate', 'Short won', 'share', 'Trades with a profit'),
    ],
  },
];

/** The figures above the result. */
export const HEADLINE = ['net_profit_percent', 'sharpe', 'max_drawdown_percent', 'trades', 'win_rate', 'profit_factor', 'buy_and_hold_percent'].map(figureOf);
/** The figures of a table of points. */
export const COMPARED = ['net_profit_percent', 'sharpe', 'max_drawdown_percent', 'profit_factor', 'trades'].map(figureOf);

/** The figures that a search can maximise. */
export const OBJECTIVES: Record<string, string> = {
  sharpe: 'Sharpe',
  sortino: 'Sortino',
  net_profit: 'Net profit',
  profit_factor: 'Profit factor',
  calmar: 'Calmar',
  return_over_drawdown: 'Return over drawdown',
  recovery_factor: 'Recovery factor',
  expectancy: 'Profit a trade',
  sqn: 'SQN',
};

export function figureOf(id: string): Figure {
  return GROUPS.flatMap(({ figures }) => figures).find((it) => it.id === id)!;
}

const MONEY = new Intl.NumberFormat('en-GB', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const money = (amount: number) => MONEY.format(amount).replace('-', '−');

/** A number with so many digits after its point, or with as many as it needs to be told from 0. */
export function number(value: number, digits = 2): string {
  const shown = Math.abs(value) >= 0.5 * 10 ** -digits || value === 0 ? value.toFixed(digits) : value.toPrecision(2);
  return shown.replace('-', '−');
}

/** A figure with its unit; `–` if it is not defined. */
export function shown({ id, unit }: Figure, figures: Figures | null | undefined): string {
  const value = figures?.[id];
  if (value == null) return '–';
  if (unit === 'money') return money(value);
  if (unit === 'percent') return `${number(value)} %`;
  if (unit === 'share') return `${number(value * 100, 1)} %`;
  if (unit === 'count') return count(value);
  if (unit === 'time') return duration(value);
  return number(value);
}
