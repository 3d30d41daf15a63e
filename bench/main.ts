/** Every micro-bench at its real size, or those whose names follow on the command line. */
import { change } from './change.bench.ts';
import { checksum } from './checksum.bench.ts';
import { coalesce } from './coalesce.bench.ts';
import { crossing } from './crossing.bench.ts';
import { egress } from './egress.bench.ts';
import { type MicroBench, runBench } from './harness.ts';
import { lookups } from './lookup.bench.ts';
import { benchScrape } from './scrape.ts';
import { segment } from './segment.bench.ts';
import { benchStart } from './start.ts';
import { tap } from './tap.bench.ts';

const BENCHES: readonly MicroBench[] = [
  checksum,
  lookups,
  change,
  segment,
  coalesce,
  egress,
  crossing,
  tap,
];

/** Of whole requests and of whole processes; they wait, and so are none of the others. */
const SCRAPE = 'scrape';
const SCRAPES = 500;
const START = 'start';
const STARTS = 9;

const known = [...BENCHES.map(({ name }) => name), SCRAPE, START];
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !known.includes(name));
const print = (line: string) => process.stdout.write(`${line}\n`);
if (unknown.length > 0) {
  const names = known.join(', ');
  process.stderr.write(`weft: no bench is named ${unknown.join(', ')}; there are ${names}\n`);
  process.exitCode = 2;
} else {
  for (const bench of BENCHES) {
    if (wanted.length > 0 && !wanted.includes(bench.name)) continue;
    runBench(bench, 'real', print);
  }
  if (wanted.length === 0 || wanted.includes(SCRAPE)) await benchScrape(SCRAPES, print);
  if (wanted.length === 0 || wanted.includes(START)) await benchStart(STARTS, print);
}
