import { useEffect, useState } from 'react';
import { CandlewickError } from '../../../web/lib/candlewick';
import { API, read } from '../api';
import type { BestPoint, Job, JobState, Progress } from './types';

/** Milliseconds between two looks at a job whose events do not come. */
const INTERVAL = 1000;

export const isOver = (state: JobState) => state === 'done' || state === 'failed' || state === 'cancelled';

type Live = Progress & { best?: BestPoint | null };

/** A job with its progress: by the stream of its events, or by looking again and again where that does not come. */
export function useJob(id: string): { job?: Job; live?: Live; error?: CandlewickError } {
  const [known, setKnown] = useState<{ of: string; job?: Job; live?: Live; error?: CandlewickError }>({ of: id });
  useEffect(() => {
    const stay = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let state: JobState | undefined;
    const set = (changed: { job?: Job; live?: Live; error?: CandlewickError }) => {
      if (stay.signal.aborted) return;
      setKnown((known) => ({ ...(known.of === id ? known : { of: id }), error: undefined, ...changed }));
    };
    const load = async () => {
      try {
        const job = await read<Job>(`jobs/${id}`, {}, stay.signal);
        set({ job });
        state = job.state;
        return isOver(job.state);
      } catch (error) {
        if (stay.signal.aborted) return true;
        if (!(error instanceof CandlewickError)) throw error;
        set({ error });
        // Another answer cannot be expected of a job that is not known.
        return error.status === 404;
      }
    };
    const poll = async () => {
      if (!(await load()) && !stay.signal.aborted) timer = setTimeout(poll, INTERVAL);
    };
    const events = new EventSource(`${API}/jobs/${id}/events`);
    events.addEventListener('progress', ({ data }) => {
      set({ live: JSON.parse(data) });
      // No event says that a job has left the queue, but its first progress does.
      if (state === 'queued') void load();
    });
    events.addEventListener('item', () => void load());
    events.addEventListener('done', () => {
      events.close();
      void load();
    });
    events.addEventListener('error', () => {
      // A stream that broke comes back by itself; one that was refused does not.
      if (events.readyState === EventSource.CLOSED) void poll();
    });
    void load();
    return () => {
      stay.abort();
      events.close();
      clearTimeout(timer);
    };
  }, [id]);
  return known.of === id ? known : {};
}
