/**
 * Measures what native-notes/costs.md states. Needs a build:
 *   make build && node native-notes/measure.mjs
 * Each line is the median of nine rounds; a round is long enough to make the clock's own cost
 * vanish. Results are folded into a printed number, so that no loop can be optimised away.
 */
import os from 'node:os';
import koffi from 'koffi';
import { libc } from '../dist/src/sys/binding.js';
import { createSlab, viewOf, writeIovec } from '../dist/src/sys/memory.js';
import { loadSum, sumHeader } from '../dist/src/wire/checksum.js';

const ROUNDS = 9;
const ROUND_NANOSECONDS = 20_000_000;
let folded = 0;

function measure(name, bytes, work) {
  let turns = 1000;
  work(turns);
  for (let spent = 0; spent < ROUND_NANOSECONDS; turns *= 2) spent = time(work, turns);
  const rounds = Array.from({ length: ROUNDS }, () => time(work, turns) / turns).sort((a, b) => a - b);
  const median = rounds[ROUNDS >> 1];
  const rate = bytes === 0 ? '' : `${(bytes / median).toFixed(1).padStart(8)} GB/s`;
  console.log(`${name.padEnd(44)} ${median.toFixed(1).padStart(9)} ns${rate}`);
}

function time(work, turns) {
  const start = process.hrtime.bigint();
  folded ^= work(turns);
  return Number(process.hrtime.bigint() - start);
}

/** Makes the loop around one expression; each gets a function of its own, so V8 sees one shape. */
const loop = (body, ...scope) => {
  const make = new Function('a', 'b', 'c', `return (n) => { let r = 0; while (n-- > 0) r ^= ${body}; return r; }`);
  return make(...scope);
};

const slab = createSlab(4 * 65_536);
const pollfd = viewOf(slab, 64, 8);
const iovec = viewOf(slab, 128, 16);
const timespec = viewOf(slab, 192, 16);
writeIovec(slab, 128, 256, 8);
const abs = koffi.load(null).func('int abs(int value)');
const eventfd = libc.eventfd(0, 0o4000);
new DataView(pollfd.buffer).setInt32(64, eventfd, true);
new DataView(pollfd.buffer).setInt16(68, 1, true);

console.log(`${os.cpus()[0].model}, ${os.cpus().length} CPUs, Linux ${os.release()}, Node ${process.version}, koffi ${koffi.version}\n`);
measure('empty loop', 0, loop('n'));
measure('crossing: abs(3), no system call', 0, loop('a.abs(3)', { abs }));
measure('crossing: gettid(), shortest system call', 0, loop('a.gettid()', libc));
measure('crossing: clock_gettime(), vDSO', 0, loop('a.clock_gettime(1, b)', libc, timespec));
measure('crossing: poll() of one eventfd, none ready', 0, loop('a.poll(b, 1, 0)', libc, pollfd));
measure('crossing: readv() that says EAGAIN', 0, loop(`a.readv(${eventfd}, b, 1)`, libc, iovec));

const bytes = slab.bytes;
for (let at = 0; at < bytes.length; at++) bytes[at] = at * 31;
const sum = loadSum(slab.memory);
for (const length of [64, 1472, 65_472]) {
  const from = viewOf(slab, 65_536, length);
  measure(`copy: set(), ${length} bytes`, length, loop('(a.set(b, 140000), n)', bytes, from));
}
for (const length of [20, 64, 1472, 65_472]) {
  measure(`checksum: wasm SIMD, ${length} bytes`, length, loop(`a(65536, ${length})`, sum));
  measure(`checksum: plain TypeScript, ${length} bytes`, length, loop(`b(a, 65536, ${length})`, bytes, sumHeader));
}
libc.close(eventfd);
console.log(`\nfolded ${folded}`);
