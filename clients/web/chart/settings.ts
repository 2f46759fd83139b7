import { useCallback, useState } from 'react';

/** The settings of a reader's charts, which the browser keeps. */
export type Settings = { zone: string; studies: string[]; log: boolean };

const KEY = 'candlewick-chart';
const USUAL: Settings = { zone: 'utc', studies: ['volume'], log: false };

function stored(): Settings {
  try {
    return { ...USUAL, ...JSON.parse(localStorage.getItem(KEY) ?? '{}') };
  } catch {
    // The browser may forbid it, and another page of this address may have written something else.
    return USUAL;
  }
}

export function useSettings(): [Settings, (changed: Partial<Settings>) => void] {
  const [settings, setSettings] = useState(stored);
  const change = useCallback((changed: Partial<Settings>) => {
    setSettings((known) => {
      const next = { ...known, ...changed };
      try {
        localStorage.setItem(KEY, JSON.stringify(next));
      } catch {
        // Then they last as long as the page.
      }
      return next;
    });
  }, []);
  return [settings, change];
}
