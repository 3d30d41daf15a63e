import * as counters from '../../dataplane/counters.ts';
import { DROP_REASONS } from '../../observe/drop-advice.ts';
import { sumOf } from '../../observe/packet-metrics.ts';
import type { HistorySample } from '../schema.ts';
import type { ApiView } from '../view.ts';

export type CountersView = Pick<ApiView, 'counters' | 'tunQueueDrops'>;

const DROPS = { tx: counters.TX_DROPS, rx: counters.RX_DROPS };

export interface DropCount {
  readonly direction: 'tx' | 'rx';
  readonly reason: string;
  readonly meaning: string;
  readonly advice: string;
  readonly packets: number;
}

/** Every reason there is with its count, in the order of docs/metrics.md. */
export function dropCounts(view: CountersView): DropCount[] {
  return DROP_REASONS.map((row) => {
    const slot = DROPS[row.direction].find(([, reason]) => reason === row.reason)?.[0];
    // Only the kernel's own drop has no slot.
    const packets = slot === undefined ? view.tunQueueDrops() : sumOf(view, row.direction, slot);
    return { ...row, packets };
  });
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
