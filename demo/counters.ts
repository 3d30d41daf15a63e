/** The nodes' counters, read over HTTP as Prometheus would, side by side. */
import type { Metrics, Weft } from '../test/support/node.ts';

type Reading = readonly [label: string, read: (metrics: Metrics) => number];

const READINGS: readonly Reading[] = [
  ['packets out', (m) => m.sum('weft_packets_total', { direction: 'tx' })],
  ['packets in', (m) => m.sum('weft_packets_total', { direction: 'rx' })],
  ['inner bytes out', (m) => m.sum('weft_bytes_total', { direction: 'tx', layer: 'inner' })],
  ['inner bytes in', (m) => m.sum('weft_bytes_total', { direction: 'rx', layer: 'inner' })],
  ['superpackets out', (m) => m.sum('weft_superpackets_total', { direction: 'tx' })],
  ['superpackets in', (m) => m.sum('weft_superpackets_total', { direction: 'rx' })],
  ['datagrams out', (m) => m.sum('weft_datagrams_total', { direction: 'tx' })],
  ['datagrams in', (m) => m.sum('weft_datagrams_total', { direction: 'rx' })],
  ['ICMP errors to pods', (m) => m.sum('weft_icmp_sent_total')],
  ['system calls', (m) => m.sum('weft_syscalls_total')],
  ['peers', (m) => m.sum('weft_leases', { state: 'peer' })],
];

/** A table: one row a counter, one column a node; drop reasons only where a node has any. */
export function compareCounters(wefts: readonly Weft[]): string[][] {
  const all = wefts.map((weft) => weft.metrics());
  const head = ['', ...wefts.map(({ space }) => `node ${space.index}`)];
  const rows = READINGS.map(([label, read]) => [label, ...all.map((m) => grouped(read(m)))]);
  return [head, ...rows, ...dropRows(all, 'tx', 'out'), ...dropRows(all, 'rx', 'in')];
}

function dropRows(all: readonly Metrics[], direction: 'tx' | 'rx', word: string): string[][] {
  const drops = all.map((metrics) => metrics.drops(direction));
  const reasons = [...new Set(drops.flatMap((reason) => Object.keys(reason)))].sort();
  if (reasons.length === 0) return [[`dropped ${word}`, ...all.map(() => '0')]];
  return reasons.map((reason) => [
    `dropped ${word}: ${reason}`,
    ...drops.map((own) => grouped(own[reason] ?? 0)),
  ]);
}

function grouped(value: number): string {
  return Number.isNaN(value) ? '–' : value.toLocaleString('en-US');
}
