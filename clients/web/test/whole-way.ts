/**
 * Follows candles from a simulated market through the Expert Advisor in its terminal, HTTPS, candlewick, Postgres and
 * the page's server to the chart in a browser. The chart must show exactly the candles of the market.
 *
 * TEST_DATABASE_URL names a Postgres server on which databases may be created. TEST_TERMINAL is the path of the
 * compiled terminal.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach, before, test } from 'node:test';
import { Client } from 'pg';
import type { Browser, Page } from 'playwright-core';
import type { Candle } from '../lib/candlewick.ts';
import { launch, screenshot, scrollBack, shows } from './browser.ts';
import { BuiltPage, INGEST_KEY, newFolder, randomWalk, READ_TOKEN, Service, until } from './support.ts';
import { Terminal } from './terminal.ts';

const HOUR = 3_600_000;
/** A Friday at noon UTC, twelve days after daylight saving ended in Europe and five days after it ended in New York. */
const START = Date.UTC(2025, 10, 7, 12);
const DATABASE = `candlewick_test_whole_way_${process.pid}`;

let server: Client;
let service: Service;
let page: BuiltPage;
let browser: Browser;
let tab: Page;
/** True once the page's live stream is open. */
let live = false;
const errors: string[] = [];
let terminal: Terminal;
/** The broker's hourly candles so far, oldest first. The last one is forming. */
let market: Candle[];

before(async () => {
  const { TEST_DATABASE_URL, TEST_TERMINAL } = process.env;
  assert.ok(TEST_DATABASE_URL && TEST_TERMINAL, 'TEST_DATABASE_URL or TEST_TERMINAL is not set; make e2e sets both');
  server = new Client(TEST_DATABASE_URL);
  await server.connect();
  await server.query(`create database ${DATABASE}`);
  const database = new URL(TEST_DATABASE_URL);
  database.pathname = DATABASE;
  const { TLS_CERT, TLS_KEY } = certify();
  service = await Service.start({ DATABASE_URL: database.href, TLS_CERT, TLS_KEY });

  const environment = { CANDLEWICK_URL: service.url, CANDLEWICK_TOKEN: READ_TOKEN };
  page = await BuiltPage.start({ ...environment, NODE_EXTRA_CA_CERTS: TLS_CERT });
  browser = await launch();

  market = randomWalk(1200, START, HOUR, 5);
  terminal = new Terminal(TEST_TERMINAL, TLS_CERT);
  await terminal.tell(
    'symbol EURUSD.m 5',
    'chart EURUSD.m',
    ...market.map((candle) => bar('H1', candle)),
    ...days().map((candle) => bar('D1', candle)),
    `allow ${service.url}`,
    `input Url ${service.url}`,
    `input Key ${INGEST_KEY}`,
    'input Symbols EURUSD.m=EURUSD',
    'input Timeframes H1,D1',
    // Requests take real time. The timeout is long, so that a busy machine does not look like an outage.
    'input TimeoutSeconds 60',
  );
  await clock(START + 1000);
});

after(async () => {
  terminal?.kill();
  await browser?.close();
  await page?.stop();
  await service?.remove();
  await server?.query(`drop database if exists ${DATABASE} with (force)`);
  await server?.end();
});

afterEach(() => assert.deepEqual(errors, [], 'the page throws nothing'));

test('the chart holds exactly the candles of the market', async () => {
  await terminal.tell('init');
  await feeds('the history is sent');
  await open();
  await shows(tab, newest(500), 'the newest page is on the chart');
  await scrollBack(tab, market.length);
  await shows(tab, newest(), 'the chart goes back to the first candle, across the end of daylight saving');
  await stored();
  await tab.getByText('D1', { exact: true }).click();
  await shows(tab, asRead(days()), 'daily candles begin at the broker\'s midnight, in summer and in winter');
  await tab.getByText('H1', { exact: true }).click();
  await shows(tab, newest(500), 'the newest hourly candles are on the chart again');
  // Moves the mouse away from the chart, so that it shows no crosshair.
  await tab.mouse.move(0, 0);
  await screenshot(tab, 'whole-way');
});

test('the forming candle moves and closes, and the next one opens, by the live stream alone', async () => {
  await open();
  await shows(tab, newest(500), 'the newest page is on the chart');
  await tab.getByText('Live').waitFor();
  await until(() => live, 'the chart is live');
  await tab.route('**/api/candles?**', () => {});
  await trade({ ...forming(), close: forming().high, volume: forming().volume + 10 });
  await shows(tab, newest(500), 'the forming candle has moved');
  await nextHour();
  await shows(tab, newest(501), 'the candle has closed, and the next one is forming');
  await stored();
});

test('an outage of three hours leaves no gap in the chart', async () => {
  await open();
  await shows(tab, newest(500), 'the newest page is on the chart');
  await service.stop();
  await tab.getByText('candlewick does not answer').waitFor();
  for (let hour = 0; hour < 3; hour++) await nextHour();
  assert.match(terminal.comment, /cannot be reached/);
  await service.start();
  await feeds('the missed candles are sent');
  await shows(tab, newest(503), 'the chart has caught up');
  await tab.getByText('candlewick does not answer').waitFor({ state: 'hidden' });
  await stored();
});

/** Makes a self-signed certificate for localhost. */
function certify(): { TLS_CERT: string; TLS_KEY: string } {
  const folder = newFolder();
  const [TLS_CERT, TLS_KEY] = [`${folder}/certificate.pem`, `${folder}/key.pem`];
  const request = 'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost';
  execFileSync('openssl', [...request.split(' '), '-keyout', TLS_KEY, '-out', TLS_CERT], { stdio: 'pipe' });
  return { TLS_CERT, TLS_KEY };
}

/** Opens the page in a new tab whose clock always shows a quarter of an hour after the forming candle opened. */
async function open(): Promise<void> {
  await tab?.context().close();
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: 'en-GB' });
  tab = await context.newPage();
  live = false;
  tab.on('pageerror', (error) => errors.push(error.message));
  tab.on('response', (response) => (live ||= response.url().includes('/api/live') && response.ok()));
  await tab.clock.setFixedTime(forming().timestamp + HOUR / 4);
  await tab.goto(`${page.url}/?symbol=EURUSD&timeframe=H1`);
}

function forming(): Candle {
  return market.at(-1)!;
}

/** Returns the newest `count` hourly candles of the market, as the service returns them. */
function newest(count = market.length): Candle[] {
  return asRead(market.slice(-count));
}

/** Returns `candles` as the service returns them, with the last one marked as forming. */
function asRead(candles: Candle[]): Candle[] {
  return candles.with(-1, { ...candles.at(-1)!, complete: false });
}

/** Combines the hourly candles into the broker's daily candles. */
function days(): Candle[] {
  const days = new Map<number, Candle>();
  for (const hour of market) {
    const timestamp = midnight(hour.timestamp);
    const { open, high, low, volume } = days.get(timestamp) ?? { ...hour, volume: 0 };
    days.set(timestamp, {
      timestamp,
      open,
      high: Math.max(high, hour.high),
      low: Math.min(low, hour.low),
      close: hour.close,
      volume: volume + hour.volume,
    });
  }
  return [...days.values()];
}

/** Replaces the forming candle with `candle`, and runs the timer of the Expert Advisor. */
async function trade(candle: Candle): Promise<void> {
  market[market.length - 1] = candle;
  await tellForming();
}

/** Lets an hour pass in the market, and opens the next candle. */
async function nextHour(): Promise<void> {
  const { timestamp, close } = forming();
  // Leaves out the last five minutes, because requests advance the terminal's clock as well, and `clock` below must not
  // set it back.
  await terminal.tell(`advance ${HOUR / 1000 - 300}`);
  market.push({ timestamp: timestamp + HOUR, open: close, high: close + 0.001, low: close, close, volume: 7 });
  market[market.length - 1]!.high = Number(forming().high.toFixed(5));
  await clock(forming().timestamp + 1000);
  await tellForming();
}

/** Gives the forming candles of H1 and D1 to the terminal, and runs the Expert Advisor's timer so that it posts both. */
async function tellForming(): Promise<void> {
  await terminal.tell(bar('H1', forming()), bar('D1', days().at(-1)!), 'advance 20');
}

/** Runs the Expert Advisor until it has sent everything. */
async function feeds(what: string): Promise<void> {
  await until(async () => {
    await terminal.tell('advance 5');
    const live = (timeframe: string) => new RegExp(`${timeframe}: live(?!, history)`).test(terminal.comment);
    return /: running/.test(terminal.comment) && live('H1') && live('D1');
  }, () => `${what}: ${terminal.comment}`);
}

/** Sets the clocks of the terminal and of the broker, which is seven hours ahead of New York. */
async function clock(utc: number): Promise<void> {
  await terminal.tell(`clock ${utc / 1000}`, `offset ${brokerTime(utc) - utc / 1000}`);
}

/** Returns the terminal's command that sets a candle, with all five decimals of its prices. */
function bar(timeframe: string, { timestamp, open, high, low, close, volume }: Candle): string {
  const prices = [open, high, low, close].map((price) => price.toFixed(5));
  return `bar EURUSD.m ${timeframe} ${brokerTime(timestamp)} ${prices.join(' ')} ${volume}`;
}

const NEW_YORK = new Intl.DateTimeFormat('en-US', { timeZone: 'America/New_York', timeZoneName: 'longOffset' });

/** Returns the time on the broker's clock, seven hours ahead of New York, in seconds since 1970 on that clock. */
function brokerTime(utc: number): number {
  const zone = NEW_YORK.formatToParts(utc).find(({ type }) => type === 'timeZoneName')!.value;
  return utc / 1000 + (7 + Number(/GMT(-\d+)/.exec(zone)![1])) * 3600;
}

/**
 * Returns the start of the broker's day that holds `utc`. The second step corrects the first if the broker's offset
 * from UTC changed during that day.
 */
function midnight(utc: number): number {
  const sinceMidnight = (time: number) => (brokerTime(time) % 86_400) * 1000;
  const near = utc - sinceMidnight(utc);
  return near - sinceMidnight(near);
}

/** Checks that Postgres holds exactly the closed candles of the market, with every digit. */
async function stored(): Promise<void> {
  const url = new URL(process.env.TEST_DATABASE_URL!);
  url.pathname = DATABASE;
  const database = new Client(url.href);
  await database.connect();
  try {
    const select = `select extract(epoch from "timestamp")::bigint || ' ' || concat_ws(' ', open, high, low, close, volume) as row
      from market_data_candles where symbol = 'EURUSD' and timeframe = $1 order by "timestamp"`;
    for (const [timeframe, candles] of [
      ['H1', market],
      ['D1', days()],
    ] as const) {
      const rows = (await database.query(select, [timeframe])).rows.map(({ row }) => row as string);
      const closed = candles.slice(0, -1).map(({ timestamp, open, high, low, close, volume }) => {
        const prices = [open, high, low, close].map((price) => price.toFixed(5));
        return [timestamp / 1000, ...prices, volume].join(' ');
      });
      assert.deepEqual(rows, closed, timeframe);
    }
  } finally {
    await database.end();
  }
}
