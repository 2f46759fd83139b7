import { forward } from '../../../lib/service';

export function GET(request: Request): Promise<Response> {
  return forward(request, 'series', ['symbol', 'timeframe', 'limit', 'after']);
}
