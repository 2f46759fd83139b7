import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, mock, test } from 'node:test';
import {
  type Candlewick,
  CandleLoader,
  CandlewickError,
  Pace,
  toPeriod,
  type Candle,
  type CandlesQuery,
} from '../lib/candlewick.ts';
import { ChartModel, holds } from './chart-model.ts';
import { addedUp, Gate, randomWalk, Service, until } from './support.ts';

const HOUR = 3_600_000;
const PAGE = 25;
const walk = randomWalk(60, Date.UTC(2025, 7, 1, 12), HOUR);
const other = randomWalk(8, Date.UTC(2025, 7, 1, 12), HOUR, 2);
const end = walk.at(-1)!;
const later = (hours: number, changes: Partial<Candle> = {}): Candle => {
  return { ...end, timestamp: end.timestamp + hours * HOUR, ...changes };
};

/** Lets all pending callbacks run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

let service: Service;
let gate: Gate;
let chart: ChartModel;
let charts: ChartModel[];

/** A chart that is stopped at the end of the test. */
function open(base: string, pageSize = PAGE): ChartModel {
  const chart = new ChartModel({ base, pageSize, live: false });
  charts.push(chart);
  return chart;
}

before(async () => {
  service = await Service.start();
});

after(() => service.remove());

beforeEach(async () => {
  await service.empty();
  await service.post('EURUSD', 'H1', walk);
  await service.post('GBPUSD', 'H1', other);
  gate = await Gate.before(service.url);
  charts = [];
  chart = open(gate.url);
});

afterEach(() => {
  charts.forEach(({ loader }) => loader.stop());
  gate.close();
});

test('paging back ends at the first candle, without gaps or duplicates', async () => {
  chart.show('EURUSD');
  for (const length of [25, 50, 60]) {
    await until(() => chart.list.length === length, `${length} candles are loaded`);
    chart.scrollBack();
  }
  await until(() => gate.answered.filter((url) => url.includes('before=')).length === 3, 'nothing older is found');
  assert.deepEqual(chart.list, walk);
  assert.deepEqual(chart.feeds[0], { state: 'loading' });
  assert.deepEqual(chart.feeds[1], { state: 'ok', last: end });
});

test('candles that are not stored are built from their source, page by page, and follow it', async () => {
  const built = addedUp(walk, 4 * HOUR);
  built.at(-1)!.complete = false;
  chart = open(gate.url, 6);
  chart.show('EURUSD', 'H4', 'H1');
  await until(holds(chart, built.slice(-6)), 'the newest page is built');
  chart.scrollBack();
  await until(holds(chart, built.slice(-12)), 'older candles are built');
  await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
  const added = addedUp([...walk, later(1)], 4 * HOUR).at(-1)!;
  await until(() => chart.list.at(-1)?.timestamp === added.timestamp, 'the newest candle moves');
  await until(
    () => JSON.stringify({ ...chart.list.at(-1), complete: undefined }) === JSON.stringify(added),
    'it holds what was posted',
  );
});

test('older candles that are stored after the first page was loaded are found by scrolling back', async () => {
  await service.post('XAUUSD', 'H1', walk.slice(-5));
  chart.show('XAUUSD');
  await until(holds(chart, walk.slice(-5)), 'the only page is loaded');
  await service.post('XAUUSD', 'H1', walk.slice(-15, -5));
  chart.scrollBack();
  await until(holds(chart, walk.slice(-15)), 'older candles are loaded');
});

test('a chart that shows the first candle asks for older ones twice a minute', async () => {
  const asked: CandlesQuery[] = [];
  const client = {
    candles: async (query: CandlesQuery) => {
      asked.push(query);
      return { candles: [], moreBefore: false, moreAfter: false };
    },
  } as unknown as Candlewick;
  const answers: unknown[] = [];
  const loader = new CandleLoader({ client });
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const request = { type: 'forward', timestamp: end.timestamp, symbol: { ticker: 'EURUSD' }, period: toPeriod('H1') };
    loader.getBars({ ...request, callback: (...answer) => answers.push(answer) });
    await turn();
    mock.timers.tick(29_999);
    await turn();
    assert.deepEqual(answers, []);
    mock.timers.tick(1);
    await turn();
    assert.deepEqual(answers, [[[], { forward: true }]]);
    assert.equal(asked.length, 1);
  } finally {
    mock.timers.reset();
  }
});

test('a chart pages through candles of the seventies and gets new ones', async () => {
  const days = randomWalk(1200, Date.UTC(1975, 8, 1), 24 * HOUR);
  assert.equal(new Date(days[0]!.timestamp).getUTCFullYear(), 1971);
  await service.post('DEM', 'D1', days.slice(0, 500));
  chart = open(gate.url, 500);
  chart.show('DEM', 'D1');
  await until(holds(chart, days.slice(0, 500)), 'the newest page is loaded');
  await service.post('DEM', 'D1', days.slice(500));
  await until(holds(chart, days), 'new candles come');
  chart = open(gate.url, 500);
  chart.show('DEM', 'D1');
  for (const length of [500, 1000, 1200]) {
    await until(holds(chart, days.slice(-length)), `${length} candles are loaded`);
    chart.scrollBack();
  }
});

test('the loader reads a service that allows only smaller pages in pages of that size', async () => {
  const small = await Service.start({ MAX_LIMIT: '10' });
  try {
    await small.post('EURUSD', 'H1', walk.slice(0, 35));
    chart = open(small.url, 25);
    chart.show('EURUSD');
    for (const length of [10, 20, 30]) {
      await until(holds(chart, walk.slice(35 - length, 35)), `${length} candles are loaded`);
      chart.scrollBack();
    }
    await until(holds(chart, walk.slice(0, 35)), 'all older candles are loaded');
    await small.post('EURUSD', 'H1', walk.slice(35));
    await until(holds(chart, walk), 'more new candles than a page holds come');
    assert.ok(chart.feeds.every(({ state }) => state !== 'error'));
    chart.loader.stop();
  } finally {
    await small.remove();
  }
});

test('an answer that comes after the chart has turned to another series is dropped', async () => {
  gate.shut('EURUSD');
  chart.show('EURUSD');
  await until(() => gate.asked.length === 1, 'EURUSD is asked for');
  chart.show('GBPUSD');
  await until(holds(chart, other), 'GBPUSD is on the chart');
  gate.open();
  await until(() => gate.answered.some((url) => url.includes('EURUSD')), 'EURUSD is answered');
  const asked = gate.asked.length;
  await until(() => gate.asked.length > asked + 2, 'the chart looks for what is new');
  assert.deepEqual(chart.list, other);
  assert.ok(gate.asked.slice(1).every((url) => url.includes('GBPUSD')));
});

test('an older page that comes after the chart has turned to another series is dropped', async () => {
  chart.show('EURUSD');
  await until(() => chart.list.length === PAGE, 'a page is loaded');
  gate.shut('before=');
  chart.scrollBack();
  await until(() => gate.asked.some((url) => url.includes('before=')), 'an older page is asked for');
  chart.show('GBPUSD');
  await until(holds(chart, other), 'GBPUSD is on the chart');
  gate.open();
  await until(() => gate.answered.some((url) => url.includes('before=')), 'the older page is answered');
  const asked = gate.asked.length;
  await until(() => gate.asked.length > asked + 2, 'the chart looks for what is new');
  assert.deepEqual(chart.list, other);
});

test('a chart that gets its symbol and its period one after the other sends one request', async () => {
  chart.show('EURUSD');
  chart.show('GBPUSD');
  await until(holds(chart, other), 'GBPUSD is on the chart');
  assert.ok(gate.asked.every((url) => url.includes('GBPUSD')));
});

test('an outage while the chart opens is reported, and the chart fills when the service is back', async () => {
  chart = open(service.url);
  chart.show('GBPUSD');
  await until(holds(chart, other), 'GBPUSD is on the chart');
  await service.stop();
  chart.show('EURUSD');
  await until(() => chart.state === 'error', 'the error is reported');
  const failed = chart.feeds.at(-1);
  assert.ok(failed?.state === 'error' && failed.error.code === 'unreachable' && !failed.last);
  assert.deepEqual(chart.list, [], 'candles of another series are gone');
  await service.start();
  await until(holds(chart, walk.slice(-25)), 'the newest page is loaded');
  assert.equal(chart.state, 'ok');
  chart.scrollBack();
  await until(holds(chart, walk.slice(-50)), 'older candles are loaded');
});

test('paging back and polling for new candles continue after an outage', async () => {
  chart = open(service.url);
  chart.show('EURUSD');
  await until(() => chart.list.length === PAGE, 'a page is loaded');
  await service.stop();
  chart.scrollBack();
  await until(() => chart.state === 'error', 'the error is reported');
  const failed = chart.feeds.at(-1);
  assert.deepEqual(failed?.last, end, 'the error has the newest candle on the chart');
  await service.start();
  await service.post('EURUSD', 'H1', [later(1)]);
  await until(holds(chart, [...walk.slice(-50), later(1)]), 'the older page and the new candle are there');
  await until(() => chart.state === 'ok', 'the state is ok again');
});

test('a forming candle moves, closes, and the next one forms', async () => {
  chart.show('EURUSD');
  await until(() => chart.list.length === PAGE, 'a page is loaded');
  const page = walk.slice(-25);
  for (const volume of [10, 20]) {
    await service.post('EURUSD', 'H1', [later(1, { volume, complete: false })]);
    await until(holds(chart, [...page, later(1, { volume, complete: false })]), `it forms with ${volume} ticks`);
  }
  await service.post('EURUSD', 'H1', [later(1, { volume: 30 }), later(2, { volume: 5, complete: false })]);
  await until(
    holds(chart, [...page, later(1, { volume: 30 }), later(2, { volume: 5, complete: false })]),
    'one is closed and the next one forms',
  );
  const last = chart.feeds.at(-1)?.last;
  assert.deepEqual(last, later(2, { volume: 5, complete: false }));
});

test('a candle that closes after the next one began is corrected in its place', async () => {
  chart.show('EURUSD');
  await until(() => chart.list.length === PAGE, 'a page is loaded');
  const [first, second] = [later(1, { volume: 10, complete: false }), later(2, { volume: 1, complete: false })];
  await service.post('EURUSD', 'H1', [first]);
  await service.post('EURUSD', 'H1', [second]);
  await until(holds(chart, [...walk.slice(-25), first, second]), 'both form');
  await service.post('EURUSD', 'H1', [later(1, { volume: 11 })]);
  await until(holds(chart, [...walk.slice(-25), later(1, { volume: 11 }), second]), 'the first one is closed');
});

test('more new candles than a page holds arrive in order', async () => {
  chart.show('GBPUSD');
  await until(holds(chart, other), 'GBPUSD is on the chart');
  gate.shut();
  const news = Array.from({ length: 90 }, (_, index) => later(index + 1));
  await service.post('GBPUSD', 'H1', news);
  gate.open();
  await until(holds(chart, [...other, ...news]), 'all of them are on the chart');
});

test('filling a long gap between the newest candles is shown, and does not stop the chart', async () => {
  await service.post('EURUSD', 'H1', [later(41)]);
  chart.show('EURUSD');
  const page = [...walk.slice(-24), later(41)];
  await until(holds(chart, page), 'a page is loaded');
  const filling = Array.from({ length: 40 }, (_, index) => later(index + 1));
  await service.post('EURUSD', 'H1', filling);
  await service.post('EURUSD', 'H1', [later(42)]);
  await until(holds(chart, [...walk.slice(-24), ...filling, later(41), later(42)]), 'all are on the chart');
});

test('a period that candlewick does not keep throws at once', () => {
  const request = { type: 'init', timestamp: null, symbol: { ticker: 'EURUSD' }, period: { type: 'second', span: 5 } };
  assert.throws(() => chart.loader.getBars({ ...request, callback: () => {} }), /no candles of 5 second/);
  assert.deepEqual(chart.feeds, []);
});

test('a series without candles is empty until the first ones are stored', async () => {
  chart.show('XAUUSD');
  await until(() => chart.state === 'empty', 'it is reported to be empty');
  assert.deepEqual(chart.list, []);
  await service.post('XAUUSD', 'H1', walk);
  await until(holds(chart, walk.slice(-25)), 'the newest page is loaded');
  chart.scrollBack();
  await until(holds(chart, walk.slice(-50)), 'older candles are loaded');
});

test('a stopped loader sends no requests and draws nothing', async () => {
  chart.show('EURUSD');
  await until(() => chart.list.length === PAGE, 'a page is loaded');
  gate.shut();
  const asked = gate.asked.length;
  await until(() => gate.asked.length > asked, 'it looks for what is new');
  await service.post('EURUSD', 'H1', [later(1)]);
  chart.loader.stop();
  const feeds = chart.feeds.length;
  const again = open(gate.url);
  gate.open();
  again.show('EURUSD');
  await until(holds(again, [...walk.slice(-24), later(1)]), 'another chart has the new candle');
  assert.deepEqual(chart.list, walk.slice(-25));
  assert.equal(chart.feeds.length, feeds);
});

test('the loader has no pages newer than the newest page', () => {
  const answers: unknown[] = [];
  const period = toPeriod('H1');
  const request = { type: 'backward', timestamp: end.timestamp, symbol: { ticker: 'EURUSD' }, period };
  chart.loader.getBars({ ...request, callback: (...answer) => answers.push(answer) });
  assert.deepEqual(answers, [[[]]]);
});

/** Returns whether the pause of `pace` ends after exactly `milliseconds`. */
async function pauses(pace: Pace, milliseconds: number): Promise<boolean> {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let over = false;
    const wait = pace.wait(new AbortController().signal).then(() => (over = true));
    mock.timers.tick(milliseconds - 1);
    await Promise.resolve();
    if (over) return false;
    mock.timers.tick(1);
    return await wait;
  } finally {
    mock.timers.reset();
  }
}

test('after failures the pauses grow, and they follow the service', async () => {
  const failure = (status: number, retryAfter?: number) => new CandlewickError('', { status, code: '', retryAfter });
  const pace = new Pace(2000);
  assert.ok(await pauses(pace, 2000));
  for (const pause of [4000, 8000, 16_000, 30_000, 30_000]) {
    pace.failed(failure(503));
    assert.ok(await pauses(pace, pause), `${pause}`);
  }
  pace.failed(failure(503, 45));
  assert.ok(await pauses(pace, 45_000));
  pace.succeeded();
  assert.ok(await pauses(pace, 2000));
  pace.failed(failure(401));
  assert.ok(await pauses(pace, 30_000), 'a refused token');
});

test('a hidden page sends no requests', async () => {
  const page = Object.assign(new EventTarget(), { hidden: true });
  Object.assign(globalThis, { document: page });
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let over = false;
    const wait = new Pace(2000).wait(new AbortController().signal).then(() => (over = true));
    mock.timers.tick(3_600_000);
    await Promise.resolve();
    assert.equal(over, false);
    page.hidden = false;
    page.dispatchEvent(new Event('visibilitychange'));
    assert.ok(await wait);
  } finally {
    mock.timers.reset();
    Reflect.deleteProperty(globalThis, 'document');
  }
});
