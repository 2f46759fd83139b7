/** Finds the places of a chart at which candles are missing. */
import { wallClock, zoneOf } from './zones';

const MINUTE = 60_000;
const DAY = 86_400_000;
/** A pause that comes at the same time of day this often is the market's, and not a gap. */
const MIN_PAUSES = 3;

/**
 * The opening times of candles before which others are missing, with the number of periods in between. Weekends do not count, and neither do
 * pauses that come every day, nor the one after New York's close, in which many markets pause.
 */
export function breaksIn(candles: { timestamp: number }[], minutes: number): Map<number, number> {
  const period = minutes * MINUTE;
  const found: { index: number; from: number; missing: number }[] = [];
  for (let index = 1; index < candles.length; index++) {
    const [before, time] = [candles[index - 1]!.timestamp, candles[index]!.timestamp];
    const missing = Math.round((time - before) / period) - 1;
    // Days and months have different lengths, and weeks may begin on another day after a holiday.
    if (missing < 1 || (minutes > 1440 && missing < 2) || spansWeekend(before, time, period)) continue;
    if (minutes < 1440 && isRollover(before + period, time)) continue;
    found.push({ index, from: before + period, missing });
  }
  const pauses = new Map<number, number>();
  const timeOfDay = (time: number) => Math.floor((time % DAY) / (30 * MINUTE));
  for (const { from } of found) pauses.set(timeOfDay(from), (pauses.get(timeOfDay(from)) ?? 0) + 1);
  const days = (candles.at(-1)?.timestamp ?? 0) / DAY - (candles[0]?.timestamp ?? 0) / DAY;
  const isPause = (from: number) => {
    const count = pauses.get(timeOfDay(from))!;
    return minutes < 1440 && count >= MIN_PAUSES && count >= days / 3;
  };
  return new Map(found.filter(({ from }) => !isPause(from)).map((it) => [candles[it.index]!.timestamp, it.missing]));
}

/** Returns whether candles are missing only from Friday evening to Monday: at most four days with a Saturday among them. */
function spansWeekend(before: number, time: number, period: number): boolean {
  const [from, to] = [before + period, time];
  if (to - from > 4 * DAY) return false;
  // 1970-01-03 was a Saturday. Noon of a Saturday in UTC is one everywhere markets are.
  const noon = 2.5 * DAY;
  const saturday = Math.ceil((from - noon) / (7 * DAY)) * 7 * DAY + noon;
  return period >= DAY ? to - from <= 3 * DAY && saturday < to : saturday < to;
}

const HOUR = 60 * MINUTE;
const NEW_YORK = zoneOf('ny');

/** Returns whether candles are missing only around 17:00 in New York, where trading days end: from 16:00 to 18:30 at most. */
function isRollover(from: number, to: number): boolean {
  const day = wallClock(NEW_YORK, from).getTime() % DAY;
  return day >= 16 * HOUR && day <= 17.5 * HOUR && day + (to - from) <= 18.5 * HOUR;
}
