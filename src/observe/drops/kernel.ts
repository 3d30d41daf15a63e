/**
 * Where the kernel may drop a packet on its way from pod to pod, and what tells: as data, for
 * `weft_kernel_drops_total` and docs/metrics.md. Its counters are not weft's alone: they count for
 * all of a network namespace, or for the machine.
 */
import { counter, type ReadMetric } from '../exposition.ts';

export interface LossPlace {
  readonly direction: 'tx' | 'rx';
  readonly place: string;
  /** Counters of `weft_kernel_drops_total`; empty where a reason or nothing counts it. */
  readonly counters: readonly string[];
  /** What else counts it, or how to look. */
  readonly seen: string;
}

/** In the order of the way. */
export const LOSS_PLACES: readonly LossPlace[] = [
  {
    direction: 'tx',
    place: 'link of the pod, bridge, firewall of this node',
    counters: [],
    seen: '`ip -s link`, counters of rules (`nft list ruleset`)',
  },
  {
    direction: 'tx',
    place: 'connection tracking',
    counters: ['nf_conntrack_drop', 'nf_conntrack_insert_failed'],
    seen: 'also what pods send elsewhere',
  },
  {
    direction: 'tx',
    place: 'routing to the device: bad header, no route, or a source that the reverse path refuses',
    counters: [
      'IpInHdrErrors',
      'IpInAddrErrors',
      'IpExtInNoRoutes',
      'TcpExtIPReversePathFilter',
      'IpInDiscards',
    ],
    seen: 'all that this node receives or forwards, from the underlay too',
  },
  {
    direction: 'tx',
    place: 'queue of the TUN',
    counters: [],
    seen:
      'reason `tun_queue_full`, a superpacket as one: `tc -s qdisc show dev flannel0` counts all ' +
      'its segments as sent, so those that no worker took are the lost ones; a device that is ' +
      'down has no route',
  },
  { direction: 'tx', place: 'a worker', counters: [], seen: 'the other tx reasons' },
  {
    direction: 'tx',
    place: 'socket: no route, firewall of the output, full send buffer',
    counters: ['IpOutNoRoutes'],
    seen: 'reasons `send_refused`, `socket_full`, `too_big`; the counter has them again',
  },
  {
    direction: 'tx',
    place: 'fragmentation of what may be fragmented',
    counters: ['IpFragFails'],
    seen: 'of all senders',
  },
  {
    direction: 'tx',
    place: 'neighbour that does not answer (ARP)',
    counters: ['arp_cache_unresolved_discards'],
    seen: 'the whole machine; the last few that waited are not in it: `ip neigh`',
  },
  {
    direction: 'tx',
    place: 'queueing discipline of the underlay',
    counters: ['UdpSndbufErrors', 'IpOutDiscards'],
    seen: 'a run of `UDP_SEGMENT` counts as one; `tc -s qdisc` has what was dropped later on',
  },
  {
    direction: 'rx',
    place: 'network card, backlog of a CPU',
    counters: ['softnet_dropped'],
    seen: 'the whole machine; `ip -s link` for cards',
  },
  {
    direction: 'rx',
    place: 'IP: bad header, not our address, reverse path, firewall of the input',
    counters: [],
    seen: 'as on the way to the device; the firewall only by counters of its rules',
  },
  {
    direction: 'rx',
    place: 'reassembly of fragments, outer ones and, with connection tracking, inner ones',
    counters: ['IpReasmFails'],
    seen: 'a datagram whose fragments do not all come counts as one, after `ipfrag_time` (30 s)',
  },
  {
    direction: 'rx',
    place: 'UDP: nobody listens, wrong checksum',
    counters: ['UdpNoPorts'],
    seen: 'reason `bad_udp_checksum`; both for all UDP of this network namespace',
  },
  {
    direction: 'rx',
    place: 'socket: full receive buffer, no memory',
    counters: ['UdpRcvbufErrors', 'UdpMemErrors'],
    seen: "reason `socket_overflow`, weft's sockets alone; the counters have those of others too",
  },
  { direction: 'rx', place: 'a worker, write to the TUN', counters: [], seen: 'the rx reasons' },
  {
    direction: 'rx',
    place: 'from the TUN to the pod: reverse path, firewall, bridge, link',
    counters: [],
    seen: 'as on the way from the pod',
  },
];

export const KERNEL_COUNTERS: readonly string[] = LOSS_PLACES.flatMap(({ counters }) => counters);

/** What the kernel counted since weft's start, by nstat(8)'s names. */
export type KernelCounts = ReadonlyMap<string, number>;

export function kernelDrops(read: () => KernelCounts): ReadMetric {
  return counter(
    'weft_kernel_drops_total',
    "Packets that the kernel dropped on pods' way or beside it, since weft's start, by nstat's " +
      'names; not in weft_dropped_packets_total, and not of pods alone',
    () => {
      const counts = read();
      return KERNEL_COUNTERS.map((name) => {
        return { labels: { counter: name }, value: counts.get(name) ?? 0 };
      });
    },
    'by its place, in the table below',
  );
}
