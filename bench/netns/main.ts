/**
 * Runs all contenders in turn, round after round, on one topology, and writes what came out. Asked
 * by environment variables, as bench/README.md says; what is half-way goes to standard error.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt } from '../../test/support/process.ts';
import { buildTopology, inside, type Topology } from '../../test/support/topology.ts';
import { CONTENDERS, type Contender, chooseContenders } from './contenders.ts';
import { measure, ROWS, type Values } from './measure.ts';
import { renderPlot } from './plot.ts';
import { type Outcome, renderResults } from './results.ts';

/** Fewer rounds give no median worth keeping. */
const LEAST_ROUNDS = 5;
const HOME = fileURLToPath(new URL('../../../bench', import.meta.url));

interface Wishes {
  readonly rounds: number;
  /** Of each run of traffic but the steps of a search. */
  readonly seconds: number;
  readonly contenders: readonly Contender[];
  /** Where files go; undefined for a look that leaves none. */
  readonly output: string | undefined;
  readonly command: string;
}

function readWishes(environment: NodeJS.ProcessEnv): Wishes {
  const rounds = readCount(environment, 'ROUNDS', LEAST_ROUNDS);
  const seconds = readCount(environment, 'SECONDS', 3);
  const { CONTENDERS: list, OUTPUT: output } = environment;
  const contenders = list === undefined ? CONTENDERS : chooseContenders(list);
  const whole = rounds >= LEAST_ROUNDS && list === undefined;
  const given = ['ROUNDS', 'SECONDS', 'CONTENDERS'].filter((name) => environment[name]);
  const settings = given.map((name) => ` ${name}='${environment[name]}'`);
  const command = `make bench-netns${settings.join('')}`;
  return { rounds, seconds, contenders, output: output ?? (whole ? HOME : undefined), command };
}

function readCount(environment: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = environment[name] ?? String(fallback);
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw new Error(`${name} is a whole number from 1 to 999, not '${text}'`);
}

interface Results {
  readonly values: Map<Contender, Values[]>;
  readonly failures: string[];
}

async function runRounds(topology: Topology, wishes: Wishes): Promise<Results> {
  const { rounds, contenders } = wishes;
  const values = new Map<Contender, Values[]>(contenders.map((contender) => [contender, []]));
  const failures: string[] = [];
  for (let round = 0; round < rounds; round++) {
    // Everybody is first once in a while: what comes first meets a cooler machine.
    const order = contenders.map((_, i) => contenders[(i + round) % contenders.length]!);
    for (const contender of order) {
      const label = `round ${round + 1} of ${rounds}, ${contender.name}`;
      try {
        const measured = await runOne(topology, contender, wishes.seconds);
        values.get(contender)!.push(measured);
        progress(`${label}: ${inShort(measured)}`);
      } catch (error) {
        const [first] = (error as Error).message.split('\n');
        failures.push(`- ${label}: ${first}`);
        progress(`${label} failed: ${(error as Error).message}`);
      }
    }
  }
  return { values, failures };
}

async function runOne(topology: Topology, contender: Contender, seconds: number): Promise<Values> {
  const path = await contender.start(topology);
  try {
    const ping = ['ping', '-c1', '-W5', path.address];
    const answer = attempt(inside(path.client, ping));
    if (answer.status !== 0) throw new Error(`no way to the other pod:\n${answer.stdout}`);
    return await measure(path, seconds);
  } finally {
    await path.stop();
  }
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

function inShort(values: Values): string {
  const shown = ROWS.filter(({ key }) => values[key] !== undefined);
  return shown.map(({ key, digits }) => `${key} ${values[key]!.toFixed(digits)}`).join(', ');
}

function facts(wishes: Wishes): [string, string][] {
  const gibibytes = (totalmem() / 2 ** 30).toFixed(0);
  const [load] = readFileSync('/proc/loadavg', 'utf8').split(' ');
  return [
    ['Command', `\`${wishes.command}\``],
    ['Date', new Date().toISOString().slice(0, 10)],
    ['Machine', `${cpus().length} cores ${cpus()[0]?.model ?? ''}, ${gibibytes} GiB`],
    ['Kernel', release()],
    ['Node', process.version],
    ['Rounds', `${wishes.rounds}, each with all contenders in turn; ${wishes.seconds} s a run`],
    ['Load of the machine before the start', load!],
  ];
}

async function main(): Promise<number> {
  const wishes = readWishes(process.env);
  const conditionsBefore = facts(wishes);
  const topology = buildTopology();
  let results: Results;
  try {
    results = await runRounds(topology, wishes);
  } finally {
    topology.remove();
  }
  const outcomes: Outcome[] = [...results.values].map(([{ name, about }, rounds]) => ({
    ...{ name, about, rounds },
  }));
  const { failures } = results;
  const text = renderResults(ROWS, outcomes, { facts: conditionsBefore, failures });
  process.stdout.write(text);
  if (wishes.output !== undefined) {
    mkdirSync(wishes.output, { recursive: true });
    const plotted = ROWS.filter(({ unit }) => unit === 'Gb/s');
    writeFileSync(join(wishes.output, 'RESULTS.md'), text);
    writeFileSync(join(wishes.output, 'throughput.svg'), renderPlot(plotted, outcomes));
  } else {
    progress(`A look only: RESULTS.md needs ${LEAST_ROUNDS} rounds of all, or OUTPUT=directory.`);
  }
  return failures.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  progress(`weft: ${(error as Error).message}`);
  process.exitCode = 1;
}
