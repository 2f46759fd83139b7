import { udf } from '../../../../lib/routes';

/** TradingView's Universal Data Feed protocol, as `/api/v1/udf` of the service speaks it. */
export async function GET(request: Request, { params }: { params: Promise<{ route: string }> }): Promise<Response> {
  return udf(request, (await params).route);
}
