/** The candles of a series that a chart holds. */
import type { Candle } from './api.ts';

/** The changes that new candles made. */
export type Changes = {
  /** Candles that are newer than all that were there. */
  added: Candle[];
  /** Candles that were there and have other values now. */
  changed: Candle[];
  /** True if candles came or went before the newest one. */
  isReshaped: boolean;
};

/** The number of candles for which it is known when the live stream changed them last. */
const REMEMBERED = 64;

export class LoadedCandles {
  /** Ascending. Candles change in place, so that a chart that holds the same objects shows the change. */
  #candles: Candle[] = [];
  /** Counts the live changes. */
  #moment = 0;
  /** When the live stream changed a candle last. A page that was asked for before that may hold an older state. */
  readonly #changedAt = new Map<number, number>();

  get candles(): readonly Candle[] {
    return this.#candles;
  }

  /** The moment before a request, for `merge` and `replace`. */
  get moment(): number {
    return this.#moment;
  }

  begin(candles: Candle[]): void {
    this.#candles = [...candles];
  }

  prepend(candles: Candle[]): void {
    this.#candles = [...candles, ...this.#candles];
  }

  /** Notes that the live stream sent `candle`. */
  touch({ timestamp }: Candle): void {
    this.#changedAt.delete(timestamp);
    this.#changedAt.set(timestamp, ++this.#moment);
    if (this.#changedAt.size > REMEMBERED) this.#changedAt.delete(this.#changedAt.keys().next().value!);
  }

  /** Puts in candles that were asked for at `moment`. Those before the first one that is loaded are dropped. */
  merge(candles: Candle[], moment = this.#moment): Changes {
    const changes: Changes = { added: [], changed: [], isReshaped: false };
    for (const candle of candles) {
      if (this.#isKnownSince(candle.timestamp, moment)) continue;
      const index = this.#candles.findLastIndex(({ timestamp }) => timestamp <= candle.timestamp);
      const known = this.#candles[index];
      if (known?.timestamp === candle.timestamp) {
        if (assign(known, candle)) changes.changed.push(known);
      } else if (index === this.#candles.length - 1) {
        this.#candles.push(candle);
        changes.added.push(candle);
      } else if (index >= 0) {
        this.#candles.splice(index + 1, 0, candle);
        changes.isReshaped = true;
      }
    }
    return changes;
  }

  /** Puts `candles` in the place of those that opened from `from` to `to`; they were asked for at `moment`. */
  replace(from: number, to: number, candles: Candle[], moment: number): Changes {
    const times = new Set(candles.map(({ timestamp }) => timestamp));
    const stays = ({ timestamp }: Candle) =>
      timestamp < from || timestamp > to || times.has(timestamp) || this.#isKnownSince(timestamp, moment);
    const count = this.#candles.length;
    this.#candles = this.#candles.filter(stays);
    const isShorter = this.#candles.length < count;
    const changes = this.merge(candles, moment);
    return { ...changes, isReshaped: changes.isReshaped || isShorter };
  }

  #isKnownSince(timestamp: number, moment: number): boolean {
    return (this.#changedAt.get(timestamp) ?? 0) > moment;
  }
}

/** Gives `known` the values of `candle`. Returns true if they were others. */
function assign(known: Candle, candle: Candle): boolean {
  const isEqual = (Object.keys({ ...known, ...candle }) as (keyof Candle)[]).every((it) => known[it] === candle[it]);
  if (isEqual) return false;
  delete known.complete;
  Object.assign(known, candle);
  return true;
}
