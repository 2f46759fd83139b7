import { useState } from 'react';
import { CandlewickError } from '../../../web/lib/candlewick';
import { addressOf, send } from '../api';
import { Problem } from '../problem';
import { NumberField } from './fields';
import { PineText } from './pine-text';
import type { JobItem } from './types';

const FORMATS = { pine: 'Pine script', pdf: 'Report (PDF)', csv: 'All points (CSV)' };
type Format = keyof typeof FORMATS;
type File = { name: string; href: string };

/** Makes a file of a result, and returns its address. */
async function exported(job: string, item: number, rank: number, format: Format): Promise<File> {
  const answer = await send(addressOf('exports'), { method: 'POST', body: JSON.stringify({ job, item, rank, format }) });
  return answer.json();
}

/** Buttons that download what a search found, and the script to paste into TradingView. */
export function Downloads({ job, item }: { job: string; item: JobItem }) {
  const [error, setError] = useState<CandlewickError>();
  const [busy, setBusy] = useState<Format | 'text'>();
  const [rank, setRank] = useState('1');
  const [script, setScript] = useState<{ rank: string; text: string }>();
  const attempt = async (what: Format | 'text', work: () => Promise<void>) => {
    setBusy(what);
    setError(undefined);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof CandlewickError)) throw error;
      setError(error);
    }
    setBusy(undefined);
  };
  const download = (format: Format) =>
    attempt(format, async () => {
      const { href, name } = await exported(job, item.item, Number(rank), format);
      const link = document.createElement('a');
      link.href = href;
      link.download = name;
      link.click();
    });
  const show = () =>
    attempt('text', async () => {
      const { href } = await exported(job, item.item, Number(rank), 'pine');
      setScript({ rank, text: await (await send(href)).text() });
    });
  return (
    <>
      <h2>Take it with you</h2>
      <div className="fields downloads">
        <NumberField label="Rank" title="1 is the winner" value={rank} onCommit={(rank) => setRank(/^[1-9]\d{0,3}$/.test(rank) ? rank : '1')} />
        <button type="button" className="primary" disabled={busy !== undefined} onClick={show}>
          Show Pine script
        </button>
        {(Object.keys(FORMATS) as Format[]).map((format) => (
          <button key={format} type="button" className="secondary" disabled={busy !== undefined} onClick={() => download(format)}>
            {FORMATS[format]}
          </button>
        ))}
      </div>
      {error && <Problem error={error} />}
      {script && (
        <>
          <p className="muted">
            The script of rank {script.rank}. Paste it into TradingView&apos;s Pine editor, and choose <i>Add to chart</i>. Equal candles give equal
            trades there.
          </p>
          <PineText text={script.text} />
        </>
      )}
    </>
  );
}
