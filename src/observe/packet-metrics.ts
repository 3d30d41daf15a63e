import * as counters from '../dataplane/counters.ts';
import { type DropsView, dropCounts, sumOf } from './drops/counts.ts';
import { kernelDrops } from './drops/kernel.ts';
import { counter, type ReadMetric, type Sample, single } from './exposition.ts';

/** What the packet metrics are read from. */
export type PacketView = DropsView;

const DIRECTIONS = ['tx', 'rx'] as const;
const CALLS = { tx: counters.TX_CALLS, rx: counters.RX_CALLS };

/** What pumps carry and lose, summed over the workers of a direction. */
export function packetMetrics(view: PacketView): ReadMetric[] {
  const sum: Sum = (direction, slot) => sumOf(view, direction, slot);
  return [
    ...traffic(sum),
    losses(view),
    kernelDrops(() => view.kernelCounts()),
    ...noLosses(sum),
    ...icmp(sum),
  ];
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
  const bytes = () =>
    DIRECTIONS.flatMap((direction) =>
      layers.map(([layer, slot]) => ({
        labels: { direction, layer },
        value: sum(direction, slot),
      })),
    );
  return [
    counter(
      'weft_packets_total',
      'Inner packets carried: tx from the TUN into UDP, rx from UDP into the TUN',
      () => perDirection(sum, counters.PACKETS),
    ),
    counter(
      'weft_bytes_total',
      'Bytes of those packets (inner), and with outer IPv4 and UDP headers (outer)',
      bytes,
    ),
    counter('weft_datagrams_total', 'UDP datagrams on the wire', () =>
      perDirection(sum, counters.DATAGRAMS),
    ),
    counter(
      'weft_superpackets_total',
      'Packets that crossed the TUN as one with many segments (TSO, USO, GRO)',
      () => perDirection(sum, counters.SUPERPACKETS),
    ),
    counter(
      'weft_outer_fragmented_packets_total',
      'Packets without DF over the path MTU, which the underlay fragments',
      () => single(sum('tx', counters.OUTER_FRAGMENTED)),
      'costs throughput: lower the MTU of the pods',
    ),
  ];
}

function losses(view: PacketView): ReadMetric {
  return counter(
    'weft_dropped_packets_total',
    'Packets lost, each under one reason; tun_queue_full, bad_udp_checksum and ' +
      'socket_overflow by the kernel',
    () =>
      dropCounts(view).map(({ direction, reason, packets }) => {
        return { labels: { direction, reason }, value: packets };
      }),
    'by its reason, in the table below',
  );
}

/** What goes no further, and is no packet of a pod. */
function noLosses(sum: Sum): ReadMetric[] {
  return [
    counter(
      'weft_probes_dropped_total',
      "Echo requests and replies of weft's own (overlay probe, weft ping) that found no way",
      () => perDirection(sum, counters.PROBES_LOST),
      'normal while nodes come and go; `weft_peer_loss_ratio` says of which peer',
    ),
    counter(
      'weft_sentinel_datagrams_total',
      'Datagrams of one byte, which hold no packet: ends of runs of kernels 7.0 to 7.1.4, and ' +
        'knocks of `weft doctor`',
      () => single(sum('rx', counters.SENTINELS)),
    ),
  ];
}

function icmp(sum: Sum): ReadMetric[] {
  const both = (slot: number) => sum('tx', slot) + sum('rx', slot);
  return [
    counter(
      'weft_icmp_sent_total',
      'ICMP errors given to senders on this node',
      () => counters.ICMP_SENT.map(([slot, type]) => ({ labels: { type }, value: both(slot) })),
      'follows `no_route`, `too_big` and `ttl_exceeded`',
    ),
    counter(
      'weft_icmp_suppressed_total',
      'ICMP errors that the rate limit held back',
      () => single(both(counters.ICMP_SUPPRESSED)),
      'a pod sends fast to where nothing is: `weft_dropped_packets_total{reason="no_route"}`',
    ),
  ];
}

/** What carrying them costs: system calls, and how many packets share one. */
export function effortMetrics(view: PacketView): ReadMetric[] {
  const sum: Sum = (direction, slot) => sumOf(view, direction, slot);
  return [
    histogram(
      'weft_batch_packets',
      'Packets read (tx) or buffers received (rx) in one turn of a worker',
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
      'Segments of one superpacket (tx) or of one train (rx)',
      counters.SEGMENT_HISTOGRAM,
      sum,
    ),
    counter(
      'weft_syscalls_total',
      'System calls of the packet workers',
      () => calls(sum),
      '`error` of sendmmsg or writev: see the drop reasons',
    ),
  ];
}

function calls(sum: Sum): Sample[] {
  return DIRECTIONS.flatMap((direction) =>
    CALLS[direction].flatMap(([first, call]) =>
      counters.CALL_RESULTS.map((result, index) => ({
        labels: { direction, call, result },
        value: sum(direction, first + index),
      })),
    ),
  );
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
