import { useMemo, useState, type Ref } from 'react';
import { CandleChart, type ChartHandle } from '../../../web/chart/candle-chart';
import { Notice } from '../../../web/chart/notice';
import type { ShownFeed } from '../../../web/chart/status';
import type { ChartTrade } from '../../../web/chart/trades';
import { zoneOf } from '../../../web/chart/zones';
import { explain } from '../explain';
import { client, type Tested } from './series';

const NO_STUDIES: string[] = [];
const NO_CHANGES = new Map<number, string>();
const ignore = () => {};

/** The candles of a test with its trades. */
export function TradeChart({ tested, trades, ref }: { tested: Tested; trades: ChartTrade[]; ref?: Ref<ChartHandle> }) {
  const [feed, setFeed] = useState<ShownFeed>({ state: 'loading' });
  const { symbol, timeframe, source, precision, align } = tested;
  // The chart's days begin where those of the test do, and its clock is that of the tables.
  const zone = useMemo(() => ({ ...zoneOf('utc'), align }), [align]);
  const choice = useMemo(() => ({ symbol, timeframe, source, precision, stored: [] }), [symbol, timeframe, source, precision]);
  return (
    <div className="stage trade-stage" data-state={feed.state} data-bare={!feed.last || undefined}>
      <CandleChart
        ref={ref}
        client={client}
        choice={choice}
        zone={zone}
        studies={NO_STUDIES}
        log={false}
        changes={NO_CHANGES}
        trades={trades}
        onFeed={setFeed}
        onPlace={ignore}
      />
      <Notice feed={feed} choice={choice} explain={explain} />
    </div>
  );
}
