/** Forwards requests of the page's own routes to candlewick. It runs only on the server, so that the token stays there. */
import type { Problem } from './api.ts';

/** The default time limit in milliseconds, shorter than the browser's, so that this server's error arrives. */
const PATIENCE = 5000;
/** The time to the head of an export in milliseconds, for which the service reads the first candles. */
const EXPORT_PATIENCE = 10_000;

/** The headers of the service's answer that are passed on. */
const PASSED_ON = [
  'content-type',
  'etag',
  'retry-after',
  'x-more-after',
  'x-more-before',
  'x-request-id',
];

/**
 * Forwards `request` with those of its parameters that `parameters` names to the service's `route`, and returns the answer.
 * `patience` is in milliseconds.
 */
export async function forward(
  request: Request,
  route: string,
  parameters: string[],
  patience = PATIENCE,
): Promise<Response> {
  return ask(request, route, parameters, 'if-none-match', patience, async (answer) => {
    // An answer that does not say how long it may be cached is not cached.
    const headers = new Headers({ 'cache-control': answer.headers.get('cache-control') ?? 'no-store' });
    for (const name of PASSED_ON) {
      const value = answer.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    // Points `Link` to this server's route instead of the service's.
    const link = answer.headers.get('link');
    if (link) headers.set('link', link.replaceAll(`</api/v1/${route}?`, '<?'));
    const body = answer.status === 304 ? null : await answer.arrayBuffer();
    return new Response(body, { status: answer.status, headers });
  });
}

/**
 * Passes a live stream on, event by event, until the browser leaves or the service ends it. `patience` is the time to its
 * head in milliseconds.
 */
export async function stream(request: Request, patience = PATIENCE): Promise<Response> {
  return ask(request, 'live', ['series', 'last_event_id'], 'last-event-id', patience, async (answer) => {
    const type = answer.headers.get('content-type') ?? '';
    const headers = new Headers({ 'content-type': type, 'cache-control': 'no-store' });
    for (const name of ['retry-after', 'x-request-id']) {
      const value = answer.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    if (!answer.ok || !type.startsWith('text/event-stream') || !answer.body) {
      return new Response(await answer.arrayBuffer(), { status: answer.status, headers });
    }
    // Keeps proxies and the server's own compression from collecting events.
    headers.set('cache-control', 'no-cache, no-transform');
    headers.set('x-accel-buffering', 'no');
    return new Response(untilItEnds(answer.body), { headers });
  });
}

/**
 * Passes an export on, piece by piece, until it ends or the browser leaves. One that breaks off breaks off here too, so that no
 * browser takes it for whole. `patience` is the time to its head in milliseconds.
 */
export async function download(
  request: Request,
  route: string,
  parameters: string[],
  patience = EXPORT_PATIENCE,
): Promise<Response> {
  return ask(request, route, parameters, 'accept', patience, async (answer) => {
    const headers = new Headers({ 'cache-control': 'no-store' });
    for (const name of ['content-type', 'content-disposition', 'retry-after', 'x-request-id']) {
      const value = answer.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    return new Response(answer.ok ? answer.body : await answer.arrayBuffer(), { status: answer.status, headers });
  });
}

/** The same bytes. A stream that breaks off ends, because for the browser both mean to come back. */
function untilItEnds(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      if (done) controller.close();
      else controller.enqueue(value!);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/**
 * Sends a request to the service, with those of the parameters and with the header of the browser's request, and returns what
 * `use` makes of the answer. The time limit `patience` ends with that.
 */
async function ask(
  request: Request,
  route: string,
  parameters: string[],
  header: string,
  patience: number,
  use: (answer: Response) => Promise<Response>,
): Promise<Response> {
  const { CANDLEWICK_URL } = process.env;
  const token = await readToken();
  if (!CANDLEWICK_URL || !token) {
    return problem(
      500,
      'not_configured',
      'Set CANDLEWICK_URL and CANDLEWICK_TOKEN on the server of this page, and restart the page. CANDLEWICK_TOKEN_FILE may name a file with the token that this server can read.',
    );
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    return problem(
      500,
      'not_configured',
      'CANDLEWICK_TOKEN contains a character that no token has, such as a space or a letter with an accent. Copy the token again, and restart this page.',
    );
  }
  const asked = new URL(request.url).searchParams;
  const query = new URLSearchParams([...asked].filter(([name]) => parameters.includes(name)));
  const value = request.headers.get(header);
  const stop = new AbortController();
  const leave = () => stop.abort(request.signal.reason);
  request.signal.addEventListener('abort', leave);
  if (request.signal.aborted) leave();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stop.abort();
  }, patience);
  try {
    const answer = await fetch(`${CANDLEWICK_URL.replace(/\/+$/, '')}/api/v1/${route}?${query}`, {
      headers: { authorization: `Bearer ${token}`, ...(value !== null && { [header]: value }) },
      cache: 'no-store',
      redirect: 'error',
      signal: stop.signal,
    });
    return await use(answer);
  } catch (error) {
    // The browser has closed the connection, so nobody reads this.
    if (request.signal.aborted) return new Response(null, { status: 499 });
    // The log has what the browser does not get: the service's address, and the cause of the failure.
    console.error(`candlewick at ${CANDLEWICK_URL}: ${(error as Error).cause ?? error}`);
    if (isLate) {
      return problem(504, 'timed_out', `candlewick did not answer within ${patience / 1000} s.`);
    }
    return problem(
      502,
      'unreachable',
      'candlewick cannot be reached. Check whether it runs, and whether CANDLEWICK_URL leads to it.',
    );
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The token, or undefined if there is none. A file is read for each request, so that a new token in it needs no restart. It holds the
 * token alone, or is the file of keys that candlewick makes for development.
 */
async function readToken(): Promise<string | undefined> {
  const { CANDLEWICK_TOKEN, CANDLEWICK_TOKEN_FILE } = process.env;
  if (CANDLEWICK_TOKEN || !CANDLEWICK_TOKEN_FILE) return CANDLEWICK_TOKEN;
  // Imported here, because servers without files use the variable.
  const { readFile } = await import('node:fs/promises');
  try {
    const text = await readFile(CANDLEWICK_TOKEN_FILE, 'utf8');
    return /^INTERNAL_API_TOKEN=(.*)$/m.exec(text)?.[1] ?? text.trim();
  } catch (error) {
    console.error(`CANDLEWICK_TOKEN_FILE: ${error}`);
    return undefined;
  }
}

function problem(status: number, code: string, detail: string): Response {
  const title = { 500: 'Internal Server Error', 502: 'Bad Gateway', 504: 'Gateway Timeout' }[status]!;
  const body: Omit<Problem, 'request_id'> = { type: 'about:blank', title, status, detail, code };
  return Response.json(body, {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
  });
}
