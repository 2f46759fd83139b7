/** Every page: what it shows, that axe finds nothing, that it fits, and pictures of it to look at. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { charted, screenshot, shows } from '../../web/test/browser.ts';
import { randomWalk, READ_TOKEN, until } from '../../web/test/support.ts';
import { Console, end, forming, HOUR, MAINTENANCE_KEY, RESEARCH_KEY, START, walk } from './support.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PAGES = {
  chart: '/console/chart?symbol=EURUSD&timeframe=H1',
  strategies: '/console/strategies?id=donchian',
  backtest: '/console/backtest?symbol=EURUSD&p.fast=4&p.slow=12&commission=0.002',
  optimize: '/console/optimize?symbol=EURUSD',
  // The address of the job is known once it was started.
  job: '',
  jobs: '/console/optimize?jobs=all',
  signals: '/console/signals',
  series: '/console/series',
  gaps: '/console/gaps?symbol=EURUSD&timeframe=H1&from=2025-07-01&to=2025-07-31',
  changes: '/console/changes',
  correct: '/console/changes?do=correct',
  delete: '/console/changes?do=delete',
  health: '/console/health',
  api: '/console/api',
};
/** A text that a page shows once it is complete. */
const COMPLETE: Record<keyof typeof PAGES, string | RegExp> = {
  chart: 'Live',
  strategies: '//@version=6',
  backtest: 'What the test assumes',
  optimize: 'Start the search',
  job: 'The best points',
  jobs: 'sma-cross EURUSD H1',
  signals: 'As of',
  series: /[\d,]+ candles, about/,
  gaps: 'Coverage',
  changes: 'bad tick',
  correct: 'Find the candle',
  delete: 'Count them',
  health: 'healthy',
  api: 'OpenAPI document',
};

let console: Console;

before(async () => {
  console = await Console.start('sqlite');
  const holes = new Set(walk.slice(-400, -394).map(({ timestamp }) => timestamp));
  const present = walk.filter(({ timestamp }) => !holes.has(timestamp));
  await console.service.post('EURUSD', 'H1', [...present, forming]);
  await console.service.post('EURUSD', 'M1', randomWalk(900, START, 60_000, 3));
  await console.service.post('EURUSD', 'D1', randomWalk(1000, Date.UTC(2025, 7, 1), 24 * HOUR, 6));
  await console.service.post('GBPUSD.raw', 'H1', randomWalk(80, START, HOUR, 4));
  await console.service.post('XAUUSD', 'D1', [...randomWalk(200, Date.UTC(2023, 1, 1), 24 * HOUR, 7), ...randomWalk(150, Date.UTC(2025, 6, 1), 24 * HOUR, 8)]);
  const wrong = walk.at(-12)!;
  const { timestamp, ...values } = { ...wrong, high: Number((wrong.high + 0.001).toFixed(5)) };
  const candle = { symbol: 'EURUSD', timeframe: 'H1', timestamp: new Date(timestamp).toISOString(), ...values };
  const corrected = await fetch(`${console.service.url}/api/v1/corrections`, {
    method: 'POST',
    headers: { 'x-maintenance-key': MAINTENANCE_KEY },
    body: JSON.stringify({ reason: 'bad tick', candles: [candle] }),
  });
  assert.equal(corrected.status, 200);
  const search = {
    name: 'sma-cross EURUSD H1',
    items: [{ strategy: 'sma-cross', symbol: 'EURUSD', timeframe: 'H1', ranges: { fast: { min: 2, max: 30, step: 2 }, slow: { min: 32, max: 90, step: 3 } } }],
    method: 'grid',
    min_trades: 10,
    settings: { commission: { percent: 0.002 } },
  };
  const { id } = await console.post<{ id: string }>('optimizations', search, RESEARCH_KEY);
  await until(async () => (await console.read<{ state: string }>(`jobs/${id}`)).state === 'done', 'the search is over');
  PAGES.job = `/console/optimize?job=${id}`;
});
after(() => console?.stop());
afterEach(() => console.closeTabs());

async function open(name: keyof typeof PAGES, options = {}): Promise<Page> {
  const tab = await console.open(PAGES[name], [READ_TOKEN, MAINTENANCE_KEY, RESEARCH_KEY], options);
  await tab.getByText(COMPLETE[name]).first().waitFor();
  if (name === 'chart') await shows(tab, await console.stored('EURUSD', 'H1', 500), 'the candles are on the chart');
  if (name === 'backtest') await until(async () => (await charted(tab)).length > 0, 'the candles of the test are on the chart');
  if (name === 'series') await until(async () => !(await tab.locator('.rows').innerText()).includes('…'), 'all are counted');
  return tab;
}

/** The rules that the page breaks, with the elements. */
async function faults(tab: Page): Promise<string[]> {
  await tab.evaluate(AXE);
  return tab.evaluate(async () => {
    type Found = { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] };
    const { violations } = await (window as unknown as { axe: { run: () => Promise<Found> } }).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`);
  });
}

for (const scheme of ['light', 'dark'] as const) {
  test(`axe finds nothing on any page in ${scheme} colours`, async () => {
    const tab = await console.open('/', [], { colorScheme: scheme });
    await tab.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.deepEqual(await faults(tab), [], 'sign-in');
    await screenshot(tab, `console-sign-in-${scheme}`);
    for (const name of Object.keys(PAGES) as (keyof typeof PAGES)[]) {
      const tab = await open(name, { colorScheme: scheme });
      assert.deepEqual(await faults(tab), [], name);
      await screenshot(tab, `console-${name}-${scheme}`);
    }
  });
}

test('every page fits a width of 320 to 2560 pixels without scrolling sideways', async () => {
  for (const name of Object.keys(PAGES) as (keyof typeof PAGES)[]) {
    const tab = await open(name, { viewport: { width: 360, height: 780 }, hasTouch: true });
    await screenshot(tab, `console-${name}-narrow`);
    for (const width of [320, 2560]) {
      await tab.setViewportSize({ width, height: width === 320 ? 640 : 1300 });
      const fits = () => tab.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
      await until(fits, `${name} fits ${width} pixels`);
      // The chart draws anew in the next frames.
      const drawn = () =>
        tab.evaluate(() => [...document.querySelectorAll('canvas')].every((it) => it.width === Math.round(it.clientWidth * devicePixelRatio)));
      await until(drawn, `${name} is drawn for ${width} pixels`);
      if (width === 2560) await screenshot(tab, `console-${name}-wide`);
    }
  }
});

test('pictures of the views of research for the documentation', async () => {
  const high = { viewport: { width: 1120, height: 920 } };
  await screenshot(await open('strategies', { viewport: { width: 1060, height: 480 } }), 'research-strategy');
  await screenshot(await open('backtest', high), 'research-backtest');
  const job = await open('job', high);
  await screenshot(job, 'research-winner');
  const map = job.getByRole('heading', { name: 'Sharpe over two parameters' });
  await map.evaluate((element) => element.scrollIntoView());
  await screenshot(job, 'research-map');
  assert.ok(await map.isVisible());
});

test('what is stored is a table of strips, with the months of each series', async () => {
  const tab = await open('series');
  const row = tab.getByRole('row').filter({ hasText: 'XAUUSD' });
  assert.match(await row.innerText(), /350/);
  const words = await row.getByRole('img').getAttribute('aria-label');
  const { coverage } = (await console.read<{ symbol: string; coverage: { month: string }[] }[]>('series?stats=true&symbol=XAUUSD'))[0]!;
  assert.match(words!, new RegExp(`^${coverage.length} months with candles, [1-9]\\d* without`));
  await tab.getByLabel('Find').fill('gbp');
  await tab.getByText('1 series of 1 symbol').waitFor();
  await tab.getByRole('link', { name: 'Chart of GBPUSD.raw H1' }).click();
  await shows(tab, await console.stored('GBPUSD.raw', 'H1', 500), 'the series leads to its chart');
});

test('the gaps of a series are those of the report, and lead to the chart', async () => {
  const tab = await open('gaps');
  await tab.getByLabel('Show').selectOption('hole');
  const { gaps } = await console.read<{ gaps: { from: number; kind: string }[] }>(
    'gaps?symbol=EURUSD&timeframe=H1&from=2025-07-01&to=2025-07-31T23:59:00Z',
  );
  const holes = gaps.filter(({ kind }) => kind === 'hole');
  assert.ok(holes.length > 0, 'the series has a hole');
  const shown = await tab.locator('tbody tr td:first-child').allInnerTexts();
  assert.deepEqual(shown, holes.map(({ from }) => new Date(from).toISOString().slice(0, 16).replace('T', ' ')));
  await tab.getByRole('link', { name: 'Chart of 2025-07' }).first().click();
  await tab.locator('.chart').waitFor();
  assert.match(tab.url(), /at=2025-07-\d\d/);
  await tab.getByText('History').waitFor();
});

test('posts, conflicts and refusals are those of the process', async () => {
  const wrong = { ...walk.at(-100)!, close: walk.at(-100)!.open };
  await console.service.post('EURUSD', 'H1', [wrong]);
  await assert.rejects(console.service.post('EURUSD', 'H1', [{ ...wrong, volume: -1 }]));
  const tab = await open('health');
  const keys = tab.getByRole('region', { name: 'Keys that post' });
  await keys.getByText('volume is negative').waitFor();
  const list = await open('series');
  const row = list.getByRole('row').filter({ has: list.getByRole('link', { name: 'Chart of EURUSD H1' }) });
  await until(async () => (await row.locator('.conflicts-cell').innerText()) === '1', 'the conflict is counted');
});

test('10,000 series are a list in which the browser keeps only what is in view', async () => {
  const many = Array.from({ length: 10_000 }, (_, i) => ({ ...end, symbol: `SYM${String(i).padStart(5, '0')}`, timeframe: 'H1' }));
  await console.service.postSeries(many.slice(0, 5000));
  await console.service.postSeries(many.slice(5000));
  const tab = await console.open('/console/series');
  await tab.getByText(/10,00\d series/).waitFor();
  assert.ok((await tab.getByRole('row').count()) < 100, 'few rows are in the document');
  await tab.locator('.rows').evaluate((element) => element.scrollTo(0, element.scrollHeight));
  await tab.getByText('XAUUSD').waitFor();
  await tab.getByLabel('Find').fill('SYM0999');
  await tab.getByText('10 series of 10 symbols').waitFor();
  await screenshot(tab, 'console-series-many');
});

test('the build gives the same bytes twice', async () => {
  const { filesOf } = await import('../scripts/build.ts');
  const [one, other] = [await filesOf(), await filesOf()];
  assert.deepEqual([...one.keys()], [...other.keys()]);
  for (const [name, bytes] of one) assert.ok(Buffer.from(bytes).equals(other.get(name)!), name);
});
