/** The values of each parameter that a search tries, as the address holds them: `r.fast=5:50:5`, or `r.fast=10` for one value. */
import { count } from '../format';
import { NumberField } from './fields';
import { BRACKETS } from './parameters';
import { numeric } from './settings';
import type { Parameter } from './types';

const PREFIX = 'r.';

/** The values to try of a parameter: a range, all options of a choice, or one value. */
export type Range = { parameter: Parameter; varies: boolean; min: string; max: string; step: string; fixed: string };

export function rangesOf(query: URLSearchParams, parameters: Parameter[]): Range[] {
  return parameters.map((parameter) => {
    const { name, default: usual, min = 0, max = 0, step = 1 } = parameter;
    const whole = { parameter, min: String(min), max: String(max), step: String(step), fixed: String(usual) };
    const text = query.get(PREFIX + name);
    if (text === null) return { ...whole, varies: !isBracket(parameter) };
    const [first = '', last, by] = text.split(':');
    if (text === ALL) return { ...whole, varies: true };
    return last === undefined ? { ...whole, varies: false, fixed: first } : { ...whole, varies: true, min: first, max: last, step: by ?? '1' };
  });
}

/** The text of a range that has all values of the catalogue. */
const ALL = 'all';

/** True for a bracket that is off, which a search leaves out unless it is asked for. */
function isBracket({ name, default: usual }: Parameter): boolean {
  return BRACKETS.includes(name) && Number(usual) === 0;
}

function textOf({ parameter, varies, min, max, step, fixed }: Range): string | undefined {
  const { default: usual } = parameter;
  const isWhole = parameter.options || (min === String(parameter.min) && max === String(parameter.max) && step === String(parameter.step));
  if (varies) return !isWhole ? `${min}:${max}:${step}` : isBracket(parameter) ? ALL : undefined;
  return isBracket(parameter) && fixed === String(usual) ? undefined : fixed;
}

/** `ranges` of a request; absent if they are those of the catalogue. */
export function rangesBody(ranges: Range[]): Record<string, unknown> | undefined {
  if (ranges.every((range) => textOf(range) === undefined)) return undefined;
  return Object.fromEntries(ranges.map((range) => [range.parameter.name, valuesOf(range)]));
}

function valuesOf({ parameter: { options }, varies, min, max, step, fixed }: Range): unknown {
  if (!varies) return [options ? fixed : numeric(fixed)];
  return options ?? { min: numeric(min), max: numeric(max), step: numeric(step) };
}

/** The number of values of a range; 1 while that is unknown. */
function sizeOf({ parameter: { options }, varies, min, max, step }: Range): number {
  if (!varies) return 1;
  if (options) return options.length;
  const steps = (Number(max) - Number(min)) / Number(step);
  return Number.isFinite(steps) && steps >= 0 ? Math.floor(steps + 1e-9) + 1 : 1;
}

export const combinationsOf = (ranges: Range[]) => ranges.reduce((product, range) => product * sizeOf(range), 1);

export function noRanges(query: URLSearchParams): Record<string, undefined> {
  return Object.fromEntries([...query.keys()].filter((name) => name.startsWith(PREFIX)).map((name) => [name, undefined]));
}

export function RangeTable({ ranges, onChange }: { ranges: Range[]; onChange: (changed: Record<string, string | undefined>) => void }) {
  const set = (range: Range, changed: Partial<Range>) => onChange({ [PREFIX + range.parameter.name]: textOf({ ...range, ...changed }) });
  return (
    <div className="ranges">
      {ranges.map((range) => {
        const { parameter, varies, min, max, step, fixed } = range;
        const { name, about, options } = parameter;
        const field = (label: string, value: string, commit: (value: string) => void) => (
          <NumberField label={label} name={`${name} ${label}`} value={value} onCommit={commit} />
        );
        return (
          <fieldset key={name} className="range" title={about}>
            <legend>
              <label className="check">
                <input type="checkbox" checked={varies} onChange={({ target }) => set(range, { varies: target.checked })} /> {name}
              </label>
            </legend>
            {varies && options && <p className="muted">{options.join(', ')}</p>}
            {varies && !options && (
              <>
                {field('from', min, (min) => set(range, { min }))}
                {field('to', max, (max) => set(range, { max }))}
                {field('step', step, (step) => set(range, { step }))}
                <span className="muted size">{count(sizeOf(range))}</span>
              </>
            )}
            {!varies && field('always', fixed, (fixed) => set(range, { fixed }))}
          </fieldset>
        );
      })}
    </div>
  );
}
