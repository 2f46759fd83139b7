/** The values of a candle, in the order in which traders read them. */
export const FIELDS = ['open', 'high', 'low', 'close', 'volume'] as const;
export type Field = (typeof FIELDS)[number];

/** A time in UTC as a field holds it, `2025-08-01 14:30`, as the API takes it; `undefined` if it is not one. */
export function timeOf(text: string): string | undefined {
  const [, date, time, seconds = '00'] = /^\s*(\d{4}-\d\d-\d\d)[ T]?(\d\d:\d\d)?(?::(\d\d))?\s*Z?\s*$/.exec(text) ?? [];
  return date && `${date}T${time ?? '00:00'}:${seconds}Z`;
}
