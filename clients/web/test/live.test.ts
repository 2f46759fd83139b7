/** The loader with a live stream of the real service. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, mock, test } from 'node:test';
import {
  Candlewick,
  CandlewickError,
  type Candle,
  type LiveEvent,
} from '../lib/candlewick.ts';
import { ChartModel, holds } from './chart-model.ts';
import { addedUp, Gate, randomWalk, READ_TOKEN, Service, until } from './support.ts';

const HOUR = 3_600_000;
const PAGE = 25;
const walk = randomWalk(60, Date.UTC(2025, 7, 1, 12), HOUR);
const other = randomWalk(8, Date.UTC(2025, 7, 1, 12), HOUR, 2);
const end = walk.at(-1)!;
const later = (hours: number, changes: Partial<Candle> = {}): Candle => {
  return { ...end, timestamp: end.timestamp + hours * HOUR, ...changes };
};

let service: Service;
let gate: Gate;
let client: Candlewick;
let charts: ChartModel[];

before(async () => {
  service = await Service.start();
});

after(() => service.remove());

beforeEach(async () => {
  await service.empty();
  await service.post('EURUSD', 'H1', walk);
  await service.post('GBPUSD', 'H1', other);
  gate = await Gate.before(service.url);
  client = new Candlewick({ base: `${gate.url}/api/v1`, token: READ_TOKEN });
  charts = [];
});

afterEach(() => {
  charts.forEach(({ loader }) => loader.stop());
  gate.close();
});

/** A chart of the page, which is stopped at the end of the test. */
function open(pageSize = PAGE): ChartModel {
  const chart = new ChartModel({ client, pageSize });
  charts.push(chart);
  return chart;
}

const asked = (part: string) => gate.asked.filter((url) => url.includes(part));

/** Waits until the newest stream carries this series. */
async function isLive(series: string): Promise<void> {
  const carries = () => decodeURIComponent(asked('/live').at(-1) ?? '').includes(series);
  await until(() => gate.streams === 1 && carries(), `${series} is live`);
}

test('a live chart gets candles that form, close and begin, and sends no other requests', async () => {
  const chart = open();
  chart.show('EURUSD');
  await isLive(`H1@${end.timestamp}:EURUSD`);
  const page = walk.slice(-PAGE);
  const forms = async (volume: number) => {
    await service.post('EURUSD', 'H1', [later(1, { volume, complete: false })]);
    await until(holds(chart, [...page, later(1, { volume, complete: false })]), `it forms with ${volume} ticks`);
  };
  // Until the stream answers, the chart asks for pages.
  let pages = -1;
  for (let volume = 1; pages !== asked('/candles').length; volume++) {
    pages = asked('/candles').length;
    await forms(volume);
  }
  for (const volume of [100, 200]) await forms(volume);
  await service.post('EURUSD', 'H1', [later(1, { volume: 300 }), later(2, { volume: 5, complete: false })]);
  const closed = [...page, later(1, { volume: 300 }), later(2, { volume: 5, complete: false })];
  await until(holds(chart, closed), 'one is closed and the next one forms');
  assert.deepEqual(chart.feeds.at(-1), { state: 'ok', last: closed.at(-1) });
  assert.ok(chart.feeds.every(({ state }) => ['loading', 'ok'].includes(state)));
  assert.equal(asked('/candles').length, pages);
});

test('all charts of a page share one stream, which is opened anew with the newest candles', async () => {
  const [first, second] = [open(), open()];
  first.show('EURUSD');
  await isLive('EURUSD');
  await service.post('EURUSD', 'H1', [later(1)]);
  await until(holds(first, [...walk.slice(-PAGE), later(1)]), 'the first chart is live');
  second.show('GBPUSD');
  await isLive(`H1@${other.at(-1)!.timestamp}:GBPUSD`);
  assert.match(decodeURIComponent(asked('/live').at(-1)!), new RegExp(`H1@${later(1).timestamp}:EURUSD`));
  await service.postSeries([
    { symbol: 'EURUSD', timeframe: 'H1', ...later(2) },
    { symbol: 'GBPUSD', timeframe: 'H1', ...later(2) },
  ]);
  await until(holds(first, [...walk.slice(-PAGE), later(1), later(2)]), 'the first chart is still live');
  await until(holds(second, [...other, later(2)]), 'the second chart is live');
  assert.equal(asked('/live').length, 2);
  assert.equal(gate.streams, 1);
});

test('charts that open together open one stream, and it ends with the last of them', async () => {
  const all = Array.from({ length: 3 }, () => open());
  await Promise.all(all.map(async (chart, index) => chart.show(['EURUSD', 'GBPUSD'][index % 2]!)));
  await isLive('GBPUSD');
  await until(() => all.every(({ state }) => state === 'ok'), 'all charts are loaded');
  all.forEach(({ loader }) => loader.stop());
  await until(() => gate.streams === 0, 'the stream has ended');
});

test('a page has as many live series as a stream carries, and the others are asked for', async () => {
  const names = Array.from({ length: 33 }, (_, index) => `S${index}`);
  await service.postSeries(names.map((symbol) => ({ symbol, timeframe: 'H1', ...end })));
  for (const name of names) open().show(name);
  await until(() => charts.every(({ list }) => list.length === 1), 'all charts are loaded');
  await until(() => gate.streams === 1, 'there is a stream');
  await service.postSeries(names.map((symbol) => ({ symbol, timeframe: 'H1', ...later(1) })));
  await until(() => charts.every(({ list }) => list.length === 2), 'all charts have the new candle');
  await until(() => charts.every(({ state }) => state === 'ok'), 'without an error');
});

test('a stream that breaks off goes on where it ended', async () => {
  const chart = open();
  chart.show('EURUSD');
  await isLive('EURUSD');
  await service.post('EURUSD', 'H1', [later(1)]);
  await until(holds(chart, [...walk.slice(-PAGE), later(1)]), 'it is live');
  await service.correct('EURUSD', 'H1', [{ ...walk.at(-20)!, volume: 7 }]);
  const corrected = walk.slice(-PAGE).with(-20, { ...walk.at(-20)!, volume: 7 });
  await until(holds(chart, [...corrected, later(1)]), 'the correction is shown');
  gate.cut();
  await service.correct('EURUSD', 'H1', [{ ...walk.at(-21)!, volume: 8 }]);
  await service.post('EURUSD', 'H1', [later(2), later(3, { complete: false })]);
  const both = corrected.with(-21, { ...walk.at(-21)!, volume: 8 });
  await until(holds(chart, [...both, later(1), later(2), later(3, { complete: false })]), 'nothing is missed');
  assert.match(asked('/live').at(-1)!, /last_event_id=1\./);
});

test('the service may be restarted, and nothing is missed', async () => {
  const chart = open();
  chart.show('EURUSD');
  await isLive('EURUSD');
  await service.stop();
  await until(() => chart.state === 'error', 'the error is reported');
  await service.start();
  const missed = Array.from({ length: 40 }, (_, index) => later(index + 1));
  await service.post('EURUSD', 'H1', missed);
  await until(holds(chart, [...walk.slice(-PAGE), ...missed]), 'all missed candles are there');
  await until(() => gate.streams === 1 && chart.state === 'ok', 'the chart is live again');
  const pages = asked('/candles').length;
  await service.post('EURUSD', 'H1', [later(41)]);
  await until(holds(chart, [...walk.slice(-PAGE), ...missed, later(41)]), 'new candles come');
  assert.equal(asked('/candles').length, pages, 'by the stream');
});

test('a correction of what is loaded is shown after a reset, and one of older history asks for nothing', async () => {
  const chart = open();
  chart.show('EURUSD');
  await isLive('EURUSD');
  const [loaded, older] = [walk.at(-22)!, walk.at(-40)!];
  const pages = asked('/candles').length;
  await service.correct('EURUSD', 'H1', [{ ...older, volume: 1 }]);
  await service.correct('EURUSD', 'H1', [{ ...loaded, volume: 2 }]);
  await until(holds(chart, walk.slice(-PAGE).with(-22, { ...loaded, volume: 2 })), 'the corrected candle is shown');
  assert.equal(chart.feeds.filter(({ state }) => state === 'changed').length, 1);
  assert.equal(asked('/candles').length, pages + 1, 'the reset needs no request');
  assert.match(decodeURIComponent(asked('/candles').at(-1)!), /from=.*to=/);
});

test('candles that are deleted disappear, and late ones appear in their place', async () => {
  const chart = open();
  chart.show('EURUSD');
  await isLive('EURUSD');
  const hole = walk.slice(-PAGE).toSpliced(2, 3);
  await service.delete('EURUSD', 'H1', walk.at(-23)!.timestamp, walk.at(-21)!.timestamp);
  await until(holds(chart, hole), 'the deleted candles are gone');
  await service.post('EURUSD', 'H1', walk.slice(-23, -20));
  await until(holds(chart, walk.slice(-PAGE)), 'they are back');
  await service.delete('EURUSD', 'H1', walk.at(-4)!.timestamp, walk.at(-3)!.timestamp);
  await until(holds(chart, walk.slice(-PAGE).toSpliced(-4, 2)), 'newer ones are gone');
  await service.post('EURUSD', 'H1', walk.slice(-4, -2));
  await until(holds(chart, walk.slice(-PAGE)), 'and back');
});

test('a chart that misses more candles than a stream sends begins anew with the newest page', async () => {
  const missed = Array.from({ length: 1200 }, (_, index) => later(index + 1));
  const chart = open();
  chart.show('GBPUSD');
  await isLive('GBPUSD');
  // Holds back pages, so that they do not bring the missed candles before the stream does.
  gate.shut('from=');
  gate.cut();
  await service.post('GBPUSD', 'H1', missed);
  await until(holds(chart, missed.slice(-PAGE)), 'the newest page is on the chart');
  assert.ok(chart.feeds.some(({ state }) => state === 'changed'));
  gate.open();
  await service.post('GBPUSD', 'H1', [later(1201)]);
  await until(holds(chart, [...missed.slice(-PAGE), later(1201)]), 'the chart is live');
});

test('candles that are built follow their source', async () => {
  const built = addedUp(walk, 4 * HOUR);
  const chart = open(6);
  chart.show('EURUSD', 'H4', 'H1');
  await isLive('H1:EURUSD');
  await until(() => chart.list.length === 6, 'a page is built');
  await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
  const added = addedUp([...walk, later(1)], 4 * HOUR).at(-1)!;
  await until(
    () => JSON.stringify({ ...chart.list.at(-1), complete: undefined }) === JSON.stringify(added),
    'the built candle holds the new one',
  );
  const known = built.at(-4)!;
  const changed = walk.find(({ timestamp }) => timestamp === known.timestamp)!;
  await service.correct('EURUSD', 'H1', [{ ...changed, volume: changed.volume + 1000 }]);
  await until(
    () => chart.list.find(({ timestamp }) => timestamp === known.timestamp)?.volume === known.volume + 1000,
    'a correction of the source changes the built candle',
  );
});

test('where streams are refused, the chart asks for new candles, and is live later', async () => {
  let isRefused = true;
  let live = 0;
  let pages = 0;
  const page: Candle[] = [end];
  const stub = {
    base: 'http://localhost/refused',
    hasToken: true,
    candles: async () => {
      pages++;
      return { candles: page.map((candle) => ({ ...candle })), moreBefore: false, moreAfter: false };
    },
    live: async (): Promise<AsyncGenerator<LiveEvent>> => {
      live++;
      if (isRefused) throw new CandlewickError('There is no such route.', { status: 404, code: 'not_found' });
      return endless();
    },
  } as unknown as Candlewick;
  const pass = async (milliseconds: number) => {
    for (let passed = 0; passed < milliseconds; passed += 10) {
      mock.timers.tick(10);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  mock.timers.enable({ apis: ['setTimeout'] });
  const chart = new ChartModel({ client: stub });
  try {
    chart.show('EURUSD');
    await pass(100);
    assert.equal(live, 1);
    const before = pages;
    page.push(later(1));
    await pass(50);
    assert.ok(pages > before, 'it is asked for new candles');
    assert.deepEqual(chart.list, [end, later(1)]);
    await pass(29_700);
    assert.equal(live, 1, 'the stream is not tried again yet');
    isRefused = false;
    await pass(400);
    assert.equal(live, 2, 'the stream is tried again after 30 s');
    const asked = pages;
    await pass(500);
    assert.equal(pages, asked, 'nothing is asked for while the chart is live');
  } finally {
    chart.loader.stop();
    mock.timers.reset();
  }
});

/** Events that never come. */
async function* endless(): AsyncGenerator<LiveEvent> {
  await new Promise(() => {});
}

test('the client reads events, their positions and the pause, and a refusal is an error', async () => {
  const events = await client.live([{ symbol: 'EURUSD', timeframe: 'H1', newest: walk.at(-2)!.timestamp }]);
  const found: LiveEvent[] = [];
  for await (const event of events) {
    found.push(event);
    if (event.type === 'candle' && event.candle.timestamp === end.timestamp) break;
  }
  await until(() => gate.streams === 0, 'the request has ended with the loop');
  const [retry, ...candles] = found;
  assert.deepEqual(retry, { type: 'retry', milliseconds: 2000 });
  const series = { symbol: 'EURUSD', timeframe: 'H1' };
  assert.deepEqual(
    candles.map((event) => event.type === 'candle' && event.candle),
    walk.slice(-2).map((candle) => ({ ...series, ...candle })),
  );
  assert.match((candles.at(-1) as { id: string }).id, /^1\.[0-9a-z]+~[0-9a-z]+$/);
  const refused = (asking: Promise<unknown>, status: number, code: string) =>
    assert.rejects(asking, (error) => {
      assert.ok(error instanceof CandlewickError);
      assert.deepEqual([error.status, error.code], [status, code]);
      return true;
    });
  await refused(client.live([]), 422, 'invalid_values');
  const stranger = new Candlewick({ base: `${gate.url}/api/v1`, token: 'unknown' });
  await refused(stranger.live([series]), 401, 'unauthorized');
  await refused(new Candlewick({ base: `${service.url}/health/..//` }).live([series]), 404, 'not_found');
  const leaving = AbortSignal.abort(new Error('the page is closed'));
  await assert.rejects(client.live([series], { signal: leaving }), /the page is closed/);
});

test('a loader that is not live opens no stream', async () => {
  const chart = new ChartModel({ client, pageSize: PAGE, live: false });
  charts.push(chart);
  chart.show('EURUSD');
  await until(() => chart.list.length === PAGE, 'a page is loaded');
  await service.post('EURUSD', 'H1', [later(1)]);
  await until(holds(chart, [...walk.slice(-PAGE), later(1)]), 'the new candle comes');
  assert.equal(asked('/live').length, 0);
});
