import { forward } from '../../../lib/service';

export function GET(request: Request): Promise<Response> {
  return forward(request, 'candles', ['symbol', 'timeframe', 'source', 'align', 'from', 'to', 'before', 'after', 'limit']);
}
