/** The console on both stores: signing in, the chart and the database, corrections, deletions, and a restart in between. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { charted, scrollBack, shows } from '../../web/test/browser.ts';
import { addedUp, randomWalk, READ_TOKEN, until } from '../../web/test/support.ts';
import { Console, end, forming, HOUR, MAINTENANCE_KEY, START, STORES, walk } from './support.ts';

type Chart = {
  getDataList: () => { timestamp: number }[];
  getVisibleRange: () => { from: number; to: number };
  getIndicators: () => { name: string }[];
  getStyles: () => { candle: { bar: { upColor: string }; priceMark: { last: { show: boolean } } } };
};
type Element = { chart: Chart };

const CHART = '/console/chart?symbol=EURUSD&timeframe=H1';

for (const store of STORES) {
  describe(`the console on ${store}`, () => {
    let console: Console;

    before(async () => {
      console = await Console.start(store);
      await console.service.post('EURUSD', 'H1', [...walk, forming]);
      await console.service.post('EURUSD', 'M1', randomWalk(40, START, 60_000, 3));
      await console.service.post('GBPUSD.raw', 'H1', randomWalk(80, START, HOUR, 4));
    });
    after(() => console?.stop());
    afterEach(() => console.closeTabs());

    const seen = (tab: Page, text: string | RegExp) => tab.getByText(text).first().waitFor();
    const newest = () => console.stored('EURUSD', 'H1', 500);

    test('only a key opens it, and the cookie is out of reach of scripts', async () => {
      const tab = await console.open('/', []);
      await tab.getByLabel('Read token, maintenance key or research key').fill('not-a-key-of-this-service');
      await tab.getByRole('button', { name: 'Sign in', exact: true }).click();
      await seen(tab, 'No such key is known');
      await tab.getByLabel('Read token, maintenance key or research key').fill(READ_TOKEN);
      await tab.keyboard.press('Enter');
      await shows(tab, await newest(), 'the newest candles are on the chart');
      assert.equal(await tab.evaluate(() => document.cookie), '');
      const cookies = await tab.context().cookies();
      assert.deepEqual(cookies.map(({ httpOnly, sameSite }) => [httpOnly, sameSite]), [[true, 'Strict']]);
      await tab.reload();
      await shows(tab, await newest(), 'a reload needs no key');
      await tab.getByRole('button', { name: 'Sign out' }).click();
      await tab.getByRole('heading', { name: 'Sign in' }).waitFor();
      assert.equal(await tab.evaluate(async () => (await fetch('/api/v1/series')).status), 401);
    });

    test('in development one click opens everything', async () => {
      const tab = await console.open('/', []);
      await tab.getByRole('button', { name: 'Open everything' }).click();
      await shows(tab, await newest(), 'the newest candles are on the chart');
      assert.equal(new URL(tab.url()).search, '?symbol=EURUSD&timeframe=H1');
      await tab.goto(`${console.service.url}/console/changes?do=delete`);
      await tab.getByRole('button', { name: 'Count them' }).waitFor();
    });

    test('the chart shows what the database holds, older pages included', async () => {
      const tab = await console.open(CHART);
      await shows(tab, [...walk.slice(-499), forming], 'the newest page is on the chart');
      await scrollBack(tab, walk.length + 1);
      await shows(tab, [...walk, forming], 'all candles are on the chart');
      assert.equal(await tab.locator('.last').textContent(), forming.close.toFixed(5));
      await seen(tab, 'Live');
      // By the close of Thursday in UTC.
      const before = walk.filter(({ timestamp }) => timestamp < Date.UTC(2025, 7, 1)).at(-1)!.close;
      await seen(tab, `(${Math.abs(((forming.close - before) / before) * 100).toFixed(2)} %)`);
    });

    test('a symbol is found by typing, a timeframe is built, and the address keeps both', async () => {
      const tab = await console.open(CHART);
      const symbol = tab.getByRole('combobox', { name: 'Symbol' });
      await symbol.click();
      await symbol.fill('gbp');
      await tab.keyboard.press('Enter');
      await until(() => new URL(tab.url()).search === '?symbol=GBPUSD.raw&timeframe=H1', 'the symbol is in the address');
      await tab.getByRole('radio', { name: 'H4' }).check({ force: true });
      const built = await console.stored('GBPUSD.raw', 'H4', 500, '&source=H1');
      assert.equal(built.length, addedUp(await console.stored('GBPUSD.raw', 'H1', 500), 4 * HOUR).length);
      await shows(tab, built, 'four hours are built');
      await tab.reload();
      await shows(tab, built, 'a reload shows the same');
      await tab.getByLabel('Time zone').selectOption({ label: 'New York' });
      await shows(tab, await console.stored('GBPUSD.raw', 'H4', 500, '&source=H1&align=ny17'), 'days begin as they do in New York');
      await tab.goBack();
      await until(async () => (await charted(tab)).length === 80, 'going back shows the timeframe before');
    });

    test('the forming candle moves and closes, and the next one appears', async () => {
      const tab = await console.open(CHART);
      await shows(tab, [...walk.slice(-499), forming], 'the newest page is on the chart');
      const moved = { ...forming, close: forming.open, volume: 950 };
      await console.service.post('EURUSD', 'H1', [moved]);
      await shows(tab, [...walk.slice(-499), moved], 'the forming candle has moved');
      const { complete: _, ...closed } = { ...moved, volume: 1000 };
      const next = { ...forming, timestamp: forming.timestamp + HOUR, volume: 1 };
      await console.service.post('EURUSD', 'H1', [closed, next]);
      await shows(tab, [...walk.slice(-499), closed, next], 'the candle is closed, and the next one is forming');
    });

    test('a series is downloaded as a file with the digits of the database', async () => {
      const tab = await console.open('/console/chart?symbol=GBPUSD.raw&timeframe=H4');
      await tab.getByRole('button', { name: 'Export' }).click();
      const [download] = await Promise.all([tab.waitForEvent('download'), tab.getByRole('link', { name: 'CSV' }).click()]);
      const text = readFileSync((await download.path())!, 'utf8');
      const built = await console.stored('GBPUSD.raw', 'H4', 500, '&source=H1');
      const closed = built.filter(({ complete }) => complete !== false);
      const rows = closed.map((it) => [new Date(it.timestamp).toISOString().replace('.000', ''), it.open, it.high, it.low, it.close, it.volume].join());
      assert.equal(text, ['timestamp,open,high,low,close,volume', ...rows, ''].join('\n'));
    });

    test('a date leads into the past, and Newest back to the live candle', async () => {
      const tab = await console.open(CHART);
      const first = await newest();
      await shows(tab, first, 'the newest page is on the chart');
      await tab.getByRole('button', { name: 'Go to' }).click();
      await tab.getByLabel('Go to date').fill('2025-06-03');
      const time = Date.UTC(2025, 5, 3);
      await until(async () => (await charted(tab))[0]!.timestamp < time, 'candles around the date are loaded');
      await seen(tab, 'History');
      const inView = await tab.locator('.chart').evaluate((element) => {
        const { chart } = element as unknown as Element;
        const { from, to } = chart.getVisibleRange();
        const { priceMark } = chart.getStyles().candle;
        return { times: chart.getDataList().slice(from, to).map(({ timestamp }) => timestamp), line: priceMark.last.show };
      });
      assert.ok(inView.times.includes(time), 'the date is in view');
      assert.equal(inView.line, false, 'the line of the last price is not at a price of the past');
      await tab.getByRole('button', { name: 'Newest' }).click();
      await shows(tab, first, 'the newest page is on the chart again');
      await seen(tab, 'Live');
    });

    test('indicators, scale and colours are kept for the next visit', async () => {
      const tab = await console.open(CHART);
      await shows(tab, await newest(), 'the newest page is on the chart');
      await tab.getByRole('button', { name: 'Indicators' }).click();
      for (const name of ['MA 20, 50', 'EMA 20, 200', 'Bollinger 20, 2', 'RSI 14', 'MACD 12, 26, 9', 'ATR 14']) {
        await tab.getByLabel(name).check();
      }
      await tab.keyboard.press('Escape');
      await tab.getByRole('button', { name: 'Log' }).click();
      await tab.getByLabel('Colours').selectOption('dark');
      const chart = () =>
        tab.locator('.chart').evaluate((element) => {
          const { chart } = element as unknown as Element;
          const names = chart.getIndicators().map(({ name }) => name);
          return [...names.sort(), chart.getStyles().candle.bar.upColor];
        });
      const expected = ['cw-atr', 'cw-bollinger', 'cw-dividers', 'cw-ema', 'cw-ma', 'cw-macd', 'cw-marks', 'cw-rsi', 'cw-volume', 'rgb(98, 176, 240)'];
      await until(async () => (await chart()).join() === expected.join(), 'the indicators are on the chart');
      await tab.reload();
      await until(async () => (await chart()).join() === expected.join(), 'a reload shows the same');
      assert.equal(await tab.getByRole('button', { name: 'Log' }).getAttribute('aria-pressed'), 'true');
    });

    test('a correction is made, recorded, and marked on an open chart', async () => {
      const chart = await console.open(CHART);
      const wrong = walk.at(-20)!;
      await shows(chart, await newest(), 'the newest page is on the chart');
      const tab = await console.open('/console/changes?do=correct&symbol=EURUSD&timeframe=H1');
      await tab.getByRole('heading', { name: 'This takes a maintenance key' }).waitFor();
      await tab.getByLabel('Read token, maintenance key or research key').fill(MAINTENANCE_KEY);
      await tab.keyboard.press('Enter');
      await tab.getByLabel('Opening time, UTC').fill(new Date(wrong.timestamp).toISOString().slice(0, 16));
      await tab.getByRole('button', { name: 'Find the candle' }).click();
      const high = (wrong.high + 0.001).toFixed(5);
      await tab.getByLabel('high').fill(high);
      await tab.getByLabel('Reason').fill('bad tick');
      await tab.getByRole('button', { name: 'Show what would change' }).click();
      await seen(tab, `high ${wrong.high} → ${high}`);
      await tab.getByRole('button', { name: 'Correct it' }).click();
      await seen(tab, 'Corrected; it is change');
      await tab.getByRole('cell', { name: 'bad tick' }).waitFor();
      const stored = await newest();
      assert.equal(stored.find(({ timestamp }) => timestamp === wrong.timestamp)!.high, Number(high));
      await shows(chart, stored, 'the corrected candle is on the open chart');
      const { x, y } = await chart.locator('.chart').evaluate((element, time) => {
        type Full = Chart & { convertToPixel: (point: object, filter: object) => { x: number; y: number } };
        const { chart } = element as unknown as { chart: Full };
        const dataIndex = chart.getDataList().findIndex(({ timestamp }) => timestamp === time);
        const { left, top } = element.getBoundingClientRect();
        const written = ((window as unknown as { written: string[] }).written = [] as string[]);
        const { fillText } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.fillText = function (...parameters) {
          written.push(parameters[0]);
          fillText.apply(this, parameters);
        };
        return { x: left + chart.convertToPixel({ dataIndex, value: 0 }, { paneId: 'candle_pane' }).x, y: top + 100 };
      }, wrong.timestamp);
      let step = 0;
      await until(async () => {
        await chart.mouse.move(x, y + (step = 1 - step));
        const written = await chart.evaluate(() => (window as unknown as { written: string[] }).written);
        return written.some((text) => text === `corrected: high ${wrong.high} → ${Number(high)} (bad tick)`);
      }, 'the cross on the corrected candle explains its mark');
    });

    test('a deletion is counted before it is carried out', async () => {
      const tab = await console.open('/console/changes?do=delete&symbol=EURUSD&timeframe=H1', [READ_TOKEN, MAINTENANCE_KEY]);
      const [first, last] = [walk.at(-40)!, walk.at(-38)!].map(({ timestamp }) => new Date(timestamp).toISOString().slice(0, 16));
      await tab.getByLabel('First opening time, UTC').fill(first!);
      await tab.getByLabel('Last opening time, UTC').fill(last!);
      await tab.getByRole('button', { name: 'Count them' }).click();
      await seen(tab, '3 candles');
      await tab.getByLabel('Reason').fill('not traded');
      await tab.getByRole('button', { name: 'Delete 3 candles' }).click();
      await seen(tab, 'Deleted 3 candles; it is change');
      const times = (await newest()).map(({ timestamp }) => timestamp);
      assert.ok(!walk.slice(-40, -37).some(({ timestamp }) => times.includes(timestamp)), 'they are not stored any more');
      const record = await console.read<{ kind: string; reason: string }[]>('changes');
      assert.deepEqual(record.map(({ kind, reason }) => [kind, reason]), [['correction', 'bad tick'], ['deletion', 'not traded']]);
    });

    test('a restart of the service is survived by the chart and the session', async () => {
      const tab = await console.open(CHART);
      const held = await newest();
      await shows(tab, held, 'the newest page is on the chart');
      await console.service.stop();
      await seen(tab, 'No connection');
      await seen(tab, 'Trying again');
      assert.equal((await charted(tab)).length, held.length, 'the chart stays');
      await console.service.start();
      const moved = { ...held.at(-1)!, volume: held.at(-1)!.volume + 100 };
      await console.service.post('EURUSD', 'H1', [moved]);
      await shows(tab, [...held.slice(0, -1), moved], 'the chart is up to date again');
      await seen(tab, 'Live');
    });

    test('a session ends when its key changes', async () => {
      const tab = await console.open('/console/health');
      await seen(tab, 'healthy');
      await console.service.restart({ INTERNAL_API_TOKEN: 'another-token-of-the-operator' });
      await tab.getByRole('heading', { name: 'Sign in' }).waitFor();
      await console.service.restart();
    });

    test('keys move through the chart', async () => {
      const tab = await console.open(CHART);
      await shows(tab, await newest(), 'the newest page is on the chart');
      const view = () =>
        tab.locator('.chart').evaluate((element) => {
          const { from, to } = (element as unknown as Element).chart.getVisibleRange();
          return { from, to };
        });
      const start = await view();
      await tab.locator('.chart').focus();
      await tab.keyboard.press('ArrowLeft');
      const left = await view();
      // Some of the ten places were empty, at the right edge.
      assert.ok(left.to < start.to && left.from < start.from, `${left.from} to ${left.to} are in view`);
      await tab.keyboard.press('ArrowDown');
      assert.ok((await view()).to - (await view()).from > left.to - left.from, 'more candles are in view');
      await tab.keyboard.press('End');
      await until(async () => (await view()).to === 500, 'the newest candle is in view');
    });
  });
}

test('the last candle of a file of years ago is not called live', async () => {
  const console = await Console.start('sqlite');
  try {
    await console.service.post('USDRUB', 'H1', randomWalk(60, Date.UTC(2017, 5, 1), HOUR));
    const tab = await console.open('/');
    await tab.getByText('Last candle 8 years ago').waitFor();
    assert.equal(await tab.locator('.status').getAttribute('data-state'), 'quiet');
    assert.ok(end.timestamp > Date.UTC(2025, 0));
    await console.closeTabs();
  } finally {
    await console.stop();
  }
});
