import { useId, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import type { Series } from '../lib/candlewick';
import { matching, timeframesOf } from './choice';

/** The maximum number of symbols in the list, because a browser needs seconds to lay out tens of thousands. */
const MAX_LISTED_SYMBOLS = 100;

/** The symbol on the chart, and a search for another one. */
export function SymbolSearch(props: { series: Series[]; symbol: string; onPick: (symbol: string) => void }) {
  const { series, symbol, onPick } = props;
  const [typed, setTyped] = useState<string>();
  const [at, setAt] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  const symbols = useMemo(() => [...new Set(series.map((it) => it.symbol))], [series]);
  const open = typed !== undefined;
  const found = useMemo(() => (open ? matching(symbols, typed) : []), [symbols, typed, open]);
  const listed = found.slice(0, MAX_LISTED_SYMBOLS);

  const close = () => setTyped(undefined);
  const pick = (picked: string) => {
    close();
    input.current?.blur();
    onPick(picked);
  };
  const press = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    if (step) {
      event.preventDefault();
      const next = Math.min(Math.max(at + step, 0), listed.length - 1);
      setAt(next);
      document.getElementById(`${list}-${next}`)?.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'Escape') {
      close();
      input.current?.blur();
    } else if (event.key === 'Enter') {
      // A symbol that is not listed may be stored all the same, because the list is limited.
      const wanted = typed?.trim();
      const picked = (at > 0 ? listed[at] : symbols.find((it) => it === wanted)) ?? listed[at] ?? wanted;
      if (picked) pick(picked);
    }
  };

  return (
    <div className="symbol-search">
      <input
        ref={input}
        className="symbol"
        type="text"
        role="combobox"
        aria-label="Symbol"
        aria-expanded={open}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={open && listed.length > 0 ? `${list}-${at}` : undefined}
        autoComplete="off"
        spellCheck={false}
        size={Math.max(6, Math.min(14, (typed ?? symbol).length + 1))}
        placeholder={symbol}
        value={typed ?? symbol}
        onFocus={(event) => {
          setAt(0);
          setTyped('');
          event.target.select();
        }}
        onChange={(event) => {
          setAt(0);
          setTyped(event.target.value);
        }}
        onBlur={close}
        onKeyDown={press}
      />
      <ul id={list} role="listbox" aria-label="Symbols" hidden={!open}>
        {listed.map((it, i) => (
          <li
            key={it}
            id={`${list}-${i}`}
            role="option"
            aria-selected={i === at}
            // Before the input loses the focus, which closes the list.
            onPointerDown={(event) => {
              event.preventDefault();
              pick(it);
            }}
          >
            <b>{it}</b> <span className="muted">{timeframesOf(series, it).join(' ')}</span>
          </li>
        ))}
        {open && found.length > listed.length && (
          <li className="muted" role="presentation">
            … and {found.length - listed.length} more; type a part of the name
          </li>
        )}
        {open && found.length === 0 && (
          <li className="muted" role="presentation">
            No stored symbol contains this; Enter shows it all the same
          </li>
        )}
      </ul>
    </div>
  );
}
