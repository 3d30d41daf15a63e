/** From values of all rounds to the text of RESULTS.md. */
import type { Row, Values } from './measure.ts';

/** Of one contender: its name and the values of each round that it finished. */
export interface Outcome {
  readonly name: string;
  readonly about: string;
  readonly rounds: readonly Values[];
}

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Undefined where the contender has no such row. */
export function summarise(outcome: Outcome, key: string): Summary | undefined {
  const values = outcome.rounds.map((round) => round[key]).filter((value) => value !== undefined);
  values.sort((a, b) => a - b);
  if (values.length === 0) return undefined;
  const [low, high] = [values[(values.length - 1) >> 1]!, values[values.length >> 1]!];
  return { median: (low + high) / 2, least: values[0]!, most: values.at(-1)! };
}

export interface Conditions {
  /** Name and value, in the order of the text. */
  readonly facts: readonly (readonly [string, string])[];
  readonly failures: readonly string[];
}

/** The whole file; `rivals` are the names that weft is divided by. */
export function renderResults(
  rows: readonly Row[],
  outcomes: readonly Outcome[],
  conditions: Conditions,
): string {
  const isVariant = ({ name }: Outcome) => name.startsWith('weft ');
  const weft = outcomes.filter(({ name }) => name === 'weft');
  const rivals = outcomes.filter((outcome) => !isVariant(outcome));
  const variants = outcomes.filter(isVariant);
  return [
    '# Results of `make bench-netns`',
    'Written by the bench, never by hand. Medians; the least and the most of all rounds behind',
    'them. Compare columns of this file only: the same numbers of another day or machine differ.\n',
    ...conditions.facts.map(([name, value]) => `- ${name}: ${value}`),
    ...outcomes.map(({ name, about }) => `- **${name}**: ${about}`),
    '\n![TCP throughput of all contenders](throughput.svg)',
    '\n## weft and its rivals\n',
    ...table(rows, rivals, ['vxlan', 'socat']),
    ...(variants.length === 0
      ? []
      : ['\n## weft without one of its offloads\n', ...table(rows, [...weft, ...variants], [])]),
    ...(conditions.failures.length === 0 ? [] : ['\n## What failed\n', ...conditions.failures]),
    '',
  ].join('\n');
}

function table(
  rows: readonly Row[],
  outcomes: readonly Outcome[],
  rivals: readonly string[],
): string[] {
  const weft = outcomes.find(({ name }) => name === 'weft');
  const ratios = outcomes.filter(({ name }) => weft !== undefined && rivals.includes(name));
  const heads = ['', ...outcomes.map(({ name }) => name), ...ratios.map((r) => `weft / ${r.name}`)];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const body = rows.map((row) => [
    `${row.label}, ${row.unit}`,
    ...outcomes.map((outcome) => cell(row, summarise(outcome, row.key))),
    ...ratios.map((rival) => ratio(row, weft!, rival)),
  ]);
  return [line(heads), line(heads.map((_, i) => (i === 0 ? '---' : '---:'))), ...body.map(line)];
}

function cell(row: Row, summary: Summary | undefined): string {
  if (summary === undefined) return '';
  const show = (value: number) => value.toFixed(row.digits);
  return `${show(summary.median)} (${show(summary.least)} to ${show(summary.most)})`;
}

function ratio(row: Row, weft: Outcome, rival: Outcome): string {
  const [ours, theirs] = [summarise(weft, row.key), summarise(rival, row.key)];
  if (ours === undefined || theirs === undefined || theirs.median === 0) return '';
  // Three digits that count: 1/24 and 1/28 are both 0.04.
  const quotient = ours.median / theirs.median;
  return quotient < 0.1 ? quotient.toFixed(4) : quotient.toFixed(2);
}
