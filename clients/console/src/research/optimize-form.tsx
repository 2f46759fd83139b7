import { useMemo, useState } from 'react';
import { CandlewickError } from '../../../web/lib/candlewick';
import { addressOf, go } from '../address';
import { addressOf as routeOf, send } from '../api';
import { counted } from '../format';
import { Link } from '../link';
import type { ViewProps } from '../main';
import { Problem } from '../problem';
import { SignIn } from '../sign-in';
import { NumberField, SelectField } from './fields';
import { OBJECTIVES } from './figures';
import { combinationsOf, noRanges, rangesBody, rangesOf, RangeTable } from './ranges';
import { FIRST_STRATEGY, SeriesChoice, seriesBody, spanBody, StrategyChoice, useStrategies, useTested } from './series';
import { bodyOf, numeric, settingsOf } from './settings';
import { SettingsFields } from './settings-fields';

const METHODS = {
  genetic: 'Genetic',
  tpe: 'Bayesian (TPE)',
  sobol: 'Spread evenly (Sobol)',
  latin_hypercube: 'Latin hypercube',
  random: 'Random',
  grid: 'Every combination',
};
const KEPT = {
  'forward:0.25': 'the newest quarter',
  'forward:0.5': 'the newest half',
  'walk_forward:4000:1000': 'walk forward, 4,000 then 1,000',
  'walk_forward:1000:250': 'walk forward, 1,000 then 250',
  none: 'nothing',
};
/** The points that a search tries. Half of the service's default answers twice as fast. */
const EVALUATIONS = '1000';
const MIN_TRADES = '30';

type Props = ViewProps & { onStarted: (id: string) => void };

export function OptimizeForm({ query, session, signIn, onStarted }: Props) {
  const strategies = useStrategies();
  const series = useTested(query);
  const { tested } = series;
  const [error, setError] = useState<CandlewickError>();
  const [busy, setBusy] = useState(false);
  const id = query.get('strategy') ?? FIRST_STRATEGY;
  const strategy = strategies.answer?.find((it) => it.id === id);
  const settings = useMemo(() => settingsOf(query), [query.toString()]);
  const ranges = useMemo(() => rangesOf(query, strategy?.parameters ?? []), [query.toString(), strategy]);
  const [method, objective, kept, most, least] = [
    query.get('method') ?? 'genetic',
    query.get('objective') ?? 'sharpe',
    query.get('kept') ?? 'forward:0.25',
    query.get('most') ?? EVALUATIONS,
    query.get('least') ?? MIN_TRADES,
  ];
  const change = (changed: Record<string, string | undefined>) => go(addressOf('optimize', { ...Object.fromEntries(query), ...changed }), true);
  const mayStart = session.scopes.includes('research');
  const combinations = combinationsOf(ranges);
  const start = async () => {
    setBusy(true);
    setError(undefined);
    const request = {
      name: `${id} ${tested!.symbol} ${tested!.timeframe}`.slice(0, 100),
      items: [{ strategy: id, ...seriesBody(tested!), ranges: rangesBody(ranges) }],
      method,
      objective,
      max_evaluations: numeric(most),
      min_trades: numeric(least),
      out_of_sample: keptBody(kept),
      settings: bodyOf(settings),
      ...spanBody(tested!),
    };
    try {
      const answer = await send(routeOf('optimizations'), { method: 'POST', body: JSON.stringify(request) });
      const { id } = await answer.json();
      onStarted(id);
    } catch (error) {
      if (!(error instanceof CandlewickError)) throw error;
      setError(error);
      setBusy(false);
    }
  };
  return (
    <>
      {!mayStart && <SignIn session={session} signIn={signIn} needed="A search takes a research key" />}
      {series.error && <Problem error={series.error} />}
      {strategies.error && <Problem error={strategies.error} />}
      {series.isLoaded && !tested && <p>Nothing is stored yet. A search needs closed candles.</p>}
      {tested && strategies.answer && (
        <form
          className="card task"
          onSubmit={(event) => {
            event.preventDefault();
            void start();
          }}
        >
          <div className="fields">
            <StrategyChoice strategies={strategies.answer} value={id} onPick={(strategy) => change({ ...noRanges(query), strategy })} />
            <SeriesChoice {...series} onChange={change} />
          </div>
          {strategy && (
            <>
              <p className="about">
                {strategy.about} <Link href={addressOf('strategies', { id })}>Rules and Pine script</Link>
                {strategy.constraints.length > 0 && <span className="muted"> It holds that {strategy.constraints.join(' and ')}.</span>}
              </p>
              <RangeTable ranges={ranges} onChange={change} />
            </>
          )}
          <div className="fields">
            <SelectField label="Best by" value={objective} options={OBJECTIVES} onPick={(objective) => change({ objective })} />
            <SelectField label="Method" value={method} options={METHODS} onPick={(method) => change({ method })} />
            <NumberField label="Tries at most" value={most} onCommit={(most) => change({ most })} />
            <NumberField label="Trades at least" title="Points with fewer trades rank below all others" value={least} onCommit={(least) => change({ least })} />
            <SelectField
              label="Kept from the search"
              title="The candles on which the best points are tried afterwards. They show how the winner does on candles that it was not chosen by."
              value={kept}
              options={KEPT}
              onPick={(kept) => change({ kept })}
            />
          </div>
          <SettingsFields settings={settings} onChange={change} />
          <div className="actions">
            <button className="primary" disabled={busy || !mayStart}>
              Start the search
            </button>
            <span className="muted">{planOf(combinations, method, most)}</span>
          </div>
          {error && <Problem error={error} />}
        </form>
      )}
    </>
  );
}

function planOf(combinations: number, method: string, most: string): string {
  const all = counted(combinations, 'combination');
  if (method !== 'grid') return `${all}, of which at most ${Number(most).toLocaleString('en-GB')} are tried.`;
  return combinations <= Number(most) ? `${all}; all are tried.` : `${all}, which are more than may be tried. Choose larger steps, smaller ranges or another method.`;
}

/** `out_of_sample` of a request. */
function keptBody(kept: string): unknown {
  const [kind, one, other] = kept.split(':');
  if (kind === 'forward') return { forward: Number(one) };
  if (kind === 'walk_forward') return { walk_forward: { in: Number(one), out: Number(other), anchored: false } };
  return null;
}
