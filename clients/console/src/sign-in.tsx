import { useState, type FormEvent } from 'react';
import type { CandlewickError } from '../../web/lib/candlewick';
import type { Entry, Session } from './session';

/** Asks for a key. `needed` says why, if one key is entered already. */
export function SignIn(props: { session: Session; signIn: (entry: Entry) => Promise<void>; needed?: string }) {
  const { session, signIn, needed } = props;
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const enter = async (entry: Entry) => {
    setBusy(true);
    setError(undefined);
    try {
      await signIn(entry);
    } catch (error) {
      setError((error as CandlewickError).detail);
    }
    setBusy(false);
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const field = event.currentTarget.elements.namedItem('credential') as HTMLInputElement;
    void enter({ credential: field.value.trim() });
    field.value = '';
  };
  return (
    <form className="sign-in card" onSubmit={submit}>
      <h1>{needed ?? 'Sign in'}</h1>
      {!window.isSecureContext && (
        <p className="error">
          This page came over plain HTTP from another machine, and browsers then do not say which page sends a request. The console
          needs HTTPS, or localhost.
        </p>
      )}
      {session.development && (
        <>
          <p>This service runs in development, so a browser on this machine needs no key.</p>
          <button className="primary" type="button" disabled={busy} onClick={() => enter({ development: true })}>
            Open everything
          </button>
          <p className="or muted">or with a key</p>
        </>
      )}
      <label htmlFor="credential">Read token, maintenance key or research key</label>
      <input id="credential" name="credential" type="password" autoComplete="current-password" required />
      {error && (
        <p className="error" role="alert">
          {error}
        </p>
      )}
      <button className={session.development ? 'secondary' : 'primary'} disabled={busy}>
        Sign in
      </button>
      <p className="muted">
        A read token (<code>INTERNAL_API_TOKEN</code>) shows everything. A maintenance key (<code>MAINTENANCE_KEY</code>) corrects and
        deletes as well, and a research key (<code>RESEARCH_API_KEY</code>) starts optimizations. A service that made its keys itself wrote them to{' '}
        <code>candlewick.keys</code>.
      </p>
    </form>
  );
}
