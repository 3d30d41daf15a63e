/**
 * What the kernel dropped at the full receive buffer. Its own count (SO_MEMINFO, Linux 4.12) has
 * buffers, of which one that UDP_GRO joined holds up to 64 datagrams, and among them those of a
 * wrong checksum. Where a filter may count what comes to the socket, what came and was not received
 * is exact: once the queue is empty, and no more is missing than the kernel says it dropped.
 */
import { libc } from '../../sys/binding.ts';
import { type ArrivalFilter, type Arrivals, createArrivals } from '../../sys/bpf.ts';
import * as constants from '../../sys/constants.ts';
import { type Layout, type Slab, viewOf } from '../../sys/memory.ts';
import * as counters from '../counters.ts';

export interface Overflow {
  /** Reads the kernel's counts; `drained` says that the socket's queue was empty just now. */
  look(drained: boolean): void;
  /** Whether a drained queue is waited for, to tell how many datagrams were lost. */
  unsettled(): boolean;
  /** One call brought so many buffers. */
  received(buffers: number): void;
}

export function createOverflow(
  slab: Slab,
  layout: Layout,
  block: Float64Array,
  socket: number,
  filter: ArrivalFilter | undefined,
): Overflow {
  const drops = createDropMeter(slab, layout, socket);
  if (filter === undefined) {
    return {
      look() {
        block[counters.SOCKET_DROPS] += drops();
      },
      unsettled: () => false,
      received() {},
    };
  }
  return exactOverflow(block, drops, createArrivals(slab, layout, filter));
}

function exactOverflow(block: Float64Array, drops: () => number, arrivals: Arrivals): Overflow {
  let buffers = 0;
  /** Buffers that the kernel says it dropped, and how many of them were there at the last look. */
  let dropped = 0;
  let settled = 0;
  /** Datagrams known to be lost. */
  let lost = 0;

  function look(drained: boolean): void {
    const fresh = drops();
    dropped += fresh;
    if (dropped === settled) return;
    if (!arrivals.read()) return;
    const missing = arrivals.datagrams - block[counters.DATAGRAMS];
    if (drained && arrivals.buffers - buffers <= dropped) {
      lost = missing;
      settled = dropped;
      publish(lost);
    } else {
      // Each buffer held a datagram at least; what still waits is missing too.
      publish(Math.min(lost + dropped - settled, missing));
    }
  }

  function publish(datagrams: number): void {
    if (datagrams > block[counters.RX_SOCKET_OVERFLOW]) {
      block[counters.RX_SOCKET_OVERFLOW] = datagrams;
    }
  }

  return {
    look,
    unsettled: () => dropped !== settled,
    received(count) {
      buffers += count;
    },
  };
}

/** New drops of the socket's since the last call. */
function createDropMeter(slab: Slab, layout: Layout, socket: number): () => number {
  const { SOL_SOCKET, SO_MEMINFO, SK_MEMINFO_VARS, SK_MEMINFO_DROPS } = constants;
  const at = layout.take(4 * (SK_MEMINFO_VARS + 1), 16);
  const value = viewOf(slab, at, 4 * SK_MEMINFO_VARS);
  const length = viewOf(slab, at + 4 * SK_MEMINFO_VARS, 4);
  const { words } = slab;
  let last = 0;
  return () => {
    words[(at >> 2) + SK_MEMINFO_VARS] = 4 * SK_MEMINFO_VARS;
    if (libc.getsockopt(socket, SOL_SOCKET, SO_MEMINFO, value, length) < 0) return 0;
    const now = words[(at >> 2) + SK_MEMINFO_DROPS];
    // The kernel counts in 32 bits and may wrap.
    const fresh = (now - last) >>> 0;
    last = now;
    return fresh;
  };
}
