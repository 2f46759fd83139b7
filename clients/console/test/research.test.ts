/** The views of research on both stores: what they show is what the API answers, and every step leads to the next. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { charted } from '../../web/test/browser.ts';
import { randomWalk, READ_TOKEN, until } from '../../web/test/support.ts';
import { Console, HOUR, RESEARCH_KEY, START, STORES, walk } from './support.ts';

type Figures = Record<string, number | null>;
type Result = { metrics: Figures; trades: { entry_time: number }[]; bars: number };
type Point = { rank: number; parameters: Record<string, number>; objective: number; in_sample: Figures; out_of_sample: Figures | null };
type Chart = { getDataList: () => { timestamp: number }[]; getVisibleRange: () => { from: number; to: number } };

const BOTH = [READ_TOKEN, RESEARCH_KEY];
/** Ranges that are searched in a moment. */
const SMALL = 'r.fast=4:12:2&r.slow=20:60:10';

for (const store of STORES) {
  describe(`the views of research on ${store}`, () => {
    let console: Console;

    before(async () => {
      console = await Console.start(store);
      await console.service.post('EURUSD', 'H1', walk);
      for (const [symbol, seed] of [['GBPUSD', 4], ['USDJPY', 5]] as const) {
        await console.service.post(symbol, 'D1', randomWalk(400, Date.UTC(2025, 6, 31), 24 * HOUR, seed));
      }
      const minutes = randomWalk(9000, START, 60_000, 3);
      for (let first = 0; first < minutes.length; first += 3000) {
        await console.service.post('AUDUSD', 'M1', minutes.slice(first, first + 3000));
      }
    });
    after(() => console?.stop());
    afterEach(() => console.closeTabs());

    const seen = (tab: Page, text: string | RegExp) => tab.getByText(text).first().waitFor();
    const figure = (tab: Page, name: string) => tab.locator('.figures > div').filter({ has: tab.getByText(name, { exact: true }) }).locator('dd').first();
    const tested = (body: object) => console.post<Result>('backtests', { include: ['trades'], ...body });
    const count = (number: number) => number.toLocaleString('en-GB');

    /** Starts a search with the form, and waits until it is over. */
    async function searched(tab: Page): Promise<string> {
      await tab.getByRole('button', { name: 'Start the search' }).click();
      await tab.getByRole('heading', { name: 'The best points' }).waitFor();
      return new URL(tab.url()).searchParams.get('job')!;
    }

    test('a strategy is found, explained and copied as a script, and leads to its test', async () => {
      const tab = await console.open('/console/strategies', BOTH, { permissions: ['clipboard-read', 'clipboard-write'] });
      const list = tab.getByRole('navigation', { name: 'Strategies' });
      await list.getByRole('link').nth(99).waitFor();
      await tab.getByLabel('Family').selectOption({ label: 'Breakout' });
      const family = await console.read<{ id: string }[]>('strategies?family=breakout');
      assert.equal(await list.getByRole('link').count(), family.length);
      await tab.getByLabel('Find').fill('atr stop');
      await list.getByRole('link', { name: 'Donchian breakout with ATR stop' }).click();
      const { rules, terms } = await console.read<{ rules: string[]; terms: string[] }>('strategies/donchian');
      for (const sentence of [...rules, ...terms]) await tab.getByRole('listitem').filter({ hasText: sentence }).first().waitFor();
      const script = await console.readText('strategies/donchian/pine');
      await until(async () => (await tab.getByLabel('Pine script').innerText()).trim() === script.trim(), 'the script is that of the API');
      await tab.getByRole('button', { name: 'Copy' }).click();
      await seen(tab, 'Copied.');
      assert.equal(await tab.evaluate(() => navigator.clipboard.readText()), script);
      await tab.getByRole('link', { name: 'Test it' }).click();
      await tab.getByRole('heading', { name: 'Backtest' }).waitFor();
      assert.equal(await tab.getByLabel('Strategy').inputValue(), 'donchian');
    });

    test('a test runs with what is chosen by itself, and shows the figures and the trades of the API', async () => {
      const tab = await console.open('/console/backtest?symbol=EURUSD');
      const request = { strategy: 'sma-cross', symbol: 'EURUSD', timeframe: 'H1' };
      const usual = await tested(request);
      await until(async () => (await figure(tab, 'Trades').innerText()) === count(usual.metrics.trades!), 'the trades are counted');
      assert.equal(await figure(tab, 'Sharpe').innerText(), usual.metrics.sharpe!.toFixed(2).replace('-', '−'));
      assert.equal(await tab.getByRole('table', { name: 'Trades, the newest first' }).getAttribute('aria-rowcount'), String(usual.trades.length + 1));
      await seen(tab, 'No costs are counted');
      assert.equal(await tab.locator('.curve').count(), 2);
      await tab.getByLabel('fast').fill('5');
      await tab.keyboard.press('Enter');
      const faster = await tested({ ...request, parameters: { fast: 5 } });
      assert.notEqual(faster.metrics.trades, usual.metrics.trades);
      await until(async () => (await figure(tab, 'Trades').innerText()) === count(faster.metrics.trades!), 'the other parameter is tested');
      assert.equal(new URL(tab.url()).searchParams.get('p.fast'), '5');
      await tab.locator('form .settings summary').click();
      await tab.getByLabel('Commission of each fill').fill('0.02');
      await tab.getByRole('button', { name: 'Run the test' }).click();
      const costly = await tested({ ...request, parameters: { fast: 5 }, settings: { commission: { percent: 0.02 } } });
      const shown = `${costly.metrics.net_profit_percent!.toFixed(2).replace('-', '−')} %`;
      await until(async () => (await figure(tab, 'Net profit').innerText()) === shown, 'the commission is paid');
      await tab.reload();
      await until(async () => (await figure(tab, 'Net profit').innerText()) === shown, 'the address keeps all of it');
    });

    test('a trade of the list is shown on the chart, which explains it', async () => {
      const tab = await console.open('/console/backtest?symbol=EURUSD');
      const { trades } = await tested({ strategy: 'sma-cross', symbol: 'EURUSD', timeframe: 'H1' });
      const table = tab.getByRole('table', { name: 'Trades, the newest first' });
      await table.locator('.rows-body .row').first().waitFor();
      const inView = () =>
        tab.locator('.chart').evaluate((element) => {
          const { chart } = element as unknown as { chart: Chart };
          const { from, to } = chart.getVisibleRange();
          return chart.getDataList().slice(from, to).map(({ timestamp }) => timestamp);
        });
      const { entry_time } = trades[0]!;
      await table.evaluate((element) => element.scrollTo(0, element.scrollHeight));
      await table.getByRole('button', { name: new Date(entry_time).toISOString().slice(0, 16).replace('T', ' ') }).click();
      await until(async () => (await inView()).includes(entry_time), 'the entry of the first trade is in view');
      const { x, y } = await tab.locator('.chart').evaluate((element, time) => {
        type Full = Chart & { convertToPixel: (point: object, filter: object) => { x: number } };
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
      }, entry_time);
      let step = 0;
      await until(async () => {
        await tab.mouse.move(x, y + (step = 1 - step));
        const written = await tab.evaluate(() => (window as unknown as { written: string[] }).written);
        return written.some((text) => /^(long|short) at 1\.\d{5}$/.test(text));
      }, 'the cross on the entry explains its mark');
    });

    test('hours are built from minutes, for the test and for its chart', async () => {
      const tab = await console.open('/console/backtest?symbol=AUDUSD');
      const { metrics, bars } = await tested({ strategy: 'sma-cross', symbol: 'AUDUSD', timeframe: 'H1', source: 'M1' });
      await seen(tab, `${count(bars)} candles of AUDUSD H1`);
      assert.equal(await figure(tab, 'Trades').innerText(), count(metrics.trades!));
      const built = await console.stored('AUDUSD', 'H1', 500, '&source=M1');
      await until(async () => (await charted(tab)).length === built.length, 'the built hours are on the chart');
      await tab.getByLabel('Timeframe').selectOption('H4');
      const longer = await tested({ strategy: 'sma-cross', symbol: 'AUDUSD', timeframe: 'H4', source: 'M1' });
      await seen(tab, `${count(longer.bars)} candles of AUDUSD H4`);
    });

    test('what the service refuses is said where it was chosen', async () => {
      const tab = await console.open('/console/backtest?symbol=EURUSD&p.fast=50&p.slow=20');
      await seen(tab, 'fast < slow');
      const first = new Date(walk[0]!.timestamp).toISOString().slice(0, 10);
      await tab.goto(`${console.service.url}/console/backtest?symbol=EURUSD&from=${first}&to=${first}`);
      await seen(tab, 'closed candles in that span');
    });

    test('a search takes a research key, is followed to its end, and ends in a test, a script and a table', async () => {
      const tab = await console.open(`/console/optimize?symbol=EURUSD&method=grid&least=5&${SMALL}`);
      await tab.getByRole('heading', { name: 'A search takes a research key' }).waitFor();
      assert.ok(await tab.getByRole('button', { name: 'Start the search' }).isDisabled());
      await tab.getByLabel(/research key$/).fill(RESEARCH_KEY);
      await tab.keyboard.press('Enter');
      await seen(tab, '25 combinations; all are tried.');
      const job = await searched(tab);
      const { items } = await console.read<{ items: { winner: Point; warnings: string[]; trials: number; pbo: number | null }[] }>(`jobs/${job}`);
      const [{ winner, warnings, trials, pbo }] = items as [(typeof items)[0]];
      assert.equal(trials, 25);
      await tab.getByRole('heading', { name: `The winner: fast ${winner.parameters.fast}, slow ${winner.parameters.slow}` }).waitFor();
      for (const sentence of warnings) await tab.locator('.warnings').getByText(sentence).waitFor();
      assert.equal((await figure(tab, 'Overfitting (PBO)').innerText()).split(' ')[0], pbo === null ? '–' : pbo.toFixed(2));

      const { results } = await console.read<{ results: Point[] }>(`jobs/${job}/results?limit=1000`);
      const table = tab.getByRole('region', { name: 'The best points' });
      const ranks = () => table.locator('tbody tr td:first-child').allInnerTexts();
      assert.deepEqual(await ranks(), results.map(({ rank }) => String(rank)));
      await table.getByRole('button', { name: 'Net profit' }).nth(1).click();
      const profit = ({ out_of_sample }: Point) => out_of_sample!.net_profit_percent!;
      const byProfit = [...results].sort((one, other) => profit(other) - profit(one));
      assert.deepEqual(await ranks(), byProfit.map(({ rank }) => String(rank)));
      const cells = await tab.locator('.heat > svg rect[class^="heat-"]').count();
      // The ground and the frame of the best cell are there besides the cells.
      assert.equal(cells, results.length + 2);

      await tab.getByRole('button', { name: 'Show Pine script' }).click();
      await tab.getByLabel('Pine script').getByText(`input.int(${winner.parameters.fast}`).waitFor();
      const [download] = await Promise.all([tab.waitForEvent('download'), tab.getByRole('button', { name: 'All points (CSV)' }).click()]);
      const lines = readFileSync((await download.path())!, 'utf8').trim().split('\r\n');
      assert.equal(lines.length, results.length + 1);
      assert.match(lines[1]!, new RegExp(`^1,${winner.parameters.fast},${winner.parameters.slow},`));
      const [report] = await Promise.all([tab.waitForEvent('download'), tab.getByRole('button', { name: 'Report (PDF)' }).click()]);
      assert.equal(report.suggestedFilename(), 'sma-cross-EURUSD-H1.pdf');
      assert.equal(readFileSync((await report.path())!).subarray(0, 5).toString(), '%PDF-');

      await tab.getByRole('link', { name: 'test this, rank 1', exact: true }).click();
      const again = await tested({ strategy: 'sma-cross', parameters: { fast: winner.parameters.fast, slow: winner.parameters.slow }, symbol: 'EURUSD', timeframe: 'H1' });
      await until(async () => (await figure(tab, 'Trades').innerText()) === count(again.metrics.trades!), 'the winner is tested');
      await tab.goto(`${console.service.url}/console/optimize?jobs=all`);
      const row = tab.getByRole('row').filter({ hasText: 'sma-cross EURUSD H1' }).first();
      await row.getByText('done').waitFor();
      await row.getByRole('link').click();
      await tab.getByRole('heading', { name: 'The best points' }).waitFor();
    });

    test('a search is followed without its stream of events, too', async () => {
      const tab = await console.open(`/console/optimize?symbol=EURUSD&method=grid&least=5&${SMALL}`, BOTH);
      await tab.route('**/events', (route) => route.fulfill({ status: 503 }));
      await searched(tab);
    });

    test('a running search shows its progress and is cancelled', async () => {
      const tab = await console.open('/console/optimize?symbol=EURUSD&method=random&most=100000', BOTH);
      await tab.getByRole('button', { name: 'Start the search' }).click();
      await seen(tab, /^[\d,]+ of 100,000 tries/);
      await tab.getByRole('button', { name: 'Cancel' }).click();
      await seen(tab, 'The search was cancelled.');
    });

    test('the board has the signals of the API for all symbols', async () => {
      const tab = await console.open('/console/signals');
      type Answer = { signals: { symbol: string; timeframe: string; signal: string; score: number }[] };
      const symbols = [...new Set((await console.read<{ symbol: string }[]>('series')).map(({ symbol }) => symbol))];
      const { signals } = await console.post<Answer>('run', { symbols });
      const board = tab.getByRole('region', { name: 'Signals' });
      await board.locator('tbody tr').first().waitFor();
      const shown = (await board.locator('tbody tr').allInnerTexts()).map((text) => text.split('\t').slice(0, 3).map((cell) => cell.trim()));
      const score = (it: number) => it.toFixed(2).replace('-', '−');
      const expected = signals.map((it) => [`${it.symbol} ${it.timeframe}`, it.signal, score(it.score)]);
      assert.deepEqual(shown, expected);
      await tab.getByLabel('Timeframe').selectOption('D1');
      await seen(tab, /Without a signal: .*EURUSD \(no such candles are stored\)/);
      await board.locator('summary').first().click();
      await board.getByRole('link', { name: 'ema-cross' }).first().click();
      await tab.getByRole('heading', { name: 'Backtest' }).waitFor();
      assert.equal(await tab.getByLabel('Strategy').inputValue(), 'ema-cross');
    });

    test('on a phone, a newcomer gets from the sign-in to a script by taps alone', async () => {
      const tab = await console.open('/console/strategies', [], { viewport: { width: 360, height: 780 }, hasTouch: true });
      await tab.getByRole('button', { name: 'Open everything' }).tap();
      await tab.getByRole('link', { name: 'Test it' }).tap();
      await tab.getByRole('table', { name: 'Trades, the newest first' }).waitFor();
      await tab.getByRole('link', { name: 'Search for better parameters' }).tap();
      await searched(tab);
      await tab.getByRole('button', { name: 'Show Pine script' }).tap();
      await tab.getByLabel('Pine script').getByText('//@version=6').waitFor();
      const fits = await tab.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
      assert.ok(fits, 'nothing is beside the screen');
    });
  });
}

test('a test of too many candles leads to a search', async () => {
  const console = await Console.start('sqlite');
  try {
    const minutes = randomWalk(200_500, START, 60_000, 9);
    for (let first = 0; first < minutes.length; first += 10_000) {
      await console.service.post('EURUSD', 'M1', minutes.slice(first, first + 10_000));
    }
    const tab = await console.open('/console/backtest?timeframe=M1');
    await tab.getByText('Too large to be answered at once.').waitFor();
    await tab.getByRole('link', { name: 'Start an optimization' }).click();
    await tab.getByRole('heading', { name: 'Optimize' }).waitFor();
    assert.equal(await tab.getByLabel('Timeframe').inputValue(), 'M1');
    await console.closeTabs();
  } finally {
    await console.stop();
  }
});
