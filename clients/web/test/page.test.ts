import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Candle } from '../lib/candlewick.ts';
import * as browsing from './browser.ts';
import { addedUp, BUILT_WITH, BuiltPage, randomWalk, READ_TOKEN, Service, until } from './support.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2025, 7, 1, 13);
const walk = randomWalk(1250, START, HOUR);
const minutes = randomWalk(40, START, 60_000, 3);
const pounds = randomWalk(40, START, HOUR, 4);
const end = walk.at(-1)!;
const forming: Candle = {
  timestamp: end.timestamp + HOUR,
  open: end.close,
  high: Number((end.close + 0.0009).toFixed(5)),
  low: Number((end.close - 0.0002).toFixed(5)),
  close: Number((end.close + 0.0006).toFixed(5)),
  volume: 900,
  complete: false,
};

let service: Service;
let page: BuiltPage;
let browser: Browser;
let tab: Page;
let errors: string[];

before(async () => {
  service = await Service.start();
  page = await BuiltPage.start({ CANDLEWICK_URL: service.url, CANDLEWICK_TOKEN: READ_TOKEN });
  browser = await browsing.launch();
});

after(async () => {
  await browser?.close();
  await page?.stop();
  await service?.remove();
});

beforeEach(() => {
  errors = [];
});

afterEach(async () => {
  await tab.context().close();
  assert.deepEqual(errors, [], 'the page throws nothing');
});

/** Opens a tab with its clock fixed half an hour into the forming candle, so that the screenshots stay the same. */
async function open(address = '/', options: BrowserContextOptions = {}): Promise<void> {
  await openEmpty(options);
  await tab.goto(page.url + address);
}

/** Opens a tab that shows nothing yet, so that a test can watch all requests of the page from the first one. */
async function openEmpty(options: BrowserContextOptions = {}): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: 'en-GB', ...options });
  tab = await context.newPage();
  await tab.clock.setFixedTime(forming.timestamp + HOUR / 2);
  tab.on('pageerror', (error) => errors.push(error.message));
}

const charted = () => browsing.charted(tab);
const shows = (candles: Candle[], what: string) => browsing.shows(tab, candles, what);
const screenshot = (name: string) => browsing.screenshot(tab, name);
const seen = (text: string | RegExp) => tab.getByText(text).first().waitFor();

/** Finds a symbol by its name, or by a part that only it has. */
async function pick(name: string): Promise<void> {
  const symbol = tab.getByRole('combobox', { name: 'Symbol' });
  await symbol.click();
  await symbol.fill(name);
  await symbol.press('Enter');
}

test('an empty store is explained, and the first candle that is posted appears', async () => {
  await open();
  await seen('No candles yet');
  await screenshot('empty');
  const [example] = /\d{4}-\d\d-\d\dT[\d:]+Z/.exec(await tab.locator('.notice pre').innerText())!;
  assert.equal(new Date(example).getUTCDay(), 0, 'the example is on a Sunday');
  assert.ok(new Date(example).getUTCHours() < 21, 'the example is at an hour at which no market is open');
  await service.post('XAUUSD', 'H1', pounds.slice(0, 1));
  await shows(pounds.slice(0, 1), 'the first candle is on the chart');
  assert.equal(new URL(tab.url()).search, '?symbol=XAUUSD&timeframe=H1');
});

test('candles appear as they were posted, with the digits of their series', async () => {
  await service.empty();
  await service.post('EURUSD', 'H1', [...walk, forming]);
  await service.post('EURUSD', 'M1', minutes);
  for (const [timeframe, hours] of [
    ['M15', 0.25],
    ['H4', 4],
    ['D1', 24],
  ] as const) {
    await service.post('EURUSD', timeframe, randomWalk(40, Date.UTC(2025, 7, 1), hours * HOUR));
  }
  await service.post('GBPUSD.raw', 'H1', pounds);
  await open();
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  assert.equal(await tab.locator('.last').textContent(), forming.close.toFixed(5));
  assert.equal(await tab.title(), `EURUSD H1 ${forming.close.toFixed(5)}`);
  await seen('Live');
  await seen('Forming since Fri 2025-08-01 14:00');
  await seen('opened 30 min ago');
  await seen('Times: UTC');
  await screenshot('chart');
});

test('the forming candle is hollow on the chart, and a closed one is not', async () => {
  await open();
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  const middles = () => tab.evaluate(() => {
    type Chart = {
      getDom: (pane: string, position: string) => HTMLElement;
      getDataList: () => { open: number; close: number }[];
      convertToPixel: (point: object, filter: object) => { x: number; y: number };
    };
    const { chart } = document.querySelector('.chart') as unknown as { chart: Chart };
    const canvas = chart.getDom('candle_pane', 'main').querySelector('canvas')!;
    const scale = canvas.width / canvas.clientWidth;
    const candles = chart.getDataList();
    return [
      candles.length - 1,
      candles.findLastIndex((it) => Math.abs(it.open - it.close) > 0.0004 && !('complete' in it)),
    ].map((dataIndex) => {
      const { open, close } = candles[dataIndex]!;
      const { x, y } = chart.convertToPixel({ dataIndex, value: (open + close) / 2 }, { paneId: 'candle_pane' });
      // Reads a pixel beside the middle, because the grid may draw a line through the middle.
      const { data } = canvas.getContext('2d')!.getImageData(Math.round((x - 1) * scale), Math.round(y * scale), 1, 1);
      return [...data.slice(0, 3)];
    });
  });
  // The chart is painted some frames after it has its data.
  const hollow = [0xfc, 0xfc, 0xfb];
  await until(async () => isDeepStrictEqual((await middles())[0], hollow), 'the forming candle is hollow');
  assert.notDeepEqual((await middles())[1], hollow);
});

test('scrolling back loads older pages until the first candle, without gaps or duplicates', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  for (const older of [walk.slice(-999), walk]) {
    await browsing.scrollBack(tab, older.length + 1);
    await shows([...older, forming], 'the older page is on the chart too');
  }
});

/**
 * Returns the range of candles in view without the empty places beside them (`from`, `to`) and with them (`realFrom`,
 * `realTo`), and the number of all candles.
 */
const visible = () =>
  tab.evaluate(() => {
    type Range = { from: number; to: number; realFrom: number; realTo: number };
    type Chart = { getDataList: () => unknown[]; getVisibleRange: () => Range };
    const { chart } = document.querySelector('.chart') as unknown as { chart: Chart };
    return { ...chart.getVisibleRange(), count: chart.getDataList().length };
  });

test('keys scroll to the first candle and back to the newest', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  const { realFrom, realTo } = await visible();
  const inView = realTo - realFrom;
  await tab.locator('.chart').focus();
  for (const [held, loaded] of [
    [500, 1000],
    [1000, 1251],
  ] as const) {
    await tab.keyboard.press('Home');
    await until(async () => (await visible()).count === loaded, 'an older page is on the chart');
    // The candle that was the first one now has older candles on its left, and has not moved.
    const { realFrom, realTo } = await visible();
    assert.ok(Math.abs(realFrom - (loaded - held)) <= 1, `the view begins at ${realFrom}`);
    assert.ok(Math.abs(realTo - realFrom - inView) <= 1, `${realTo - realFrom} of ${inView} are in view`);
  }
  await tab.keyboard.press('Home');
  const first = await visible();
  assert.equal(first.from, 0);
  assert.ok(first.to >= inView - 2, `${first.to} of ${inView} are in view`);
  await tab.keyboard.press('Home');
  assert.deepEqual(await visible(), first);
  await tab.keyboard.press('End');
  await until(async () => (await visible()).realTo > 1251, 'the newest candle is visible');
});

test('keys with Alt, Ctrl, Meta or Shift are left to the browser', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  const passed = await tab.locator('.chart').evaluate((element) =>
    [{}, { altKey: true }, { ctrlKey: true }, { metaKey: true }, { shiftKey: true }].map((held) => {
      const event = new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true, cancelable: true, ...held });
      return element.dispatchEvent(event);
    }),
  );
  assert.deepEqual(passed, [false, true, true, true, true]);
});

test('a symbol and a timeframe can be picked, and the address keeps them', async () => {
  await open('/?symbol=EURUSD&timeframe=M1');
  await shows(minutes, 'minutes are on the chart');
  await pick('gbp');
  await shows(pounds, 'the other symbol is on the chart, in a timeframe that it has');
  assert.equal(new URL(tab.url()).search, '?symbol=GBPUSD.raw&timeframe=H1');
  await tab.reload();
  await shows(pounds, 'a reload shows the same');
  await tab.goBack();
  await shows(minutes, 'going back shows the first series again');
  await tab.getByLabel('H4', { exact: true }).focus();
  await tab.keyboard.press('ArrowLeft');
  await shows([...walk.slice(-499), forming], 'the keyboard picks a timeframe');
  assert.equal(new URL(tab.url()).search, '?symbol=EURUSD&timeframe=H1');
});

test('a timeframe that is not stored is built from a shorter one', async () => {
  await open('/?symbol=GBPUSD.raw&timeframe=H1');
  await shows(pounds, 'what is stored is on the chart');
  await tab.getByLabel('H1', { exact: true }).focus();
  await tab.keyboard.press('ArrowRight');
  const built = addedUp(pounds, 4 * HOUR);
  // The last hour of the four is missing.
  await shows([...built.slice(0, -1), { ...built.at(-1)!, complete: false }], 'four hours are added up');
  assert.equal(new URL(tab.url()).search, '?symbol=GBPUSD.raw&timeframe=H4');
  assert.deepEqual(await tab.getByTitle('Built from H1').allInnerTexts(), ['H4', 'D1', 'W1', 'MN1']);
});

test('a series is downloaded as a file, whole or as far as it is in view', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  const file = async (format: string) => {
    const link = tab.getByRole('link', { name: format, exact: true });
    const [download] = await Promise.all([tab.waitForEvent('download'), link.click()]);
    assert.equal(await download.failure(), null);
    return { name: download.suggestedFilename(), bytes: readFileSync((await download.path())!) };
  };
  const rows = (candles: Candle[]) =>
    candles.map((it) => [new Date(it.timestamp).toISOString().replace('.000', ''), it.open, it.high, it.low, it.close, it.volume]);
  // The digits of the file are those that were posted, which are those of the numbers here.
  const csv = (candles: Candle[]) => ['timestamp,open,high,low,close,volume', ...rows(candles), ''].join('\n');
  await tab.getByRole('button', { name: 'Export' }).click();
  const whole = await file('CSV');
  assert.equal(whole.bytes.toString(), csv(walk), 'all closed candles');
  assert.match(whole.name, /^EURUSD_H1.*\.csv$/);
  const parquet = await file('Parquet');
  assert.equal(parquet.bytes.subarray(0, 4).toString() + parquet.bytes.subarray(-4).toString(), 'PAR1PAR1');
  await tab.getByLabel('Only what is in view').check();
  const { from, to, count } = await visible();
  assert.ok(to - from > 50 && to - from < 400, `${from} to ${to} are in view`);
  const all = [...walk, forming];
  const inView = all.slice(all.length - count + from, all.length - count + to).filter((it) => it !== forming);
  assert.equal((await file('CSV')).bytes.toString(), csv(inView), 'the closed candles in view');
  await tab.getByLabel('Only what is in view').uncheck();
  assert.equal((await file('CSV')).bytes.toString(), csv(walk), 'all closed candles again');
  // A timeframe that is built is exported as the chart builds it.
  await open('/?symbol=GBPUSD.raw&timeframe=H4');
  const built = addedUp(pounds, 4 * HOUR).slice(0, -1);
  await tab.getByRole('button', { name: 'Export' }).click();
  assert.equal((await file('CSV')).bytes.toString(), csv(built));
});

test('a corrected candle has a mark, and the line above the chart says why', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  const wrong = walk.at(-20)!;
  const high = Number((wrong.high + 0.001).toFixed(5));
  await service.correct('EURUSD', 'H1', [{ ...wrong, high }]);
  await shows([...walk.slice(-499), forming].map((it) => (it === wrong ? { ...wrong, high } : it)), 'the corrected candle is on the chart');
  await tab.evaluate(() => {
    const { fillText } = CanvasRenderingContext2D.prototype;
    const written = ((window as unknown as { written: string[] }).written = []) as string[];
    CanvasRenderingContext2D.prototype.fillText = function (...parameters) {
      written.push(parameters[0]);
      fillText.apply(this, parameters);
    };
  });
  let step = 0;
  await until(async () => {
    const { x, y } = await tab.locator('.chart').evaluate((element, time) => {
      type Chart = { getDataList: () => Candle[]; convertToPixel: (point: object, filter: object) => { x: number } };
      const { chart } = element as unknown as { chart: Chart };
      const dataIndex = chart.getDataList().findIndex(({ timestamp }) => timestamp === time);
      const { left, top } = element.getBoundingClientRect();
      return { x: left + chart.convertToPixel({ dataIndex, value: 0 }, { paneId: 'candle_pane' }).x, y: top + 100 };
    }, wrong.timestamp);
    await tab.mouse.move(x, y + (step = 1 - step));
    const written = await tab.evaluate(() => (window as unknown as { written: string[] }).written);
    return written.includes(`corrected: high ${wrong.high} → ${high} (bad tick)`);
  }, 'the cross on the corrected candle explains its mark');
  await service.correct('EURUSD', 'H1', [wrong]);
});

test('a daily candle that opened on the evening before is labelled with its opening time', async () => {
  const day = { ...end, timestamp: Date.UTC(2025, 6, 31, 22) };
  await service.post('JP225', 'D1', [day]);
  // The list of series may be a second old, and a symbol that it lacks is shown in hours.
  await until(async () => (await (await fetch(`${page.url}/api/series`)).text()).includes('JP225'), 'the series is listed');
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  await tab.evaluate(() => {
    const { fillText } = CanvasRenderingContext2D.prototype;
    const written = ((window as unknown as { written: string[] }).written = []) as string[];
    CanvasRenderingContext2D.prototype.fillText = function (...parameters) {
      written.push(parameters[0]);
      fillText.apply(this, parameters);
    };
  });
  await pick('JP225');
  await shows([day], 'the day is on the chart');
  const times = () =>
    tab.evaluate(() => (window as unknown as { written: string[] }).written.filter((it) => /2025.*31|31.*2025/.test(it)));
  await until(async () => new Set(await times()).size > 1, 'the opening time is written below the chart and above it');
  assert.deepEqual([...new Set(await times())].sort(), ['31 Jul 2025', 'Thu 2025-07-31 22:00']);
});

test('a series that is not stored is explained, and appears once it is stored', async () => {
  await open('/?symbol=US30.cash&timeframe=M15');
  await seen('No candles of US30.cash M15 yet');
  await service.post('US30.cash', 'M15', [{ ...end, open: 44000.5, high: 44010, low: 43990, close: 44001.5 }]);
  await shows([{ ...end, open: 44000.5, high: 44010, low: 43990, close: 44001.5 }], 'the candle is on the chart');
  await until(
    async () => (await tab.locator('.last').textContent()) === '44001.5',
    'its price has the digits of the series',
  );
});

test('the forming candle moves and closes, and the next one appears', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  const moved = { ...forming, close: forming.open, volume: 950 };
  await service.post('EURUSD', 'H1', [moved]);
  await shows([...walk.slice(-499), moved], 'the forming candle has moved');
  const { complete: _, ...closed } = { ...moved, volume: 1000 };
  const next = { ...forming, timestamp: forming.timestamp + HOUR, volume: 1 };
  await service.post('EURUSD', 'H1', [closed, next]);
  await shows([...walk.slice(-499), closed, next], 'the candle is closed, and the next one is forming');
});

test('typing finds one of thousands of series, and only pages that have changed are sent again', async () => {
  await service.empty();
  const many = Array.from({ length: 12_000 }, (_, i) => {
    return { ...end, symbol: `SYM${String(i).padStart(5, '0')}`, timeframe: 'H1' };
  });
  await service.postSeries(many.slice(0, 6000));
  await service.postSeries(many.slice(6000));
  await service.post('EURUSD', 'H1', [...walk, forming]);
  await openEmpty();
  const statuses: number[] = [];
  tab.on('response', (response) => {
    if (new URL(response.url()).pathname === '/api/series') statuses.push(response.status());
  });
  await tab.goto(`${page.url}/?symbol=EURUSD&timeframe=H1`);
  await until(() => statuses.length >= 4, () => `both pages are asked for twice, statuses ${statuses}`);
  assert.deepEqual(statuses.slice(0, 4), [200, 200, 304, 304]);
  // The first page has EURUSD and 9,999 others.
  await service.post('ZAR', 'D1', [end]);
  await until(() => statuses.includes(200, 4), 'the page that has changed is sent');
  assert.equal(statuses.indexOf(200, 4) % 2, 1, 'the page that has changed is the second');
  const symbol = tab.getByRole('combobox', { name: 'Symbol' });
  await symbol.click();
  assert.ok((await tab.getByRole('option').count()) < 400, 'the list stays short');
  await symbol.fill('m1199');
  await tab.getByRole('option', { name: 'SYM11999' }).click();
  await shows([end], 'a symbol of the second page is on the chart');
  await pick('zar');
  await until(() => new URL(tab.url()).search === '?symbol=ZAR&timeframe=D1', 'the symbol that was found is chosen');
  assert.equal(await symbol.inputValue(), 'ZAR');
  await screenshot('many-series');
});

test('during an outage the page keeps the chart and shows an error, which disappears afterwards', async () => {
  await service.empty();
  await service.post('EURUSD', 'H1', [...walk, forming]);
  await open('/?symbol=EURUSD&timeframe=H1');
  await shows([...walk.slice(-499), forming], 'the newest page is on the chart');
  await service.stop();
  await seen('candlewick does not answer');
  await seen('Trying again');
  assert.equal((await charted()).length, 500);
  await screenshot('away');
  await service.start();
  await service.post('EURUSD', 'H1', [{ ...forming, volume: 1234 }]);
  await shows([...walk.slice(-499), { ...forming, volume: 1234 }], 'the chart is up to date again');
  await tab.getByRole('alert').filter({ hasText: 'candlewick' }).waitFor({ state: 'hidden' });
  await seen('Live');
});

test('the page shows an error if it opens during an outage, and the chart then appears by itself', async () => {
  await service.stop();
  await open();
  await seen('candlewick does not answer');
  await screenshot('away-from-the-start');
  await service.start();
  await until(async () => (await charted()).length === 500, 'the chart is there');
});

test('if the token is not accepted, the page names the variable that holds it', async () => {
  await service.restart({ INTERNAL_API_TOKEN: 'a-token-that-the-page-does-not-know' });
  await open('/', { colorScheme: 'dark' });
  await seen('The token is not accepted');
  await seen(/CANDLEWICK_TOKEN/);
  await screenshot('token');
  await service.restart();
});

test('an expired login is explained', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  await seen('Live');
  await tab.route('**/api/**', (route) => route.fulfill({ contentType: 'text/html', body: '<h1>Log in</h1>' }));
  // Ends the live stream, which would outlast the login.
  await service.restart();
  await seen('Something else answers');
  await seen(/load it again/);
});

test('variables that are not set are named', async () => {
  const bare = await BuiltPage.start({});
  try {
    const response = await fetch(`${bare.url}/api/series`);
    assert.equal(response.status, 500);
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    const { code, detail } = await response.json();
    assert.equal(code, 'not_configured');
    assert.match(detail, /CANDLEWICK_URL and CANDLEWICK_TOKEN/);
    await open();
    await tab.goto(bare.url);
    await seen('Not set up yet');
  } finally {
    await bare.stop();
  }
});

test('the page follows the colour scheme of the reader, even when that changes', async () => {
  await open('/?symbol=EURUSD&timeframe=H1', { colorScheme: 'dark' });
  await seen('Live');
  await screenshot('chart-dark');
  const colors = () =>
    tab.evaluate(() => {
      type Chart = { getStyles: () => { candle: { bar: { upColor: string } } } };
      const { chart } = document.querySelector('.chart') as unknown as { chart: Chart };
      return [getComputedStyle(document.body).backgroundColor, chart.getStyles().candle.bar.upColor];
    });
  assert.deepEqual(await colors(), ['rgb(18, 22, 29)', 'rgb(98, 176, 240)']);
  await tab.emulateMedia({ colorScheme: 'light' });
  await until(async () => (await colors()).join() === 'rgb(252, 252, 251),rgb(11, 105, 183)', 'the page and the chart are light');
});

test('a narrow screen shows everything without scrolling sideways', async () => {
  await open('/?symbol=EURUSD&timeframe=H1', { viewport: { width: 390, height: 780 } });
  await seen('Live');
  await screenshot('chart-narrow');
  const { width, shown } = await tab.evaluate(() => {
    return { width: document.documentElement.scrollWidth, shown: document.documentElement.scrollHeight };
  });
  assert.deepEqual([width, shown], [390, 780]);
});

test('slow loading is shown', async () => {
  await open('/?symbol=EURUSD&timeframe=H1');
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  await tab.route('**/api/candles?**', async (route) => {
    await released;
    await route.continue();
  });
  await tab.reload();
  await seen('Loading EURUSD H1');
  await screenshot('loading');
  release();
  await seen('Live');
});

test('routes pass on the answers of the service, and only parameters that it knows', async () => {
  await open();
  const ask = (query: string, headers = {}) => fetch(`${page.url}/api/candles?${query}`, { headers });
  const first = await ask('symbol=EURUSD&timeframe=H1&limit=2&before=9999999999&unknown=1');
  assert.equal(first.status, 200);
  assert.equal(first.headers.get('x-more-before'), 'true');
  assert.equal(first.headers.get('x-more-after'), 'false');
  assert.equal(first.headers.get('cache-control'), 'private, no-cache');
  const link = /^<(\?[^>]*)>; rel="prev"$/.exec(first.headers.get('link')!)![1]!;
  const older = await (await fetch(new URL(link, first.url))).json();
  assert.deepEqual(
    older.map((it: Candle) => it.timestamp),
    walk.slice(-3, -1).map((it) => it.timestamp),
    'the link to the previous page leads through this server',
  );
  assert.match(first.headers.get('x-request-id')!, /^[0-9a-f]{32}$/);
  const text = await first.text();
  const own = await fetch(`${service.url}/api/v1/candles?symbol=EURUSD&timeframe=H1&limit=2&before=9999999999`, {
    headers: { authorization: `Bearer ${READ_TOKEN}` },
  });
  assert.equal(text, await own.text(), 'the digits are the same');
  const etag = first.headers.get('etag')!;
  const again = await ask('symbol=EURUSD&timeframe=H1&limit=2&before=9999999999', { 'if-none-match': etag });
  assert.equal(again.status, 304);
  const wrong = await ask('symbol=EURUSD&timeframe=H1&limit=none');
  assert.equal(wrong.status, 422);
  assert.equal(wrong.headers.get('content-type'), 'application/problem+json');
  assert.equal((await wrong.json()).code, 'invalid_values');
});

test('neither the token nor the address of the service reaches a browser', async () => {
  const secrets = [READ_TOKEN, `127.0.0.1:${service.port}`, new URL(BUILT_WITH.CANDLEWICK_URL).host];
  const received: string[] = [];
  await open('/?symbol=EURUSD&timeframe=H1');
  tab.on('response', async (response) => {
    received.push(response.url(), JSON.stringify(response.headers()), await response.text().catch(() => ''));
  });
  await tab.reload();
  await seen('Live');
  await until(() => received.some((text) => text.includes('klinecharts')), 'the browser has received the chart');
  await until(() => received.some((text) => text.startsWith('[{"timestamp"')), 'the browser has received candles');
  const folder = fileURLToPath(new URL('../.next/static/', import.meta.url));
  const built = (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => statSync(folder + name).isFile())
    .map((name) => readFileSync(folder + name, 'utf8'));
  assert.ok(
    built.some((text) => text.includes('klinecharts')),
    'the build contains the chart',
  );
  for (const text of [...received, ...built]) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} is in ${text.slice(0, 200)}`);
  }
});

test('the page sends no requests to other servers', async () => {
  const asked = new Set<string>();
  await open('/');
  tab.on('request', (request) => asked.add(new URL(request.url()).origin));
  await tab.reload();
  await seen('Live');
  assert.deepEqual([...asked], [page.url]);
});
