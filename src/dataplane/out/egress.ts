/**
 * The way out of a batch: datagrams wait in an outbox, leave as runs, and each refusal of the
 * kernel climbs down the ladder of native-notes/calls.md: wait, cut less, tell the sender, or
 * count.
 */
import { libc } from '../../sys/binding.ts';
import * as constants from '../../sys/constants.ts';
import * as errors from '../../sys/errno.ts';
import { type Layout, type Slab, viewOf } from '../../sys/memory.ts';
import { POLLFD_EVENTS, POLLFD_FD, POLLFD_SIZE } from '../../sys/struct.ts';
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
import { pathMtu } from '../../udp/socket.ts';
import { hasDontFragment, totalLength } from '../../wire/ipv4.ts';
import type { Answer } from '../answer.ts';
import * as counters from '../counters.ts';
import type { Tap } from '../tap/writer.ts';

/** A full send buffer is waited for this long, this often, before the run is dropped. */
const FULL_WAIT_MS = 10;
const FULL_WAITS = 5;

export interface EgressOptions {
  readonly slab: Slab;
  readonly layout: Layout;
  readonly block: Float64Array;
  readonly accounts: Float64Array;
  readonly tap: Tap;
  readonly answer: Answer;
  readonly port: number;
  /** Our underlay address, host order. */
  readonly bindAddress: number;
  /** Sending sockets, by lane. */
  readonly sockets: Int32Array;
  /** Sends what may be fragmented: its DF is off. */
  readonly fragmenting: number;
  readonly wake: number;
  readonly limits: RunLimits;
  /** Called once when the kernel turns UDP_SEGMENT down. */
  readonly lowerSegmentation: () => void;
}

/** A peer: public address, host order, signed; and where its traffic is counted. */
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

export function createEgress(options: EgressOptions): Egress {
  const { slab, layout, block, accounts, tap, answer, port, sockets, limits } = options;
  const { bytes } = slab;
  const outbox = createOutbox();
  const runs: Runs = createRuns();
  const sender = createSender(slab, layout, outbox, port);
  const poll = layout.take(2 * POLLFD_SIZE, 16);
  const pollView = viewOf(slab, poll, 2 * POLLFD_SIZE);
  let table: Int32Array = new Int32Array(0);

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
    let from = 0;
    while (from < outbox.count) {
      planRuns(outbox, from, limits, runs);
      from = sendPlanned();
    }
    outbox.count = 0;
    outbox.iovecs = 0;
  }

  /** Sends the plan; returns the datagram to plan from again: the end, or where it was given up. */
  function sendPlanned(): number {
    let first = 0;
    while (first < runs.count) {
      const lane = outbox.lane[runs.first[first]];
      let last = first + 1;
      while (last < runs.count && last - first < SEND_RUNS) {
        if (outbox.lane[runs.first[last]] !== lane) break;
        last++;
      }
      const stopped = sendSlots(first, last - first, sockets[lane]);
      if (stopped >= 0) return stopped;
      first = last;
    }
    return outbox.count;
  }

  /** Sends `count` runs from `first` on one socket; -1, or the datagram to plan from again. */
  function sendSlots(first: number, count: number, fd: number): number {
    sender.wire(runs, first, count);
    let slot = 0;
    let waits = 0;
    while (slot < count) {
      const sent = sender.transmit(fd, slot, count);
      if (sent > 0) {
        block[counters.CALL_SENDMMSG + counters.CALL_OK]++;
        for (let i = 0; i < sent; i++) countSent(first + slot + i);
        slot += sent;
        waits = 0;
        continue;
      }
      const run = first + slot;
      if (-sent === errors.EAGAIN && waits++ < FULL_WAITS) {
        block[counters.CALL_SENDMMSG + counters.CALL_AGAIN]++;
        waitWritable(fd);
        continue;
      }
      block[counters.CALL_SENDMMSG + counters.CALL_ERROR]++;
      if (refuse(run, -sent)) return runs.first[run];
      slot++;
    }
    return -1;
  }

  function countSent(run: number): void {
    countDatagrams(runs.first[run], runs.length[run], runs.bytes[run]);
    counters.observe(block, counters.RUN_HISTOGRAM, runs.length[run]);
  }

  /** A datagram holds exactly one packet and nothing else. */
  function countDatagrams(first: number, datagrams: number, payload: number): void {
    const account = outbox.account[first] * counters.ACCOUNT_SLOTS;
    accounts[account + counters.ACCOUNT_PACKETS] += datagrams;
    accounts[account + counters.ACCOUNT_BYTES] += payload;
    block[counters.PACKETS] += datagrams;
    block[counters.INNER_BYTES] += payload;
    block[counters.DATAGRAMS] += datagrams;
    block[counters.OUTER_BYTES] += payload + counters.OUTER_HEADERS * datagrams;
  }

  function countDropped(reason: number, first: number, datagrams: number): void {
    block[reason] += datagrams;
    const account = outbox.account[first] * counters.ACCOUNT_SLOTS;
    accounts[account + counters.ACCOUNT_DROPS] += datagrams;
    // A superpacket is shown whole, by the header that it came with.
    const at = outbox.packet[first];
    if (tap.mode !== 0) tap.drop(reason, at, totalLength(bytes, at), outbox.peer[first]);
  }

  /** Deals with a run that the kernel refused; true to plan it again with a lower ladder. */
  function refuse(run: number, code: number): boolean {
    const datagrams = runs.length[run];
    if (code === errors.EMSGSIZE) {
      tooBig(run);
    } else if (datagrams > 1 && (code === errors.EIO || code === errors.EINVAL)) {
      // Kernels before the fix of 2025 say EINVAL where a segment exceeds the path MTU.
      if (code === errors.EINVAL && exceedsPath(run)) {
        tooBig(run);
        return false;
      }
      limits.datagrams = 1;
      options.lowerSegmentation();
      return true;
    } else if (code === errors.EAGAIN || code === errors.ENOBUFS || code === errors.ENOMEM) {
      countDropped(counters.TX_SOCKET_FULL, runs.first[run], datagrams);
    } else {
      countDropped(counters.TX_SEND_REFUSED, runs.first[run], datagrams);
    }
    return false;
  }

  function exceedsPath(run: number): boolean {
    const first = runs.first[run];
    const mtu = pathMtu(options.bindAddress, outbox.peer[first], port);
    return mtu > 0 && outbox.size[first] + counters.OUTER_HEADERS > mtu;
  }

  /** Inner packets with DF are refused and their senders told; the others may be fragmented. */
  function tooBig(run: number): void {
    const first = runs.first[run];
    const end = first + runs.length[run];
    let told = -1;
    for (let i = first; i < end; i++) {
      const at = outbox.packet[i];
      // The last of a run may be shorter, and may fit where the others do not.
      if (outbox.size[i] < outbox.size[first] && sendAlone(i, sockets[outbox.lane[i]])) continue;
      if (!hasDontFragment(bytes, at)) {
        if (sendAlone(i, options.fragmenting)) block[counters.OUTER_FRAGMENTED]++;
        else countDropped(counters.TX_SEND_REFUSED, i, 1);
        continue;
      }
      countDropped(counters.TX_TOO_BIG, i, 1);
      if (at === told) continue;
      told = at;
      tellMtu(at, outbox.peer[i]);
    }
  }

  function tellMtu(at: number, peer: number): void {
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    if (!answer.mayTellMtu(at, length)) return;
    const mtu = pathMtu(options.bindAddress, peer, port);
    // Without an answer from the kernel there is nothing to tell: the next refusal asks again.
    if (mtu > 0) answer.fragNeeded(table, at, length, mtu - counters.OUTER_HEADERS);
  }

  /** Sends one datagram by itself, waiting for room as a run does; false if it did not go. */
  function sendAlone(datagram: number, fd: number): boolean {
    sender.wireOne(datagram);
    for (let waits = 0; waits < FULL_WAITS; waits++) {
      const sent = sender.transmit(fd, SEND_RUNS, SEND_RUNS + 1);
      if (sent > 0) {
        countDatagrams(datagram, 1, outbox.size[datagram]);
        return true;
      }
      if (-sent !== errors.EAGAIN) return false;
      waitWritable(fd);
    }
    return false;
  }

  function waitWritable(fd: number): void {
    writePollfd(slab.words, poll >> 2, fd, constants.POLLOUT);
    writePollfd(slab.words, (poll + POLLFD_SIZE) >> 2, options.wake, constants.POLLIN);
    libc.poll(pollView, 2, FULL_WAIT_MS);
  }

  return { outbox, sender, hasRoom, push, flush };
}

function writePollfd(words: Int32Array, at: number, fd: number, events: number): void {
  words[at + (POLLFD_FD >> 2)] = fd;
  // Events are the low, revents the high half of the second word.
  words[at + (POLLFD_EVENTS >> 2)] = events;
}
