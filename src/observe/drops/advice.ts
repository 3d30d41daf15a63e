/**
 * What an operator does about each reason of `weft_dropped_packets_total`. The reasons are a closed
 * set, those of `dataplane/counters.ts` and two of the kernel; docs/metrics.md shows them.
 */
import { RX_DROPS, TX_DROPS } from '../../dataplane/counters.ts';

/** The kernel's own reasons beside ours: packets that no pump ever saw. */
export const TUN_QUEUE_FULL = 'tun_queue_full';
export const BAD_UDP_CHECKSUM = 'bad_udp_checksum';

export interface DropReason {
  readonly direction: 'tx' | 'rx';
  readonly reason: string;
  readonly meaning: string;
  /** Empty where nothing has to be done. */
  readonly advice: string;
}

const TX_ADVICE: Readonly<Record<string, string>> = {
  not_ipv4: 'a route sends IPv6 into the device: `ip -6 route`',
  malformed: 'something on this node writes raw packets: `tcpdump -i flannel0`',
  bad_offload: 'a fault of this kernel: `--offload tun_vnet_hdr=off`, and report it',
  malformed_offload:
    'a program with CAP_NET_RAW, in a pod or on this node, writes such frames: ' +
    '`tcpdump -i flannel0` says whose; a report where none does',
  ttl_exceeded: 'a routing loop, or a traceroute; only with `--ttl flannel`',
  loop: '`ip route get PEER` leads into flannel0: `/readyz`; another `Network`, or mend that route',
  lease_lost: '`/readyz` says to whom; the sender got net-unreachable',
  no_route: "is that node's lease there? `weft_lease_refused`; the sender got net-unreachable",
  own_subnet: 'is the bridge of the pods up? `ip route get POD`',
  too_big: 'normal while a path MTU is learned; if it goes on, pods have too large an MTU',
  socket_full: 'the underlay is slower than the pods: `tc -s qdisc`, link speed',
  send_refused: '`ip route get PEER`, `nft list ruleset`',
  [TUN_QUEUE_FULL]: '`weft_worker_busy_ratio`; more `--workers`',
};

const RX_ADVICE: Readonly<Record<string, string>> = {
  too_short: 'something else talks to the port: `tcpdump udp port 8285`',
  truncated: 'something else talks to the port, or a peer has a far larger MTU',
  not_ipv4: 'something else talks to the port: `tcpdump udp port 8285`',
  bad_header: 'something else talks to the port: `tcpdump udp port 8285`',
  bad_length: 'something else talks to the port: `tcpdump udp port 8285`',
  bad_checksum: 'a faulty network card or memory on the way, or something else on the port',
  lease_lost: '`/readyz` says to whom',
  [BAD_UDP_CHECKSUM]:
    'a faulty network card or memory on the way, or a card that checks wrongly: ' +
    '`ethtool -K UNDERLAY rx off`; other programs that use UDP count here too',
  unknown_peer: 'NAT between nodes (`--public-ip`), a lease gone, or a stranger: close the port',
  spoofed_source: 'pod traffic is masqueraded on its way to the device, or somebody forges it',
  martian_source: 'somebody forges packets: close the port to all but nodes',
  foreign_destination: "the sender has an old lease of ours: its lease source's state",
  ttl_exceeded: 'a routing loop, or a traceroute; only with `--ttl flannel`',
  too_big: 'nodes with different MTUs: `weft_mtu_bytes` on every node',
  ecn_congestion: 'the underlay is congested (RFC 6040)',
  tun_down: '`ip link set flannel0 up`',
  tun_full: 'the node cannot take packets as fast as they come: CPU',
  tun_refused: '`ip -s link show flannel0`; memory of the node',
  socket_overflow:
    '`weft_worker_busy_ratio`, `weft_socket_buffer_bytes`; without CAP_BPF up to 64 datagrams ' +
    'that `UDP_GRO` joined count as one',
};

/** Every reason there is, in the order of the checks. */
export const DROP_REASONS: readonly DropReason[] = [
  ...TX_DROPS.map(([, reason, meaning]) => row('tx', reason, meaning)),
  row(
    'tx',
    TUN_QUEUE_FULL,
    'the kernel dropped it before a worker could read it; a superpacket counts as one',
  ),
  row(
    'rx',
    BAD_UDP_CHECKSUM,
    'outer UDP checksum wrong; the kernel counts it for all UDP of this network namespace',
  ),
  ...RX_DROPS.map(([, reason, meaning]) => row('rx', reason, meaning)),
];

function row(direction: 'tx' | 'rx', reason: string, meaning: string): DropReason {
  const advice = (direction === 'tx' ? TX_ADVICE : RX_ADVICE)[reason] ?? '';
  return { direction, reason, meaning, advice };
}
