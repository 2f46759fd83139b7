/**
 * Times the first visits to a demo: npm run first-visit, with CANDLEWICK naming the program (target/release/candlewick if unset).
 * Prints the time until `candlewick demo` answers and, for each visit of a new browser profile, the times until the page to sign in
 * is there, from the click on it until the chart holds candles, and the same for a second visit, which is signed in.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { launch } from '../../web/test/browser.ts';
import { freePort, until } from '../../web/test/support.ts';

const VISITS = 5;
/** As many candles as fill a chart. */
const ENOUGH = 100;

const program = process.env.CANDLEWICK ?? fileURLToPath(new URL('../../../target/release/candlewick', import.meta.url));
const port = await freePort();
const url = `http://127.0.0.1:${port}/`;
const since = (start: number) => `${Math.round(performance.now() - start)} ms`;

const begun = performance.now();
const demo = spawn(program, ['demo', '--port', String(port)], { stdio: 'ignore' });
const browser = await launch();
try {
  await until(async () => (await fetch(new URL('health', url)).catch(() => undefined))?.ok === true, 'the demo answers');
  console.log(`the demo answers after ${since(begun)}`);
  for (let visit = 1; visit <= VISITS; visit++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
    const tab = await context.newPage();
    // Looks at each frame, in the page itself.
    const drawn = () =>
      tab.waitForFunction((enough) => {
        const element = document.querySelector('.chart') as (Element & { chart?: { getDataList: () => unknown[] } }) | null;
        return (element?.chart?.getDataList().length ?? 0) >= enough;
      }, ENOUGH);
    let start = performance.now();
    await tab.goto(url);
    const open = tab.getByRole('button', { name: 'Open everything' });
    await open.waitFor();
    const signIn = since(start);
    start = performance.now();
    await open.click();
    await drawn();
    const chart = since(start);
    start = performance.now();
    await tab.goto(url);
    await drawn();
    console.log(`visit ${visit}: sign-in ${signIn}, chart ${chart}, second visit ${since(start)}`);
    await context.close();
  }
} finally {
  await browser.close();
  demo.kill('SIGINT');
}
