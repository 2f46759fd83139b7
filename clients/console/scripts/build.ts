/**
 * Builds the console into the folder that the binary embeds: index.html, files below assets/ whose names have a hash of
 * their content, and the licenses of the packages in them. The same sources give the same bytes. With --check nothing is
 * written, and the command fails if the committed files differ.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const OUT = here('../../../src/http/routes/console/assets/');
const PACKAGES = here('../../web/node_modules/');
/** The packages whose code is in the bundle. */
const BUNDLED = ['klinecharts', 'react', 'react-dom', 'scheduler'];

/** The files of the console by their paths. */
export async function filesOf(): Promise<Map<string, Uint8Array>> {
  const { outputFiles, metafile } = await build({
    entryPoints: { console: here('../src/main.tsx') },
    absWorkingDir: here('../../'),
    outdir: 'out',
    entryNames: 'assets/[name]-[hash]',
    chunkNames: 'assets/[name]-[hash]',
    bundle: true,
    // The views of research are in a file of their own, which is loaded when one of them is opened.
    splitting: true,
    format: 'esm',
    minify: true,
    target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
    jsx: 'automatic',
    charset: 'utf8',
    legalComments: 'none',
    define: { 'process.env.NODE_ENV': '"production"' },
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  for (const input of Object.keys(metafile.inputs)) {
    const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
    if (name && !BUNDLED.includes(name)) throw new Error(`${name} is in the bundle; add it to BUNDLED for its license`);
  }
  const files = new Map<string, Uint8Array>();
  const names = new Map<string, string>();
  for (const { path, contents } of outputFiles) {
    const name = `assets/${path.split(/[\\/]/).at(-1)}`;
    files.set(name, contents);
    // The other files are parts that the script loads itself.
    if (name.startsWith('assets/console-')) names.set(name.endsWith('.css') ? 'main.css' : 'main.js', name);
  }
  const icon = readFileSync(here('../src/icon.svg'));
  const hash = createHash('sha256').update(icon).digest('hex').slice(0, 8);
  names.set('icon.svg', `assets/icon-${hash}.svg`);
  files.set(names.get('icon.svg')!, icon);
  let page = readFileSync(here('../src/index.html'), 'utf8');
  for (const [name, file] of names) page = page.replace(`"${name}"`, `"/console/${file}"`);
  files.set('index.html', Buffer.from(page));
  files.set('licenses.txt', Buffer.from(licenses()));
  return files;
}

function licenses(): string {
  const texts = BUNDLED.map((name) => {
    const { version } = JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8'));
    const parts = ['LICENSE', 'NOTICE'].map((file) => join(PACKAGES, name, file)).filter(existsSync);
    if (parts.length === 0) throw new Error(`${name} has no license file`);
    return [`${name} ${version}`, ...parts.map((file) => readFileSync(file, 'utf8').trim())].join('\n\n');
  });
  return `The console contains these packages.\n\n${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

/** The files below a folder, by their paths in it. */
function committed(folder: string): Map<string, Uint8Array> {
  if (!existsSync(folder)) return new Map();
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((it) => it.isFile());
  return new Map(
    found.map((it) => {
      const path = join(it.parentPath, it.name);
      return [path.slice(folder.length).replaceAll('\\', '/'), readFileSync(path)];
    }),
  );
}

/** The names of files that are missing, superfluous or different. */
function differences(files: Map<string, Uint8Array>, known: Map<string, Uint8Array>): string[] {
  const names = new Set([...files.keys(), ...known.keys()]);
  return [...names].filter((name) => {
    const [one, other] = [files.get(name), known.get(name)];
    return !one || !other || !Buffer.from(one).equals(other);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await filesOf();
  const different = differences(files, committed(OUT));
  if (process.argv.includes('--check')) {
    if (different.length > 0) {
      console.error(`the committed console is not what its sources build: ${different.join(', ')}; run npm run build and commit`);
      process.exit(1);
    }
    console.log(`the committed console is what its sources build: ${files.size} files`);
  } else {
    rmSync(OUT, { recursive: true, force: true });
    for (const [name, bytes] of files) {
      mkdirSync(dirname(join(OUT, name)), { recursive: true });
      writeFileSync(join(OUT, name), bytes);
    }
    for (const [name, bytes] of files) console.log(`${String(bytes.length).padStart(8)}  ${name}`);
  }
}
