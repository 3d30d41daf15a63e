/**
 * The way out of a batch: datagrams wait in an outbox, leave as runs, and each refusal of the
 * kernel climbs down the ladder of native-notes/calls.md: wait, cut less, tell the sender, or
 * count.
 */
import { EINVAL, EIO, EMSGSIZE } from '../../sys/errno.ts';
import { createGrouping } from '../../udp/group.ts';
import {
  createOutbox,
  createRuns,
  OUTBOX_DATAGRAMS,
  type Outbox,
  planRuns,
  type RunLimits,
  type Runs,
} from '../../udp/runs.ts';
import { createSender, SEND_RUNS, type Sender } from '../../udp/send.ts';
import type { Tap } from '../tap/writer.ts';
import { createTally } from './tally.ts';
import { createTooBig, type TooBigOptions } from './too-big.ts';
import { createTransmitter } from './transmit.ts';

export interface EgressOptions extends TooBigOptions {
  readonly accounts: Float64Array;
  readonly tap: Tap;
  readonly wake: number;
  readonly limits: RunLimits;
  /** Called once when the kernel turns UDP_SEGMENT down. */
  readonly lowerSegmentation: () => void;
}

/** A peer: where its socket address stands in the table; and where its traffic is counted. */
export interface Destination {
  peer: number;
  account: number;
}

export interface Egress {
  readonly outbox: Outbox;
  readonly sender: Sender;
  /** Room for this many more datagrams with two slices each. */
  hasRoom(datagrams: number): boolean;
  /** Queues a datagram whose slices were just added. `packet` is the offset of its inner packet. */
  push(to: Destination, size: number, packet: number, tosAndLane: number): void;
  /** Sends everything queued and empties the outbox. */
  flush(table: Int32Array): void;
}

/** What `sendPlanned` and those below it return where all was dealt with. */
const DONE = -1;

export function createEgress(options: EgressOptions): Egress {
  const { slab, layout, block, accounts, tap, sockets, limits } = options;
  const outbox = createOutbox();
  const runs: Runs = createRuns();
  const grouping = createGrouping();
  const sender = createSender(slab, layout, outbox);
  const tally = createTally(slab.bytes, block, accounts, tap);
  const transmitter = createTransmitter(slab, layout, sender, tally, options);
  const tooBig = createTooBig(options, transmitter, tally);
  let table: Int32Array = new Int32Array(0);
  // What is being sent: the outbox, or its copy in another order.
  let leaving = outbox;
  // The datagram whose neighbour left alone, when together they had been refused as a run.
  let proven = -1;

  function hasRoom(datagrams: number): boolean {
    return outbox.count + datagrams <= OUTBOX_DATAGRAMS;
  }

  function push(to: Destination, size: number, packet: number, tosAndLane: number): void {
    const i = outbox.count;
    outbox.peer[i] = to.peer;
    outbox.account[i] = to.account;
    outbox.size[i] = size;
    outbox.packet[i] = packet;
    outbox.typeOfService[i] = tosAndLane & 0xff;
    outbox.lane[i] = tosAndLane >>> 8;
    outbox.count = i + 1;
    outbox.firstIovec[i + 1] = outbox.iovecs;
  }

  function flush(current: Int32Array): void {
    if (outbox.count === 0) return;
    table = current;
    proven = DONE;
    transmitter.begin(current);
    tally.begin(current);
    planRuns(outbox, 0, limits, runs);
    leaving = outbox;
    if (groups()) {
      leaving = sender.rearranged(runs, grouping.order);
      planRuns(leaving, 0, limits, runs);
    }
    let from = sendPlanned();
    while (from !== DONE) {
      planRuns(leaving, from, limits, runs);
      from = sendPlanned();
    }
    outbox.count = 0;
    outbox.iovecs = 0;
  }

  /** Single datagrams by a single lane would leave no faster in another order. */
  function groups(): boolean {
    if (limits.datagrams === 1 && sockets.length === 1) return false;
    return grouping.arrange(outbox, runs);
  }

  /** Sends the plan; returns the datagram to plan from again, or DONE. */
  function sendPlanned(): number {
    let first = 0;
    while (first < runs.count) {
      const lane = leaving.lane[runs.first[first]];
      let last = first + 1;
      while (last < runs.count && last - first < SEND_RUNS) {
        if (leaving.lane[runs.first[last]] !== lane) break;
        last++;
      }
      const stopped = sendSlots(first, last - first, sockets[lane]);
      if (stopped !== DONE) return stopped;
      first = last;
    }
    return DONE;
  }

  /** Sends `count` runs from `first` on one socket; returns as `sendPlanned`. */
  function sendSlots(first: number, count: number, fd: number): number {
    sender.wire(table, leaving, runs, first, count);
    let slot = 0;
    while (slot < count) {
      const sent = transmitter.transmit(fd, slot, count);
      for (let i = 0; i < sent; i++) countSent(first + slot + i);
      if (sent > 0) {
        slot += sent;
        continue;
      }
      const stopped = refuse(first + slot, -sent, fd);
      if (stopped !== DONE) return stopped;
      slot++;
    }
    return DONE;
  }

  function countSent(run: number): void {
    tally.sent(leaving, runs.first[run], runs.length[run], runs.bytes[run]);
  }

  /** Deals with a run that the kernel refused; returns as `sendPlanned`. */
  function refuse(run: number, code: number, fd: number): number {
    const first = runs.first[run];
    const datagrams = runs.length[run];
    if (datagrams > 1 && (code === EIO || code === EINVAL)) return refuseRun(run, fd);
    settle(first, datagrams, code);
    return DONE;
  }

  function settle(first: number, datagrams: number, code: number): void {
    if (code === EMSGSIZE) tooBig.settle(table, leaving, first, datagrams);
    else tally.refused(leaving, code, first, datagrams);
  }

  /**
   * UDP_SEGMENT may not be possible, or nothing may be: a route that is a black hole says EINVAL
   * too, and so do kernels before a fix of 2025 for a segment over the path MTU. The first datagram
   * tells, by itself. Once it has gone the others are tried as a run again, for the route may have
   * come back meanwhile; only what is then still refused takes the rung.
   */
  function refuseRun(run: number, fd: number): number {
    const first = runs.first[run];
    const datagrams = runs.length[run];
    if (first !== proven) {
      const code = transmitter.alone(leaving, first, fd);
      if (code !== 0) {
        settle(first, datagrams, code);
        return DONE;
      }
      proven = first + 1;
      if (datagrams > 2) return proven;
    }
    limits.datagrams = 1;
    options.lowerSegmentation();
    return proven;
  }

  return { outbox, sender, hasRoom, push, flush };
}
