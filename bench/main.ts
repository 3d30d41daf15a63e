/** Every micro-bench at its real size, or those whose names follow on the command line. */
import { checksum } from './checksum.bench.ts';
import { coalesce } from './coalesce.bench.ts';
import { crossing } from './crossing.bench.ts';
import { type MicroBench, runBench } from './harness.ts';
import { lookups } from './lookup.bench.ts';
import { segment } from './segment.bench.ts';

const BENCHES: readonly MicroBench[] = [checksum, lookups, segment, coalesce, crossing];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !BENCHES.some((bench) => bench.name === name));
if (unknown.length > 0) {
  const names = BENCHES.map(({ name }) => name).join(', ');
  process.stderr.write(`weft: no bench is named ${unknown.join(', ')}; there are ${names}\n`);
  process.exitCode = 2;
} else {
  for (const bench of BENCHES) {
    if (wanted.length > 0 && !wanted.includes(bench.name)) continue;
    runBench(bench, 'real', (line) => process.stdout.write(`${line}\n`));
  }
}
