/** Numbers and times as the views show them. */

const COUNT = new Intl.NumberFormat('en-GB');
export const count = (number: number) => COUNT.format(number);

/** A number with its noun: `1 candle`, `2 candles`. */
export const counted = (number: number, noun: string, plural = `${noun}s`) => `${count(number)} ${number === 1 ? noun : plural}`;

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** A size in bytes with three digits: `1.23 MB`. */
export function size(bytes: number): string {
  let unit = 0;
  let number = bytes;
  while (number >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? number : number.toPrecision(3)} ${UNITS[unit]}`;
}

/** A time in UTC: `2025-08-01 14:30`. */
export const utc = (time: number) => new Date(time).toISOString().slice(0, 16).replace('T', ' ');

/** A time in UTC with its seconds. */
export const utcSeconds = (time: number) => new Date(time).toISOString().slice(0, 19).replace('T', ' ');

/** A share in per cent; it says 100 only if nothing is missing. */
export function share(part: number): string {
  const percent = part * 100;
  return `${part < 1 ? Math.min(percent, 99.99).toFixed(2) : '100'} %`;
}

/** A length of time in its two largest units: `3 d 4 h`. */
export function duration(milliseconds: number): string {
  const minutes = Math.round(milliseconds / 60_000);
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60), minutes % 60];
  if (days > 0) return hours > 0 ? `${days} d ${hours} h` : `${days} d`;
  if (hours > 0) return rest > 0 ? `${hours} h ${rest} min` : `${hours} h`;
  return `${rest} min`;
}
