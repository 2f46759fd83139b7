/** Builds the page for production once, for all tests that look at it. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BUILT_WITH } from './support.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const { status } = spawnSync(process.execPath, [here('../node_modules/next/dist/bin/next'), 'build', here('..')], {
  env: { ...process.env, ...BUILT_WITH },
  stdio: 'inherit',
});
process.exit(status ?? 1);
