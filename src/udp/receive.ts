/**
 * Takes datagrams off one socket, many a call (recvmmsg(2)). With UDP_GRO a buffer holds several
 * datagrams of one sender, equal in size but for the last, and a control message says the size.
 */
import { errno, libc } from '../sys/binding.ts';
import {
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_UDP,
  MSG_DONTWAIT,
  MSG_TRUNC,
  UDP_GRO,
} from '../sys/constants.ts';
import { EINTR } from '../sys/errno.ts';
import { type Layout, type Slab, viewOf, writeIovec, writePointer } from '../sys/memory.ts';
import { SOCKADDR_SIZE } from '../sys/sockaddr.ts';
import * as struct from '../sys/struct.ts';

/** The longest UDP payload is 65,507 bytes; the rest is alignment. */
export const RECEIVE_BUFFER = 65_536;
/** Room for UDP_GRO (24 bytes) and IP_TOS (24), and one that we did not ask for. */
const CONTROL_SIZE = 96;

export interface Receiver {
  /** Where each buffer's bytes begin: fixed at start. */
  readonly at: Int32Array;
  /** Of the last batch: bytes in the buffer. */
  readonly length: Int32Array;
  /** Where each buffer's sender stands, a socket address in words of the slab: fixed at start. */
  readonly sender: Int32Array;
  /** Bytes of each datagram but the last; the whole length where there is only one. */
  readonly segmentSize: Int32Array;
  /** 1 where the datagram was longer than the buffer. */
  readonly truncated: Uint8Array;
  /** TOS byte of the outer header, where IP_RECVTOS is on. */
  readonly typeOfService: Uint8Array;
  /** Receives what is there, without waiting: how many buffers, or minus the errno. */
  receive(): number;
}

export function createReceiver(slab: Slab, layout: Layout, fd: number, entries: number): Receiver {
  const headers = layout.take(entries * struct.MMSGHDR_SIZE, 64);
  const names = layout.take(entries * SOCKADDR_SIZE, 64);
  const iovecs = layout.take(entries * struct.IOVEC_SIZE, 64);
  const controls = layout.take(entries * CONTROL_SIZE, 64);
  const view = viewOf(slab, headers, entries * struct.MMSGHDR_SIZE);
  const { bytes, words } = slab;
  const at = new Int32Array(entries);
  const length = new Int32Array(entries);
  const sender = new Int32Array(entries);
  const segmentSize = new Int32Array(entries);
  const truncated = new Uint8Array(entries);
  const typeOfService = new Uint8Array(entries);
  for (let i = 0; i < entries; i++) {
    at[i] = layout.take(RECEIVE_BUFFER, 64);
    const header = headers + i * struct.MMSGHDR_SIZE;
    const iovec = iovecs + i * struct.IOVEC_SIZE;
    writeIovec(slab, iovec, at[i], RECEIVE_BUFFER);
    writePointer(slab, header + struct.MSGHDR_NAME, names + i * SOCKADDR_SIZE);
    sender[i] = (names + i * SOCKADDR_SIZE) >> 2;
    writePointer(slab, header + struct.MSGHDR_IOVEC, iovec);
    words[(header + struct.MSGHDR_IOVEC_LENGTH) >> 2] = 1;
    writePointer(slab, header + struct.MSGHDR_CONTROL, controls + i * CONTROL_SIZE);
    rearm(header >> 2);
  }

  /** The kernel overwrites these lengths with what it used. */
  function rearm(header: number): void {
    words[header + (struct.MSGHDR_NAME_LENGTH >> 2)] = SOCKADDR_SIZE;
    words[header + (struct.MSGHDR_CONTROL_LENGTH >> 2)] = CONTROL_SIZE;
  }

  function receive(): number {
    let got = libc.recvmmsg(fd, view, entries, MSG_DONTWAIT, null);
    while (got < 0) {
      const code = errno();
      if (code !== EINTR) return -code;
      got = libc.recvmmsg(fd, view, entries, MSG_DONTWAIT, null);
    }
    for (let i = 0; i < got; i++) readEntry(i);
    return got;
  }

  function readEntry(i: number): void {
    const header = (headers + i * struct.MMSGHDR_SIZE) >> 2;
    length[i] = words[header + (struct.MMSGHDR_LENGTH >> 2)];
    truncated[i] = (words[header + (struct.MSGHDR_FLAGS >> 2)] & MSG_TRUNC) === 0 ? 0 : 1;
    segmentSize[i] = length[i];
    typeOfService[i] = 0;
    const used = words[header + (struct.MSGHDR_CONTROL_LENGTH >> 2)];
    if (used !== 0) walkControl(i, controls + i * CONTROL_SIZE, used);
    rearm(header);
  }

  /** Control messages by cmsg(3), trusting no length that leaves the block. */
  function walkControl(i: number, from: number, used: number): void {
    const end = from + Math.min(used, CONTROL_SIZE);
    let entry = from;
    while (entry + struct.CMSGHDR_DATA < end) {
      const size = words[entry >> 2];
      if (size <= struct.CMSGHDR_DATA || entry + size > end) return;
      readControl(i, entry, size - struct.CMSGHDR_DATA);
      entry += (size + 7) & ~7;
    }
  }

  /** A message of `dataLength` bytes of data, at least one; UDP_GRO's is an int. */
  function readControl(i: number, entry: number, dataLength: number): void {
    const level = words[(entry + struct.CMSGHDR_LEVEL) >> 2];
    const type = words[(entry + struct.CMSGHDR_TYPE) >> 2];
    const data = entry + struct.CMSGHDR_DATA;
    if (level === IPPROTO_UDP && type === UDP_GRO && dataLength >= 4) {
      const size = words[data >> 2];
      if (size > 0 && size < length[i]) segmentSize[i] = size;
    } else if (level === IPPROTO_IP && type === IP_TOS) {
      typeOfService[i] = bytes[data];
    }
  }

  return { at, length, sender, segmentSize, truncated, typeOfService, receive };
}
