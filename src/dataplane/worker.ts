/**
 * Thread entry of a pump: opens its descriptor, lays out its memory, runs its loop, closes in
 * order. An out pump owns a TUN queue, an in pump a socket; each lends its descriptor to the other
 * pump of the same worker, which only writes to it.
 */
import { attach } from '../forwarding/publication.ts';
import { libc } from '../sys/binding.ts';
import { EFD_CLOEXEC, EFD_NONBLOCK, SCHED_BATCH } from '../sys/constants.ts';
import { check } from '../sys/errno.ts';
import { SCHED_PARAM_SIZE } from '../sys/struct.ts';
import { ACCOUNT_BLOCK, BLOCK_SLOTS } from './counters.ts';
import { createInPump } from './in/pump.ts';
import { createWait, type LoopState, runPump } from './loop.ts';
import * as messages from './messages.ts';
import { createOutPump } from './out/pump.ts';
import type { PumpSetup } from './setup.ts';
import { RING_BYTES } from './tap/ring.ts';
import { createTap } from './tap/writer.ts';

/** Milliseconds to wait for the other pump's descriptor before looking at the stop flag again. */
const PATIENCE_MS = 100;

/** Runs one pump to its end. Never throws for what the world does: the end carries the reason. */
export default function pump(task: messages.PumpTask): messages.PumpEnd {
  const control = new Int32Array(task.control);
  const number = messages.pumpNumber(task.direction, task.worker, task.workers);
  const slot = (name: number): number => messages.pumpSlot(number, name);
  const opened: number[] = [];
  try {
    const wake = check(libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), 'eventfd', 'wake-up');
    control[slot(messages.PUMP_THREAD)] = libc.gettid();
    yieldToSenders();
    Atomics.store(control, slot(messages.PUMP_WAKE), wake);
    const reason = live(task, control, wake, opened);
    return reason === undefined ? {} : { reason };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  } finally {
    // The wake-up descriptor stays: main may be about to write to it, and closes it in the end.
    Atomics.store(control, slot(messages.PUMP_STATE), messages.STATE_ENDED);
    Atomics.notify(control, slot(messages.PUMP_STATE));
    for (const fd of opened) libc.close(fd);
  }
}

/**
 * SCHED_BATCH (sched(7)): a pump that wakes does not push aside whoever woke it, so a sender goes
 * on while its packets gather and one wake-up serves many. Measured on 2 cores: 64-byte UDP at
 * 40 kpps costs 5.5 µs of CPU a packet instead of 9.4, its highest rate is a third higher, round
 * trips get 8 % shorter, and TCP stays as it is. It needs no privilege; where it is refused all the
 * same (seccomp, musl) weft works as before, and costs more.
 */
function yieldToSenders(): void {
  libc.sched_setscheduler(0, SCHED_BATCH, new Uint8Array(SCHED_PARAM_SIZE));
}

function live(
  task: messages.PumpTask,
  control: Int32Array,
  wake: number,
  opened: number[],
): string | undefined {
  const number = messages.pumpNumber(task.direction, task.worker, task.workers);
  const twin = messages.pumpNumber(
    task.direction === 'tx' ? 'rx' : 'tx',
    task.worker,
    task.workers,
  );
  const block = new Float64Array(BLOCK_SLOTS);
  const state: LoopState = {
    control,
    heartbeat: messages.pumpSlot(number, messages.PUMP_HEARTBEAT),
    reader: attach(task.publication, number),
    block,
    shared: new Float64Array(task.counters, number * BLOCK_SLOTS * 8, BLOCK_SLOTS),
  };
  const setup: PumpSetup = {
    task,
    block,
    accounts: new Float64Array(task.accounts, number * ACCOUNT_BLOCK * 8, ACCOUNT_BLOCK),
    tap: (bytes) => createTap(bytes, task.taps, number * RING_BYTES),
    wake,
    opened,
    lend: (fd) => publish(control, messages.pumpSlot(number, messages.PUMP_QUEUE), fd, opened),
    borrow: () => borrow(control, messages.pumpSlot(twin, messages.PUMP_QUEUE), twin),
    lane(lane, open) {
      const first = messages.pumpNumber('tx', 0, task.workers);
      const slot = messages.LANES + lane;
      if (number === first) publish(control, slot, open(), opened);
      return borrow(control, slot, first);
    },
    report(name: number, value: number): void {
      Atomics.store(control, messages.pumpSlot(number, name), value);
    },
  };
  const made = task.direction === 'tx' ? createOutPump(setup) : createInPump(setup);
  if (made === undefined) return undefined;
  const wait = createWait({ ...made, wake, busyPoll: task.busyPoll }, block);
  made.layout.seal();
  Atomics.store(control, messages.pumpSlot(number, messages.PUMP_STATE), messages.STATE_READY);
  Atomics.notify(control, messages.pumpSlot(number, messages.PUMP_STATE));
  return runPump(made.pump, wait, state);
}

/** From here on several pumps use it: main closes it once all are gone. */
function publish(control: Int32Array, slot: number, fd: number, opened: number[]): void {
  opened.splice(opened.indexOf(fd), 1);
  Atomics.store(control, slot, fd);
  Atomics.notify(control, slot);
}

/** What a pump published; -1 if it ended or all are told to stop before it had one. */
function borrow(control: Int32Array, slot: number, owner: number): number {
  for (;;) {
    if (Atomics.load(control, messages.STOP) !== 0) return -1;
    const fd = Atomics.load(control, slot);
    if (fd >= 0) return fd;
    const state = Atomics.load(control, messages.pumpSlot(owner, messages.PUMP_STATE));
    if (state === messages.STATE_ENDED) return -1;
    Atomics.wait(control, slot, -1, PATIENCE_MS);
  }
}
