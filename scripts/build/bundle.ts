/**
 * Bundles what `weft` runs, our modules and the packages behind them, into few files: a start opens
 * a dozen instead of five hundred. `src/cli.js` of the build becomes the entry, the rest goes to
 * `src/weft/` beside it. Whatever differs between two builds has another name there, so that a weft
 * that runs can go on loading its own files after the next build: see publish.ts.
 */
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { type BuildOptions, build, type Metafile } from 'esbuild';
import { writeNotices } from './notices.ts';
import { lessWork } from './plugins.ts';

/** Native, so they stay packages beside the bundle; the last is an option of piscina's. */
const EXTERNAL = ['koffi', 'raw-socket', '@napi-rs/nice'];

/** Modules of CommonJS expect these; one that is bundled gets them of the file that it ends in. */
const COMMON_JS =
  "import { createRequire as createBundleRequire } from 'node:module';" +
  'const require = createBundleRequire(import.meta.url);';

const SHARED = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.11',
  external: EXTERNAL,
  define: { __dirname: 'import.meta.dirname' },
  banner: { js: COMMON_JS },
  // Names stay, for stack traces; white space costs time to read.
  minifyWhitespace: true,
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
} as const satisfies BuildOptions;

/** @param dist the build: what the compiler wrote, with `src/wire/sum.wasm` in its place */
async function bundle(root: string, dist: string): Promise<void> {
  const folder = join(dist, 'src/weft');
  const sum = hashed(join(dist, 'src/wire/sum.wasm'));
  cpSync(join(dist, 'src/wire/sum.wasm'), join(folder, sum));
  const found = createRequire(join(root, 'package.json'));
  // What a thread of pumps runs is small, and a whole of its own.
  const threads = await build({
    ...SHARED,
    absWorkingDir: root,
    entryPoints: {
      worker: join(root, 'src/dataplane/worker.ts'),
      thread: join(dirname(found.resolve('piscina')), 'worker.js'),
    },
    entryNames: '[name]-[hash]',
    outdir: folder,
    plugins: [lessWork(root, { 'sum.wasm': sum })],
  });
  const names = { 'sum.wasm': sum, ...outputs(threads.metafile) };
  const main = await build({
    ...SHARED,
    absWorkingDir: root,
    entryPoints: { cli: join(root, 'src/cli.ts') },
    splitting: true,
    chunkNames: 'weft/[name]-[hash]',
    outdir: join(dist, 'src'),
    plugins: [lessWork(root, names)],
  });
  requireSmallEntry(main.metafile);
  chmodSync(join(dist, 'src/cli.js'), 0o755);
  const inputs = [threads, main].flatMap(({ metafile }) => Object.keys(metafile.inputs));
  writeFileSync(join(folder, 'THIRD-PARTY.txt'), writeNotices(root, inputs));
}

/** `worker.js` → `worker-HASH.js`. */
function outputs({ outputs }: Metafile): Record<string, string> {
  return Object.fromEntries(
    Object.keys(outputs).map((path) => {
      const name = basename(path);
      return [name.replace(/-[A-Z0-9]+\.js$/, '.js'), name];
    }),
  );
}

function hashed(path: string): string {
  const hash = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 8);
  return basename(path).replace(/\.(\w+)$/, `-${hash}.$1`);
}

/** The entry lies one folder above the rest, and modules find files beside themselves. */
function requireSmallEntry({ outputs }: Metafile): void {
  const entry = Object.entries(outputs).find(([path]) => path.endsWith('src/cli.js'));
  const inputs = Object.keys(entry?.[1].inputs ?? {});
  const strangers = inputs.filter((path) => !/src\/cli(\.ts|\/start\/)/.test(path));
  if (inputs.length > 0 && strangers.length === 0) return;
  throw new Error(`the entry must only start what is beside it, and holds: ${inputs.join(', ')}`);
}

const [root, dist] = process.argv.slice(2);
await bundle(root!, dist!);
