/** The posts to the process that answers, since its start. */
import { useCallback } from 'react';
import { read, useAnswer, type Loaded } from './api';

export type Activity = {
  since: number;
  posters: {
    name: string;
    last_post: number;
    posts: number;
    refused_posts: number;
    records_added: number;
    records_duplicate: number;
    records_live: number;
    records_conflicting: number;
    last_refusal: { at: number; detail: string } | null;
  }[];
  series: { symbol: string; timeframe: string; poster: string; last_post: number; records_conflicting: number }[];
};

/** Milliseconds between two looks. */
const INTERVAL = 10_000;

export function useActivity(): Loaded<Activity> {
  return useAnswer(useCallback((signal: AbortSignal) => read<Activity>('activity', {}, signal), []), INTERVAL);
}
