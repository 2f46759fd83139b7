import { Candlewick, type CandlesQuery, type Page } from '../lib/candlewick';

/** A client whose built days begin where the days of the chart's clock do. */
export class ChartClient extends Candlewick {
  /** `align` of the API. */
  align = 'utc';

  override candles(query: CandlesQuery, signal?: AbortSignal): Promise<Page> {
    return super.candles(query.source ? { align: this.align, ...query } : query, signal);
  }
}
