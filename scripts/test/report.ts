/** What the runner prints: a block for each file when it has ended, and all of it summed up. */
import type { FileResult } from './file-run.ts';
import { shortName } from './files.ts';
import type { Line } from './reporter.ts';

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const SLOWEST = 10;

/** The tests of a file, each a line; what it printed only when it is not well. */
export function blockOf(result: FileResult): string {
  const { path, lines, output, faults } = result;
  const head = `▶ ${shortName(path)} (${timesOf(result)})`;
  const isWell = totalsOf(result).failed === 0;
  return [
    head,
    ...lines.flatMap(linesOf),
    ...(isWell || output === '' ? [] : ['  it printed:', ...indented(output.trimEnd(), 4)]),
    ...faults.map((fault) => `  ✖ ${shortName(path)}: ${fault}`),
  ].join('\n');
}

function timesOf({ seconds, cpuSeconds }: FileResult): string {
  return `${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU time`;
}

function linesOf({ kind, name, depth, milliseconds, left, text, isSuite }: Line): string[] {
  const margin = 2 * depth + 2;
  const time = `(${milliseconds.toFixed(0)} ms)`;
  if (kind === 'begin') return [];
  // What a file of node:test says of itself at its end is in our own totals.
  if (kind === 'note') return isTally(text!) ? [] : indented(`ℹ ${text}`, margin);
  if (left !== undefined) return indented(`﹣ ${name} # ${left}`, margin);
  const mark = kind === 'pass' ? (isSuite ? '▪' : '✔') : '✖';
  const fault = kind === 'fail' && !isEcho(text!) ? indented(text!, margin + 2) : [];
  return [...indented(`${mark} ${name} ${time}`, margin), ...fault];
}

/** A fault that was told already: of what is inside, or of what is around. */
function isEcho(text: string): boolean {
  return /^\d+ subtests? failed$|^test did not finish before its parent/.test(text);
}

function isTally(text: string): boolean {
  return /^(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(text);
}

function indented(text: string, margin: number): string[] {
  return text.split('\n').map((line) => `${' '.repeat(margin)}${line}`);
}

/** A file that is not well, and has no failed test to show for it, counts as one. */
export function totalsOf({ lines, faults }: FileResult): Totals {
  const tests = lines.filter(({ kind }) => kind === 'pass' || kind === 'fail');
  const leaves = tests.filter(({ isSuite }) => !isSuite);
  const skipped = tests.filter(({ left }) => left !== undefined).length;
  const failed = leaves.filter(({ kind, left }) => kind === 'fail' && left === undefined).length;
  const suites = tests.filter(({ kind, isSuite }) => kind === 'fail' && isSuite).length;
  const alone = suites > 0 && failed === 0 ? suites : 0;
  const passed = leaves.filter(({ kind, left }) => kind === 'pass' && left === undefined).length;
  return { passed, failed: failed + alone + faults.length, skipped };
}

export function sumOf(totals: readonly Totals[]): Totals {
  const sum = (key: keyof Totals) => totals.reduce((n, each) => n + each[key], 0);
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

/** Where the time went: the ten slowest files, and the ten slowest tests. */
export function slowestOf(results: readonly FileResult[]): string {
  const files = [...results].sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  const tests = results.flatMap(({ path, lines }) => {
    const leaves = lines.filter(({ kind, isSuite }) => /pass|fail/.test(kind) && !isSuite);
    return leaves.map(({ name, milliseconds }) => ({ path, name, seconds: milliseconds / 1000 }));
  });
  const slow = tests.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  return [
    `the slowest ${files.length} files:`,
    ...files.map((file) => `  ${shortName(file.path)}: ${timesOf(file)}`),
    `the slowest ${slow.length} tests:`,
    ...slow.map(
      ({ path, name, seconds }) => `  ${shortName(path)}: ${name}: ${seconds.toFixed(1)} s`,
    ),
  ].join('\n');
}

/** Every failed test and file once more, for whoever looks at the end first. */
export function failuresOf(results: readonly FileResult[]): string[] {
  return results.flatMap(({ path, lines, faults }) => {
    const failed = lines.filter(({ kind, left, text = '' }) => {
      return kind === 'fail' && left === undefined && !isEcho(text);
    });
    const first = ({ name, text = '' }: Line) => `${name}: ${text.split('\n')[0]}`;
    const all = [...failed.map(first), ...faults.map((fault) => fault.split('\n')[0]!)];
    return all.map((fault) => `${shortName(path)}: ${fault}`);
  });
}

/** Every test that was left out, with the reason that it gave. */
export function skipsOf(results: readonly FileResult[]): string[] {
  return results.flatMap(({ path, lines }) =>
    lines
      .filter(({ left }) => left !== undefined)
      .map(({ name, left }) => `${shortName(path)}: ${name}: ${left}`),
  );
}
