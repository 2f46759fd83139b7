import type { CandlewickError } from '../../web/lib/candlewick';
import { explain } from './explain';

/** A failed request, with each value that the service refused. */
export function Problem({ error }: { error: CandlewickError }) {
  const refused = error.status === 422 || error.status === 409 || error.status === 413;
  const { title, advice } = refused ? { title: 'Refused', advice: error.detail } : explain(error);
  return (
    <div className="problem" role="alert">
      <b>{title}.</b> {advice}
      {error.errors.length > 0 && (
        <ul>
          {error.errors.map(({ loc, msg }, i) => (
            <li key={i}>
              <code>{loc.slice(1).join('.')}</code> {msg}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
