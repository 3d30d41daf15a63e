import { parentPort, workerData } from 'node:worker_threads';
import {
  attach,
  enter,
  type PublicationMemory,
  park,
  type Reader,
} from '../../src/forwarding/publication.ts';
import { lookup, NO_PEER } from '../../src/forwarding/table.ts';
import { findPeer, peerAddress } from '../support/ipv4-peers.ts';

/** What the worker is to do: look up all probes, breath after breath, until told to stop. */
export interface ReaderTask {
  readonly memory: PublicationMemory;
  readonly index: number;
  /** Word 0 asks to stop; word 1 is never notified, to wait on for a moment. */
  readonly signals: Int32Array;
  readonly probes: readonly number[];
  /** Whether to park between breaths, as a pump does before it waits. */
  readonly parks: boolean;
}

/** What it saw. A version is the one peer that every probe of a breath must name. */
export interface ReaderReport {
  breaths: number;
  versions: number;
  torn: number;
  backwards: number;
  last: number;
}

// Several rounds a breath, so that a refill that comes too early has time to be seen.
const ROUNDS = 4;
// A reader that parks also sleeps now and then, which leaves a core of two to the others.
const BREATHS_TO_A_WAIT = 8;

/** The version that all look-ups agree on, or undefined. */
function versionOf(table: Int32Array, probes: readonly number[]): number | undefined {
  let version: number | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    for (const probe of probes) {
      const slot = lookup(table, probe);
      if (slot === NO_PEER) return undefined;
      const peer = peerAddress(table, slot);
      if (version !== undefined && peer !== version) return undefined;
      if (findPeer(table, peer) !== slot) return undefined;
      version = peer;
    }
  }
  return version;
}

function breathe(reader: Reader, task: ReaderTask, report: ReaderReport): void {
  const version = versionOf(enter(reader), task.probes);
  report.breaths++;
  if (version === undefined) {
    report.torn++;
    return;
  }
  if (version < report.last) report.backwards++;
  if (version !== report.last) report.versions++;
  report.last = version;
  if (!task.parks) return;
  park(reader);
  if (report.breaths % BREATHS_TO_A_WAIT === 0) Atomics.wait(task.signals, 1, 0, 0.1);
}

function run(task: ReaderTask): ReaderReport {
  const reader = attach(task.memory, task.index);
  const report = { breaths: 0, versions: 0, torn: 0, backwards: 0, last: 0 };
  let isLast = false;
  while (!isLast) {
    // Asked before the breath, so that the last breath sees the last version.
    isLast = Atomics.load(task.signals, 0) === 1;
    breathe(reader, task, report);
    if (report.breaths === 1) parentPort?.postMessage('running');
  }
  park(reader);
  return report;
}

parentPort?.postMessage(run(workerData as ReaderTask));
