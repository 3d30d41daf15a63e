/**
 * Takes packets out of one TUN queue into the slab. Each read(2) gives one packet or superpacket,
 * so a breath reads until the queue is empty or the batch is full. Packets lie one behind another
 * in an arena that starts over every breath: small ones stay dense and the cache stays warm.
 */
import { errno, libc } from '../sys/binding.ts';
import { EAGAIN, EINTR } from '../sys/errno.ts';
import { type Layout, type Slab, viewOf, writeIovec } from '../sys/memory.ts';
import { IOVEC_SIZE } from '../sys/struct.ts';
import { VIRTIO_HEADER_LENGTH } from '../wire/virtio.ts';

/** Packets of one breath: more would hold back the first of them for longer than it saves calls. */
export const READ_BATCH = 64;
/** The longest packet that TUN can give, rounded up with its header and alignment. */
const ROOM = 65_536 + 64;
/** Superpackets that a breath can hold at least; 8 are 512 KiB, half of a usual L2 cache. */
const SUPERPACKETS = 8;
const ARENA = SUPERPACKETS * ROOM + ROOM;
/** Packets begin this far behind a 64-byte line: room for the virtio_net_hdr in front of them. */
const LEAD = 16;

/** The queue's answer to the last drain: empty, more waiting, or the errno that ended it. */
export const DRAINED = 0;
export const MORE = -1;

export interface TunReader {
  /** Where each packet of the batch begins, its virtio_net_hdr before it, and how long it is. */
  readonly at: Int32Array;
  readonly length: Int32Array;
  /** DRAINED, MORE, or the errno of a queue that can give no more. */
  state: number;
  readonly fd: number;
}

export function createTunReader(
  slab: Slab,
  layout: Layout,
  fd: number,
  vnetHeader: boolean,
): TunReader & { drain(): number } {
  const header = vnetHeader ? VIRTIO_HEADER_LENGTH : 0;
  const arena = layout.take(ARENA, 64);
  const last = arena + ARENA - ROOM;
  const iovec = layout.take(IOVEC_SIZE, 16);
  writeIovec(slab, iovec, arena, ROOM - LEAD);
  const iovecView = viewOf(slab, iovec, IOVEC_SIZE);
  const base = iovec >> 2;
  const { words, low } = slab;
  const at = new Int32Array(READ_BATCH);
  const length = new Int32Array(READ_BATCH);
  const reader = { at, length, state: DRAINED, fd, drain };

  function drain(): number {
    let count = 0;
    let next = arena + LEAD;
    reader.state = MORE;
    while (count < READ_BATCH && next <= last) {
      words[base] = low + next - header;
      const got = libc.readv(fd, iovecView, 1);
      if (got < 0) {
        const code = errno();
        if (code === EINTR) continue;
        reader.state = code === EAGAIN ? DRAINED : code;
        break;
      }
      at[count] = next;
      length[count] = got - header;
      count++;
      next += (got + LEAD + 63) & ~63;
    }
    return count;
  }

  return reader;
}
