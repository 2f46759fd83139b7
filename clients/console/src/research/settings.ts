/** Capital, sizes and costs, as the address of a view holds them: in the form that the Pine route takes. */
import { count } from '../format';

export const DEFAULTS = {
  capital: '10000',
  size: '10',
  commission: '0',
  slippage_ticks: '0',
  sides: 'both',
  tick_size: '',
  lot_step: '',
  point_value: '',
};
export type Settings = typeof DEFAULTS;
export type SettingName = keyof Settings;
const NAMES = Object.keys(DEFAULTS) as SettingName[];

/** The kinds of sizes and commissions; the first is written as a bare number. */
export const SIZES = { percent_of_equity: '% of equity', fixed: 'units', cash: 'in money' };
export const COMMISSIONS = { percent: '% of value', per_contract: 'a unit', per_order: 'an order' };
export const SIDES = { both: 'long and short', long: 'long only', short: 'short only' };

export function settingsOf(query: URLSearchParams): Settings {
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) || DEFAULTS[name]])) as Settings;
}

/** The settings that differ from the defaults, by their names in an address. */
export function changedSettings(settings: Settings): Partial<Settings> {
  return Object.fromEntries(NAMES.filter((name) => settings[name] !== DEFAULTS[name]).map((name) => [name, settings[name]]));
}

/** The kind and the number of `fixed:2`; a bare number has the first kind. */
export function kindOf<Kind extends string>(text: string, kinds: Record<Kind, string>): [Kind, string] {
  const known = Object.keys(kinds) as Kind[];
  const [kind, rest] = text.split(':') as [string, string?];
  const named = known.find((it) => it === kind);
  return named && rest !== undefined ? [named, rest] : [known[0]!, text];
}

export function textOf<Kind extends string>(kind: Kind, amount: string, kinds: Record<Kind, string>): string {
  return kind === Object.keys(kinds)[0] ? amount : `${kind}:${amount}`;
}

/** `settings` of a request. What is not a number is sent as it is, so that the service says what is wrong with it. */
export function bodyOf(settings: Settings): Record<string, unknown> {
  const { size, commission, sides, ...numbers } = settings;
  const [sizeKind, sizeNumber] = kindOf(size, SIZES);
  const [commissionKind, commissionNumber] = kindOf(commission, COMMISSIONS);
  const given = Object.entries(numbers).filter(([, text]) => text !== '');
  return {
    ...Object.fromEntries(given.map(([name, text]) => [name, numeric(text)])),
    size: { [sizeKind]: numeric(sizeNumber) },
    commission: { [commissionKind]: numeric(commissionNumber) },
    sides,
  };
}

/** The settings of a job's request, in the form of the address. */
export function settingsOfBody(body: Record<string, unknown> = {}): Partial<Settings> {
  const found: Partial<Settings> = {};
  const kinds = { size: SIZES, commission: COMMISSIONS };
  for (const name of NAMES) {
    const value = body[name];
    if (value == null) continue;
    if (typeof value !== 'object') found[name] = String(value);
    else if (name === 'size' || name === 'commission') {
      const [kind, amount] = Object.entries(value)[0] ?? [];
      if (kind) found[name] = textOf(kind, String(amount), kinds[name]);
    }
  }
  return changedSettings({ ...DEFAULTS, ...found });
}

/** One sentence about the settings. */
export function inWords(settings: Settings): string {
  const { capital, size, commission, slippage_ticks, sides } = settings;
  const [sizeKind, sizeNumber] = kindOf(size, SIZES);
  const [commissionKind, commissionNumber] = kindOf(commission, COMMISSIONS);
  const costs = Number(commissionNumber) === 0 ? 'no commission' : `commission ${commissionNumber} ${COMMISSIONS[commissionKind]}`;
  const slippage = Number(slippage_ticks) === 0 ? 'no slippage' : `slippage ${slippage_ticks} ${slippage_ticks === '1' ? 'tick' : 'ticks'}`;
  return `${count(Number(capital))} of capital, ${sizeNumber} ${SIZES[sizeKind]} an entry, ${costs}, ${slippage}, ${SIDES[sides as keyof typeof SIDES] ?? sides}`;
}

export function numeric(text: string): number | string {
  const number = Number(text);
  return text.trim() !== '' && Number.isFinite(number) ? number : text;
}
