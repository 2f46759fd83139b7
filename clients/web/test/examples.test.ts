/** The pages below app/examples, each with another chart library, in Chromium. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import type { Candle } from '../lib/candlewick.ts';
import { launch, screenshot } from './browser.ts';
import { BuiltPage, Gate, randomWalk, READ_TOKEN, Service, until } from './support.ts';

const HOUR = 3_600_000;
const walk = randomWalk(700, Date.UTC(2025, 7, 1, 13), HOUR);
const end = walk.at(-1)!;
const later = (hours: number, changes: Partial<Candle> = {}): Candle => {
  return { ...end, timestamp: end.timestamp + hours * HOUR, ...changes };
};
/** The values that every library keeps. */
const values = ({ timestamp, open, high, low, close }: Candle) => [timestamp, open, high, low, close].join(' ');

let service: Service;
let gate: Gate;
let page: BuiltPage;
let browser: Browser;
let tab: Page;
const errors: string[] = [];

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
});

afterEach(async () => {
  await tab.context().close();
  assert.deepEqual(errors, [], 'the page throws nothing');
});

/** The candles that the chart holds, with times in milliseconds. */
function charted(): Promise<Candle[]> {
  return tab.evaluate(() => {
    type Bar = Omit<Candle, 'timestamp'> & { time: number };
    type Host = Element & { chart?: { getDataList(): Candle[] }; series?: { data(): Bar[] } };
    const host = document.querySelector('.chart') as Host | null;
    const bars = host?.series?.data().map(({ time, ...bar }) => ({ ...bar, timestamp: time * 1000 }));
    return JSON.parse(JSON.stringify(bars ?? host?.chart?.getDataList() ?? []));
  });
}

/** The newest candles that are stored, as the service reads them from the database. */
async function stored(limit: number): Promise<Candle[]> {
  const url = `${service.url}/api/v1/candles?symbol=EURUSD&timeframe=H1&limit=${limit}`;
  return (await fetch(url, { headers: { authorization: `Bearer ${READ_TOKEN}` } })).json();
}

/** Waits until the chart holds exactly the newest `count` candles that are stored. */
async function shows(count: number, what: string): Promise<void> {
  let held: string[] = [];
  let wanted: string[] = [];
  await until(
    async () => {
      wanted = (await stored(count)).map(values);
      held = (await charted()).map(values);
      return wanted.length === count && held.join() === wanted.join();
    },
    () => `${what}: ${held.length} of ${wanted.length} candles, ${held.findIndex((it, i) => it !== wanted[i])} differs`,
  );
}

for (const name of ['klinecharts-10', 'klinecharts-9', 'lightweight-charts']) {
  test(`${name} shows the stored candles, older ones, new ones and corrected ones`, async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
    tab = await context.newPage();
    tab.on('pageerror', (error) => errors.push(error.message));
    await tab.goto(`${page.url}/examples/${name}?symbol=EURUSD&timeframe=H1`);
    await shows(500, 'the newest page is on the chart');
    await until(() => gate.streams === 1, 'the chart is live');
    await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
    await shows(501, 'a candle forms');
    await service.post('EURUSD', 'H1', [later(1, { high: later(1).high + 0.01 }), later(2, { complete: false })]);
    await shows(502, 'it closes, and the next one forms');
    await service.correct('EURUSD', 'H1', [{ ...walk.at(-100)!, high: walk.at(-100)!.high + 0.02 }]);
    await shows(502, 'a corrected candle is shown');
    await service.delete('EURUSD', 'H1', walk.at(-60)!.timestamp, walk.at(-60)!.timestamp);
    await until(async () => (await charted()).length === 501, 'a deleted candle disappears');
    await tab.mouse.move(300, 300);
    for (let turns = 0; (await charted()).length < 701 && turns < 200; turns++) {
      await tab.mouse.down();
      await tab.mouse.move(1000, 300, { steps: 4 });
      await tab.mouse.up();
      await tab.mouse.move(300, 300);
    }
    await shows(701, 'older candles are loaded');
    await screenshot(tab, `example-${name}`);
  });
}

test('udf shows the stored candles in several answers, older ones, new ones, and marks where some were corrected', async () => {
  // An answer holds fewer bars than the page asks for.
  await service.restart({ MAX_LIMIT: '120' });
  const newest = async (count: number): Promise<Candle[]> => {
    const whole = await fetch(`${service.url}/api/v1/export.ndjson?symbol=EURUSD&timeframe=H1&forming=true`, {
      headers: { authorization: `Bearer ${READ_TOKEN}` },
    });
    const lines = (await whole.text()).trim().split('\n');
    return lines.slice(-count).map((line) => JSON.parse(line));
  };
  const showsNewest = async (count: number, what: string) => {
    let held: string[] = [];
    await until(
      async () => {
        const wanted = (await newest(count)).map(values);
        held = (await charted()).map(values);
        return wanted.length === count && held.join() === wanted.join();
      },
      () => `${what}: ${held.length} candles`,
    );
  };
  const marks = () =>
    tab.evaluate(() => {
      type Host = Element & { marks?: { time: number; text: string }[] };
      return (document.querySelector('.chart') as Host).marks?.map(({ time, text }) => `${time} ${text}`);
    });
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
  tab = await context.newPage();
  tab.on('pageerror', (error) => errors.push(error.message));
  gate.asked.length = 0;
  await tab.goto(`${page.url}/examples/udf?symbol=EURUSD&resolution=60`);
  await showsNewest(500, 'the newest bars are on the chart');
  const asked = gate.asked.filter((address) => address.includes('/udf/history?'));
  const counts = asked.map((address) => new URL(address, service.url).searchParams.get('countback'));
  assert.deepEqual(counts.slice(0, 5), ['500', '380', '260', '140', '20'], 'as many answers as are needed');
  await service.post('EURUSD', 'H1', [later(1, { complete: false })]);
  await showsNewest(501, 'a candle forms');
  await service.post('EURUSD', 'H1', [later(1, { high: later(1).high + 0.01 }), later(2), later(3), later(4, { complete: false })]);
  await showsNewest(504, 'it closes, and more come than the chart asks for at once');
  assert.deepEqual(await marks(), []);
  const wrong = walk.at(-100)!;
  const high = Number((wrong.high + 0.02).toFixed(5));
  await service.correct('EURUSD', 'H1', [{ ...wrong, high }]);
  await showsNewest(504, 'a corrected candle is shown');
  await until(
    async () => (await marks())?.join() === `${wrong.timestamp / 1000} corrected: high ${wrong.high} → ${high}`,
    'the corrected candle has a mark',
  );
  await service.delete('EURUSD', 'H1', walk.at(-60)!.timestamp, walk.at(-60)!.timestamp);
  await until(async () => (await marks())?.length === 2, 'a deletion has a mark');
  await screenshot(tab, 'example-udf');
  await tab.mouse.move(300, 300);
  for (let turns = 0; (await charted()).length < 703 && turns < 200; turns++) {
    await tab.mouse.down();
    await tab.mouse.move(1000, 300, { steps: 4 });
    await tab.mouse.up();
    await tab.mouse.move(300, 300);
  }
  await showsNewest(703, 'all bars are loaded, back to the first');
  await tab.goto(`${page.url}/examples/udf?symbol=NOTHING&resolution=60`);
  await tab.getByRole('alert').filter({ hasText: 'unknown_symbol' }).waitFor();
});
