/** The address of a view: its path below /console/ and its parameters. */
import { useSyncExternalStore } from 'react';

const CHANGED = 'candlewick-address';

function subscribe(changed: () => void): () => void {
  window.addEventListener('popstate', changed);
  window.addEventListener(CHANGED, changed);
  return () => {
    window.removeEventListener('popstate', changed);
    window.removeEventListener(CHANGED, changed);
  };
}

/** The view that the address names, and its parameters. */
export function useAddress(): { view: string; query: URLSearchParams } {
  const address = useSyncExternalStore(subscribe, () => window.location.pathname + window.location.search);
  const [path, search] = address.split('?') as [string, string?];
  const view = path.replace(/^\/(console\/?)?/, '').replace(/\/$/, '');
  return { view: view || 'chart', query: new URLSearchParams(search) };
}

/** The address of a view; parameters without a value are left out. */
export function addressOf(view: string, query: Record<string, string | undefined> = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const search = new URLSearchParams(given).toString();
  return `/console/${view}${search && `?${search}`}`;
}

/** Shows another view, or with `replace` gives the present one another address. */
export function go(address: string, replace = false): void {
  if (address === window.location.pathname + window.location.search) return;
  window.history[replace ? 'replaceState' : 'pushState'](null, '', address);
  window.dispatchEvent(new Event(CHANGED));
}
