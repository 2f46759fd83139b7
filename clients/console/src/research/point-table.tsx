/** The best points of a search, with the candles that were searched and those that were kept back side by side. */
import { useMemo, useState } from 'react';
import { count } from '../format';
import { Link } from '../link';
import { COMPARED, number, OBJECTIVES, shown } from './figures';
import { backtestAddress, variedIn } from './parameters';
import { settingsOfBody } from './settings';
import type { Job, JobItem, Point, Results } from './types';

/** The rows that are shown at first. */
const FIRST_ROWS = 25;

type Part = 'in_sample' | 'out_of_sample';
const PARTS: Record<Part, string> = { in_sample: 'Searched candles', out_of_sample: 'Kept candles' };
/** The figures of which less is better. */
const FALLING = ['max_drawdown_percent'];

type Order = { by: 'rank' | 'objective' | Part | 'parameter'; name?: string };

function valueOf(point: Point, { by, name }: Order): number | string | null | undefined {
  if (by === 'rank' || by === 'objective') return point[by];
  if (by === 'parameter') return point.parameters[name!];
  return point[by]?.[name!];
}

export function sorted(points: Point[], order: Order): Point[] {
  const isAscending = order.by === 'rank' || order.by === 'parameter' || FALLING.includes(order.name ?? '');
  return [...points].sort((one, other) => {
    const [left, right] = [valueOf(one, order), valueOf(other, order)];
    // A figure that is not defined comes last.
    if (left == null || right == null) return Number(left == null) - Number(right == null);
    const difference = typeof left === 'number' && typeof right === 'number' ? left - right : String(left).localeCompare(String(right));
    return isAscending ? difference : -difference;
  });
}

export function PointTable({ results, job, item, align }: { results: Results; job: Job; item: JobItem; align?: string }) {
  const { results: points, objective } = results;
  const [order, setOrder] = useState<Order>({ by: 'rank' });
  const [all, setAll] = useState(false);
  const rows = useMemo(() => sorted(points, order), [points, order]);
  const names = useMemo(() => variedIn(points), [points]);
  const settings = settingsOfBody(job.request.settings);
  const [from, to] = [item.from, item.to].map((time) => time && new Date(time).toISOString().slice(0, 10));
  const of = { strategy: item.strategy, symbol: item.symbol, timeframe: item.timeframe, align, from: from || undefined, to: to || undefined };
  const head = (text: string, by: Order, title?: string) => {
    const isChosen = by.by === order.by && by.name === order.name;
    const isAscending = by.by === 'rank' || by.by === 'parameter' || FALLING.includes(by.name ?? '');
    return (
      <th key={`${by.by} ${by.name}`} className="number" aria-sort={isChosen ? (isAscending ? 'ascending' : 'descending') : undefined} title={title}>
        <button type="button" onClick={() => setOrder(by)}>
          {text}
        </button>
      </th>
    );
  };
  return (
    <>
      <h2>The best points</h2>
      <div className="scroll points" tabIndex={0} role="region" aria-label="The best points">
        <table>
          <thead>
            <tr>
              <td colSpan={names.length + 2} />
              {Object.entries(PARTS).map(([part, name]) => (
                <th key={part} className="part" colSpan={COMPARED.length} scope="colgroup">
                  {name}
                </th>
              ))}
              <td />
            </tr>
            <tr>
              {head('Rank', { by: 'rank' })}
              {names.map((name) => head(name, { by: 'parameter', name }))}
              {head(OBJECTIVES[objective] ?? objective, { by: 'objective' }, 'What was searched for, on the searched candles')}
              {(Object.keys(PARTS) as Part[]).map((part) => COMPARED.map(({ id, name, about }) => head(name, { by: part, name: id }, about)))}
              <th>
                <span className="hidden">Test</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, all ? undefined : FIRST_ROWS).map((point) => (
              <tr key={point.rank}>
                <td className="number">{point.rank}</td>
                {names.map((name) => (
                  <td key={name} className="number">
                    {point.parameters[name]}
                  </td>
                ))}
                <td className="number">{point.objective === null ? '–' : number(point.objective)}</td>
                {(Object.keys(PARTS) as Part[]).map((part) =>
                  COMPARED.map((figure, i) => (
                    <td key={`${part} ${figure.id}`} className={i === 0 ? 'number part-start' : 'number'}>
                      {shown(figure, point[part])}
                    </td>
                  )),
                )}
                <td>
                  <Link href={backtestAddress(of, point.parameters, settings)} aria-label={`test this, rank ${point.rank}`}>
                    test this
                  </Link>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="muted note">
        The best 25 points were run on the kept candles.{' '}
        {rows.length > FIRST_ROWS && !all && (
          <button type="button" className="as-link" onClick={() => setAll(true)}>
            Show all {count(rows.length)} points
          </button>
        )}
      </p>
    </>
  );
}
