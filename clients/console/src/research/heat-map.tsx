/** The objective over two parameters of a search, as a map of cells. */
import { useMemo, useState } from 'react';
import { count } from '../format';
import { SelectField } from './fields';
import { number, OBJECTIVES } from './figures';
import { inWords, variedIn } from './parameters';
import type { Point, Results, Value } from './types';

/** The number of cells of a side above which values share cells, and the number of colours. */
const [MAX_CELLS, COLORS] = [24, 10];

type Axis = { name: string; labels: string[]; cellOf: (value: Value) => number };
type Cell = { x: number; y: number; best: Point };

/** The values of a parameter as cells, each of one value or, if there are many, of a stretch of them. */
function axisOf(name: string, points: Point[]): Axis {
  const values = [...new Set(points.map(({ parameters }) => parameters[name]!))];
  if (values.some((it) => typeof it === 'string') || values.length <= MAX_CELLS) {
    const sorted = values.sort((one, other) => (typeof one === 'number' && typeof other === 'number' ? one - other : 0));
    return { name, labels: sorted.map(String), cellOf: (value) => sorted.indexOf(value) };
  }
  const numbers = values as number[];
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const width = (high - low) / MAX_CELLS;
  const cellOf = (value: Value) => Math.min(MAX_CELLS - 1, Math.floor((Number(value) - low) / width));
  const labels = Array.from({ length: MAX_CELLS }, (_, i) => `${short(low + i * width)} to ${short(low + (i + 1) * width)}`);
  return { name, labels, cellOf };
}

const short = (value: number) => String(Number(value.toPrecision(4)));

export function HeatMap({ results: { results: points, objective, kept, evaluations } }: { results: Results }) {
  const names = useMemo(() => variedIn(points), [points]);
  const [chosen, setChosen] = useState<{ x?: string; y?: string }>({});
  const [under, setUnder] = useState<Cell>();
  const x = chosen.x ?? names[0];
  const y = chosen.y ?? names.find((name) => name !== x);
  const map = useMemo(() => (x && y && x !== y ? mapOf(points, x, y) : undefined), [points, x, y]);
  if (!map) return null;
  const { across, up, cells, low, high, best } = map;
  const named = Object.fromEntries(names.map((name) => [name, name]));
  const words = OBJECTIVES[objective] ?? objective;
  const shownCell = under ?? best;
  const colorOf = (value: number) => (high > low ? Math.min(COLORS - 1, Math.floor(((value - low) / (high - low)) * COLORS)) : COLORS - 1);
  return (
    <>
      <h2>{words} over two parameters</h2>
      <div className="fields">
        <SelectField label="Across" value={x!} options={named} onPick={(x) => setChosen({ x, y: x === y ? names.find((it) => it !== x) : y })} />
        <SelectField label="Up" value={y!} options={named} onPick={(y) => setChosen({ y, x: x === y ? names.find((it) => it !== y) : x })} />
      </div>
      <figure className="heat">
        <span className="heat-y muted" aria-hidden="true">
          <span>{up.labels.at(-1)}</span>
          <b>{y}</b>
          <span>{up.labels[0]}</span>
        </span>
        <svg
          viewBox={`0 0 ${across.labels.length} ${up.labels.length}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${words} over ${x} and ${y}: the best cell has ${inWords(best.best.parameters)} with ${number(best.best.objective!)}`}
          onPointerLeave={() => setUnder(undefined)}
        >
          <rect className="heat-none" width={across.labels.length} height={up.labels.length} />
          {cells.map((cell) => (
            <rect
              key={`${cell.x} ${cell.y}`}
              className={`heat-${cell.best.objective === null ? 'none' : colorOf(cell.best.objective)}`}
              x={cell.x}
              y={up.labels.length - 1 - cell.y}
              width="1.01"
              height="1.01"
              onPointerEnter={() => setUnder(cell)}
            />
          ))}
          <rect className="heat-best" x={best.x} y={up.labels.length - 1 - best.y} width="1" height="1" />
        </svg>
        <span className="heat-x muted" aria-hidden="true">
          <span>{across.labels[0]}</span>
          <b>{x}</b>
          <span>{across.labels.at(-1)}</span>
        </span>
        <figcaption>
          <b>{under ? 'This cell' : 'The best cell'}</b>: {inWords(shownCell.best.parameters)}, {words}{' '}
          {shownCell.best.objective === null ? 'not ranked' : number(shownCell.best.objective)}
          <span className="heat-scale" aria-hidden="true">
            {number(low)}
            <svg viewBox={`0 0 ${COLORS} 1`} preserveAspectRatio="none">
              {Array.from({ length: COLORS }, (_, i) => (
                <rect key={i} className={`heat-${i}`} x={i} width="1.01" height="1" />
              ))}
            </svg>
            {number(high)}
          </span>
          <span className="muted">
            A cell has the best of its points{kept < evaluations && `; ${count(kept)} of ${count(evaluations)} points are kept`}. A good winner lies in
            a wide field of good cells.
          </span>
        </figcaption>
      </figure>
    </>
  );
}

function mapOf(points: Point[], x: string, y: string) {
  const [across, up] = [axisOf(x, points), axisOf(y, points)];
  const cells = new Map<string, Cell>();
  // Points come best first, so the first one of a cell is its best.
  for (const point of points) {
    const at = { x: across.cellOf(point.parameters[x]!), y: up.cellOf(point.parameters[y]!) };
    const key = `${at.x} ${at.y}`;
    if (!cells.has(key)) cells.set(key, { ...at, best: point });
  }
  const all = [...cells.values()];
  const ranked = all.filter(({ best }) => best.objective !== null);
  const best = ranked[0];
  if (!best) return undefined;
  const values = ranked.map((cell) => cell.best.objective!);
  return { across, up, cells: all, best, low: Math.min(...values), high: Math.max(...values) };
}
