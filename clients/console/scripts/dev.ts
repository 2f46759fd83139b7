/**
 * Serves the console from its sources in front of a running service: npm run dev -- http://127.0.0.1:8000 [PORT]
 * Every load of the page builds it anew. All other requests go to the service, also those of the session.
 */
import { createServer, request } from 'node:http';
import { filesOf } from './build.ts';

const TYPES: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', txt: 'text/plain' };
const service = new URL(process.argv[2] ?? 'http://127.0.0.1:8000');
const port = Number(process.argv[3] ?? 8010);
let files = await filesOf();

const server = createServer(async (asked, answer) => {
  const path = new URL(asked.url!, service).pathname;
  const isPage = path === '/' || (/^\/console(\/|$)/.test(path) && !path.includes('.') && path !== '/console/session');
  const name = isPage ? 'index.html' : path.replace('/console/', '');
  if (isPage) files = await filesOf();
  const file = files.get(name);
  if (file) {
    answer.writeHead(200, { 'content-type': TYPES[name.split('.').at(-1)!]!, 'cache-control': 'no-store' }).end(file);
    return;
  }
  const passed = request(new URL(asked.url!, service), { method: asked.method, headers: asked.headers }, (response) => {
    answer.writeHead(response.statusCode!, response.headers);
    response.pipe(answer);
  });
  passed.on('error', () => answer.writeHead(502).end());
  answer.on('close', () => passed.destroy());
  asked.pipe(passed);
});
server.listen(port, '127.0.0.1', () => console.log(`the console is at http://127.0.0.1:${port}/, in front of ${service.href}`));
