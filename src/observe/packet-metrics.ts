import * as counters from '../dataplane/counters.ts';
import type { ReadMetric, Sample } from './exposition.ts';

/** What the packet metrics are read from. */
export interface PacketView {
  /** Live blocks of all pumps; empty while there are none. */
  readonly counters: readonly counters.PumpCounters[];
  /** Packets that the kernel dropped at the full queue of the TUN. */
  tunQueueDrops(): number;
}

const DIRECTIONS = ['tx', 'rx'] as const;
const DROPS = { tx: counters.TX_DROPS, rx: counters.RX_DROPS };
const CALLS = { tx: counters.TX_CALLS, rx: counters.RX_CALLS };
/** The kernel's own reason beside ours: a packet that no pump ever saw. */
const TUN_QUEUE_FULL = 'tun_queue_full';

/** Everything that pumps count, summed over the workers of a direction. */
export function packetMetrics(view: PacketView): ReadMetric[] {
  const sum = (direction: counters.Direction, slot: number) =>
    view.counters
      .filter((pump) => pump.direction === direction)
      .reduce((total, pump) => total + (pump.values[slot] ?? 0), 0);
  return [...traffic(sum), ...losses(view, sum), ...icmp(sum), ...effort(sum)];
}

type Sum = (direction: counters.Direction, slot: number) => number;

function perDirection(sum: Sum, slot: number): Sample[] {
  return DIRECTIONS.map((direction) => ({ labels: { direction }, value: sum(direction, slot) }));
}

function traffic(sum: Sum): ReadMetric[] {
  const layers = [
    ['inner', counters.INNER_BYTES],
    ['outer', counters.OUTER_BYTES],
  ] as const;
  return [
    {
      name: 'weft_packets_total',
      help: 'Inner packets carried: tx from the TUN into UDP, rx from UDP into the TUN',
      type: 'counter',
      read: () => perDirection(sum, counters.PACKETS),
    },
    {
      name: 'weft_bytes_total',
      help: 'Bytes of those packets (inner), and with outer IPv4 and UDP headers (outer)',
      type: 'counter',
      read: () =>
        DIRECTIONS.flatMap((direction) =>
          layers.map(([layer, slot]) => ({
            labels: { direction, layer },
            value: sum(direction, slot),
          })),
        ),
    },
    {
      name: 'weft_datagrams_total',
      help: 'UDP datagrams on the wire',
      type: 'counter',
      read: () => perDirection(sum, counters.DATAGRAMS),
    },
    {
      name: 'weft_superpackets_total',
      help: 'Packets that crossed the TUN as one with many segments (TSO, USO, GRO)',
      type: 'counter',
      read: () => perDirection(sum, counters.SUPERPACKETS),
    },
    {
      name: 'weft_outer_fragmented_packets_total',
      help: 'Packets without DF over the path MTU, which the underlay fragments',
      type: 'counter',
      read: () => [{ labels: {}, value: sum('tx', counters.OUTER_FRAGMENTED) }],
    },
  ];
}

function losses(view: PacketView, sum: Sum): ReadMetric[] {
  const meanings = DIRECTIONS.flatMap((direction) =>
    DROPS[direction].map(([slot, reason]) => ({ direction, slot, reason })),
  );
  return [
    {
      name: 'weft_dropped_packets_total',
      help: 'Packets lost, each under one reason; tun_queue_full and socket_overflow by the kernel',
      type: 'counter',
      read: () => [
        ...meanings.map(({ direction, slot, reason }) => ({
          labels: { direction, reason },
          value: sum(direction, slot),
        })),
        { labels: { direction: 'tx', reason: TUN_QUEUE_FULL }, value: view.tunQueueDrops() },
      ],
    },
  ];
}

function icmp(sum: Sum): ReadMetric[] {
  const both = (slot: number) => sum('tx', slot) + sum('rx', slot);
  return [
    {
      name: 'weft_icmp_sent_total',
      help: 'ICMP errors given to senders on this node',
      type: 'counter',
      read: () =>
        counters.ICMP_SENT.map(([slot, type]) => ({ labels: { type }, value: both(slot) })),
    },
    {
      name: 'weft_icmp_suppressed_total',
      help: 'ICMP errors that the rate limit held back',
      type: 'counter',
      read: () => [{ labels: {}, value: both(counters.ICMP_SUPPRESSED) }],
    },
  ];
}

function effort(sum: Sum): ReadMetric[] {
  return [
    {
      name: 'weft_syscalls_total',
      help: 'System calls of the packet workers',
      type: 'counter',
      read: () =>
        DIRECTIONS.flatMap((direction) =>
          CALLS[direction].flatMap(([first, call]) =>
            counters.CALL_RESULTS.map((result, index) => ({
              labels: { direction, call, result },
              value: sum(direction, first + index),
            })),
          ),
        ),
    },
    histogram(
      'weft_batch_packets',
      'Packets handled in one turn of a worker',
      counters.BATCH_HISTOGRAM,
      sum,
    ),
    histogram(
      'weft_run_datagrams',
      'Datagrams of one send or one receive buffer',
      counters.RUN_HISTOGRAM,
      sum,
    ),
    histogram(
      'weft_superpacket_segments',
      'Segments of one superpacket',
      counters.SEGMENT_HISTOGRAM,
      sum,
    ),
  ];
}

function histogram(name: string, help: string, first: number, sum: Sum): ReadMetric {
  const read = () => DIRECTIONS.flatMap((direction) => buckets(direction, first, sum));
  return { name, help, type: 'histogram', read };
}

/** Prometheus counts buckets up from below; the last of ours also holds all that is larger. */
function buckets(direction: counters.Direction, first: number, sum: Sum): Sample[] {
  const samples: Sample[] = [];
  let count = 0;
  for (let bucket = 0; bucket < counters.HISTOGRAM_BUCKETS; bucket++) {
    count += sum(direction, first + bucket);
    const le = bucket < counters.HISTOGRAM_BUCKETS - 1 ? 2 ** bucket : '+Inf';
    samples.push({ labels: { le, direction }, value: count, suffix: '_bucket' });
  }
  const total = sum(direction, first + counters.HISTOGRAM_BUCKETS);
  samples.push({ labels: { direction }, value: total, suffix: '_sum' });
  samples.push({ labels: { direction }, value: count, suffix: '_count' });
  return samples;
}
