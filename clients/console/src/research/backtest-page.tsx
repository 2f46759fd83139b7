import { useMemo } from 'react';
import { addressOf, go } from '../address';
import { counted } from '../format';
import { Link } from '../link';
import type { ViewProps } from '../main';
import { Problem } from '../problem';
import { BacktestReport } from './backtest-report';
import { noValues, ParameterFields, valuesOf } from './parameters';
import { chosenIn, FIRST_STRATEGY, SeriesChoice, seriesBody, spanBody, StrategyChoice, useStrategies, useTested } from './series';
import { bodyOf, changedSettings, settingsOf } from './settings';
import { SettingsFields } from './settings-fields';
import { useBacktest } from './use-backtest';

export function BacktestPage({ query }: ViewProps) {
  const strategies = useStrategies();
  const series = useTested(query);
  const { tested } = series;
  const id = query.get('strategy') ?? FIRST_STRATEGY;
  const strategy = strategies.answer?.find((it) => it.id === id);
  const settings = useMemo(() => settingsOf(query), [query.toString()]);
  const values = useMemo(() => valuesOf(query, strategy?.parameters ?? []), [query.toString(), strategy]);
  const change = (changed: Record<string, string | undefined>) => go(addressOf('backtest', { ...Object.fromEntries(query), ...changed }), true);
  const body =
    tested && strategies.answer
      ? JSON.stringify({
          strategy: id,
          parameters: values,
          ...seriesBody(tested),
          ...spanBody(tested),
          settings: bodyOf(settings),
          include: ['trades', 'equity'],
        })
      : undefined;
  const { result, error, isRunning, isOld, start } = useBacktest(body);
  const optimize = addressOf('optimize', { ...chosenIn(query), strategy: id, ...changedSettings(settings) });
  return (
    <section className="view research">
      <header className="view-head">
        <h1>Backtest</h1>
        <p className="muted">A strategy on stored candles, with every trade. Nothing here is advice.</p>
      </header>
      {series.error && <Problem error={series.error} />}
      {strategies.error && <Problem error={strategies.error} />}
      {series.isLoaded && !tested && <p>Nothing is stored yet. A test needs closed candles.</p>}
      {tested && strategies.answer && (
        <form
          className="card task"
          onSubmit={(event) => {
            event.preventDefault();
            start();
          }}
        >
          <div className="fields">
            <StrategyChoice strategies={strategies.answer} value={id} onPick={(strategy) => change({ ...noValues(query), strategy })} />
            <SeriesChoice {...series} onChange={change} />
          </div>
          {strategy && (
            <p className="about">
              {strategy.about} <Link href={addressOf('strategies', { id })}>Rules and Pine script</Link>
            </p>
          )}
          <div className="fields">
            {strategy && <ParameterFields parameters={strategy.parameters} values={values} onChange={change} />}
          </div>
          <SettingsFields settings={settings} onChange={change} />
          <div className="actions">
            <button className="primary" disabled={isRunning}>
              Run the test
            </button>
            <Link href={optimize}>Search for better parameters</Link>
            <span className="muted" role="status">
              {isRunning ? 'Testing …' : isOld && result ? 'The result below is of other choices.' : ''}
            </span>
          </div>
        </form>
      )}
      {error?.code === 'use_a_job' ? (
        <div className="problem" role="alert">
          <b>Too large to be answered at once.</b> {error.detail} <Link href={optimize}>Start an optimization</Link>, which has no such limits: it runs
          in the background. Or choose a longer timeframe or a later start.
        </div>
      ) : (
        error && <Problem error={error} />
      )}
      {!result && !error && isRunning && <p role="status">Testing the strategy …</p>}
      {result && tested && (
        <div className={isOld ? 'old-result' : undefined}>
          <p className="muted">
            {strategies.answer?.find((it) => it.id === result.strategy)?.title ?? result.strategy} on {counted(result.bars, 'candle')} of {result.symbol}{' '}
            {result.timeframe}, {new Date(result.from).toISOString().slice(0, 10)} to {new Date(result.as_of).toISOString().slice(0, 10)}
          </p>
          <BacktestReport result={result} tested={tested} settings={settings} />
        </div>
      )}
    </section>
  );
}
