import { useState, type FormEvent } from 'react';
import { CandlewickError } from '../../web/lib/candlewick';
import { addressOf, send } from './api';
import { timeOf } from './candle-fields';
import type { FormProps } from './correct-form';
import { counted, utc } from './format';
import { Problem } from './problem';
import { SeriesFields, useChosen } from './series-fields';

type DryRun = { matched: number; first: number | null; last: number | null; confirm: string };
type Span = { from: string; to: string };

/** Deletes the candles of a span: count them, then delete exactly those. */
export function DeleteForm({ query, onAddress, onDone }: FormProps) {
  const known = useChosen(query);
  const { symbol, timeframe } = known.chosen;
  const [dryRun, setDryRun] = useState<DryRun & Span>();
  const [reason, setReason] = useState('');
  const [said, setSaid] = useState<string>();
  const [error, setError] = useState<CandlewickError>();

  const forget = () => {
    setDryRun(undefined);
    setError(undefined);
    setSaid(undefined);
  };
  const ask = async <Answer,>(parameters: Record<string, string>, work: (answer: Answer) => void) => {
    setError(undefined);
    setSaid(undefined);
    try {
      work(await (await send(addressOf('candles', { symbol, timeframe, ...parameters }), { method: 'DELETE' })).json());
    } catch (error) {
      if (!(error instanceof CandlewickError)) throw error;
      setError(error);
    }
  };
  const countThem = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    forget();
    const field = (name: string) => timeOf((event.currentTarget.elements.namedItem(name) as HTMLInputElement).value);
    const [from, to] = [field('from'), field('to')];
    if (!from || !to) return setSaid('Write times as 2025-08-01 14:30, in UTC.');
    void ask<DryRun>({ from, to, dry_run: 'true' }, (answer) => {
      if (answer.matched === 0) setSaid('No candle opened in this span.');
      else setDryRun({ ...answer, from, to });
    });
  };
  const remove = (event: FormEvent) => {
    event.preventDefault();
    const { from, to, confirm } = dryRun!;
    void ask<{ records_deleted: number; change: string }>({ from, to, confirm, reason }, ({ records_deleted, change }) => {
      forget();
      setSaid(`Deleted ${counted(records_deleted, 'candle')}; it is change ${change}.`);
      onDone();
    });
  };
  return (
    <div className="card task">
      <form className="fields" onSubmit={countThem}>
        <SeriesFields
          {...known}
          onChoose={(chosen) => {
            forget();
            onAddress({ ...chosen, ...(chosen.symbol && { timeframe: undefined }) });
          }}
        />
        <label>
          <span>First opening time, UTC</span>
          <input name="from" placeholder="2025-08-01 00:00" required onChange={forget} />
        </label>
        <label>
          <span>Last opening time, UTC</span>
          <input name="to" placeholder="2025-08-01 23:59" required onChange={forget} />
        </label>
        <button className="secondary">Count them</button>
      </form>
      {dryRun && (
        <form onSubmit={remove}>
          <p>
            This would delete <b>{counted(dryRun.matched, 'candle')}</b> of {symbol} {timeframe}, closed and forming, from{' '}
            {utc(dryRun.first!)} to {utc(dryRun.last!)}. A terminal that still has them may bring them back.
          </p>
          <div className="fields">
            <label className="grow">
              <span>Reason</span>
              <input value={reason} maxLength={200} required onChange={({ target }) => setReason(target.value)} />
            </label>
          </div>
          <button className="primary danger">Delete {counted(dryRun.matched, 'candle')}</button>
        </form>
      )}
      {said && <p role="status">{said}</p>}
      {error && <Problem error={error} />}
    </div>
  );
}
