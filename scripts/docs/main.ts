/**
 * Writes the pages of docs/ that come from the program's own tables, or with --check says which are
 * not current: `make docs`, and a test.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGES, ROOT } from './pages.ts';

const stale: string[] = [];
for (const { path, render } of PAGES) {
  const file = join(ROOT, path);
  const text = render();
  if (readFileSync(file, { encoding: 'utf8', flag: 'a+' }) === text) continue;
  stale.push(path);
  if (!process.argv.includes('--check')) writeFileSync(file, text);
}
for (const path of stale) process.stdout.write(`${path}\n`);
if (process.argv.includes('--check') && stale.length > 0) process.exitCode = 1;
