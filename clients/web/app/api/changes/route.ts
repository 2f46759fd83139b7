import { forward } from '../../../lib/service';

export function GET(request: Request): Promise<Response> {
  return forward(request, 'changes', ['symbol', 'timeframe', 'after', 'limit']);
}
