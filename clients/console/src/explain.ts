import type { CandlewickError } from '../../web/lib/candlewick';

/** Says what is wrong, and what the reader can do about it. */
export function explain(error: CandlewickError): { title: string; advice: string } {
  switch (error.code) {
    case 'unauthorized':
    case 'wrong_scope':
      return { title: 'The session has ended', advice: 'Its key was changed or its time is over. Load the page again to sign in.' };
    case 'unreadable':
      return { title: 'Something else answers', advice: 'If you logged in to see this page, load it again.' };
    case 'unreachable':
    case 'timed_out':
      return { title: 'No connection', advice: 'The service does not answer. Check your network, and whether it runs.' };
    case 'research_disabled':
    case 'research_off':
    case 'queue_full':
    case 'no_signals':
    case 'no_results':
    case 'unknown_job':
    case 'unknown_strategy':
    case 'unknown_series':
      return { title: 'Not here', advice: error.detail };
    default:
      return {
        title: 'The service has a problem',
        advice: error.requestId ? `${error.detail} (request ${error.requestId})` : error.detail,
      };
  }
}
