/** How many packets each drop reason has counted: by pumps, and by the kernel beside them. */
import * as counters from '../../dataplane/counters.ts';
import { BAD_UDP_CHECKSUM, DROP_REASONS, type DropReason, TUN_QUEUE_FULL } from './advice.ts';
import type { KernelCounts } from './kernel.ts';

export interface DropsView {
  /** Live blocks of all pumps; empty while there are none. */
  readonly counters: readonly counters.PumpCounters[];
  /** Packets that the kernel dropped at the full queue of the TUN. */
  tunQueueDrops(): number;
  kernelCounts(): KernelCounts;
}

export interface DropCount extends DropReason {
  readonly packets: number;
}

const SLOTS = { tx: counters.TX_DROPS, rx: counters.RX_DROPS };

/** One slot summed over the pumps of a direction. */
export function sumOf(
  view: Pick<DropsView, 'counters'>,
  direction: counters.Direction,
  slot: number,
): number {
  let sum = 0;
  for (const pump of view.counters) {
    if (pump.direction === direction) sum += pump.values[slot] ?? 0;
  }
  return sum;
}

/** Every reason there is with its count, in the order of docs/metrics.md. */
export function dropCounts(view: DropsView): DropCount[] {
  const kernel = view.kernelCounts();
  return DROP_REASONS.map((row) => ({ ...row, packets: countOf(view, kernel, row) }));
}

function countOf(view: DropsView, kernel: KernelCounts, row: DropReason): number {
  if (row.reason === TUN_QUEUE_FULL) return view.tunQueueDrops();
  if (row.reason === BAD_UDP_CHECKSUM) return kernel.get('UdpInCsumErrors') ?? 0;
  const slot = SLOTS[row.direction].find(([, reason]) => reason === row.reason)![0];
  const counted = sumOf(view, row.direction, slot);
  return slot === counters.RX_SOCKET_OVERFLOW ? counted + overflow(view, kernel) : counted;
}

/**
 * A socket's drops are those at its full buffer and those of a wrong checksum, in one number
 * (net/ipv4/udp.c); what the namespace counted as the former bounds them. Only where another socket
 * overflowed while ours got wrong checksums some of these are counted twice.
 */
function overflow(view: DropsView, kernel: KernelCounts): number {
  const full = (kernel.get('UdpRcvbufErrors') ?? 0) + (kernel.get('UdpMemErrors') ?? 0);
  return Math.min(sumOf(view, 'rx', counters.SOCKET_DROPS), full);
}
