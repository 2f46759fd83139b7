/** The package, in a new application that is made from the README. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, shows } from './browser.ts';
import { BuiltPage, Gate, newFolder, randomWalk, READ_TOKEN, Service, until } from './support.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const HOUR = 3_600_000;

/** `npm test` names its own folder in variables, and an npm that it starts would work there. */
const own = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'));
const env = Object.fromEntries(own) as NodeJS.ProcessEnv;

/** Runs a program to its end, and returns what it printed. */
function run(folder: string, program: string, ...parameters: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, parameters, { cwd: folder, encoding: 'utf8', env });
  assert.equal(status, 0, `${program} ${parameters.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** Makes an application of the files in the README and the packed package. */
function makeApplication(): string {
  const folder = newFolder();
  const archive = run(here('../lib'), 'npm', 'pack', '--silent', '--pack-destination', folder).trim();
  const { dependencies, devDependencies } = JSON.parse(readFileSync(here('../package.json'), 'utf8'));
  // Where CI is set, Next.js does not install types by itself.
  const types = ['typescript', '@types/node', '@types/react'].map((name) => [name, devDependencies[name]]);
  const manifest = {
    private: true,
    type: 'module',
    dependencies: { ...dependencies, 'candlewick-web': `file:${archive}`, ...Object.fromEntries(types) },
  };
  write(folder, 'package.json', JSON.stringify(manifest));
  const layout = 'export default ({ children }: { children: React.ReactNode }) => <html><body>{children}</body></html>;';
  write(folder, 'app/layout.tsx', layout);
  const readme = readFileSync(here('../README.md'), 'utf8');
  const files = [...readme.matchAll(/`(app\/[\w/.-]+)`:\n\n```tsx?\n([^]*?)```/g)];
  assert.equal(files.length, 4);
  for (const [, path, text] of files) write(folder, path!, text!);
  run(folder, 'npm', 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline');
  return folder;
}

function write(folder: string, path: string, text: string): void {
  mkdirSync(join(folder, dirname(path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

test('a new application with the packed package shows what is stored, live', async () => {
  const folder = makeApplication();
  const next = join(folder, 'node_modules/next/dist/bin/next');
  run(folder, process.execPath, next, 'build', folder);
  const walk = randomWalk(60, Date.UTC(2025, 7, 1, 13), HOUR);
  const service = await Service.start();
  const gate = await Gate.before(service.url);
  const page = await BuiltPage.start({ CANDLEWICK_URL: gate.url, CANDLEWICK_TOKEN: READ_TOKEN }, folder);
  const browser = await launch();
  try {
    await service.post('EURUSD', 'H1', walk);
    const tab = await browser.newPage();
    await tab.goto(page.url);
    // The component has no class of its own.
    await tab.locator('canvas').first().waitFor();
    await tab.evaluate(() => {
      const host = [...document.querySelectorAll('div')].find((it) => 'chart' in it)!;
      host.className = 'chart';
    });
    await shows(tab, walk, 'the chart holds what is stored');
    await until(() => gate.streams === 1, 'the chart is live');
    const later = { ...walk.at(-1)!, timestamp: walk.at(-1)!.timestamp + HOUR, complete: false };
    await service.post('EURUSD', 'H1', [later]);
    await shows(tab, [...walk, later], 'a new candle comes');
  } finally {
    await browser.close();
    await page.stop();
    gate.close();
    await service.remove();
  }
});
