/** Chooses the labels of the time axis, and the candles at which a day, a month or a year begins. */
import { MONTHS, wallClock, type Zone } from './zones';

export type Tick = { index: number; x: number; text: string };

/** The minutes of a day, and of the steps into which an axis divides it, longest first. */
const DAY = 1440;
const STEPS = [720, 360, 180, 60, 30, 15, 5, 1];

/** Numbers a clock's years, months, weeks, days and parts of days; a candle with another number than its neighbour begins one. */
const LEVELS: ((clock: Date) => number)[] = [
  (clock) => Math.floor(clock.getUTCFullYear() / 10),
  (clock) => Math.floor(clock.getUTCFullYear() / 5),
  (clock) => clock.getUTCFullYear(),
  (clock) => Math.floor(clock.getUTCMonth() / 3),
  (clock) => clock.getUTCMonth(),
  // 1970-01-05 was a Monday.
  (clock) => Math.floor((clock.getTime() / 86_400_000 - 4) / 7),
  (clock) => Math.floor(clock.getTime() / 86_400_000),
  ...STEPS.map((step) => (clock: Date) => Math.floor((clock.getTime() / 60_000) / step)),
];
const [YEAR, MONTH, WEEK, DAYS] = [2, 4, 5, 6];

/** The first level that begins between two candles; `undefined` if they open in the same minute. */
export function levelBetween(zone: Zone, before: number, time: number): number | undefined {
  const [one, other] = [wallClock(zone, before), wallClock(zone, time)];
  const level = LEVELS.findIndex((number) => number(one) !== number(other));
  return level < 0 ? undefined : level;
}

/** The candles in view: their opening times, and where they are. */
export type View = {
  times: (index: number) => number | undefined;
  from: number;
  to: number;
  x: (index: number) => number;
  /** The width of the axis in pixels. */
  width: number;
  /** The minutes of the timeframe. */
  minutes: number;
};

/** The width of a character of a label, and the space between two labels, in pixels. */
const CHARACTER = 6.6;
const SPACE = 22;

/**
 * The labels of an axis: the largest units that begin in view, then smaller ones while they fit. One of them names the year.
 */
export function axisTicks(zone: Zone, view: View): Tick[] {
  const { times, from, to, x, minutes } = view;
  const levels = new Map<number, number[]>();
  for (let index = Math.max(1, from); index < to; index++) {
    const [before, time] = [times(index - 1), times(index)];
    if (before === undefined || time === undefined) continue;
    const level = levelBetween(zone, before, time);
    if (level === undefined) continue;
    const known = levels.get(level);
    if (known) known.push(index);
    else levels.set(level, [index]);
  }
  const placed: Tick[] = [];
  for (let level = 0; level < LEVELS.length; level++) {
    const candidates = (levels.get(level) ?? []).map((index) => {
      return { index, x: x(index), text: labelOf(wallClock(zone, times(index)!), level, minutes) };
    });
    const fitting = candidates.filter((tick) => isFree(placed, tick));
    // A level of which most labels would be left out looks irregular, so the axis stops before it.
    if (placed.length > 0 && (fitting.length * 2 < candidates.length || !mostFit(fitting))) break;
    for (const tick of fitting) if (isFree(placed, tick)) placed.push(tick);
  }
  const whole = placed.filter((tick) => isWhole(tick, view.width)).sort((one, other) => one.x - other.x);
  return withYear(whole.length > 0 ? whole : onlyOne(zone, view), zone, view);
}

/** A label for candles among which nothing begins, such as a single one: the date of the last that has room for it. */
function onlyOne(zone: Zone, { times, from, to, x, width }: View): Tick[] {
  for (let index = to - 1; index >= from; index--) {
    const time = times(index);
    if (time === undefined) continue;
    const tick = { index, x: x(index), text: dateOf(wallClock(zone, time)) };
    if (isWhole(tick, width)) return [tick];
  }
  return [];
}

function dateOf(clock: Date): string {
  return `${clock.getUTCDate()} ${MONTHS[clock.getUTCMonth()]} ${clock.getUTCFullYear()}`;
}

function labelOf(clock: Date, level: number, minutes: number): string {
  const month = MONTHS[clock.getUTCMonth()]!;
  if (level <= YEAR) return minutes < DAY ? dateOf(clock) : String(clock.getUTCFullYear());
  if (level <= MONTH && minutes >= DAY) return month;
  if (level <= DAYS) return `${clock.getUTCDate()} ${month}`;
  return clock.toISOString().slice(11, 16);
}

/** The minimum width of an axis on which a label has date and time, in pixels. */
const MIN_DATED = 480;

/** Gives a label the year, or the date with it, if no label has one: preferably the first that is a date. */
function withYear(ticks: Tick[], zone: Zone, view: View): Tick[] {
  if (ticks.some(({ text }) => /\d{4}/.test(text))) return ticks;
  const isTime = ({ text }: Tick) => text.includes(':');
  for (const tick of [...ticks.filter((it) => !isTime(it)), ...ticks.filter(isTime)]) {
    const date = dateOf(wallClock(zone, view.times(tick.index)!));
    const text = isTime(tick) && view.width >= MIN_DATED ? `${date}, ${tick.text}` : date;
    const dated = { ...tick, text };
    if (!isWhole(dated, view.width)) continue;
    // A label of the same day without the year would say it twice.
    const others = ticks.filter((it) => it !== tick && isFree([dated], it) && !date.startsWith(`${it.text} `));
    return [dated, ...others].sort((one, other) => one.x - other.x);
  }
  return ticks;
}

const widthOf = (tick: Tick) => tick.text.length * CHARACTER;

function isFree(placed: Tick[], tick: Tick): boolean {
  return placed.every((it) => Math.abs(it.x - tick.x) >= (widthOf(it) + widthOf(tick)) / 2 + SPACE);
}

function mostFit(ticks: Tick[]): boolean {
  const apart = ticks.slice(1).filter((tick, i) => isFree([ticks[i]!], tick)).length;
  return apart * 2 >= ticks.length - 1;
}

/** Leaves out labels that the edge of the axis would cut. */
function isWhole(tick: Tick, width: number): boolean {
  return tick.x - widthOf(tick) / 2 >= 0 && tick.x + widthOf(tick) / 2 <= width;
}

/** The minimum distance of two lines between days, months or years, in pixels. */
const LINE_SPACE = 36;

/** The candles in view before which a line is drawn: the first of each day or, in longer timeframes, of each month or year. */
export function dividers(zone: Zone, view: View): number[] {
  const { times, from, to, x, minutes } = view;
  const finest = minutes < DAY ? DAYS : minutes < 7 * DAY ? MONTH : YEAR;
  const found: { index: number; level: number }[] = [];
  for (let index = Math.max(1, from); index < to; index++) {
    const [before, time] = [times(index - 1), times(index)];
    if (before === undefined || time === undefined) continue;
    const level = levelBetween(zone, before, time);
    if (level !== undefined && level <= finest) found.push({ index, level });
  }
  for (const level of [DAYS, WEEK, MONTH, YEAR]) {
    if (level > finest) continue;
    const lines = found.filter((it) => it.level <= level).map((it) => it.index);
    const distances = lines.slice(1).map((index, i) => x(index) - x(lines[i]!));
    const total = distances.reduce((sum, distance) => sum + distance, 0);
    if (lines.length < 2 || total / distances.length >= LINE_SPACE) return lines;
  }
  return [];
}
