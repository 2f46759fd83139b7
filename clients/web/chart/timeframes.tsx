import { sourceOf } from '../lib/candlewick';
import { offered, type Choice } from './choice';
import type { Zone } from './zones';

/** The timeframes of a symbol: stored ones, and those that the service builds. */
export function Timeframes(props: { choice: Choice; zone: Zone; onPick: (timeframe: string) => void }) {
  const { choice, zone, onPick } = props;
  const { usual, others } = offered(choice.stored, choice.timeframe);
  const builtFrom = (timeframe: string) => {
    const source = sourceOf(timeframe, choice.stored);
    return source && `Built from ${source}; ${daysOf(zone)}`;
  };
  return (
    <fieldset className="timeframes">
      <legend>Timeframe</legend>
      {usual.map((timeframe) => (
        <label key={timeframe} title={builtFrom(timeframe)}>
          <input
            type="radio"
            name="timeframe"
            value={timeframe}
            checked={timeframe === choice.timeframe}
            onChange={() => onPick(timeframe)}
          />
          {timeframe}
        </label>
      ))}
      {others.length > 0 && (
        <select aria-label="More timeframes" value="" onChange={(event) => onPick(event.target.value)}>
          <option value="">…</option>
          {others.map((timeframe) => (
            <option key={timeframe}>{timeframe}</option>
          ))}
        </select>
      )}
    </fieldset>
  );
}

function daysOf({ align }: Zone): string {
  if (align === 'utc') return 'days begin at midnight UTC';
  if (align === 'ny17') return 'days begin at 17:00 in New York';
  return `days begin at midnight in ${align.replaceAll('_', ' ')}`;
}
