/**
 * Hands runs to the kernel: one mmsghdr a run, many runs a sendmmsg(2). Names, control messages and
 * headers are wired once; a call rewrites only addresses, sizes and counts.
 */
import { errno, libc } from '../sys/binding.ts';
import { IP_TOS, IPPROTO_IP, IPPROTO_UDP, UDP_SEGMENT } from '../sys/constants.ts';
import { EINTR } from '../sys/errno.ts';
import { type Layout, type Slab, viewOf, writePointer } from '../sys/memory.ts';
import { SOCKADDR_SIZE, SOCKADDR_WORDS } from '../sys/sockaddr.ts';
import * as struct from '../sys/struct.ts';
import { createOutbox, OUTBOX_DATAGRAMS, type Outbox, type Runs } from './runs.ts';

/** Runs of one sendmmsg; a batch with more takes several calls. */
export const SEND_RUNS = 255;
/** One slot more, for a datagram that is sent on its own. */
const SLOTS = SEND_RUNS + 1;
/** Each datagram may need two iovecs: a fresh header and a slice of payload. */
const IOVECS = 2 * OUTBOX_DATAGRAMS;
/** UDP_SEGMENT, then IP_TOS, each padded to 24 bytes. */
const CONTROL_ENTRY = 24;
const CONTROL_SIZE = 2 * CONTROL_ENTRY;

export interface Sender {
  /** Adds an iovec to the datagram being built. */
  addSlice(at: number, length: number): void;
  /**
   * The outbox in another order, `order` naming runs: a copy, good until the next one. What `wire`
   * and `wireOne` are given is either the outbox that the sender was made with or such a copy.
   */
  rearranged(runs: Runs, order: Int32Array): Outbox;
  /**
   * Wires `count` runs of `from` from `first` on; they take the message slots from 0. `names` holds
   * the socket addresses that `Outbox.peer` points at.
   */
  wire(names: Int32Array, from: Outbox, runs: Runs, first: number, count: number): void;
  /** Wires one datagram into the spare slot, SEND_RUNS. */
  wireOne(names: Int32Array, from: Outbox, datagram: number): void;
  /** Sends wired messages from slot `from` up to `count`: how many went, or minus the errno. */
  transmit(fd: number, from: number, count: number): number;
}

export function createSender(slab: Slab, layout: Layout, outbox: Outbox): Sender {
  // Those of the outbox, then those of its copy in another order.
  const iovecs = layout.take(2 * IOVECS * struct.IOVEC_SIZE, 64);
  const messages = layout.take(SLOTS * struct.MMSGHDR_SIZE, 64);
  const targets = layout.take(SLOTS * SOCKADDR_SIZE, 64);
  const controls = layout.take(SLOTS * CONTROL_SIZE, 64);
  const { words, low, high } = slab;
  const views: Uint8Array[] = [];
  for (let i = 0; i < SLOTS; i++) {
    const message = messages + i * struct.MMSGHDR_SIZE;
    views.push(viewOf(slab, message, (SLOTS - i) * struct.MMSGHDR_SIZE));
    wireOnce(message, targets + i * SOCKADDR_SIZE, controls + i * CONTROL_SIZE);
  }
  for (let i = 0; i < 2 * IOVECS; i++) writePointer(slab, iovecs + i * struct.IOVEC_SIZE, 0);
  const copy = createOutbox();
  copy.firstIovec[0] = IOVECS;

  function wireOnce(message: number, name: number, control: number): void {
    writePointer(slab, message + struct.MSGHDR_NAME, name);
    words[(message + struct.MSGHDR_NAME_LENGTH) >> 2] = SOCKADDR_SIZE;
    writePointer(slab, message + struct.MSGHDR_IOVEC, iovecs);
    writePointer(slab, message + struct.MSGHDR_CONTROL, control);
    // UDP_SEGMENT takes 16 bits (udp(7)), IP_TOS an int; CMSG_LEN counts header and data.
    wireControl(control, IPPROTO_UDP, UDP_SEGMENT, 2);
    wireControl(control + CONTROL_ENTRY, IPPROTO_IP, IP_TOS, 4);
  }

  function wireControl(at: number, level: number, type: number, size: number): void {
    words[at >> 2] = struct.CMSGHDR_DATA + size;
    words[(at >> 2) + 1] = 0;
    words[(at + struct.CMSGHDR_LEVEL) >> 2] = level;
    words[(at + struct.CMSGHDR_TYPE) >> 2] = type;
  }

  function addSlice(at: number, length: number): void {
    const iovec = (iovecs + outbox.iovecs * struct.IOVEC_SIZE) >> 2;
    words[iovec] = low + at;
    words[iovec + 2] = length;
    outbox.iovecs++;
  }

  function rearranged(runs: Runs, order: Int32Array): Outbox {
    let count = 0;
    for (let i = 0; i < runs.count; i++) {
      const first = runs.first[order[i]];
      const end = first + runs.length[order[i]];
      for (let datagram = first; datagram < end; datagram++) copyDatagram(datagram, count++);
    }
    copy.count = count;
    return copy;
  }

  function copyDatagram(from: number, to: number): void {
    copy.size[to] = outbox.size[from];
    copy.peer[to] = outbox.peer[from];
    copy.packet[to] = outbox.packet[from];
    copy.account[to] = outbox.account[from];
    copy.typeOfService[to] = outbox.typeOfService[from];
    copy.lane[to] = outbox.lane[from];
    const end = outbox.firstIovec[from + 1];
    let next = copy.firstIovec[to];
    for (let iovec = outbox.firstIovec[from]; iovec < end; iovec++) {
      const source = (iovecs + iovec * struct.IOVEC_SIZE) >> 2;
      const target = (iovecs + next++ * struct.IOVEC_SIZE) >> 2;
      words[target] = words[source];
      words[target + 2] = words[source + 2];
    }
    copy.firstIovec[to + 1] = next;
  }

  function wire(names: Int32Array, from: Outbox, runs: Runs, first: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const datagram = runs.first[first + i];
      wireName(names, from.peer[datagram], i);
      wireRun(from, i, datagram, runs.length[first + i]);
    }
  }

  function wireOne(names: Int32Array, from: Outbox, datagram: number): void {
    wireName(names, from.peer[datagram], SEND_RUNS);
    wireRun(from, SEND_RUNS, datagram, 1);
  }

  function wireName(names: Int32Array, peer: number, slot: number): void {
    const target = (targets + slot * SOCKADDR_SIZE) >> 2;
    for (let i = 0; i < SOCKADDR_WORDS; i++) words[target + i] = names[peer + i];
  }

  function wireRun(from: Outbox, slot: number, datagram: number, length: number): void {
    const message = (messages + slot * struct.MMSGHDR_SIZE) >> 2;
    const iovec = from.firstIovec[datagram];
    words[message + (struct.MSGHDR_IOVEC >> 2)] = low + iovecs + iovec * struct.IOVEC_SIZE;
    words[message + (struct.MSGHDR_IOVEC_LENGTH >> 2)] = from.firstIovec[datagram + length] - iovec;
    const control = controls + slot * CONTROL_SIZE;
    words[(control + struct.CMSGHDR_DATA) >> 2] = from.size[datagram];
    wireOptions(message, control, from.typeOfService[datagram], length);
  }

  function wireOptions(message: number, control: number, tos: number, length: number): void {
    const begin = length > 1 ? control : control + CONTROL_ENTRY;
    const entries = (length > 1 ? 1 : 0) + (tos !== 0 ? 1 : 0);
    words[(control + CONTROL_ENTRY + struct.CMSGHDR_DATA) >> 2] = tos;
    words[message + (struct.MSGHDR_CONTROL >> 2)] = low + begin;
    words[message + (struct.MSGHDR_CONTROL >> 2) + 1] = high;
    words[message + (struct.MSGHDR_CONTROL_LENGTH >> 2)] = entries * CONTROL_ENTRY;
  }

  function transmit(fd: number, from: number, count: number): number {
    for (;;) {
      const sent = libc.sendmmsg(fd, views[from], count - from, 0);
      if (sent >= 0) return sent;
      const code = errno();
      if (code !== EINTR) return -code;
    }
  }

  return { addSlice, rearranged, wire, wireOne, transmit };
}
