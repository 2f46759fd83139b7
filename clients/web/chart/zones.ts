/** The clocks in which a chart shows times, and the days that belong to them. */

export type Zone = {
  id: string;
  /** The name in the list of zones. */
  name: string;
  /** A zone of the IANA database. */
  iana: string;
  /** Milliseconds by which the clock is ahead of that zone. */
  shift: number;
  /** `align` of the API: where the days of built candles begin. */
  align: string;
};

const HOUR = 3_600_000;
const own = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** MetaTrader brokers mostly set their clocks so that a day ends when New York's trading day does, at 17:00 there. */
export const ZONES: Zone[] = [
  { id: 'utc', name: 'UTC', iana: 'UTC', shift: 0, align: 'utc' },
  { id: 'browser', name: `Local, ${own.replaceAll('_', ' ')}`, iana: own, shift: 0, align: own },
  { id: 'broker', name: 'Broker, NY + 7 h', iana: 'America/New_York', shift: 7 * HOUR, align: 'ny17' },
  { id: 'athens', name: 'Broker, Athens', iana: 'Europe/Athens', shift: 0, align: 'Europe/Athens' },
  { id: 'ny', name: 'New York', iana: 'America/New_York', shift: 0, align: 'ny17' },
];

export function zoneOf(id: string | null): Zone {
  return ZONES.find((zone) => zone.id === id) ?? ZONES[0]!;
}

/** Zones change their clocks on quarters of an hour, so an offset holds for one. */
const QUARTER = 15 * 60_000;
const clocks = new Map<string, { format: Intl.DateTimeFormat; offsets: Map<number, number> }>();

/** The time on a zone's clock, in the UTC fields of the date that is returned. */
export function wallClock({ iana, shift }: Zone, time: number): Date {
  if (iana === 'UTC') return new Date(time + shift);
  let clock = clocks.get(iana);
  if (!clock) clocks.set(iana, (clock = { format: formatOf(iana), offsets: new Map() }));
  const quarter = Math.floor(time / QUARTER);
  let offset = clock.offsets.get(quarter);
  if (offset === undefined) {
    const parts: Record<string, number> = {};
    const start = quarter * QUARTER;
    for (const { type, value } of clock.format.formatToParts(start)) parts[type] = Number(value);
    const { year, month, day, hour, minute, second } = parts;
    offset = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!) - start;
    clock.offsets.set(quarter, offset);
  }
  return new Date(time + offset + shift);
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
}

export const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const DAY_MINUTES = 1440;

/**
 * The opening time of a candle: `Fri 2025-08-01 14:30`. Days, weeks and months show the hour only if it is not midnight,
 * because in UTC a broker's day often opens on the evening before.
 */
export function openingTime(zone: Zone, time: number, minutes: number): string {
  const clock = wallClock(zone, time);
  const [date, rest] = clock.toISOString().split('T') as [string, string];
  const hour = rest.slice(0, 5);
  const shown = minutes >= DAY_MINUTES && hour === '00:00' ? '' : ` ${hour}`;
  return `${WEEKDAYS[clock.getUTCDay()]} ${date}${shown}`;
}

/** The moment at which a zone's clock shows midnight of a date such as `2025-08-01`. */
export function midnight(zone: Zone, date: string): number {
  const wanted = Date.parse(`${date}T00:00:00Z`);
  // The offset at the first guess may be that of the other side of a change of clocks; the second guess has the right one.
  let time = wanted;
  for (let guess = 0; guess < 2; guess++) time += wanted - wallClock(zone, time).getTime();
  return time;
}
