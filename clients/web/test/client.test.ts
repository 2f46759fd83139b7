import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import {
  Candlewick,
  CandlewickError,
  sourceOf,
  toPeriod,
  toTimeframe,
  type Candle,
  type Series,
} from '../lib/candlewick.ts';
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

/** The error with which `asking` rejects. */
async function refused(asking: Promise<unknown>): Promise<CandlewickError> {
  const error = await asking.then(
    () => assert.fail('an error was expected'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof CandlewickError, String(error));
  assert.equal(error.detail, error.message);
  return error;
}

/** Sends requests to a server that is not candlewick. */
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

test('pages begin and end at the requested times', async () => {
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

test('all series or some are listed, whatever characters their symbols have', async () => {
  const [first, last] = [walk[0]!.timestamp, walk.at(-1)!.timestamp];
  const listed = { ...series, first, last, price_precision: 5 };
  assert.deepEqual(await client.series({ symbol: 'EURUSD' }), [listed]);
  assert.equal((await client.series()).length, 2);
  assert.equal((await client.candles({ symbol: 'EUR&USD+.raw #1', timeframe: 'M1' })).candles.length, 1);
});

/** A service that answers `list` in pages of ten. It adds each query and the status of its answer to `asked`. */
function inPages(list: Series[], asked: [query: string, status: number][]): RequestListener {
  return (request, response) => {
    const query = queryOf(request);
    const key = query.get('after');
    const start = key === null ? 0 : list.findIndex((it) => `${it.timeframe}:${it.symbol}` === key) + 1;
    const page = list.slice(start, start + Math.min(10, Number(query.get('limit') ?? 10)));
    const last = page.at(-1);
    const more = start + page.length < list.length;
    const etag = `W/"${JSON.stringify(page).length}-${page[0]?.last}"`;
    const status = request.headers['if-none-match'] === etag ? 304 : 200;
    asked.push([query.toString(), status]);
    const next = new URLSearchParams({ after: `${last?.timeframe}:${last?.symbol}` });
    const link = more && { link: `</api/v1/series?${next}>; rel="next"` };
    response.writeHead(status, { etag, 'x-more-after': String(more), ...link });
    response.end(status === 200 ? JSON.stringify(page) : undefined);
  };
}

function queryOf({ url }: IncomingMessage): URLSearchParams {
  return new URL(url!, 'http://localhost').searchParams;
}

function manySeries(count: number): Series[] {
  return Array.from({ length: count }, (_, i) => {
    return { symbol: `S&P+${String(i).padStart(4, '0')}`, timeframe: 'H1', first: 1, last: i, price_precision: 5 };
  });
}

test('the service lists the series of several symbols in pages', async () => {
  for (const symbol of ['A:B', 'C D', 'E+F']) await service.post(symbol, 'M5', walk.slice(0, 1));
  const names = async (query: object) => (await client.series(query)).map(({ symbol }) => symbol);
  assert.deepEqual(await names({ symbol: ['E+F', 'A:B', 'unknown'], timeframe: 'M5' }), ['A:B', 'E+F']);
  assert.deepEqual(await names({ timeframe: 'M5', limit: 2 }), ['A:B', 'C D']);
  assert.deepEqual(await names({ timeframe: 'M5', after: 'M5:A:B' }), ['C D', 'E+F']);
});

test('a list of several pages is read to its end, and later only the pages that have changed', async () => {
  const list = manySeries(25);
  const asked: [string, number][] = [];
  await asking(inPages(list, asked), async (base) => {
    const reader = new Candlewick({ base });
    const first = await reader.series({ timeframe: 'H1' });
    assert.deepEqual(first, list);
    const queries = ['', '&after=H1%3AS%26P%2B0009', '&after=H1%3AS%26P%2B0019'].map((after) => `timeframe=H1${after}`);
    const statuses = (wanted: number[]) => {
      const all = queries.map((query, i) => [query, wanted[i]]);
      assert.deepEqual(asked.splice(0), all);
    };
    statuses([200, 200, 200]);
    assert.equal(await reader.series({ timeframe: 'H1' }), first, 'nothing has changed: the very same list');
    statuses([304, 304, 304]);
    list[10]!.last = 1000;
    assert.deepEqual(await reader.series({ timeframe: 'H1' }), list);
    statuses([304, 200, 304]);
    list.splice(15);
    assert.deepEqual(await reader.series({ timeframe: 'H1' }), list);
    assert.equal(asked.splice(0).length, 2);
    // Another selection is another list.
    assert.deepEqual(await reader.series(), list);
    assert.deepEqual(
      asked.map(([, status]) => status),
      [200, 200],
    );
  });
});

test('a limit ends the list, and one request asks for several symbols', async () => {
  const list = manySeries(25);
  const asked: [string, number][] = [];
  await asking(inPages(list, asked), async (base) => {
    const reader = new Candlewick({ base });
    assert.deepEqual(await reader.series({ limit: 3 }), list.slice(0, 3));
    assert.deepEqual(await reader.series({ limit: 20, after: 'H1:S&P+0001' }), list.slice(2, 22));
    assert.deepEqual(await reader.series({ limit: 20_000 }), list);
    await reader.series({ symbol: ['A B', 'C'], limit: 1 });
    assert.deepEqual(
      asked.map(([query]) => query),
      [
        'limit=3',
        'after=H1%3AS%26P%2B0001&limit=20',
        'after=H1%3AS%26P%2B0011&limit=10',
        '',
        'after=H1%3AS%26P%2B0009',
        'after=H1%3AS%26P%2B0019',
        'symbol=A+B&symbol=C&limit=1',
      ],
    );
  });
});

test('a page without series does not end the list if more pages follow', async () => {
  const [one, other] = manySeries(2);
  const pages: Record<string, [Series[], string?]> = {
    '': [[], '</api/v1/series?timeframe=H1&after=M1%3AB>; rel="next"'],
    'M1:B': [[one!], '</api/v1/series?after=M1%3AC>;rel=next'],
    // A server in between has dropped the link to the next page, which then begins after the last series.
    'M1:C': [[one!], ''],
    'H1:S&P+0000': [[other!]],
  };
  const listener: RequestListener = (request, response) => {
    const [page, link] = pages[queryOf(request).get('after') ?? '']!;
    const headers = { 'x-more-after': String(link !== undefined), ...(link && { link }) };
    response.writeHead(200, headers).end(JSON.stringify(page));
  };
  const list = await asking(listener, (base) => new Candlewick({ base }).series());
  assert.deepEqual(list, [one, one, other]);
});

test('a service of an earlier release without pages gets one request without a limit', async () => {
  const list = manySeries(25);
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(queryOf(request).toString());
    response.end(JSON.stringify(list));
  };
  await asking(listener, async (base) => {
    const reader = new Candlewick({ base });
    assert.deepEqual([await reader.series(), await reader.series({ limit: 20_000 })], [list, list]);
  });
  assert.deepEqual(asked, ['', '']);
});

test('a list that does not end is an error, and aborting it in the middle sends no more requests', async () => {
  let asked = 0;
  let leave: AbortController | undefined;
  const listener: RequestListener = (_, response) => {
    asked++;
    if (asked === 3) leave?.abort(new Error('the page is closed'));
    const link = `</api/v1/series?after=H1%3A${asked}>; rel="next"`;
    response.writeHead(200, { 'x-more-after': 'true', link }).end('[]');
  };
  await asking(listener, async (base) => {
    const error = await refused(new Candlewick({ base }).series());
    assert.equal(error.code, 'too_many');
    assert.match(error.detail, /symbol or a timeframe/);
    assert.equal(asked, 100);
    asked = 0;
    leave = new AbortController();
    await assert.rejects(new Candlewick({ base }).series({}, leave.signal), /the page is closed/);
    assert.equal(asked, 3);
  });
});

test('a problem of the service is an error with its detail and code', async () => {
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

test('a server that does not exist is unreachable', async () => {
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

test('an answer of a program other than candlewick is unreadable', async () => {
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

test('an aborted request rejects with the reason of its caller', async () => {
  const reason = new Error('another page was opened');
  const asked = asking(
    () => {},
    (base) => new Candlewick({ base }).series({}, AbortSignal.abort(reason)),
  );
  await assert.rejects(asked, reason);
});

test('timeframes and periods of the chart are converted into each other', () => {
  for (const timeframe of ['M1', 'M15', 'H1', 'H12', 'D1', 'W1', 'MN1']) {
    assert.equal(toTimeframe(toPeriod(timeframe)), timeframe);
  }
  assert.deepEqual(toPeriod('MN1'), { type: 'month', span: 1 });
  assert.throws(() => toPeriod('1h'), /1h is not a timeframe/);
  assert.throws(() => toTimeframe({ type: 'second', span: 5 }), /no candles of 5 second/);
});

test('candles that are not stored are built from the longest source up to an hour', () => {
  for (const [timeframe, stored, source] of [
    ['H4', ['M1', 'M5', 'H1', 'D1'], 'H1'],
    ['H4', ['M1', 'H3'], 'M1'],
    ['D1', ['M1', 'H1', 'H4'], 'H1'],
    ['D1', ['H4'], 'H4'],
    ['MN1', ['W1', 'D1'], 'D1'],
    ['M15', ['M4', 'M5', 'M10'], 'M5'],
    ['H1', ['M1', 'H1'], undefined],
    ['MN1', ['W1'], undefined],
    ['M1', ['M5'], undefined],
    ['H1', [], undefined],
  ] as const) {
    assert.equal(sourceOf(timeframe, [...stored]), source, `${timeframe} from ${stored.join(' ')}`);
  }
});

test('the types are those of docs/openapi.json; `npm run types` writes them', async () => {
  assert.equal(readFileSync(new URL('../lib/api.ts', import.meta.url), 'utf8'), await withTypes());
});
