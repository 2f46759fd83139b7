/** The service with its console on one of the stores, and a browser that looks at it. */
import assert from 'node:assert/strict';
import { Client } from 'pg';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { launch } from '../../web/test/browser.ts';
import { randomWalk, READ_TOKEN, Service } from '../../web/test/support.ts';
import type { Candle } from '../../web/lib/candlewick.ts';

export const MAINTENANCE_KEY = 'maintenance-key-of-the-tests';
export const RESEARCH_KEY = 'research-key-of-the-tests';
export const HOUR = 3_600_000;
/** Friday, in the summer of both New York and Europe. */
export const START = Date.UTC(2025, 7, 1, 13);

/** Eleven weeks of closed hours, and one that forms. */
export const walk = randomWalk(1300, START, HOUR);
export const end = walk.at(-1)!;
export const forming: Candle = {
  timestamp: end.timestamp + HOUR,
  open: end.close,
  high: Number((end.close + 0.0009).toFixed(5)),
  low: Number((end.close - 0.0002).toFixed(5)),
  close: Number((end.close + 0.0006).toFixed(5)),
  volume: 900,
  complete: false,
};

/** The stores that the console is tested on. Without TEST_DATABASE_URL it is SQLite alone; `make e2e` sets it. */
export const STORES = process.env.TEST_DATABASE_URL ? (['sqlite', 'postgres'] as const) : (['sqlite'] as const);
export type Store = (typeof STORES)[number];

export class Console {
  readonly service: Service;
  readonly browser: Browser;
  readonly #drop: () => Promise<void>;
  #contexts: BrowserContext[] = [];
  /** Everything that pages threw, and that their content security policy refused. */
  readonly errors: string[] = [];
  /** The origins that pages asked. */
  readonly asked = new Set<string>();

  private constructor(service: Service, browser: Browser, drop: () => Promise<void>) {
    this.service = service;
    this.browser = browser;
    this.#drop = drop;
  }

  static async start(store: Store, environment: Record<string, string> = {}): Promise<Console> {
    const database = store === 'postgres' ? await newDatabase() : undefined;
    const service = await Service.start({
      MAINTENANCE_KEY,
      RESEARCH_API_KEY: RESEARCH_KEY,
      ...(database && { DATABASE_URL: database.url }),
      ...environment,
    });
    return new Console(service, await launch(), database?.drop ?? (async () => {}));
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.service.remove();
    await this.#drop();
  }

  /** A tab that is signed in with `keys`, its clock half an hour into the forming candle. */
  async open(address: string, keys: string[] = [READ_TOKEN], options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 720 }, locale: 'en-GB', ...options });
    this.#contexts.push(context);
    const tab = await context.newPage();
    await tab.clock.setFixedTime(forming.timestamp + HOUR / 2);
    tab.on('pageerror', (error) => this.errors.push(error.message));
    tab.on('console', (message) => {
      if (/Content.Security.Policy/i.test(message.text())) this.errors.push(message.text());
    });
    tab.on('request', (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol.startsWith('http')) this.asked.add(origin);
    });
    await tab.goto(`${this.service.url}/console/api`);
    for (const credential of keys) {
      const status = await tab.evaluate(async (credential) => {
        const options = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ credential }) };
        return (await fetch('/console/session', options)).status;
      }, credential);
      assert.equal(status, 200, 'the key is accepted');
    }
    await tab.goto(this.service.url + address);
    return tab;
  }

  /** Closes all tabs, and checks that none of them threw, broke its policy or asked another server. */
  async closeTabs(): Promise<void> {
    for (const context of this.#contexts.splice(0)) await context.close();
    assert.deepEqual(this.errors.splice(0), []);
    const asked = [...this.asked];
    this.asked.clear();
    assert.deepEqual(asked.filter((origin) => origin !== this.service.url), []);
  }

  /** The answer of the API to the read token. */
  async read<Answer>(path: string): Promise<Answer> {
    return JSON.parse(await this.readText(path));
  }

  async readText(path: string): Promise<string> {
    const response = await fetch(`${this.service.url}/api/v1/${path}`, { headers: { authorization: `Bearer ${READ_TOKEN}` } });
    assert.equal(response.status, 200, path);
    return response.text();
  }

  /** The answer of the API to a body that is posted with the read token, or with another key. */
  async post<Answer>(path: string, body: object, key = READ_TOKEN): Promise<Answer> {
    const options = { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: JSON.stringify(body) };
    const response = await fetch(`${this.service.url}/api/v1/${path}`, options);
    const text = await response.text();
    assert.ok(response.ok, `${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** The newest candles that are stored. */
  stored(symbol: string, timeframe: string, limit: number, more = ''): Promise<Candle[]> {
    return this.read(`candles?symbol=${symbol}&timeframe=${timeframe}&limit=${limit}${more}`);
  }
}

async function newDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const server = new Client(process.env.TEST_DATABASE_URL);
  await server.connect();
  const name = `candlewick_test_console_${process.pid}_${Date.now()}`;
  await server.query(`create database ${name}`);
  const url = new URL(process.env.TEST_DATABASE_URL!);
  url.pathname = name;
  return {
    url: url.href,
    drop: async () => {
      await server.query(`drop database if exists ${name} with (force)`);
      await server.end();
    },
  };
}
