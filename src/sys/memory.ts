/**
 * The slab: one WebAssembly memory that holds every byte a pump hands to the kernel. TypeScript,
 * the wasm checksum and the kernel see the same bytes, and it never grows or moves, so an address
 * taken at start stays true. Blocks are handed out while a pump lays itself out; then it is sealed.
 */
import { assert } from '../assert.ts';
import { addressOf } from './binding.ts';
import { IOVEC_BASE, IOVEC_LENGTH } from './struct.ts';

const PAGE = 65_536;
const TWO_32 = 2 ** 32;

export interface Slab {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Halves of the address of byte 0; adding any offset to the low one never carries. */
  readonly low: number;
  readonly high: number;
}

/**
 * Reserves a slab of `size` bytes (rounded up to 64 KiB). Pages cost memory only once touched.
 * A memory that straddles a 4 GiB line is given up for another, so that a pointer is one addition.
 */
export function createSlab(size: number): Slab {
  const pages = Math.ceil(size / PAGE);
  const rejected: WebAssembly.Memory[] = [];
  for (;;) {
    const memory = reserve(pages);
    const bytes = new Uint8Array(memory.buffer);
    const address = addressOf(bytes);
    const low = Number(address & 0xffff_ffffn);
    const high = Number(address >> 32n);
    const words = new Int32Array(memory.buffer);
    if (low + bytes.length <= TWO_32) return { memory, bytes, words, low: low | 0, high };
    rejected.push(memory);
    assert(rejected.length < 8, 'no packet memory without a 4 GiB line in it');
  }
}

/** @throws Error that names the limit which is in the way */
function reserve(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Error(
      'no room for packet memory: V8 sets aside some 10 GB of addresses for each packet worker, ' +
        'which cost nothing; set ulimit -v (LimitAS= of the unit) to unlimited',
    );
  }
}

/** Hands out the slab's blocks in order; nothing can be taken once sealed. */
export interface Layout {
  /** Offset of a fresh zeroed block; `alignment` is a power of two. */
  take(length: number, alignment: number): number;
  seal(): void;
}

export function layOut(slab: Slab): Layout {
  let next = 64; // offset 0 stays unused: it would read as "none"
  let open = true;
  return {
    take(length, alignment) {
      assert(open, 'packet memory asked for after the start');
      const at = (next + alignment - 1) & ~(alignment - 1);
      next = at + length;
      assert(next <= slab.bytes.length, `packet memory too small: ${next} > ${slab.bytes.length}`);
      return at;
    },
    seal() {
      open = false;
    },
  };
}

/** A view to hand to a call, made once at start. */
export function viewOf(slab: Slab, at: number, length: number): Uint8Array {
  return new Uint8Array(slab.memory.buffer, at, length);
}

/** Stores the address of offset `target` in the 8 bytes at `at`. */
export function writePointer(slab: Slab, at: number, target: number): void {
  slab.words[at >> 2] = slab.low + target;
  slab.words[(at >> 2) + 1] = slab.high;
}

/** Writes a whole struct iovec; the loop later rewrites only base and length words. */
export function writeIovec(slab: Slab, at: number, target: number, length: number): void {
  writePointer(slab, at + IOVEC_BASE, target);
  slab.words[(at + IOVEC_LENGTH) >> 2] = length;
  slab.words[((at + IOVEC_LENGTH) >> 2) + 1] = 0;
}
