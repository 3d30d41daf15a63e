import { assert } from '../assert.ts';

/**
 * How a new table reaches the workers: two copies and an epoch in shared memory. The low bit of
 * the epoch says which copy is current; the main thread fills the other one and then moves the
 * epoch on. Each reader keeps, in a word only it writes, the epoch it is reading, or PARKED.
 *
 * A copy is refilled only when no reader's word names it. A reader stores its word *before* it
 * looks at the epoch a second time, and the main thread moves the epoch *before* it looks at the
 * words, so that one of the two sees the other (hazard pointers; Michael, 2004). Atomics order
 * the plain reads and writes of the tables on both sides.
 */

/** What a worker is handed; survives a structured clone, which shares the memory. */
export interface PublicationMemory {
  readonly control: SharedArrayBuffer;
  readonly copies: readonly [SharedArrayBuffer, SharedArrayBuffer];
}

/** Main's side. */
export interface Publication {
  readonly memory: PublicationMemory;
  readonly readers: number;
  readonly control: Int32Array;
  readonly tables: readonly [Int32Array, Int32Array];
}

/** A worker's side. */
export interface Reader {
  readonly control: Int32Array;
  readonly tables: readonly [Int32Array, Int32Array];
  /** Index of this reader's word. */
  readonly wordAt: number;
}

const EPOCH_AT = 0;
const PARKED = -1;
// Two cache lines a word: readers store theirs once a breath, and prefetchers fetch lines in pairs.
const STRIDE = 32;

/** Makes the shared memory: two copies of `capacityWords`, all zeros, every reader parked. */
export function createPublication(readers: number, capacityWords: number): Publication {
  const bytes = Int32Array.BYTES_PER_ELEMENT;
  const control = new SharedArrayBuffer((1 + readers) * STRIDE * bytes);
  const copy = () => new SharedArrayBuffer(capacityWords * bytes);
  const memory: PublicationMemory = { control, copies: [copy(), copy()] };
  const publication = { memory, readers, ...views(memory) };
  publication.control.fill(PARKED, STRIDE);
  return publication;
}

/** Writes `idle`, which nobody reads; may look at `current`, which stays as it is. */
export type Fill = (idle: Int32Array, current: Int32Array) => void;

/**
 * Lets `fill` write the idle copy, then makes it current. False, with `fill` not called, while a
 * reader still holds that copy, which lasts at most one breath: try again soon. If `fill` throws,
 * nothing changes for the readers.
 */
export function publish(publication: Publication, fill: Fill): boolean {
  const { control, tables, readers } = publication;
  const next = Atomics.load(control, EPOCH_AT) + 1;
  const idle = next & 1;
  for (let reader = 0; reader < readers; reader++) {
    if (Atomics.load(control, wordIndex(reader)) === idle) return false;
  }
  fill(tables[idle], tables[idle ^ 1]);
  // Wraps after 2^32 versions, which keeps the low bit in step.
  Atomics.store(control, EPOCH_AT, next);
  return true;
}

/** A worker's reader record. Each index belongs to one worker. */
export function attach(memory: PublicationMemory, index: number): Reader {
  const wordAt = wordIndex(index);
  const { control, tables } = views(memory);
  assert(index >= 0 && wordAt < control.length, `no reader ${index} in this publication`);
  return { control, tables, wordAt };
}

/**
 * The current table, which stays as it is until this reader calls `enter` again or parks. Called
 * at the start of each breath; what an earlier call returned must not be used after.
 */
export function enter(reader: Reader): Int32Array {
  const { control, wordAt } = reader;
  let epoch = Atomics.load(control, EPOCH_AT);
  for (;;) {
    Atomics.store(control, wordAt, epoch & 1);
    const now = Atomics.load(control, EPOCH_AT);
    // Once the word names the current copy, main can move on only once more: this ends.
    if (now === epoch) return reader.tables[epoch & 1];
    epoch = now;
  }
}

/** Lets go of the table, before a wait of unknown length: a parked reader holds up nothing. */
export function park(reader: Reader): void {
  Atomics.store(reader.control, reader.wordAt, PARKED);
}

function wordIndex(reader: number): number {
  return (1 + reader) * STRIDE;
}

function views(memory: PublicationMemory): Pick<Reader, 'control' | 'tables'> {
  const [even, odd] = memory.copies;
  return {
    control: new Int32Array(memory.control),
    tables: [new Int32Array(even), new Int32Array(odd)],
  };
}
