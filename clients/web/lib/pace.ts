import type { CandlewickError } from './errors.ts';

/** The maximum pause between two attempts, in milliseconds, unless the service asks for a longer one. */
export const LONGEST_PAUSE = 30_000;

/** The pause between two requests, which grows after every failure and is at least as long as the service asks for. */
export class Pace {
  readonly #interval: number;
  #failures = 0;
  #pause: number;

  constructor(interval: number) {
    this.#interval = interval;
    this.#pause = interval;
  }

  /** The length of the next pause in milliseconds. */
  get pause(): number {
    return this.#pause;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pause = this.#interval;
  }

  failed({ status, retryAfter = 0 }: CandlewickError): void {
    this.#failures += 1;
    // More attempts do not help a refused token, and the service locks out a client that makes more than ten a minute.
    const refused = status === 401 || status === 403;
    const pause = refused ? LONGEST_PAUSE : Math.min(this.#interval * 2 ** this.#failures, LONGEST_PAUSE);
    this.#pause = Math.max(pause, retryAfter * 1000);
  }

  /** Resolves after the pause, once the page is visible, or at once when the signal aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return sleep(this.#pause, signal);
  }
}

/** Resolves after `milliseconds`, once the page is visible, or at once when the signal aborts. */
export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const listeners = new AbortController();
    const end = () => {
      clearTimeout(timer);
      listeners.abort();
      resolve();
    };
    const timer = setTimeout(() => {
      if (!globalThis.document?.hidden) return end();
      document.addEventListener('visibilitychange', end, { signal: listeners.signal });
    }, milliseconds);
    signal.addEventListener('abort', end, { signal: listeners.signal });
  });
}
