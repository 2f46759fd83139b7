/** The real programs that the tests use: candlewick on its own SQLite file, and the built page. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http, { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Candle } from '../lib/candlewick.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const BINARY = process.env.CANDLEWICK ?? here('../../../target/debug/candlewick');
const NEXT = here('../node_modules/next/dist/bin/next');
export const INGEST_KEY = 'ingest-key-of-the-tests';
export const READ_TOKEN = 'read-token-of-the-tests';
const MAINTENANCE_KEY = 'maintenance-key-of-the-tests';

// When the tests end for any reason, their programs are killed and their folders deleted.
export const running = new Set<{ kill(): void }>();
const folders = new Set<string>();
process.on('exit', () => {
  running.forEach((program) => program.kill());
  folders.forEach((folder) => rmSync(folder, { recursive: true, force: true }));
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));

/** A child process whose `url` answers once it has started. */
class Program {
  readonly url: string;
  readonly #ready: string;
  readonly #command: string[];
  readonly #certificate?: string;
  #child?: ChildProcess;
  #said = '';

  /** `certificate` is trusted in addition to the usual authorities. */
  constructor(url: string, ready: string, command: string[], certificate?: string) {
    this.url = url;
    this.#ready = ready;
    this.#command = command;
    this.#certificate = certificate;
  }

  async start(environment: Record<string, string>): Promise<this> {
    const [program, ...parameters] = this.#command;
    const { PATH, HOME } = process.env;
    const child = spawn(program!, parameters, { env: { PATH, HOME, NODE_ENV: 'production', ...environment } });
    this.#child = child;
    running.add(this);
    const listen = (said: Buffer) => (this.#said += said);
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    let failed: Error | undefined;
    child.on('error', (error) => (failed = error));
    await until(async () => {
      if (failed || child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`${program} does not start: ${failed?.message ?? this.#said}`);
      }
      return this.#answers();
    }, `${program} answers`);
    return this;
  }

  #answers(): Promise<boolean> {
    const get = this.url.startsWith('https:') ? https.get : http.get;
    return new Promise((resolve) => {
      const options = { ca: this.#certificate, agent: false, signal: AbortSignal.timeout(5000) };
      get(this.url + this.#ready, options, (response) => resolve(response.resume().statusCode === 200)).on(
        'error',
        () => resolve(false),
      );
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    running.delete(this);
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }
}

/** A candlewick on a free port, with an empty database that `remove` deletes. It speaks TLS if TLS_CERT is set. */
export class Service {
  readonly port: number;
  readonly #environment: Record<string, string>;
  readonly #program: Program;
  #folder = newFolder();

  private constructor(port: number, environment: Record<string, string>) {
    this.port = port;
    this.#environment = environment;
    const { TLS_CERT } = environment;
    const url = TLS_CERT ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
    this.#program = new Program(url, '/health', [BINARY, 'serve'], TLS_CERT && readFileSync(TLS_CERT, 'utf8'));
  }

  static async start(environment: Record<string, string> = {}): Promise<Service> {
    const service = new Service(await freePort(), environment);
    await service.start();
    return service;
  }

  get url(): string {
    return this.#program.url;
  }

  async start(environment: Record<string, string> = {}): Promise<void> {
    await this.#program.start({
      DATABASE_URL: `sqlite://${this.#folder}/candles.db`,
      PORT: String(this.port),
      MT5_API_KEY: INGEST_KEY,
      INTERNAL_API_TOKEN: READ_TOKEN,
      MAINTENANCE_KEY,
      // The tests try wrong tokens more often than a client may.
      RATE_LIMIT_ANONYMOUS: 'off',
      ...this.#environment,
      ...environment,
    });
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }

  async restart(environment: Record<string, string> = {}): Promise<void> {
    await this.stop();
    await this.start(environment);
  }

  /** Deletes all candles. */
  async empty(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true });
    this.#folder = newFolder();
    await this.start();
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Posts candles like the Expert Advisor, so that each says whether it is complete. */
  async post(symbol: string, timeframe: string, candles: Candle[]): Promise<void> {
    await this.postSeries(candles.map((candle) => ({ symbol, timeframe, ...candle })));
  }

  /** Posts candles, each of which names its series. */
  async postSeries(candles: (Candle & { symbol: string; timeframe: string })[]): Promise<void> {
    const posted = candles.map((candle) => {
      return { complete: true, ...candle, timestamp: new Date(candle.timestamp).toISOString() };
    });
    const response = await fetch(`${this.url}/api/v1/candles`, {
      method: 'POST',
      headers: { 'x-api-key': INGEST_KEY },
      body: JSON.stringify({ candles: posted }),
    });
    if (response.status !== 201) throw new Error(`posting candles: ${response.status} ${await response.text()}`);
  }

  /** Corrects closed candles. */
  async correct(symbol: string, timeframe: string, candles: Candle[]): Promise<void> {
    const posted = candles.map((candle) => {
      return { symbol, timeframe, ...candle, timestamp: new Date(candle.timestamp).toISOString() };
    });
    await this.#maintain('corrections', 'POST', { reason: 'bad tick', candles: posted });
  }

  /** Deletes the candles that opened from `from` to `to`. */
  async delete(symbol: string, timeframe: string, from: number, to: number): Promise<void> {
    const span = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
    const route = (more: object) => `candles?${new URLSearchParams({ symbol, timeframe, ...span, ...more })}`;
    const { confirm } = await this.#maintain(route({ dry_run: 'true' }), 'DELETE');
    await this.#maintain(route({ confirm: confirm!, reason: 'not a trading day' }), 'DELETE');
  }

  async #maintain(route: string, method: string, body?: object): Promise<{ confirm?: string }> {
    const headers = { authorization: `Bearer ${MAINTENANCE_KEY}` };
    const response = await fetch(`${this.url}/api/v1/${route}`, { method, headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}

/** The variables with which the tests build the page, as on a server that both builds and serves it. */
export const BUILT_WITH = { CANDLEWICK_URL: 'http://candlewick.build.test:8000', CANDLEWICK_TOKEN: READ_TOKEN };

/** The page's production build, served. `test/build.ts` makes it. */
export class BuiltPage {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Serves the page, or the application in another folder. */
  static async start(environment: Record<string, string>, folder = here('..')): Promise<BuiltPage> {
    const port = await freePort();
    const command = [process.execPath, NEXT, 'start', folder, '--hostname', '127.0.0.1', '--port', String(port)];
    return new BuiltPage(await new Program(`http://127.0.0.1:${port}`, '/', command).start(environment));
  }

  get url(): string {
    return this.#program.url;
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'candlewick-web-'));
  folders.add(folder);
  return folder;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const PATIENCE = 60_000;

/**
 * Waits for a condition. An error of a connection that cannot be made counts as not yet true. `what` describes the
 * condition, as a function if the description is known only at the end.
 */
export async function until(condition: () => unknown, what: string | (() => string)): Promise<void> {
  const giveUp = Date.now() + PATIENCE;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    if (Date.now() > giveUp) {
      throw new Error(`waited ${PATIENCE / 1000} s in vain until ${typeof what === 'string' ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A proxy in front of a server, which can hold back the answers for some addresses until it is opened again. */
export class Gate {
  readonly #server = createHttpServer((request, response) => void this.#pass(request, response));
  #open: Promise<void> = Promise.resolve();
  #opened = () => {};
  #shutFor = '';
  #refused: string | undefined;
  readonly #streams = new Set<AbortController>();
  /** The addresses of all requests, and those of the requests that were answered. */
  readonly asked: string[] = [];
  readonly answered: string[] = [];

  readonly #target: string;

  private constructor(target: string) {
    this.#target = target;
  }

  static async before(target: string): Promise<Gate> {
    const gate = new Gate(target);
    gate.#server.listen(0, '127.0.0.1');
    await once(gate.#server, 'listening');
    return gate;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Holds back the answers for addresses that contain `part`. */
  shut(part = ''): void {
    this.#shutFor = part;
    this.#open = new Promise((resolve) => (this.#opened = resolve));
  }

  open(): void {
    this.#opened();
  }

  /** Answers requests whose addresses contain `part` with 404, and ends their streams; without a part none any more. */
  refuse(part?: string): void {
    this.#refused = part;
    if (part) this.cut();
  }

  /** Breaks off all open streams. */
  cut(): void {
    this.#streams.forEach((stream) => stream.abort());
  }

  /** The number of streams that are open. */
  get streams(): number {
    return this.#streams.size;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.asked.push(request.url!);
    if (this.#refused && request.url!.includes(this.#refused)) return void response.writeHead(404).end();
    const end = new AbortController();
    // Other answers are read to their end, so that the tests know that they came.
    response.on('close', () => this.#streams.has(end) && end.abort());
    const { authorization, 'last-event-id': id } = request.headers;
    const headers = { authorization: authorization!, ...(id && { 'last-event-id': String(id) }) };
    const answer = await fetch(this.#target + request.url, { headers, signal: end.signal }).catch(() => undefined);
    if (!answer) return void response.destroy();
    if (answer.headers.get('content-type') === 'text/event-stream') return this.#stream(answer, response, end);
    const body = await answer.text();
    if (request.url!.includes(this.#shutFor)) await this.#open;
    // Without these headers, because fetch has decompressed the body.
    const passed = [...answer.headers].filter(([name]) => !['content-encoding', 'content-length'].includes(name));
    response.writeHead(answer.status, Object.fromEntries(passed)).end(body);
    this.answered.push(request.url!);
  }

  async #stream(answer: Response, response: ServerResponse, end: AbortController): Promise<void> {
    this.#streams.add(end);
    if (response.destroyed) end.abort();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    try {
      for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) response.write(chunk);
    } catch {
      // The stream was cut, or the browser has left.
    }
    this.#streams.delete(end);
    response.destroy();
  }
}

/** Closed candles of a random walk that is the same every time, `step` milliseconds apart, the last one opening at `last`. */
export function randomWalk(count: number, last: number, step: number, seed = 1): Candle[] {
  const times: number[] = [];
  for (let time = last; times.length < count; time -= step) {
    if (isTraded(new Date(time))) times.unshift(time);
  }
  // https://en.wikipedia.org/wiki/Linear_congruential_generator
  let state = seed;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const round = (price: number) => Number(price.toFixed(5));
  let price = 1.085;
  return times.map((timestamp) => {
    // Prices move more by day than by night, and sums of uniform numbers make the walk look like a market's.
    const hour = new Date(timestamp).getUTCHours();
    const width = 0.0006 * (1.2 + Math.sin(((hour - 8) / 24) * 2 * Math.PI));
    const move = () => (random() + random() + random() - 1.5) * width;
    const open = round(price);
    const close = round(open + move() + (1.085 - open) * 0.002);
    const high = round(Math.max(open, close) + Math.abs(move()) * 0.6);
    const low = round(Math.min(open, close) - Math.abs(move()) * 0.6);
    const volume = Math.round(400 + (high - low) * 2_000_000 * (0.6 + random()));
    price = close;
    return { timestamp, open, high, low, close, volume };
  });
}

/** Currencies are traded from Sunday evening to Friday evening. */
function isTraded(time: Date): boolean {
  const [day, hour] = [time.getUTCDay(), time.getUTCHours()];
  return day !== 6 && (day !== 0 || hour >= 21) && (day !== 5 || hour < 21);
}

/** The candles of a longer timeframe, whose length is in milliseconds, that shorter ones add up to. */
export function addedUp(candles: Candle[], length: number): Candle[] {
  const built = new Map<number, Candle>();
  for (const candle of candles) {
    const timestamp = Math.floor(candle.timestamp / length) * length;
    const known = built.get(timestamp);
    if (!known) {
      built.set(timestamp, { ...candle, timestamp });
      continue;
    }
    known.high = Math.max(known.high, candle.high);
    known.low = Math.min(known.low, candle.low);
    known.close = candle.close;
    known.volume += candle.volume;
  }
  return [...built.values()];
}
