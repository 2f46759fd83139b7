// The types of the API in docs/openapi.json. `npm run types` writes this file; do not edit it.

/** One candle of an answer. */
export type Candle = {
  /** Last price of the period. */
  close: number;
  /** `false` on a candle that is still forming; absent on a closed one. */
  complete?: boolean;
  /** Highest price of the period. */
  high: number;
  /** Lowest price of the period. */
  low: number;
  /** First price of the period, with the digits it was posted with, or without trailing zeros if it was built. */
  open: number;
  /** When the candle opened, in epoch milliseconds. */
  timestamp: number;
  /** Ticks in the period. */
  volume: number;
};
/** The closed candles of a month in UTC. */
export type MonthCoverage = {
  candles: number;
  month: string;
};
/** One series, described by its closed candles. */
export type Series = {
  /**
   * With `stats=true`: everything that was stored by this time is counted, in epoch milliseconds; null if the series was not
   * counted yet, as are the other statistics then.
   */
  as_of?: number | null;
  /**
   * With `stats=true`: the bytes that their rows take if all of them are as large as the newest 100, without the index, free space and
   * compression by the database.
   */
  bytes?: number | null;
  /** With `stats=true`: the number of closed candles. */
  candles?: number | null;
  /** With `stats=true`: the months in UTC in which closed candles opened, in ascending order. */
  coverage?: MonthCoverage[] | null;
  /** Opening time of the oldest candle, in epoch milliseconds. */
  first: number;
  /** Opening time of the newest candle, in epoch milliseconds. */
  last: number;
  /**
   * Digits after the point that nearly all of the newest 100 candles need. If there are 3 or more candles, one in twenty
   * of them, and at least one, may have more.
   */
  price_precision: number;
  /** With `stats=true`: when the newest closed candle was stored, in epoch milliseconds; null too if the table does not keep it. */
  received?: number | null;
  symbol: string;
  timeframe: string;
};
/** The body of a problem. */
export type Problem = {
  /** The kind of the problem, for programs. */
  code: string;
  /** One sentence that says what to do. */
  detail: string;
  /** For 422: what is wrong with each value, the first 100. */
  errors?: Violation[];
  /** The request's id, as in the header `x-request-id` and in the log. */
  request_id: string;
  /** The HTTP status. */
  status: number;
  /** The status in words. */
  title: string;
  /** Always `about:blank`: `code` tells problems apart. */
  type: string;
};
/** One value of a request that was refused. */
export type Violation = {
  /** The path to the value: `body`, `query` or `header`, then field names and indexes. */
  loc: Step[];
  /** Says what is wrong with the value and what would be right. */
  msg: string;
  /** Stable name of the rule that was broken. */
  type: string;
};
/** A step on the way to a value. */
export type Step = string | number;
export type CandlesQuery = {
  symbol: string;
  timeframe: string;
  /** A shorter stored timeframe from which candles are built; minutes and hours have to be a multiple of it. */
  source?: string;
  /** The start of the days of built candles: `utc` (default), `ny17`, a zone such as `Europe/Athens`, an offset such as `+03:00`, or one of these with a time, such as `America/New_York@17:00`. Only with `source`. */
  align?: string;
  /**
   * Weekday of the trading date with which weeks of built candles begin; `monday` if absent. Only with `source`.
   * @enum {string}
   */
  week?: "monday" | "tuesday" | "wednesday" | "thursday" | "friday" | "saturday" | "sunday";
  /** First opening time: epoch seconds, epoch milliseconds (from 10^10, or by `unit`), RFC 3339, or a date for its midnight in UTC. */
  from?: number | string;
  /** Last opening time. */
  to?: number | string;
  /** Only candles before this time; not with `to` or `after`. */
  before?: number | string;
  /** Only candles after this time; not with `from` or `before`. */
  after?: number | string;
  /**
   * The unit of the times that are numbers: seconds or milliseconds.
   * @enum {string}
   */
  unit?: "s" | "ms";
  /** The maximum number of candles, up to `MAX_LIMIT`; 1000 if absent, or `MAX_LIMIT` if both `from` and `to` are given. Built candles have a lower bound, by the 2,000,000 stored candles from which one answer is built. */
  limit?: number;
};
export type SeriesQuery = {
  /** Only series of this symbol; may be repeated, up to 100 times. */
  symbol?: string[];
  timeframe?: string;
  /** The maximum number of series; 10000 if absent. */
  limit?: number;
  /** Only series after this one, `TIMEFRAME:SYMBOL`, which need not be stored. */
  after?: string;
  /**
   * `true` adds statistics to each series. They are counted in the background while somebody asks, so they are null at first, and `as_of` says how old they are.
   * @enum {string}
   */
  stats?: "true" | "false";
};
