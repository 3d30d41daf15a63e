/**
 * Main's side of the pumps: a piscina pool whose every worker holds one endless task. Piscina
 * gives thread start-up and errors; orders go through shared slots, for a pump never turns its
 * event loop.
 */
import { closeSync, writeSync } from 'node:fs';
import { release } from 'node:os';
import type { Logger } from 'pino';
import { Piscina } from 'piscina';
import { createPublication, type Publication } from '../forwarding/publication.ts';
import { Beat } from '../progress/beat.ts';
import { type Awaited, GONE, otherThreadsSigns, threadSigns } from '../progress/signs.ts';
import { type Accounts, createAccounts } from './accounts.ts';
import { ACCOUNT_BLOCK, BLOCK_SLOTS, type PumpCounters } from './counters.ts';
import { lossNotice, overrideNotice } from './features.ts';
import * as messages from './messages.ts';
import { createTaps, type Taps } from './tap/reader.ts';
import { RING_BYTES } from './tap/ring.ts';

/** What the agent decides before pumps start. */
export type PoolOptions = Omit<
  messages.PumpTask,
  'direction' | 'worker' | 'control' | 'counters' | 'accounts' | 'taps' | 'publication'
> & {
  /** Words of the shared table, from `tableCapacity`. */
  readonly tableWords: number;
  readonly log: Logger;
};

export interface Pool {
  /** Resolves once every queue and socket has its one reader; rejects with the first fault. */
  readonly ready: Promise<void>;
  /** Resolves once, with why: a reason when a pump died, none after `stop`. Never rejects. */
  readonly ended: Promise<messages.PumpEnd>;
  /** The table's main side; publish to it at any time, also before `ready`. */
  readonly publication: Publication;
  readonly counters: readonly PumpCounters[];
  /** Traffic by peer; its `accountOf` is for the compiler of tables. */
  readonly accounts: Accounts;
  /** Copies of packets for whoever watches. */
  readonly taps: Taps;
  /** Live view for metrics and health. */
  pumps(): readonly PumpStatus[];
  /** The threads that a start or a stop hangs on now, for whoever waits for it. */
  awaited(): readonly Awaited[];
  /** Ends all pumps in order; resolves when every thread is gone. */
  stop(): Promise<void>;
}

export interface PumpStatus {
  readonly worker: number;
  readonly direction: 'tx' | 'rx';
  readonly heartbeatAgeSeconds: number;
  /** How long it is without a heartbeat, and without the excuse of a busy machine. */
  readonly hangsSeconds: number;
  readonly cpuSeconds: number;
  readonly features: readonly messages.Feature[];
  readonly lowered: readonly messages.Feature[];
  readonly socketBufferBytes: number;
}

const LOOK_EVERY_MS = 2;
/** How often main looks whether a pump gave up a feature, and which peers were heard. */
const WATCH_EVERY_MS = 1000;

/** Starts 2N pumps; returns at once. See `Pool` for what follows. */
export function startPool(options: PoolOptions): Pool {
  const { tableWords, log, ...plan } = options;
  const pumps = 2 * plan.workers;
  const shared = {
    control: new SharedArrayBuffer(messages.controlBytes(pumps)),
    counters: new SharedArrayBuffer(pumps * BLOCK_SLOTS * 8),
    accounts: new SharedArrayBuffer(pumps * ACCOUNT_BLOCK * 8),
    taps: new SharedArrayBuffer(pumps * RING_BYTES),
  };
  const control = new Int32Array(shared.control);
  for (const slot of descriptorSlots(pumps)) control[slot] = -1;
  const publication = createPublication(pumps, tableWords);
  const piscina = new Piscina({
    filename: new URL('./worker.js', import.meta.url).href,
    minThreads: pumps,
    maxThreads: pumps,
    idleTimeout: Number.POSITIVE_INFINITY,
  });
  const tasks = listTasks({ ...plan, ...shared, publication: publication.memory });
  const ends = tasks.map((task) => runTask(piscina, task));
  const ended = firstEnd(ends, control, log);
  const stop = once(async () => {
    requestStop(control, pumps);
    await Promise.all(ends);
    closeShared(control, pumps);
    await piscina.destroy();
  });
  // The first end of a pump is the end of all: a queue without its reader is a black hole.
  void ended.then(() => requestStop(control, pumps));
  const counters = tasks.map((task, pump) => ({
    worker: task.worker,
    direction: task.direction,
    values: new Float64Array(shared.counters, pump * BLOCK_SLOTS * 8, BLOCK_SLOTS),
  }));
  const status = createStatus(control, counters);
  const tellLosses = createTeller(control, tasks, log);
  const notice = overrideNotice(plan.forced, release());
  if (notice !== undefined) log.warn({ feature: 'udp_gso' }, notice);
  const accounts = createAccounts(shared.accounts, plan.workers);
  const watch = setInterval(() => {
    tellLosses();
    accounts.look(Date.now() / 1000);
  }, WATCH_EVERY_MS).unref();
  void Promise.all(ends).then(() => clearInterval(watch));
  return {
    ready: whenReady(control, pumps, ended),
    ended,
    publication,
    counters,
    accounts,
    taps: createTaps(shared.taps, plan.workers),
    pumps: status,
    awaited: () => awaitedPumps(control, counters),
    stop,
  };
}

/**
 * One line for each feature that the kernel refused at run time, by whichever pump met it first:
 * the others follow when they meet it, and each is in `weft status`. Pumps cannot log themselves.
 */
export function createTeller(
  control: Int32Array,
  tasks: readonly Pick<messages.PumpTask, 'worker' | 'direction'>[],
  log: Logger,
): () => void {
  let told = 0;
  return () => {
    for (const [pump, { worker, direction }] of tasks.entries()) {
      const lowered = Atomics.load(control, messages.pumpSlot(pump, messages.PUMP_LOWERED));
      for (const [bit, feature] of messages.FEATURES.entries()) {
        if ((lowered & ~told & (1 << bit)) === 0) continue;
        told |= 1 << bit;
        log.warn({ feature, worker, direction }, lossNotice(feature));
      }
    }
  };
}

function listTasks(plan: Omit<messages.PumpTask, 'direction' | 'worker'>): messages.PumpTask[] {
  const tasks: messages.PumpTask[] = [];
  for (const direction of ['tx', 'rx'] as const) {
    for (let worker = 0; worker < plan.workers; worker++)
      tasks.push({ ...plan, direction, worker });
  }
  return tasks;
}

async function runTask(piscina: Piscina, task: messages.PumpTask): Promise<messages.PumpEnd> {
  try {
    return (await piscina.run(task)) as messages.PumpEnd;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { reason: `${task.direction} pump ${task.worker} crashed: ${text}` };
  }
}

/** The first pump to end, with its reason; an end that nobody ordered always has one. */
async function firstEnd(
  ends: readonly Promise<messages.PumpEnd>[],
  control: Int32Array,
  log: Logger,
): Promise<messages.PumpEnd> {
  const end = await Promise.race(ends);
  if (end.reason !== undefined) {
    log.error({ reason: end.reason }, 'a pump ended; stopping the others');
    return end;
  }
  const ordered = Atomics.load(control, messages.STOP) !== 0;
  return ordered ? end : { reason: 'a pump ended without being told to' };
}

function requestStop(control: Int32Array, pumps: number): void {
  Atomics.store(control, messages.STOP, 1);
  const one = new Uint8Array(BigUint64Array.of(1n).buffer);
  for (let pump = 0; pump < pumps; pump++) {
    const wake = Atomics.load(control, messages.pumpSlot(pump, messages.PUMP_WAKE));
    if (wake >= 0) writeSync(wake, one);
  }
}

/**
 * Descriptors that more than one thread uses are closed by main, once all pumps are gone: no write
 * may meet a number that the kernel has given to something else.
 */
function closeShared(control: Int32Array, pumps: number): void {
  for (const slot of descriptorSlots(pumps)) {
    const fd = Atomics.exchange(control, slot, -1);
    if (fd >= 0) closeSync(fd);
  }
}

function descriptorSlots(pumps: number): number[] {
  const lanes = Array.from({ length: messages.MOST_LANES }, (_, lane) => messages.LANES + lane);
  const own = Array.from({ length: pumps }, (_, pump) =>
    [messages.PUMP_WAKE, messages.PUMP_QUEUE].map((name) => messages.pumpSlot(pump, name)),
  );
  return [...lanes, ...own.flat()];
}

async function whenReady(
  control: Int32Array,
  pumps: number,
  ended: Promise<messages.PumpEnd>,
): Promise<void> {
  let end: messages.PumpEnd | undefined;
  void ended.then((value) => {
    end = value;
  });
  const isReady = (pump: number): boolean =>
    Atomics.load(control, messages.pumpSlot(pump, messages.PUMP_STATE)) === messages.STATE_READY;
  for (;;) {
    if (end !== undefined) throw new Error(end.reason ?? 'stopped before the pumps were up');
    if (Array.from({ length: pumps }, (_, pump) => pump).every(isReady)) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Those whose word is out: that they are ready, or once they were told to end, that they did. */
function awaitedPumps(control: Int32Array, pumps: Pool['counters']): Awaited[] {
  const stopping = Atomics.load(control, messages.STOP) !== 0;
  const slot = (pump: number, name: number): number =>
    Atomics.load(control, messages.pumpSlot(pump, name));
  return pumps.flatMap(({ direction, worker }, pump) => {
    const state = slot(pump, messages.PUMP_STATE);
    const thread = slot(pump, messages.PUMP_THREAD);
    const name = `${direction} pump ${worker}`;
    // Its state says that it ended before its thread is gone.
    if (stopping ? thread !== 0 && threadSigns(thread) === GONE : state !== messages.STATE_STARTING)
      return [];
    if (thread === 0) return [{ name, signs: otherThreadsSigns }];
    return [{ name: `${name}, thread ${thread}`, signs: () => threadSigns(thread) }];
  });
}

/** Heartbeats are counters, so their age is known by when they last moved. */
function createStatus(
  control: Int32Array,
  counters: readonly PumpCounters[],
): () => readonly PumpStatus[] {
  const beats = counters.map(() => new Beat(performance.now()));
  return () => {
    const now = performance.now();
    return counters.map(({ worker, direction }, pump) => {
      const slot = (name: number): number => control[messages.pumpSlot(pump, name)];
      const signs = threadSigns(slot(messages.PUMP_THREAD));
      const beat = beats[pump];
      beat.look(now, slot(messages.PUMP_HEARTBEAT), signs);
      const named = (bits: number): messages.Feature[] =>
        messages.FEATURES.filter((_, bit) => (bits & (1 << bit)) !== 0);
      return {
        worker,
        direction,
        heartbeatAgeSeconds: (now - beat.since) / 1000,
        hangsSeconds: beat.hangsMs(now) / 1000,
        cpuSeconds: Math.max(0, signs.cpuMs) / 1000,
        features: named(slot(messages.PUMP_FEATURES)),
        lowered: named(slot(messages.PUMP_LOWERED)),
        socketBufferBytes: slot(messages.PUMP_SOCKET_BUFFER),
      };
    });
  };
}

/** One block a direction: totals never go back, however often pumps are started again. */
export function addUp(blocks: readonly PumpCounters[]): PumpCounters[] {
  return (['tx', 'rx'] as const).map((direction) => {
    const own = blocks.filter((block) => block.direction === direction);
    const values = Float64Array.from({ length: BLOCK_SLOTS }, (_, slot) =>
      own.reduce((sum, block) => sum + block.values[slot]!, 0),
    );
    return { direction, worker: 0, values };
  });
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= action();
    return running;
  };
}
