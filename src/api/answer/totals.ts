import * as counters from '../../dataplane/counters.ts';
import { type DropCount, type DropsView, sumOf } from '../../observe/drops/counts.ts';
import type { HistorySample } from '../schema.ts';

/** Both directions at this moment. */
export function totals(view: DropsView, drops: readonly DropCount[]): HistorySample {
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
