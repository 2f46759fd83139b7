import { useState, type FormEvent } from 'react';
import { CandlewickError } from '../../web/lib/candlewick';
import { addressOf, exactCandle, send, type ExactCandle } from './api';
import { FIELDS, timeOf, type Field } from './candle-fields';
import { utc } from './format';
import { Problem } from './problem';
import { SeriesFields, useChosen } from './series-fields';

export type FormProps = {
  query: URLSearchParams;
  onAddress: (changed: Record<string, string | undefined>) => void;
  /** Called after something changed. */
  onDone: () => void;
};

type Values = Record<Field, string>;

/** Gives a stored candle other values: find it, change it, look at the differences, correct it. */
export function CorrectForm({ query, onAddress, onDone }: FormProps) {
  const known = useChosen(query);
  const { symbol, timeframe } = known.chosen;
  const [stored, setStored] = useState<ExactCandle>();
  const [values, setValues] = useState<Values>();
  const [reason, setReason] = useState('');
  const [checked, setChecked] = useState(false);
  const [said, setSaid] = useState<string>();
  const [error, setError] = useState<CandlewickError>();

  const forget = () => {
    setStored(undefined);
    setChecked(false);
    setError(undefined);
    setSaid(undefined);
  };
  const attempt = async (work: () => Promise<void>) => {
    setError(undefined);
    setSaid(undefined);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof CandlewickError)) throw error;
      setError(error);
    }
  };
  const find = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    forget();
    const time = timeOf((event.currentTarget.elements.namedItem('at') as HTMLInputElement).value);
    if (!time) return setSaid('Write the opening time as 2025-08-01 14:30, in UTC.');
    void attempt(async () => {
      const candle = await exactCandle(symbol, timeframe, time);
      if (!candle) return setSaid(`No closed candle of ${symbol} ${timeframe} opened at ${time}.`);
      setStored(candle);
      setValues(candle);
    });
  };
  const different = stored && values ? FIELDS.filter((field) => values[field].trim() !== stored[field]) : [];
  const correct = () =>
    attempt(async () => {
      const candle = Object.fromEntries(FIELDS.map((field) => [field, values![field].trim()]));
      const expect = Object.fromEntries(FIELDS.map((field) => [field, stored![field]]));
      const timestamp = new Date(stored!.timestamp).toISOString();
      const body = { reason, candles: [{ symbol, timeframe, timestamp, ...candle, expect }] };
      const answer = await send(addressOf('corrections'), { method: 'POST', body: JSON.stringify(body) });
      const { change } = await answer.json();
      forget();
      setSaid(change ? `Corrected; it is change ${change}.` : 'It is stored like this already.');
      onDone();
    });

  return (
    <div className="card task">
      <form className="fields" onSubmit={find}>
        <SeriesFields
          {...known}
          onChoose={(chosen) => {
            forget();
            onAddress({ ...chosen, ...(chosen.symbol && { timeframe: undefined }) });
          }}
        />
        <label>
          <span>Opening time, UTC</span>
          <input name="at" placeholder="2025-08-01 14:30" defaultValue={query.get('at') ?? ''} required onChange={forget} />
        </label>
        <button className="secondary">Find the candle</button>
      </form>
      {stored && values && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (checked) void correct();
            else setChecked(true);
          }}
        >
          <div className="fields">
            {FIELDS.map((field) => (
              <label key={field}>
                <span>{field}</span>
                <input
                  className="number"
                  inputMode="decimal"
                  value={values[field]}
                  required
                  onChange={({ target }) => {
                    setChecked(false);
                    setValues({ ...values, [field]: target.value });
                  }}
                />
              </label>
            ))}
            <label className="grow">
              <span>Reason</span>
              <input value={reason} maxLength={200} required onChange={({ target }) => setReason(target.value)} />
            </label>
          </div>
          {checked && (
            <p>
              {different.length === 0
                ? 'Nothing would change.'
                : `${utc(stored.timestamp)}: ${different.map((field) => `${field} ${stored[field]} → ${values[field].trim()}`).join(', ')}`}
            </p>
          )}
          <button className={checked ? 'primary danger' : 'secondary'} disabled={checked && different.length === 0}>
            {checked ? 'Correct it' : 'Show what would change'}
          </button>
        </form>
      )}
      {said && <p role="status">{said}</p>}
      {error && <Problem error={error} />}
    </div>
  );
}
