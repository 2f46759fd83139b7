import type { CandlewickError } from '../lib/candlewick';
import type { Choice } from './series-picker';
import type { ShownFeed } from './status';

/** Says what the reader has to know or do before there are candles, or, on top of the chart, before there are new ones. */
export function Notice({ feed, choice }: { feed: ShownFeed; choice?: Choice }) {
  if (feed.state === 'ok') return null;
  if (feed.state === 'loading') {
    return (
      <p className="notice quiet" role="status">
        Loading {choice ? `${choice.symbol} ${choice.timeframe}` : 'the series'} …
      </p>
    );
  }
  if (feed.state === 'empty') {
    const { symbol, timeframe } = choice ?? { symbol: 'EURUSD', timeframe: 'H1' };
    return (
      <div className="notice" role="status">
        <h2>{choice ? `No candles of ${symbol} ${timeframe} yet` : 'No candles yet'}</h2>
        <p>
          They appear here as soon as they are stored. Attach the Expert Advisor to a chart in MetaTrader, or post a
          first candle by hand:
        </p>
        <pre>{firstPost(symbol, timeframe)}</pre>
        <p>Use the address and the key of your candlewick.</p>
      </div>
    );
  }
  const { title, advice } = explain(feed.error);
  return (
    <div className={feed.last ? 'notice banner' : 'notice'} role="alert">
      <h2>{title}</h2>
      <p>
        {advice} <span className="muted">The page keeps trying.</span>
      </p>
    </div>
  );
}

function firstPost(symbol: string, timeframe: string): string {
  const candle = {
    // On a Sunday, when markets are closed, because a closed candle never changes and this one must not replace a real one.
    timestamp: '2025-08-03T10:00:00Z',
    open: 1.085,
    high: 1.0865,
    low: 1.0848,
    close: 1.0862,
    volume: 1200,
  };
  const body = JSON.stringify({ symbol, timeframe, candles: [candle] }).replace(
    /,"(?=candles|open|volume)/g,
    ',\n     "',
  );
  return `curl http://127.0.0.1:8000/api/v1/candles -H "X-API-KEY: $KEY" -d \\\n    '${body.replaceAll("'", "'\\''")}'`;
}

function explain(error: CandlewickError): { title: string; advice: string } {
  switch (error.code) {
    case 'unauthorized':
    case 'wrong_scope':
      return {
        title: 'The token is not accepted',
        advice:
          'On the server of this page, set CANDLEWICK_TOKEN to a read token of candlewick (INTERNAL_API_TOKEN), and restart the page.',
      };
    case 'not_configured':
      return { title: 'Not set up yet', advice: error.detail };
    case 'unreadable':
      return {
        title: 'Something else answers',
        advice: 'If you logged in to see this page, load it again. Otherwise, CANDLEWICK_URL does not lead to candlewick.',
      };
    case 'unreachable':
      // Without a status, not even the page's own server has answered.
      return error.status === 0
        ? {
            title: 'No connection',
            advice: 'The server of this page does not answer. Check your network, and whether the server runs.',
          }
        : { title: 'candlewick does not answer', advice: error.detail };
    default:
      return {
        title: 'candlewick has a problem',
        advice: error.requestId ? `${error.detail} (request ${error.requestId})` : error.detail,
      };
  }
}
