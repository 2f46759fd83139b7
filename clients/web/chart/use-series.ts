import { useEffect, useState } from 'react';
import { Pace, type Candlewick, type CandlewickError, type Series } from '../lib/candlewick';

/** Milliseconds between two requests for new series. */
const INTERVAL = 5000;
/** The maximum number of series that the page lists, which are two answers of the service. */
const MAX_SERIES = 20_000;

/** The stored series, and the error of the last attempt to read them, if it failed. */
export function useSeries(client: Candlewick): { series?: Series[]; error?: CandlewickError } {
  const [known, setKnown] = useState<{ series?: Series[]; error?: CandlewickError }>({});
  useEffect(() => {
    const stay = new AbortController();
    const pace = new Pace(INTERVAL);
    const follow = async () => {
      while (!stay.signal.aborted) {
        try {
          const series = await client.series({ limit: MAX_SERIES }, stay.signal);
          pace.succeeded();
          // React does not render again if the state is the same object.
          setKnown((known) => (known.series === series && !known.error ? known : { series }));
        } catch (error) {
          if (stay.signal.aborted) return;
          pace.failed(error as CandlewickError);
          setKnown(({ series }) => ({ series, error: error as CandlewickError }));
        }
        await pace.wait(stay.signal);
      }
    };
    void follow();
    return () => stay.abort();
  }, [client]);
  return known;
}
