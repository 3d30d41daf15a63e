/** What `worker.ts` gives a pump to build itself from, and what it gets back. */
import type { Layout, Slab } from '../sys/memory.ts';
import type { Pump } from './loop.ts';
import type { PumpTask } from './messages.ts';
import type { Tap } from './tap/writer.ts';

export interface PumpSetup {
  readonly task: PumpTask;
  /** The pump's private counters. */
  readonly block: Float64Array;
  /** The pump's accounts, in shared memory: no tick copies so much. */
  readonly accounts: Float64Array;
  /** The pump's tap on packets that lie in `bytes`. */
  tap(bytes: Uint8Array): Tap;
  readonly wake: number;
  /** Descriptors to close in the end; a pump adds what it opens. */
  readonly opened: number[];
  /** Lends a descriptor out of `opened` to the other pump of this worker; main will close it. */
  lend(fd: number): void;
  /** The other pump's descriptor, waited for; -1 if it will not come. */
  borrow(): number;
  /** The node's socket of this lane: opened by the first out pump, waited for; -1 as above. */
  lane(lane: number, open: () => number): number;
  /** Stores one of the PUMP_* slots of messages.ts. */
  report(slot: number, value: number): void;
}

export interface BuiltPump {
  readonly pump: Pump;
  readonly slab: Slab;
  readonly layout: Layout;
  /** What to wait on. */
  readonly fd: number;
}

/** Packet memory of an out pump: arena 0.6 MB, segment headers 0.3, iovecs and messages 0.2. */
export const OUT_SLAB = 2 * 1024 * 1024;
/** Packet memory of an in pump: 64 receive buffers of 64 KiB and what points at them. */
export const IN_SLAB = 6 * 1024 * 1024;

/**
 * Receive buffer: 10 ms of 10 Gb/s, the longest that a pump may be off its core without loss at
 * that rate. Send buffer: a third of it, for the device drains it faster than a batch fills it.
 */
export const RECEIVE_BUFFER_BYTES = 12_500_000;
export const SEND_BUFFER_BYTES = 4_000_000;
