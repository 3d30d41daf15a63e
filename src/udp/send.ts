/**
 * Hands runs to the kernel: one mmsghdr a run, many runs a sendmmsg(2). Names, control messages and
 * headers are wired once; a call rewrites only addresses, sizes and counts.
 */
import { errno, libc } from '../sys/binding.ts';
import { AF_INET, IP_TOS, IPPROTO_IP, IPPROTO_UDP, UDP_SEGMENT } from '../sys/constants.ts';
import { EINTR } from '../sys/errno.ts';
import { type Layout, type Slab, viewOf, writePointer } from '../sys/memory.ts';
import * as struct from '../sys/struct.ts';
import { OUTBOX_DATAGRAMS, type Outbox, type Runs } from './runs.ts';

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
  /** Wires `count` runs from `first`; they take the message slots from 0. */
  wire(runs: Runs, first: number, count: number): void;
  /** Wires one datagram into the spare slot, SEND_RUNS. */
  wireOne(datagram: number): void;
  /** Sends wired messages from slot `from` up to `count`: how many went, or minus the errno. */
  transmit(fd: number, from: number, count: number): number;
}

export function createSender(slab: Slab, layout: Layout, outbox: Outbox, port: number): Sender {
  const iovecs = layout.take(IOVECS * struct.IOVEC_SIZE, 64);
  const messages = layout.take(SLOTS * struct.MMSGHDR_SIZE, 64);
  const names = layout.take(SLOTS * struct.SOCKADDR_IN_SIZE, 64);
  const controls = layout.take(SLOTS * CONTROL_SIZE, 64);
  const { bytes, words, low, high } = slab;
  const views: Uint8Array[] = [];
  for (let i = 0; i < SLOTS; i++) {
    const message = messages + i * struct.MMSGHDR_SIZE;
    views.push(viewOf(slab, message, (SLOTS - i) * struct.MMSGHDR_SIZE));
    wireOnce(message, names + i * struct.SOCKADDR_IN_SIZE, controls + i * CONTROL_SIZE);
  }
  for (let i = 0; i < IOVECS; i++) writePointer(slab, iovecs + i * struct.IOVEC_SIZE, 0);

  function wireOnce(message: number, name: number, control: number): void {
    writePointer(slab, message + struct.MSGHDR_NAME, name);
    words[(message + struct.MSGHDR_NAME_LENGTH) >> 2] = struct.SOCKADDR_IN_SIZE;
    writePointer(slab, message + struct.MSGHDR_IOVEC, iovecs);
    writePointer(slab, message + struct.MSGHDR_CONTROL, control);
    bytes[name + struct.SOCKADDR_FAMILY] = AF_INET;
    bytes[name + struct.SOCKADDR_PORT] = port >>> 8;
    bytes[name + struct.SOCKADDR_PORT + 1] = port;
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

  function wire(runs: Runs, first: number, count: number): void {
    for (let i = 0; i < count; i++) {
      wireRun(i, runs.first[first + i], runs.length[first + i]);
    }
  }

  function wireOne(datagram: number): void {
    wireRun(SEND_RUNS, datagram, 1);
  }

  function wireRun(slot: number, datagram: number, length: number): void {
    const message = (messages + slot * struct.MMSGHDR_SIZE) >> 2;
    const name = names + slot * struct.SOCKADDR_IN_SIZE + struct.SOCKADDR_ADDRESS;
    const peer = outbox.peer[datagram];
    bytes[name] = peer >>> 24;
    bytes[name + 1] = peer >>> 16;
    bytes[name + 2] = peer >>> 8;
    bytes[name + 3] = peer;
    const iovec = outbox.firstIovec[datagram];
    words[message + (struct.MSGHDR_IOVEC >> 2)] = low + iovecs + iovec * struct.IOVEC_SIZE;
    words[message + (struct.MSGHDR_IOVEC_LENGTH >> 2)] =
      outbox.firstIovec[datagram + length] - iovec;
    wireOptions(message, controls + slot * CONTROL_SIZE, datagram, length);
  }

  function wireOptions(message: number, control: number, datagram: number, length: number): void {
    const tos = outbox.typeOfService[datagram];
    const from = length > 1 ? control : control + CONTROL_ENTRY;
    const entries = (length > 1 ? 1 : 0) + (tos !== 0 ? 1 : 0);
    words[(control + struct.CMSGHDR_DATA) >> 2] = outbox.size[datagram];
    words[(control + CONTROL_ENTRY + struct.CMSGHDR_DATA) >> 2] = tos;
    words[message + (struct.MSGHDR_CONTROL >> 2)] = low + from;
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

  return { addSlice, wire, wireOne, transmit };
}
