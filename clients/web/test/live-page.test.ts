/** The built page with live streams, in Chromium. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { Candlewick, type Candle, type LiveEvent } from '../lib/candlewick.ts';
import { launch, scrollBack, shows } from './browser.ts';
import { BuiltPage, Gate, randomWalk, READ_TOKEN, Service, until } from './support.ts';

const HOUR = 3_600_000;
const walk = randomWalk(700, Date.UTC(2025, 7, 1, 13), HOUR);
const pounds = randomWalk(40, Date.UTC(2025, 7, 1, 13), HOUR, 4);
const end = walk.at(-1)!;
const newest = walk.slice(-500);
const later = (hours: number, changes: Partial<Candle> = {}): Candle => {
  return { ...end, timestamp: end.timestamp + hours * HOUR, ...changes };
};

let service: Service;
/** Stands between the page's server and the service. */
let gate: Gate;
let page: BuiltPage;
let browser: Browser;
let context: BrowserContext;
let errors: string[];

before(async () => {
  service = await Service.start();
  gate = await Gate.before(service.url);
  page = await BuiltPage.start({ CANDLEWICK_URL: gate.url, CANDLEWICK_TOKEN: READ_TOKEN });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await page?.stop();
  gate?.close();
  await service?.remove();
});

beforeEach(async () => {
  await service.empty();
  await service.post('EURUSD', 'H1', walk);
  await service.post('GBPUSD', 'H1', pounds);
  context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: 'en-GB' });
  gate.asked.length = 0;
  errors = [];
  context.on('weberror', (error) => errors.push(error.error().message));
});

afterEach(async () => {
  gate.refuse();
  gate.open();
  await context.close();
  await until(() => gate.streams === 0, 'the streams have ended with their tabs');
  assert.deepEqual(errors, [], 'the page throws nothing');
});

/** Opens a tab, and waits until its series is in a stream. */
async function open(symbol = 'EURUSD'): Promise<Page> {
  const tab = await context.newPage();
  await tab.goto(`${page.url}/?symbol=${symbol}&timeframe=H1`);
  const series = new RegExp(`series=H1%40\\d+%3A${symbol}`);
  await until(() => gate.streams === 1 && asked('/live').some((url) => series.test(url)), `${symbol} is live`);
  return tab;
}

const asked = (part: string) => gate.asked.filter((url) => url.includes(part));

test('the server of the page passes events on, and everything that leads to them', async () => {
  const client = new Candlewick({ base: `${page.url}/api` });
  const series = { symbol: 'EURUSD', timeframe: 'H1', newest: end.timestamp };
  const next = async (events: AsyncGenerator<LiveEvent, void>) => {
    for (;;) {
      const { value } = await events.next();
      if (value?.type === 'candle') return value;
    }
  };
  const first = await client.live([series]);
  const begin = await next(first);
  assert.deepEqual(begin.candle, { symbol: 'EURUSD', timeframe: 'H1', ...end });
  await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
  assert.deepEqual((await next(first)).candle, { symbol: 'EURUSD', timeframe: 'H1', ...later(1, { complete: false }) });
  await first.return();
  await until(() => gate.streams === 0, 'the stream to the service ends with the one to the browser');

  const resumed = await client.live([series], { lastEventId: begin.id });
  assert.equal((await next(resumed)).candle.timestamp, end.timestamp, 'the position is handed on');
  await resumed.return();
  const leave = new AbortController();
  const url = `${page.url}/api/live?series=H1:EURUSD`;
  const answer = await fetch(url, { headers: { 'last-event-id': begin.id! }, signal: leave.signal });
  assert.deepEqual(
    ['content-type', 'cache-control', 'x-accel-buffering', 'content-encoding'].map((name) => answer.headers.get(name)),
    ['text/event-stream', 'no-cache, no-transform', 'no', null],
  );
  const read = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  await until(async () => (text += (await read.read()).value).split('event: candle').length === 3, 'two candles come');
  leave.abort();
  const refused = await fetch(`${page.url}/api/live?series=EURUSD`);
  assert.equal(refused.status, 422);
  assert.equal(refused.headers.get('content-type'), 'application/problem+json');
  assert.equal(refused.headers.get('cache-control'), 'no-store');
  assert.match((await refused.json()).detail, /series/);
});

test('an open chart is live, and asks for nothing', async () => {
  const tab = await open();
  await shows(tab, newest, 'the newest page is on the chart');
  const before = asked('/candles').length;
  await service.post('EURUSD', 'H1', [later(1, { complete: false, volume: 3 })]);
  await shows(tab, [...newest, later(1, { complete: false, volume: 3 })], 'a candle forms');
  await service.post('EURUSD', 'H1', [later(1), later(2, { complete: false })]);
  await shows(tab, [...newest, later(1), later(2, { complete: false })], 'it closes, and the next one forms');
  await tab.getByText('Live').waitFor();
  assert.equal(asked('/candles').length, before);
});

test('a corrected candle is shown, and the view stays where it is', async () => {
  const tab = await open();
  await shows(tab, newest, 'the newest page is on the chart');
  await scrollBack(tab, walk.length);
  const view = () =>
    tab.evaluate(() => {
      type Chart = { getDataList: () => Candle[]; getVisibleRange: () => { to: number } };
      const { chart } = document.querySelector('.chart') as unknown as { chart: Chart };
      return chart.getDataList()[chart.getVisibleRange().to - 1]!.timestamp;
    });
  const before = await view();
  assert.ok(before < end.timestamp);
  const wrong = walk[300]!;
  await service.correct('EURUSD', 'H1', [{ ...wrong, volume: 77_777 }]);
  await shows(tab, walk.with(300, { ...wrong, volume: 77_777 }), 'the corrected candle is on the chart');
  assert.equal(await view(), before);
  await service.post('EURUSD', 'H1', [later(1)]);
  await shows(tab, [...walk.with(300, { ...wrong, volume: 77_777 }), later(1)], 'the chart is still live');
});

test('candles that come after a newer one are put between the others', async () => {
  const tab = await open();
  await shows(tab, newest, 'the newest page is on the chart');
  const hour = later(1, { complete: false });
  await service.post('EURUSD', 'H1', [hour]);
  await shows(tab, [...newest, hour], 'a candle forms');
  await service.post('EURUSD', 'H1', [later(4, { complete: false })]);
  await shows(tab, [...newest, hour, later(4, { complete: false })], 'a newer one forms');
  await service.post('EURUSD', 'H1', [later(1), later(2), later(3)]);
  await shows(tab, [...newest, later(1), later(2), later(3), later(4, { complete: false })], 'all are on the chart');
});

test('six tabs share one stream, and it goes on when the tab that reads it closes', async () => {
  const tabs: Page[] = [];
  for (let count = 0; count < 6; count++) tabs.push(await open(count % 2 ? 'GBPUSD' : 'EURUSD'));
  const shown = async (hours: number) => {
    for (const tab of tabs) {
      const added = Array.from({ length: hours }, (_, index) => later(index + 1));
      const candles = tab.url().includes('GBPUSD') ? pounds : newest;
      await shows(tab, [...candles, ...added], `${tab.url()} has ${hours} new candles`);
    }
  };
  const post = (hours: number) =>
    service.postSeries(['EURUSD', 'GBPUSD'].map((symbol) => ({ symbol, timeframe: 'H1', ...later(hours) })));
  await shown(0);
  // From here on, candles come by the stream or not at all.
  gate.shut('/candles');
  await post(1);
  await shown(1);
  assert.equal(gate.streams, 1);
  await tabs.shift()!.close();
  await post(2);
  await shown(2);
  await until(() => gate.streams === 1, 'another tab reads the stream');
  const opened = asked('/live').length;
  await post(3);
  await shown(3);
  assert.equal(asked('/live').length, opened);
});

test('where streams are refused, the chart asks for new candles', async () => {
  gate.refuse('/live');
  const tab = await context.newPage();
  await tab.goto(`${page.url}/?symbol=EURUSD&timeframe=H1`);
  await shows(tab, newest, 'the newest page is on the chart');
  await until(() => asked('/live').length > 0, 'a stream is asked for');
  await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
  await shows(tab, [...newest, later(1, { complete: false })], 'a new candle comes');
  await tab.getByText('Live').waitFor();
});

test('the service restarts while it gets candles, and the chart misses nothing', async () => {
  const tab = await open();
  await shows(tab, newest, 'the newest page is on the chart');
  await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
  await shows(tab, [...newest, later(1, { complete: false })], 'the chart is live');
  await service.stop();
  await tab.getByText('candlewick does not answer').waitFor();
  await service.start();
  const missed = Array.from({ length: 30 }, (_, index) => later(index + 1));
  await service.correct('EURUSD', 'H1', [{ ...walk.at(-100)!, volume: 99 }]);
  await service.post('EURUSD', 'H1', missed);
  const corrected = newest.with(-100, { ...walk.at(-100)!, volume: 99 });
  await shows(tab, [...corrected, ...missed], 'the chart has everything');
  await until(() => gate.streams === 1, 'the chart is live again');
  await service.post('EURUSD', 'H1', [later(31)]);
  await shows(tab, [...corrected, ...missed, later(31)], 'new candles come');
});
