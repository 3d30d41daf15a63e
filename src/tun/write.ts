/**
 * Gives packets back to a TUN queue, one writev(2) each: TUN takes exactly one packet or
 * superpacket a call. Any pump may write to any queue.
 */
import { errno, libc } from '../sys/binding.ts';
import { EINTR } from '../sys/errno.ts';
import { type Layout, type Slab, viewOf, writeIovec } from '../sys/memory.ts';
import { IOVEC_SIZE } from '../sys/struct.ts';
import { VIRTIO_HEADER_LENGTH } from '../wire/virtio.ts';

export interface TunWriter {
  /** Writes one whole packet, checksums complete. Returns 0 or the errno. */
  writePacket(at: number, length: number): number;
  /** Writes `count` iovecs as they stand, virtio_net_hdr first. Returns 0 or the errno. */
  writeVector(view: Uint8Array, count: number): number;
}

export function createTunWriter(
  slab: Slab,
  layout: Layout,
  fd: number,
  vnetHeader: boolean,
): TunWriter {
  // An ordinary packet's virtio_net_hdr is all zeros and is never written to.
  const header = layout.take(VIRTIO_HEADER_LENGTH, 16);
  const iovecs = layout.take(2 * IOVEC_SIZE, 16);
  writeIovec(slab, iovecs, header, VIRTIO_HEADER_LENGTH);
  writeIovec(slab, iovecs + IOVEC_SIZE, header, 0);
  const first = vnetHeader ? iovecs : iovecs + IOVEC_SIZE;
  const count = vnetHeader ? 2 : 1;
  const view = viewOf(slab, first, count * IOVEC_SIZE);
  const base = (iovecs + IOVEC_SIZE) >> 2;
  const { words, low } = slab;

  function writeVector(vector: Uint8Array, iovecCount: number): number {
    for (;;) {
      if (libc.writev(fd, vector, iovecCount) >= 0) return 0;
      const code = errno();
      if (code !== EINTR) return code;
    }
  }

  function writePacket(at: number, length: number): number {
    words[base] = low + at;
    words[base + 2] = length;
    return writeVector(view, count);
  }

  return { writePacket, writeVector };
}
