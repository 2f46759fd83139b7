/** The session of this browser, which the service keeps in a cookie that no script can read. */
import { useCallback, useEffect, useState } from 'react';
import type { CandlewickError } from '../../web/lib/candlewick';
import { send, SIGNED_OUT } from './api';

export type Scope = 'read' | 'maintenance' | 'research';
export type Session = {
  scopes: Scope[];
  credentials: { scope: Scope; name: string; ends: number }[];
  /** True if a browser may sign in without a credential. */
  development: boolean;
};
/** The name of the key that a session has for a scope. */
export function keyOf({ credentials }: Session, scope: Scope): string | undefined {
  return credentials.find((it) => it.scope === scope)?.name;
}

export type Entry = { credential: string } | { development: true };

const ADDRESS = '/console/session';
/** Milliseconds between two attempts to reach the service. */
const INTERVAL = 3000;

export function useSession() {
  const [session, setSession] = useState<Session>();
  const [error, setError] = useState<CandlewickError>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const stay = new AbortController();
    const look = async () => {
      try {
        setSession(await (await send(ADDRESS, { signal: stay.signal })).json());
        setError(undefined);
      } catch (error) {
        if (stay.signal.aborted) return;
        setError(error as CandlewickError);
        timer = setTimeout(look, INTERVAL);
      }
    };
    void look();
    // A session ends when its credential changes, on any answer.
    const ended = () => {
      clearTimeout(timer);
      void look();
    };
    window.addEventListener(SIGNED_OUT, ended);
    return () => {
      clearTimeout(timer);
      window.removeEventListener(SIGNED_OUT, ended);
      stay.abort();
    };
  }, []);
  const signIn = useCallback(async (entry: Entry) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await send(ADDRESS, { method: 'POST', headers, body: JSON.stringify(entry) });
    setSession(await answer.json());
  }, []);
  const signOut = useCallback(async () => {
    await send(ADDRESS, { method: 'DELETE' });
    setSession(await (await send(ADDRESS)).json());
  }, []);
  return { session, error, signIn, signOut };
}
