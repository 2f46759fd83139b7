import type { CandlewickError } from '../lib/candlewick';

/** Says what is wrong, and what the operator of this page can do about it. */
export function explain(error: CandlewickError): { title: string; advice: string } {
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
