/** A datafeed for charts that reads TradingView's Universal Data Feed (UDF) protocol, and knows no chart. */

/** A symbol and the period of its bars: a number of minutes, or `1D`. */
export type Shown = { symbol: string; resolution: string };
/** A bar, with its time in seconds. */
export type Bar = { time: number; open: number; high: number; low: number; close: number; volume: number };
/** A mark on the bar at `time` in seconds. */
export type Mark = { id: string; time: number; color: string; text: string; label: string };
/** The part of a symbol's description that a chart of one series needs. */
export type SymbolInfo = { ticker: string; description: string; pricescale: number; supported_resolutions: string[] };

type Configuration = { supported_resolutions: string[]; supports_marks: boolean };
type History =
  | { s: 'ok'; t: number[]; o: number[]; h: number[]; l: number[]; c: number[]; v: number[] }
  | { s: 'no_data'; nextTime?: number };
type Marks = { [column in keyof Mark]: Mark[column][] };

/** Later than every bar, in seconds. */
const EVER = 253_402_300_799;

export class Datafeed {
  readonly #base: string;
  readonly #interval: number;

  /** `base` is the address of the routes. The newest bars are asked for every `interval` milliseconds. */
  constructor(base: string, interval: number) {
    this.#base = base;
    this.#interval = interval;
  }

  /** Reads the abilities of the service. */
  config(): Promise<Configuration> {
    return this.#get('config', {});
  }

  /** Describes a symbol. */
  resolve(symbol: string): Promise<SymbolInfo> {
    return this.#get('symbols', { symbol });
  }

  /** The newest `count` bars before a time, oldest first. There are fewer only where the history begins. */
  async bars(shown: Shown, count: number, before = EVER): Promise<Bar[]> {
    const bars: Bar[] = [];
    for (let to = before; bars.length < count; ) {
      // An answer holds at most MAX_LIMIT bars, the newest of those that are asked for.
      const answer = await this.#get<History>('history', { ...shown, to, countback: count - bars.length });
      if (answer.s === 'ok') {
        const { t, o, h, l, c, v } = answer;
        bars.unshift(...t.map((time, i) => ({ time, open: o[i]!, high: h[i]!, low: l[i]!, close: c[i]!, volume: v[i]! })));
        to = bars[0]!.time;
      } else if (answer.nextTime !== undefined) {
        to = answer.nextTime + 1;
      } else break;
    }
    return bars;
  }

  /** The marks on the bars from one time to another, both inclusive. */
  async marks(shown: Shown, from: number, to = EVER): Promise<Mark[]> {
    const { id, time, color, text, label } = await this.#get<Marks>('marks', { ...shown, from, to });
    return id.map((id, i) => ({ id, time: time[i]!, color: color[i]!, text: text[i]!, label: label[i]! }));
  }

  /**
   * Hands over bars from the one at `newest` on, as they form and close, in the order of their times, until the returned function is
   * called. `look` is called before each look at the newest bars; those of a failed look are asked for again at the next.
   */
  follow(shown: Shown, newest: number, take: (bar: Bar) => void, look: () => Promise<void> = async () => {}): () => void {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout>;
    const poll = async () => {
      if (globalThis.document?.hidden) return;
      await look();
      // The last bar that was handed over may have closed since, so more are read until it is among them.
      let count = 2;
      let bars = await this.bars(shown, count);
      while (bars.length === count && bars[0]!.time > newest) bars = await this.bars(shown, (count *= 10));
      for (const bar of bars.filter(({ time }) => time >= newest)) {
        if (stopped) return;
        newest = bar.time;
        take(bar);
      }
    };
    const next = () => {
      timer = setTimeout(() => {
        void poll()
          .catch(() => {})
          .then(() => stopped || next());
      }, this.#interval);
    };
    next();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }

  async #get<Answer>(route: string, parameters: Record<string, string | number>): Promise<Answer> {
    const query = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)]));
    const response = await fetch(`${this.#base}/${route}?${query}`);
    const answer = await response.json();
    // Faults of the question are answers of the protocol; what else went wrong is a problem of the service.
    if (!response.ok) throw new Error(answer.detail ?? response.statusText);
    if (answer.s === 'error') throw new Error(answer.errmsg);
    return answer;
  }
}
