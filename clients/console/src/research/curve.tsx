/** Equity and drawdown as curves. */
import { useMemo, useState, type PointerEvent } from 'react';
import { utc } from '../format';
import { money, number } from './figures';

type Point = [time: number, value: number];
/** The shape of a curve: its width and height in units that the drawing stretches. */
const [WIDTH, HEIGHT] = [1000, 100];

/** The share of the peak before each point that is lost there, in percent, at most 0. */
export function drawdownOf(equity: Point[]): Point[] {
  let peak = -Infinity;
  return equity.map(([time, value]) => {
    peak = Math.max(peak, value);
    return [time, peak > 0 ? (value / peak - 1) * 100 : 0];
  });
}

export function EquityCurves({ equity, capital }: { equity: Point[]; capital: number }) {
  const drawdown = useMemo(() => drawdownOf(equity), [equity]);
  if (equity.length < 2) return null;
  return (
    <div className="curves">
      <Curve title="Equity" points={equity} base={capital} text={money} />
      <Curve title="Drawdown" points={drawdown} base={0} text={(value) => `${number(value)} %`} falls />
      <p className="curve-axis muted">
        <span>{utc(equity[0]![0]).slice(0, 10)}</span>
        <span>{utc(equity.at(-1)![0]).slice(0, 10)}</span>
      </p>
    </div>
  );
}

/** A curve over time with the area between it and `base`. Its head names the value under the pointer, or the last one. */
function Curve(props: { title: string; points: Point[]; base: number; text: (value: number) => string; falls?: boolean }) {
  const { title, points, base, text, falls } = props;
  const [place, setPlace] = useState<number>();
  const [first, last] = [points[0]!, points.at(-1)!];
  const { line, area, lowest, highest, y, x } = useMemo(() => shapeOf(points, base), [points, base]);
  const at = (place === undefined ? undefined : points[place]) ?? last;
  const follow = (event: PointerEvent<SVGSVGElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    const time = first[0] + ((event.clientX - left) / width) * (last[0] - first[0]);
    setPlace(nearest(points, time));
  };
  const words = `${title} from ${text(first[1])} at ${utc(first[0])} to ${text(last[1])} at ${utc(last[0])}, between ${text(lowest)} and ${text(highest)}`;
  return (
    <figure className={falls ? 'curve falls' : 'curve'}>
      <figcaption>
        <b>{title}</b> {text(at[1])} <span className="muted">{utc(at[0])}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={words}
        onPointerMove={follow}
        onPointerLeave={() => setPlace(undefined)}
      >
        <path className="curve-area" d={area} />
        <path className="curve-base" d={`M0 ${y(base)}H${WIDTH}`} />
        <path className="curve-line" d={line} />
        {place !== undefined && <path className="curve-cross" d={`M${x(at[0])} 0V${HEIGHT}`} />}
      </svg>
      <span className="curve-bounds muted" aria-hidden="true">
        <span>{text(highest)}</span>
        <span>{text(lowest)}</span>
      </span>
    </figure>
  );
}

function shapeOf(points: Point[], base: number) {
  let [lowest, highest] = [Infinity, -Infinity];
  for (const [, value] of points) {
    lowest = Math.min(lowest, value);
    highest = Math.max(highest, value);
  }
  const [low, high] = [Math.min(lowest, base), Math.max(highest, base)];
  const [start, end] = [points[0]![0], points.at(-1)![0]];
  const x = (time: number) => round(((time - start) / (end - start || 1)) * WIDTH);
  // A margin, so that the edge does not cut the line.
  const y = (value: number) => round(2 + (1 - (value - low) / (high - low || 1)) * (HEIGHT - 4));
  const line = `M${points.map(([time, value]) => `${x(time)} ${y(value)}`).join('L')}`;
  return { line, area: `${line}L${WIDTH} ${y(base)}L0 ${y(base)}Z`, lowest, highest, x, y };
}

const round = (value: number) => Math.round(value * 100) / 100;

/** The place of the point that is nearest to a time. */
function nearest(points: Point[], time: number): number {
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle]![0] <= time) low = middle;
    else high = middle;
  }
  return time - points[low]![0] < points[high]![0] - time ? low : high;
}
