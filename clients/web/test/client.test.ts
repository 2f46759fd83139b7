import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { Candlewick, CandlewickError, toPeriod, toTimeframe, type Candle } from '../lib/candlewick.ts';
import { withTypes } from '../scripts/types.ts';
import { freePort, INGEST_KEY, randomWalk, READ_TOKEN, Service } from './support.ts';

const HOUR = 3_600_000;
const walk = randomWalk(30, Date.UTC(2025, 7, 1, 12), HOUR);
const forming: Candle = { ...walk.at(-1)!, timestamp: walk.at(-1)!.timestamp + HOUR, complete: false };
const series = { symbol: 'EURUSD', timeframe: 'H1' };

let service: Service;
let client: Candlewick;

before(async () => {
  service = await Service.start();
  await service.post('EURUSD', 'H1', [...walk, forming]);
  await service.post('EUR&USD+.raw #1', 'M1', randomWalk(1, Date.UTC(2025, 7, 1), 60_000));
  client = new Candlewick({ base: `${service.url}/api/v1/`, token: READ_TOKEN });
});

after(() => service.remove());

/** The error that `asking` ends in. */
async function refused(asking: Promise<unknown>): Promise<CandlewickError> {
  const error = await asking.then(
    () => assert.fail('an error was expected'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof CandlewickError, String(error));
  assert.equal(error.detail, error.message);
  return error;
}

/** Asks a server that is not candlewick. */
async function asking<T>(listener: RequestListener, ask: (base: string) => Promise<T>): Promise<T> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await ask(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test('the newest page holds the forming candle and the candles before it', async () => {
  const page = await client.candles({ ...series, limit: 3 });
  assert.deepEqual(page, { candles: [...walk.slice(-2), forming], moreBefore: true, moreAfter: false });
});

test('pages begin and end where they are asked to', async () => {
  const time = (index: number) => walk[index]!.timestamp;
  const pages = {
    before: await client.candles({ ...series, before: time(20), limit: 5 }),
    after: await client.candles({ ...series, after: time(20), limit: 5 }),
    from: await client.candles({ ...series, from: time(20), limit: 5 }),
    to: await client.candles({ ...series, to: time(20), limit: 5 }),
    between: await client.candles({ ...series, from: new Date(time(3)).toISOString(), to: time(4) / 1000 }),
  };
  assert.deepEqual(pages, {
    before: { candles: walk.slice(15, 20), moreBefore: true, moreAfter: false },
    after: { candles: walk.slice(21, 26), moreBefore: false, moreAfter: true },
    from: { candles: walk.slice(20, 25), moreBefore: false, moreAfter: true },
    to: { candles: walk.slice(16, 21), moreBefore: true, moreAfter: false },
    between: { candles: walk.slice(3, 5), moreBefore: false, moreAfter: false },
  });
});

test('a series that nobody posted has no candles', async () => {
  const page = await client.candles({ symbol: 'XAUUSD', timeframe: 'H1' });
  assert.deepEqual(page, { candles: [], moreBefore: false, moreAfter: false });
});

test('series are listed, all or some, whatever their symbols are made of', async () => {
  const [first, last] = [walk[0]!.timestamp, walk.at(-1)!.timestamp];
  const listed = { ...series, first, last, price_precision: 5 };
  assert.deepEqual(await client.series({ symbol: 'EURUSD' }), [listed]);
  assert.equal((await client.series()).length, 2);
  assert.equal((await client.candles({ symbol: 'EUR&USD+.raw #1', timeframe: 'M1' })).candles.length, 1);
});

test('a problem of the service is an error with its words', async () => {
  const invalid = await refused(client.candles({ ...series, limit: 0 }));
  assert.equal(invalid.status, 422);
  assert.equal(invalid.code, 'invalid_values');
  assert.match(invalid.detail, /limit/);
  assert.deepEqual(invalid.errors[0]?.loc, ['query', 'limit']);
  assert.match(invalid.requestId ?? '', /^[0-9a-f]{32}$/);

  const lost = await refused(new Candlewick({ base: `${service.url}/api/v2`, token: READ_TOKEN }).series());
  assert.deepEqual([lost.status, lost.code], [404, 'not_found']);
});

test('a token that is unknown, missing or for another purpose is refused', async () => {
  const tokens = ['unknown', undefined, INGEST_KEY];
  const errors = await Promise.all(
    tokens.map((token) => refused(new Candlewick({ base: `${service.url}/api/v1`, token }).candles(series))),
  );
  assert.deepEqual(
    errors.map(({ status, code }) => [status, code]),
    [
      [401, 'unauthorized'],
      [401, 'unauthorized'],
      [403, 'wrong_scope'],
    ],
  );
});

test('too many requests are an error that says how long to wait', async () => {
  const strict = await Service.start({ RATE_LIMIT_QUERY: '1/m' });
  try {
    const hasty = new Candlewick({ base: `${strict.url}/api/v1`, token: READ_TOKEN });
    await Promise.all([hasty.series(), hasty.series()]);
    const error = await refused(hasty.series());
    assert.deepEqual([error.status, error.code], [429, 'rate_limited']);
    assert.ok(error.retryAfter! > 0 && error.retryAfter! <= 60, String(error.retryAfter));
  } finally {
    await strict.remove();
  }
});

test('a server that is not there is unreachable', async () => {
  const error = await refused(new Candlewick({ base: `http://127.0.0.1:${await freePort()}` }).series());
  assert.deepEqual([error.status, error.code], [0, 'unreachable']);
});

test('a server that does not answer in time has timed out', async () => {
  const error = await asking(
    () => {},
    (base) => refused(new Candlewick({ base, timeout: 50 }).series()),
  );
  assert.deepEqual([error.status, error.code], [0, 'timed_out']);
  assert.match(error.detail, /0\.05 s/);
});

test('an answer that breaks off is unreachable, not half a page', async () => {
  const error = await asking(
    (_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('[{"timestamp":');
      response.socket!.end();
    },
    (base) => refused(new Candlewick({ base }).series()),
  );
  assert.deepEqual([error.status, error.code], [0, 'unreachable']);
});

test('an answer of something else than candlewick is unreadable', async () => {
  for (const [status, body] of [
    [200, '<html>Welcome</html>'],
    [200, '{"candles":[]}'],
    [502, 'Bad Gateway'],
    [500, 'null'],
  ] as const) {
    const error = await asking(
      (_, response) => response.writeHead(status, { 'retry-after': '7' }).end(body),
      (base) => refused(new Candlewick({ base }).series()),
    );
    assert.deepEqual([error.status, error.code, error.retryAfter], [status, 'unreadable', 7]);
  }
});

test('who gives up gets their own reason back', async () => {
  const reason = new Error('another page was opened');
  const asked = asking(
    () => {},
    (base) => new Candlewick({ base }).series({}, AbortSignal.abort(reason)),
  );
  await assert.rejects(asked, reason);
});

test('timeframes and periods of the chart stand for each other', () => {
  for (const timeframe of ['M1', 'M15', 'H1', 'H12', 'D1', 'W1', 'MN1']) {
    assert.equal(toTimeframe(toPeriod(timeframe)), timeframe);
  }
  assert.deepEqual(toPeriod('MN1'), { type: 'month', span: 1 });
  assert.throws(() => toPeriod('1h'), /1h is no timeframe/);
  assert.throws(() => toTimeframe({ type: 'second', span: 5 }), /no candles of 5 second/);
});

test('the types are those of docs/openapi.json; `npm run types` writes them', async () => {
  assert.equal(readFileSync(new URL('../lib/candlewick.ts', import.meta.url), 'utf8'), await withTypes());
});
