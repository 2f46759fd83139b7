/** The routes that a page's own server needs, for Next.js and every server whose handlers take a Request and return a Response. */
import { download, forward, stream } from './service.ts';

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

const EXPORTS = ['export.csv', 'export.ndjson', 'export.parquet'];

/** `GET /api/export.csv` and the other formats; `file` is the last part of the path. */
export async function exported(request: Request, file: string): Promise<Response> {
  if (!EXPORTS.includes(file)) return new Response(null, { status: 404 });
  return download(request, file, ['symbol', 'timeframe', 'source', 'align', 'from', 'to']);
}

/** The routes of TradingView's Universal Data Feed protocol, with the parameters of each. */
const UDF = new Map([
  ['config', []],
  ['symbols', ['symbol']],
  ['search', ['query', 'type', 'exchange', 'limit']],
  ['history', ['symbol', 'resolution', 'from', 'to', 'countback']],
  ['marks', ['symbol', 'resolution', 'from', 'to']],
  ['timescale_marks', ['symbol', 'resolution', 'from', 'to']],
  ['time', []],
]);

/** `GET /api/udf/history` and the other routes of the protocol; `route` is the last part of the path. */
export async function udf(request: Request, route: string): Promise<Response> {
  const parameters = UDF.get(route);
  if (!parameters) return new Response(null, { status: 404 });
  return forward(request, `udf/${route}`, parameters);
}
