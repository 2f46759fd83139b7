import { useCallback, useMemo } from 'react';
import { addressOf, go } from '../address';
import { addressOf as routeOf, read, send, useAnswer } from '../api';
import { counted } from '../format';
import { Link } from '../link';
import type { ViewProps } from '../main';
import { Problem } from '../problem';
import { Options } from './fields';
import { rangeInWords } from './parameters';
import { PineText } from './pine-text';
import { FAMILIES, FIRST_STRATEGY, useStrategies } from './series';
import type { Strategy, StrategyDetails } from './types';

const SIDES: Record<string, string> = { long_short: 'long and short', long: 'long only', short: 'short only' };

export function StrategiesPage({ query }: ViewProps) {
  const { answer: strategies, error } = useStrategies();
  const [id, text, family] = [query.get('id') ?? FIRST_STRATEGY, query.get('q') ?? '', query.get('family') ?? ''];
  const addressWith = (changed: Record<string, string | undefined>) => addressOf('strategies', { ...Object.fromEntries(query), ...changed });
  const found = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    const has = (it: Strategy) => `${it.id} ${it.title} ${it.about} ${it.indicators.join(' ')}`.toLowerCase().includes(wanted);
    return (strategies ?? []).filter((it) => (!family || it.family === family) && has(it));
  }, [strategies, text, family]);
  const families = useMemo(() => {
    const known = [...new Set((strategies ?? []).map((it) => it.family))];
    return { '': 'All families', ...Object.fromEntries(known.map((it) => [it, FAMILIES[it] ?? it])) };
  }, [strategies]);
  if (!strategies) return error ? <Problem error={error} /> : <p role="status">Loading …</p>;
  return (
    <section className="view research">
      <header className="view-head">
        <h1>Strategies</h1>
        <input
          type="search"
          aria-label="Find"
          placeholder="Find a strategy or an indicator"
          value={text}
          onChange={({ target }) => go(addressWith({ q: target.value || undefined }), true)}
        />
        <span className="fields bare">
          <Options name="Family" value={family} options={families} onPick={(family) => go(addressWith({ family: family || undefined }), true)} />
        </span>
        <p className="muted">{counted(found.length, 'strategy', 'strategies')}</p>
      </header>
      <div className="catalogue">
        <nav className="strategy-list" aria-label="Strategies">
          {found.map((it) => (
            <Link key={it.id} href={addressWith({ id: it.id })} aria-current={it.id === id ? 'true' : undefined}>
              <b>{it.title}</b>
              <span className="muted">{it.about}</span>
            </Link>
          ))}
          {found.length === 0 && <p>No strategy has this text.</p>}
        </nav>
        <Details id={id} />
      </div>
    </section>
  );
}

function Details({ id }: { id: string }) {
  const { answer: strategy, error } = useAnswer(useCallback((signal: AbortSignal) => read<StrategyDetails>(`strategies/${encodeURIComponent(id)}`, {}, signal), [id]));
  const load = useCallback(async (signal: AbortSignal) => (await send(routeOf(`strategies/${encodeURIComponent(id)}/pine`), { signal })).text(), [id]);
  const pine = useAnswer(load);
  if (!strategy) return <div className="strategy">{error ? <Problem error={error} /> : <p role="status">Loading …</p>}</div>;
  const { title, family, sides, about, source, rules, terms, parameters, constraints, warm_up, timeframes } = strategy;
  return (
    <article className="strategy" aria-label={title}>
      <header className="strategy-head">
        <h2>{title}</h2>
        <span className="badge">{FAMILIES[family] ?? family}</span>
        <span className="muted">{SIDES[sides] ?? sides}</span>
        <span className="actions">
          <Link className="primary" href={addressOf('backtest', { strategy: id })}>
            Test it
          </Link>
          <Link className="secondary" href={addressOf('optimize', { strategy: id })}>
            Optimize it
          </Link>
        </span>
      </header>
      <p>{about}</p>
      <p className="muted">
        {source}. Its indicators should see {counted(warm_up, 'candle')} before the first trade.
        {timeframes === 'intraday' && ' It reads the hour, so that it needs candles below a day.'}
      </p>
      <div className="side-by-side">
        <div>
          <h3>Rules</h3>
          <ul className="sentences">
            {rules.map((rule) => (
              <li key={rule}>{rule}</li>
            ))}
          </ul>
          {terms.length > 0 && (
            <>
              <h3>Names in the rules</h3>
              <ul className="sentences">
                {terms.map((term) => (
                  <li key={term}>{term}</li>
                ))}
              </ul>
            </>
          )}
          <h3>Parameters</h3>
          <div className="scroll" tabIndex={0} role="region" aria-label="Parameters">
            <table>
              <thead>
                <tr>
                  <th>Name</th>
                  <th className="number">Usual</th>
                  <th className="number">Range</th>
                  <th>Meaning</th>
                </tr>
              </thead>
              <tbody>
                {parameters.map((it) => (
                  <tr key={it.name}>
                    <td>
                      <code>{it.name}</code>
                    </td>
                    <td className="number">{it.default}</td>
                    <td className="number">{rangeInWords(it)}</td>
                    <td className="reason">{it.about}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {constraints.length > 0 && (
            <p className="muted">
              It holds that <code>{constraints.join(' and ')}</code>.
            </p>
          )}
        </div>
        <div>
          <h3>Pine script for TradingView</h3>
          {pine.error && <Problem error={pine.error} />}
          {pine.answer !== undefined && <PineText key={id} text={pine.answer} />}
        </div>
      </div>
    </article>
  );
}
