import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, mock, test, type Mock } from 'node:test';
import type { Problem } from '../lib/candlewick.ts';
import { udf } from '../lib/routes.ts';
import { download, forward } from '../lib/service.ts';
import { freePort, newFolder, READ_TOKEN } from './support.ts';

let log: Mock<typeof console.error>;

beforeEach(() => {
  log = mock.method(console, 'error', () => {});
  process.env.CANDLEWICK_TOKEN = READ_TOKEN;
});

afterEach(() => {
  log.mock.restore();
  delete process.env.CANDLEWICK_URL;
  delete process.env.CANDLEWICK_TOKEN;
  delete process.env.CANDLEWICK_TOKEN_FILE;
});

/** Runs `act` while `listener` stands in for the service. */
async function beside(listener: RequestListener, act: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.env.CANDLEWICK_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await act(process.env.CANDLEWICK_URL);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

function ask(patience?: number, signal?: AbortSignal): Promise<Response> {
  const request = new Request('http://localhost/api/candles?symbol=EURUSD&timeframe=H1', { signal });
  return forward(request, 'candles', ['symbol', 'timeframe'], patience);
}

/** Checks that `answer` is a problem of this page that is not cached and does not reveal the service's address. */
async function isProblem(answer: Response, status: number, code: string): Promise<Problem> {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  const text = await answer.text();
  assert.ok(!text.includes('127.0.0.1'), text);
  const problem = JSON.parse(text);
  assert.deepEqual([problem.status, problem.code], [status, code]);
  return problem;
}

test('a problem of the service is passed on with the time to wait', async () => {
  const words = '{"detail":"The database does not answer.","code":"unavailable"}';
  const listener: RequestListener = (_, response) =>
    response.writeHead(503, { 'retry-after': '7', 'content-type': 'application/problem+json' }).end(words);
  await beside(listener, async () => {
    const answer = await ask();
    assert.deepEqual([answer.status, await answer.text()], [503, words]);
    assert.equal(answer.headers.get('retry-after'), '7');
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.headers.get('cache-control'), 'no-store');
  });
});

test('repeated parameters are passed on, and Link leads to the next page of this server', async () => {
  let asked = '';
  const listener: RequestListener = ({ url }, response) => {
    asked = url!;
    const link = '</api/v1/series?symbol=A&symbol=B+C&limit=1&after=H1%3AA>; rel="next"';
    response.writeHead(200, { link, 'x-more-after': 'true', etag: 'W/"1"' }).end('[]');
  };
  await beside(listener, async () => {
    const query = 'symbol=A&symbol=B+C&limit=1&unknown=1&after=M5%3AA';
    const request = new Request(`http://localhost/api/series?${query}`);
    const answer = await forward(request, 'series', ['symbol', 'timeframe', 'limit', 'after']);
    assert.equal(asked, '/api/v1/series?symbol=A&symbol=B+C&limit=1&after=M5%3AA');
    assert.equal(answer.headers.get('link'), '<?symbol=A&symbol=B+C&limit=1&after=H1%3AA>; rel="next"');
    assert.equal(answer.headers.get('x-more-after'), 'true');
    assert.equal(answer.headers.get('etag'), 'W/"1"');
  });
});

test('a service that redirects is unreachable, and the token does not follow the redirect', async () => {
  const asked: string[] = [];
  const listener: RequestListener = ({ url }, response) => {
    asked.push(url!);
    response.writeHead(302, { location: '/elsewhere' }).end();
  };
  await beside(listener, async () => {
    await isProblem(await ask(), 502, 'unreachable');
    assert.deepEqual(asked, ['/api/v1/candles?symbol=EURUSD&timeframe=H1']);
  });
});

test('a service that does not exist is unreachable, and the log has its address', async () => {
  const port = await freePort();
  process.env.CANDLEWICK_URL = `http://127.0.0.1:${port}`;
  await isProblem(await ask(), 502, 'unreachable');
  assert.match(String(log.mock.calls[0]?.arguments[0]), new RegExp(`${port}.*ECONNREFUSED`));
});

test('a service that does not answer in time has timed out', async () => {
  await beside(
    () => {},
    async () => {
      const { detail } = await isProblem(await ask(50), 504, 'timed_out');
      assert.match(detail, /0\.05 s/);
    },
  );
});

test('an answer that stops in the middle has timed out', async () => {
  await beside(
    (_, response) => void response.writeHead(200).write('['),
    async () => void (await isProblem(await ask(50), 504, 'timed_out')),
  );
});

test('a browser that leaves ends the request to the service, and the log does not mention it', async () => {
  const leaving = new AbortController();
  let ended: Promise<unknown> | undefined;
  const listener: RequestListener = (_, response) => {
    ended = once(response, 'close');
    leaving.abort();
  };
  await beside(listener, async () => {
    await ask(60_000, leaving.signal);
    await ended;
    assert.equal(log.mock.callCount(), 0);
  });
});

test('an invalid token is explained and not sent', async () => {
  let asked = 0;
  const listener: RequestListener = (_, response) => {
    asked++;
    response.end('[]');
  };
  await beside(listener, async () => {
    for (const token of ['two words', 'clé', 'line\nbreak']) {
      process.env.CANDLEWICK_TOKEN = token;
      const { detail } = await isProblem(await ask(), 500, 'not_configured');
      assert.match(detail, /CANDLEWICK_TOKEN/);
    }
    assert.equal(asked, 0);
    assert.equal(log.mock.callCount(), 0);
  });
});

test('a token is read from its file, or from the file of keys of a service in development, and again once it has changed', async () => {
  const sent: (string | undefined)[] = [];
  const listener: RequestListener = ({ headers }, response) => {
    sent.push(headers.authorization);
    response.end('[]');
  };
  await beside(listener, async () => {
    delete process.env.CANDLEWICK_TOKEN;
    const file = (process.env.CANDLEWICK_TOKEN_FILE = `${newFolder()}/token`);
    for (const [text, token] of [
      ['first-token\n', 'first-token'],
      ['second-token', 'second-token'],
      ['MT5_API_KEY=ingest\nINTERNAL_API_TOKEN=third-token\n', 'third-token'],
    ]) {
      writeFileSync(file, text!);
      assert.equal((await ask()).status, 200);
      assert.equal(sent.at(-1), `Bearer ${token}`);
    }
    process.env.CANDLEWICK_TOKEN = READ_TOKEN;
    await ask();
    assert.equal(sent.at(-1), `Bearer ${READ_TOKEN}`, 'the variable outranks the file');
    delete process.env.CANDLEWICK_TOKEN;
    rmSync(file);
    const { detail } = await isProblem(await ask(), 500, 'not_configured');
    assert.match(detail, /CANDLEWICK_TOKEN_FILE/);
    assert.match(String(log.mock.calls[0]?.arguments[0]), /ENOENT/);
    assert.equal(sent.length, 4);
  });
});

const exportRequest = (signal?: AbortSignal) =>
  new Request('http://localhost/api/export.csv?symbol=EURUSD&timeframe=H1&unknown=1', { signal });
const exportCsv = (patience?: number, signal?: AbortSignal) =>
  download(exportRequest(signal), 'export.csv', ['symbol', 'timeframe'], patience);

test('an export comes piece by piece, with its name, and its end has no time limit', async () => {
  let piece = (_: string) => {};
  let end = () => {};
  let asked = '';
  const listener: RequestListener = ({ url }, response) => {
    asked = url!;
    const headers = { 'content-type': 'text/csv', 'content-disposition': 'attachment; filename="EURUSD_H1.csv"', 'x-request-id': '7' };
    response.writeHead(200, headers).write('first\n');
    piece = (text) => void response.write(text);
    end = () => void response.end();
  };
  await beside(listener, async () => {
    const answer = await exportCsv(500);
    assert.equal(asked, '/api/v1/export.csv?symbol=EURUSD&timeframe=H1');
    assert.deepEqual(
      ['content-type', 'content-disposition', 'x-request-id', 'cache-control'].map((name) => answer.headers.get(name)),
      ['text/csv', 'attachment; filename="EURUSD_H1.csv"', '7', 'no-store'],
    );
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    assert.equal((await reader.read()).value, 'first\n');
    await new Promise((resolve) => setTimeout(resolve, 600));
    piece('second\n');
    assert.equal((await reader.read()).value, 'second\n');
    end();
    assert.equal((await reader.read()).done, true);
  });
});

test('an export that breaks off does not look whole, and one that is left ends', async () => {
  let broken: ServerResponse | undefined;
  const listener: RequestListener = (_, response) => {
    response.writeHead(200).write('first\n');
    broken = response;
  };
  await beside(listener, async () => {
    const answer = await exportCsv();
    broken!.destroy();
    await assert.rejects(answer.text());
    const leaving = new AbortController();
    const left = await exportCsv(undefined, leaving.signal);
    const ended = once(broken!, 'close');
    leaving.abort();
    await ended;
    await assert.rejects(left.text());
  });
});

test('an export that the service refuses is a problem, and one whose head does not come has timed out', async () => {
  const busy = '{"detail":"Two exports are being made.","code":"overloaded"}';
  const listener: RequestListener = (_, response) =>
    response.writeHead(503, { 'retry-after': '1', 'content-type': 'application/problem+json' }).end(busy);
  await beside(listener, async () => {
    const answer = await exportCsv();
    assert.deepEqual([answer.status, await answer.text(), answer.headers.get('retry-after')], [503, busy, '1']);
  });
  await beside(
    () => {},
    async () => void (await isProblem(await exportCsv(50), 504, 'timed_out')),
  );
});

test('routes of the UDF protocol get the parameters that they have, and others are not passed on', async () => {
  const asked: string[] = [];
  const listener: RequestListener = ({ url }, response) => {
    asked.push(url!);
    response.writeHead(200, { link: '</api/v1/udf/history?symbol=A&to=1&countback=2>; rel="prev"' }).end('{}');
  };
  await beside(listener, async () => {
    const ask = (route: string, query = '') => udf(new Request(`http://localhost/api/udf/${route}?${query}`), route);
    const answer = await ask('history', 'symbol=A&resolution=60&to=9&countback=3&currencyCode=EUR');
    assert.equal(answer.headers.get('link'), '<?symbol=A&to=1&countback=2>; rel="prev"');
    await ask('config', 'symbol=A');
    await ask('time');
    for (const route of ['quotes', '', '..', 'history/x', 'constructor']) assert.equal((await ask(route)).status, 404);
    assert.deepEqual(asked, [
      '/api/v1/udf/history?symbol=A&resolution=60&to=9&countback=3',
      '/api/v1/udf/config',
      '/api/v1/udf/time',
    ]);
  });
});
