/** The parameters of a strategy, as the address holds them: `p.fast=15`. */
import { addressOf } from '../address';
import { NumberField, SelectField } from './fields';
import { numeric } from './settings';
import type { Parameter, Point, Value, Values } from './types';

const PREFIX = 'p.';
/** The brackets that every strategy can have; 0 switches one off. */
export const BRACKETS = ['stop_atr', 'target_atr'];

/** The values that the address names and that differ from the defaults. */
export function valuesOf(query: URLSearchParams, parameters: Parameter[]): Values {
  const found: Values = {};
  for (const { name, type, default: usual } of parameters) {
    const text = query.get(PREFIX + name);
    if (text === null || text === String(usual)) continue;
    found[name] = type === 'choice' ? text : numeric(text);
  }
  return found;
}

/** Parameters of an address that name these values. */
function addressOfValues(values: Values): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [PREFIX + name, String(value)]));
}

/** Empties all values of an address. */
export function noValues(query: URLSearchParams): Record<string, undefined> {
  return Object.fromEntries([...query.keys()].filter((name) => name.startsWith(PREFIX)).map((name) => [name, undefined]));
}

/** The address of a backtest with these parameters. */
export function backtestAddress(of: Record<string, string | undefined>, values: Values, settings: Record<string, string> = {}): string {
  return addressOf('backtest', { ...of, ...addressOfValues(values), ...settings });
}

/** Values in words, without brackets that are switched off. */
export function inWords(values: Values): string {
  return Object.entries(values)
    .filter(([name, value]) => !(BRACKETS.includes(name) && value === 0))
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

/** The parameters that have more than one value in these points. */
export function variedIn(points: Point[]): string[] {
  const all = Object.keys(points[0]?.parameters ?? {});
  return all.filter((name) => new Set(points.map(({ parameters }) => parameters[name])).size > 1);
}

export function rangeInWords({ min, max, step, options }: Parameter): string {
  return options ? options.join(', ') : `${min} to ${max}${step === 1 ? '' : ` by ${step}`}`;
}

export function ParameterFields(props: { parameters: Parameter[]; values: Values; onChange: (changed: Record<string, string | undefined>) => void }) {
  const { parameters, values, onChange } = props;
  return (
    <>
      {parameters.map((parameter) => {
        const { name, default: usual, options, about } = parameter;
        const value: Value = values[name] ?? usual;
        const title = `${about}; ${rangeInWords(parameter)}, usually ${usual}`;
        const set = (text: string) => onChange({ [PREFIX + name]: text === '' || text === String(usual) ? undefined : text });
        return options ? (
          <SelectField key={name} label={name} title={title} value={String(value)} options={Object.fromEntries(options.map((it) => [it, it]))} onPick={set} />
        ) : (
          <NumberField key={name} label={name} title={title} value={String(value)} onCommit={set} />
        );
      })}
    </>
  );
}
