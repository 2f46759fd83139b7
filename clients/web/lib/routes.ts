/** The routes that a page's own server needs, for Next.js and every server whose handlers take a Request and return a Response. */
import { forward, stream } from './service.ts';

/** `GET /api/candles` */
export function candles(request: Request): Promise<Response> {
  return forward(request, 'candles', ['symbol', 'timeframe', 'source', 'from', 'to', 'before', 'after', 'limit']);
}

/** `GET /api/series` */
export function series(request: Request): Promise<Response> {
  return forward(request, 'series', ['symbol', 'timeframe', 'limit', 'after']);
}

/** `GET /api/live`, which has to be dynamic, and must be neither compressed nor buffered. */
export function live(request: Request): Promise<Response> {
  return stream(request);
}
