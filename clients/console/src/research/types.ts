/** Answers of the routes of research, as far as the views read them. */

export type Value = number | string;
export type Values = Record<string, Value>;
/** Figures of a run by their names; one that is not defined is null. */
export type Figures = Record<string, number | null>;

export type Parameter = {
  name: string;
  type: 'int' | 'float' | 'choice';
  default: Value;
  /** Absent on a choice, as are `max` and `step`. */
  min?: number;
  max?: number;
  step?: number;
  options?: string[];
  about: string;
};

export type Strategy = {
  id: string;
  title: string;
  family: string;
  sides: string;
  about: string;
  source: string;
  parameters: Parameter[];
  constraints: string[];
  timeframes: string;
  indicators: string[];
};

export type StrategyDetails = Strategy & { warm_up: number; rules: string[]; terms: string[] };

export type Trade = {
  side: 'long' | 'short';
  entry_time: number;
  entry_price: number;
  exit_time: number;
  exit_price: number;
  quantity: number;
  profit: number;
  exit: string;
  bars: number;
};

export type BacktestResult = {
  strategy: string;
  parameters: Values;
  symbol: string;
  timeframe: string;
  bars: number;
  warmup_missing: number;
  from: number;
  to: number;
  as_of: number;
  fingerprint: string;
  gaps: number | null;
  metrics: Figures;
  conflicts: number;
  dropped: number;
  ruined: boolean;
  assumptions: string[];
  trades: Trade[];
  trades_omitted: number;
  /** Opening times, and the equity at the closes. */
  equity: [number, number][];
};

/** One of the best points of a search. */
export type Point = {
  rank: number;
  parameters: Values;
  objective: number | null;
  trades: number;
  in_sample: Figures;
  out_of_sample: Figures | null;
};

export type Progress = {
  done: number;
  total: number;
  items?: number;
  items_done: number;
  evaluations_per_second: number;
  remaining_s: number | null;
};

export type BestPoint = { item: number; parameters: Values; objective: number | null };

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

export type JobLine = {
  id: string;
  owner: string;
  name: string | null;
  state: JobState;
  position: number | null;
  created: number;
  started: number | null;
  finished: number | null;
  expires: number | null;
  progress: Progress;
  best: BestPoint[];
  warnings: string[];
  error: string | null;
};

export type JobItem = {
  item: number;
  strategy: string;
  symbol: string;
  timeframe: string;
  state: JobState;
  error?: string;
  bars?: number;
  from?: number;
  to?: number;
  trials?: number;
  evaluations?: number;
  winner?: Point;
  deflated_sharpe?: number | null;
  pbo?: number | null;
  stability?: number | null;
  /** The windows of a walk-forward run, with the figures of their joined curve. */
  walk_forward?: { efficiency: number | null; metrics: Figures } | null;
  warnings?: string[];
};

/** The request of a job with its defaults. */
export type JobRequest = {
  items: { strategy: string; symbol: string; timeframe: string; source?: string; align?: string; ranges?: Record<string, unknown> }[];
  method: string;
  objective: string;
  settings?: Record<string, unknown>;
};

export type Job = JobLine & { request: JobRequest; items: JobItem[] };

export type Results = { item: number; strategy: string; objective: string; kept: number; evaluations: number; results: Point[] };

export type Vote = {
  strategy: string;
  position: 'long' | 'short' | 'flat';
  order: string | null;
  bars_in_position: number;
  since: number | null;
};

export type Signal = {
  symbol: string;
  timeframe: string;
  candle: number;
  close: number;
  signal: 'buy' | 'sell' | 'hold';
  score: number;
  stale: boolean;
  votes: Vote[];
};

export type Signals = { as_of: number; signals: Signal[]; errors: { symbol: string; code: string }[] };
