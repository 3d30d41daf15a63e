/**
 * The breath of a pump and its pacing: work while there is any, then block in poll(2) on the
 * descriptor and the wake-up eventfd, with a bound that keeps the heartbeat going.
 */
import { enter, park, type Reader } from '../forwarding/publication.ts';
import { libc } from '../sys/binding.ts';
import { createMicroseconds } from '../sys/clock.ts';
import { POLLIN } from '../sys/constants.ts';
import { type Layout, type Slab, viewOf } from '../sys/memory.ts';
import * as struct from '../sys/struct.ts';
import * as counters from './counters.ts';
import { STOP } from './messages.ts';

/** A waiting pump wakes this often to show that it lives; health gives it 5 s. */
const HEARTBEAT_MS = 1000;

/** One direction of the path. */
export interface Pump {
  /** Handles what is there; returns how much that was. */
  breathe(table: Int32Array): number;
  /** Whether the last breath saw the end of its queue. */
  drained(): boolean;
  /** Why the pump cannot go on, or undefined. */
  fault(): string | undefined;
  /** Called before a wait, and after one that ended without work. */
  idle(timedOut: boolean): void;
}

export interface Pacing {
  readonly slab: Slab;
  readonly layout: Layout;
  /** What the pump drains, and the eventfd that ends a wait. */
  readonly fd: number;
  readonly wake: number;
  /** Microseconds to look for work before sleeping. */
  readonly busyPoll: number;
}

export interface Wait {
  /** Waits for work, for a wake-up or for the heartbeat's time; true if it was the last. */
  block(): boolean;
}

export function createWait(pacing: Pacing, block: Float64Array): Wait {
  const { slab, layout, fd, wake, busyPoll } = pacing;
  const at = layout.take(2 * struct.POLLFD_SIZE, 16);
  const view = viewOf(slab, at, 2 * struct.POLLFD_SIZE);
  const now = createMicroseconds(slab, layout);
  const { words } = slab;
  words[at >> 2] = fd;
  words[(at + struct.POLLFD_EVENTS) >> 2] = POLLIN;
  words[(at + struct.POLLFD_SIZE) >> 2] = wake;
  words[(at + struct.POLLFD_SIZE + struct.POLLFD_EVENTS) >> 2] = POLLIN;

  function spin(): boolean {
    const start = now();
    for (;;) {
      if (libc.poll(view, 2, 0) !== 0) return true;
      const passed = now() - start;
      if (passed < 0 || passed >= busyPoll) return false;
    }
  }

  return {
    block() {
      if (busyPoll > 0 && spin()) return false;
      const ready = libc.poll(view, 2, HEARTBEAT_MS);
      const result = ready > 0 ? counters.CALL_OK : counters.CALL_AGAIN;
      block[counters.CALL_POLL + result]++;
      return ready === 0;
    },
  };
}

export interface LoopState {
  readonly control: Int32Array;
  /** Slot of this pump's heartbeat in `control`. */
  readonly heartbeat: number;
  readonly reader: Reader;
  /** Private block of the pump, and the shared one that a scrape reads. */
  readonly block: Float64Array;
  readonly shared: Float64Array;
}

/** Runs a pump until it is told to stop (undefined) or cannot go on (the reason). */
export function runPump(pump: Pump, wait: Wait, state: LoopState): string | undefined {
  const { control, heartbeat, reader, block, shared } = state;
  let beats = 0;
  for (;;) {
    if (Atomics.load(control, STOP) !== 0) return undefined;
    const work = pump.breathe(enter(reader));
    if (work > 0) {
      block[counters.BREATHS]++;
      counters.observe(block, counters.BATCH_HISTOGRAM, work);
    }
    beats = (beats + 1) & 0x7fff_ffff;
    control[heartbeat] = beats;
    if (pump.drained()) {
      const fault = pump.fault();
      if (fault !== undefined) return fault;
      pump.idle(false);
      park(reader);
      shared.set(block);
      if (wait.block()) pump.idle(true);
    } else {
      shared.set(block);
    }
  }
}
