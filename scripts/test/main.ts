/**
 * Runs the built tests, namespaces first, as many files at once as there are cores. A skipped test
 * is a failure, and so is anything that a test left behind. Arguments are files of dist/test to run
 * instead of all; `--quick` takes the pure ones, in their short form.
 */
import { availableParallelism } from 'node:os';
import { STILL_MS } from '../../test/support/stillness.ts';
import { findTests, isPure, ownsNamespaces } from './files.ts';
import { blockOf, failuresOf, skipsOf, slowestOf, sumOf, totalsOf } from './report.ts';
import { type Outcome, Run } from './run.ts';

const QUICK = '--quick';
const TESTS = 'dist/test';

function chooseFiles(words: readonly string[]): string[] {
  const named = words.filter((word) => word !== QUICK);
  const all = named.length > 0 ? named : findTests(TESTS);
  const known = new Map<string, boolean>();
  const chosen = words.includes(QUICK) ? all.filter((path) => isPure(path, known)) : all;
  // What takes longest begins first, so that no core is left alone with it at the end.
  return [...chosen.filter(ownsNamespaces), ...chosen.filter((path) => !ownsNamespaces(path))];
}

/** Prints what came of the run; returns the exit code. */
function conclude({ results, left, interrupted }: Outcome): number {
  const { passed, failed, skipped } = sumOf(results.map(totalsOf));
  console.log(slowestOf(results));
  const faults = [
    ...failuresOf(results).map((line) => `failed: ${line}`),
    ...left.map((line) => `left behind: ${line}`),
    ...skipsOf(results).map((line) => `skipped, but nothing may be skipped here: ${line}`),
    ...(passed + failed === 0 ? ['no test ran; is dist/ built?'] : []),
    ...(interrupted === undefined ? [] : [`${interrupted} ended the run before all tests had run`]),
  ];
  for (const fault of faults) console.error(`weft: ${fault}`);
  const broken = failed === 0 && faults.length > 0 ? 1 : failed;
  console.log(`${passed} passed, ${broken} failed, ${skipped} skipped`);
  if (interrupted !== undefined) return 130;
  return faults.length === 0 ? 0 : 1;
}

const words = process.argv.slice(2);
if (words.includes(QUICK)) process.env.TEST_QUICK = '1';
const run = new Run({
  files: chooseFiles(words),
  atOnce: Number(process.env.TEST_AT_ONCE ?? availableParallelism()),
  stillMs: Number(process.env.TEST_STILL_MS ?? STILL_MS),
  ended: (result) => console.log(blockOf(result)),
  tell: (line) => console.log(line),
});
process.exitCode = conclude(await run.all());
