import { exported } from '../../../lib/routes';

/** Exports: `/api/export.csv`, `/api/export.ndjson` and `/api/export.parquet`. */
export async function GET(request: Request, { params }: { params: Promise<{ file: string }> }): Promise<Response> {
  return exported(request, (await params).file);
}
