/**
 * Micro-benches: each file lays out its work for a size and names the cases. The small size runs
 * with the tests, so that no bench rots; the real one under `make bench`. A case returns a hash of
 * what it computed, so that neither the optimiser nor an author changes the work unseen.
 */
import Benchmark from 'benchmark';

export type Size = 'small' | 'real';

export interface Case {
  readonly name: string;
  /** What one run handles, for a cost by the piece: `piece` is its name in the singular. */
  readonly pieces: number;
  readonly piece: string;
  /** Payload of one run; 0 where bytes are not the point. */
  readonly bytes: number;
  /** The whole work once; the same hash every time. */
  readonly run: () => number;
}

export interface MicroBench {
  readonly name: string;
  cases(size: Size): readonly Case[];
}

/** Runs every case until its mean is known well enough, one line each through `print`. */
export function runBench(bench: MicroBench, size: Size, print: (line: string) => void): void {
  for (const each of bench.cases(size)) {
    const hash = each.run();
    let last = hash;
    const timed = new Benchmark(each.name, () => {
      last = each.run();
    });
    timed.run();
    // Benchmark keeps what a case throws instead of throwing it on.
    const { error } = timed as { error?: Error };
    if (error !== undefined) throw error;
    if (last !== hash) throw new Error(`${bench.name}, ${each.name}: the work changed as it ran`);
    print(describe(bench, each, timed, hash));
  }
}

function describe(bench: MicroBench, each: Case, timed: Benchmark, hash: number): string {
  const { mean, rme } = timed.stats;
  const cost = `${((mean / each.pieces) * 1e9).toFixed(1)} ns/${each.piece}`;
  const speed = each.bytes > 0 ? `${((each.bytes * 8) / mean / 1e9).toFixed(1)} Gb/s` : '';
  const columns = [
    `${bench.name}, ${each.name}`.padEnd(52),
    cost.padStart(20),
    speed.padStart(12),
    `±${rme.toFixed(1)} %`.padStart(9),
    (hash >>> 0).toString(16).padStart(10),
  ];
  return columns.join('');
}

/** Mixes one number into a hash. */
export function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

/** Every byte of a region; for one look at a result, not inside what is timed. */
export function hashBytes(bytes: Uint8Array, at: number, length: number): number {
  let hash = length;
  for (let i = at; i < at + length; i++) hash = mix(hash, bytes[i]!);
  return hash;
}

/** A memory as a worker has it, with its bytes. */
export function packetMemory(length: number): { memory: WebAssembly.Memory; bytes: Uint8Array } {
  const pages = Math.ceil(length / 65_536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return { memory, bytes: new Uint8Array(memory.buffer) };
}
