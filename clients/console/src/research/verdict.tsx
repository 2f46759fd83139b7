/** The worth of the winner of a search: warnings in words, and the measures of overfitting. */
import { counted } from '../format';
import { Warnings } from './backtest-report';
import { COMPARED, number, OBJECTIVES, shown } from './figures';
import { inWords } from './parameters';
import type { Figures, JobItem } from './types';

/** From this deflated Sharpe on, to this probability of overfitting, and from this stability on, a winner is acceptable. */
const [CONVINCING, OVERFITTED, STABLE] = [0.95, 0.5, 0.5];

type Measure = { name: string; value: string; good?: boolean; words: string; about: string };

function measuresOf({ deflated_sharpe: deflated, pbo, stability, walk_forward }: JobItem): Measure[] {
  const efficiency = walk_forward?.efficiency;
  const measure = (name: string, value: number | null | undefined, good: boolean | undefined, yes: string, no: string, about: string): Measure => ({
    name,
    about,
    value: value == null ? '–' : number(value),
    good,
    words: good === undefined ? 'cannot be told from so few days or trades' : good ? yes : no,
  });
  const is = (value: number | null | undefined, holds: (value: number) => boolean) => (value == null ? undefined : holds(value));
  return [
    measure(
      'Deflated Sharpe',
      deflated,
      is(deflated, (it) => it >= CONVINCING),
      'more than luck would explain',
      'may be luck: the best of so many random tries looks as good',
      'The probability that the winner has skill, after the number of tries; above 0.95 is convincing',
    ),
    measure(
      'Overfitting (PBO)',
      pbo,
      is(pbo, (it) => it <= OVERFITTED),
      'the best of one half of the days is mostly good in the other half',
      'the best of one half of the days is mostly bad in the other half',
      'The probability of backtest overfitting; below 0.5 is acceptable',
    ),
    measure(
      'Stability',
      stability,
      is(stability, (it) => it >= STABLE),
      'its neighbours do nearly as well',
      'the winner stands alone among its neighbours',
      'The median objective one step beside the winner, divided by its own; above 0.5 is acceptable',
    ),
    ...(walk_forward
      ? [
          measure(
            'Walk-forward efficiency',
            efficiency,
            is(efficiency, (it) => it >= STABLE),
            'much of the result is kept on new candles',
            'little of the result is kept on new candles',
            'The objective on new candles divided by the one on the candles that were searched; above 0.5 is acceptable',
          ),
        ]
      : []),
  ];
}

/** Warnings and measures. */
export function Verdict({ item }: { item: JobItem }) {
  const { winner, warnings = [] } = item;
  if (!winner) return null;
  const measures = measuresOf(item);
  const doubts = measures.filter(({ good }) => good === false).length;
  return (
    <>
      <div className={doubts > 0 || warnings.length > 0 ? 'verdict doubtful' : 'verdict'}>
        <p>
          <b>
            {doubts > 0
              ? 'Do not trust this winner yet.'
              : warnings.length > 0
                ? 'Read the warnings before you trust this winner.'
                : 'No measure speaks against this winner.'}
          </b>{' '}
          It was chosen among {counted(item.trials ?? 0, 'try', 'tries')} because it did best on past candles, and the best of many looks better than it is.
        </p>
        {warnings.length > 0 && <Warnings sentences={warnings} />}
      </div>
      <dl className="figures measures">
        {measures.map(({ name, value, good, words, about }) => (
          <div key={name} title={about}>
            <dt>{name}</dt>
            <dd>
              {value} {good !== undefined && <span className={`badge ${good ? 'good' : 'bad'}`}>{good ? 'acceptable' : 'doubtful'}</span>}
            </dd>
            <dd className="words muted">{words}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** The figures of the winner on the candles that were searched, beside those on other candles. */
export function Winner({ item: { winner, walk_forward }, objective }: { item: JobItem; objective: string }) {
  if (!winner) return null;
  const outside = walk_forward?.metrics ?? winner.out_of_sample;
  const rows = rowsOf(objective);
  return (
    <>
      <h2>The winner: {inWords(winner.parameters)}</h2>
      <div className="scroll narrow" tabIndex={0} role="region" aria-label="The winner">
        <table>
          <thead>
            <tr>
              <th>Figure</th>
              <th className="number">Searched candles</th>
              {outside && <th className="number">{walk_forward ? 'New candles of all windows' : 'Kept candles'}</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ id, name, about, text }) => (
              <tr key={id} title={about}>
                <th scope="row">
                  {name}
                  {id === objective && ' (searched for)'}
                </th>
                <td className="number">{text(winner.in_sample)}</td>
                {outside && <td className="number">{text(outside)}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The figures of the winner's table: those that are compared, and the one that was searched for. */
function rowsOf(objective: string): { id: string; name: string; about?: string; text: (figures: Figures) => string }[] {
  const rows = COMPARED.map((figure) => ({ ...figure, text: (figures: Figures) => shown(figure, figures) }));
  if (rows.some(({ id }) => id === objective)) return rows;
  const text = (figures: Figures) => (figures[objective] == null ? '–' : number(figures[objective]));
  return [{ id: objective, name: OBJECTIVES[objective] ?? objective, text }, ...rows];
}
