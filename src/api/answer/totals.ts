import * as counters from '../../dataplane/counters.ts';
import type { HistorySample } from '../schema.ts';
import type { ApiView } from '../view.ts';

export type CountersView = Pick<ApiView, 'counters' | 'tunQueueDrops'>;

/** The kernel's own drop beside those of the pumps, as in /metrics. */
const TUN_QUEUE_FULL = {
  direction: 'tx',
  reason: 'tun_queue_full',
  meaning: 'the kernel dropped it before a worker could read it',
} as const;

const DROPS = { tx: counters.TX_DROPS, rx: counters.RX_DROPS };

export interface DropCount {
  readonly direction: 'tx' | 'rx';
  readonly reason: string;
  readonly meaning: string;
  readonly packets: number;
}

/** One slot summed over the workers of a direction. */
export function sumOf(view: CountersView, direction: 'tx' | 'rx', slot: number): number {
  let sum = 0;
  for (const pump of view.counters) {
    if (pump.direction === direction) sum += pump.values[slot] ?? 0;
  }
  return sum;
}

/** Every reason there is with its count, in the order of the checks. */
export function dropCounts(view: CountersView): DropCount[] {
  const ours = (['tx', 'rx'] as const).flatMap((direction) =>
    DROPS[direction].map(([slot, reason, meaning]) => {
      return { direction, reason, meaning, packets: sumOf(view, direction, slot) };
    }),
  );
  return [...ours, { ...TUN_QUEUE_FULL, packets: view.tunQueueDrops() }];
}

/** Both directions at this moment. */
export function totals(view: CountersView, drops: readonly DropCount[]): HistorySample {
  const dropped = (direction: 'tx' | 'rx') =>
    drops.reduce((sum, row) => sum + (row.direction === direction ? row.packets : 0), 0);
  return {
    atSeconds: Date.now() / 1000,
    txPackets: sumOf(view, 'tx', counters.PACKETS),
    txBytes: sumOf(view, 'tx', counters.INNER_BYTES),
    txDrops: dropped('tx'),
    rxPackets: sumOf(view, 'rx', counters.PACKETS),
    rxBytes: sumOf(view, 'rx', counters.INNER_BYTES),
    rxDrops: dropped('rx'),
  };
}
