/**
 * What a pump counts: one block of doubles a pump. The loop adds to a private block; a tick copies
 * it to shared memory, where a scrape reads it. This file alone knows the slot numbers, so that the
 * two sides cannot disagree. A double counts exactly to 2^53: 28 years at 10 million a second.
 */

/** Outer IPv4 and UDP headers of a datagram. */
export const OUTER_HEADERS = 28;

export const PACKETS = 0;
export const INNER_BYTES = 1;
/** Datagrams on the wire: a superpacket is one read but many datagrams. */
export const DATAGRAMS = 2;
/** Datagram payload plus OUTER_HEADERS for each. */
export const OUTER_BYTES = 3;
/** Packets that crossed the TUN with a segment size: cut on the way out, joined on the way in. */
export const SUPERPACKETS = 4;
/** ICMP errors written back into the TUN, by meaning. */
export const ICMP_UNREACHABLE_SENT = 5;
export const ICMP_FRAG_NEEDED_SENT = 6;
export const ICMP_TIME_EXCEEDED_SENT = 7;
/** ICMP errors that the rate limit or a refusing TUN held back. */
export const ICMP_SUPPRESSED = 8;
/**
 * Datagrams of one byte, which hold no packet: they end a run on kernels 7.0 to 7.1.4, and
 * `weft doctor` knocks with them.
 */
export const SENTINELS = 11;
/**
 * What the kernel dropped at the socket for whatever reason (SO_MEMINFO, linux/sock_diag.h), a
 * buffer that UDP_GRO had joined as one.
 */
export const SOCKET_DROPS = 13;
/** Echo requests and replies of weft's own that went the way of a drop: no packets of pods. */
export const PROBES_LOST = 12;
/** Datagrams without inner DF, over the path MTU, that the underlay was allowed to fragment. */
export const OUTER_FRAGMENTED = 9;
export const BREATHS = 10;

const DROPS = 16;
export const TX_NOT_IPV4 = DROPS;
export const TX_MALFORMED = DROPS + 1;
export const TX_BAD_OFFLOAD = DROPS + 2;
export const TX_TTL_EXCEEDED = DROPS + 3;
export const TX_NO_ROUTE = DROPS + 4;
export const TX_OWN_SUBNET = DROPS + 5;
export const TX_TOO_BIG = DROPS + 6;
export const TX_SOCKET_FULL = DROPS + 7;
export const TX_SEND_REFUSED = DROPS + 8;
export const TX_LEASE_LOST = DROPS + 9;
export const TX_MALFORMED_OFFLOAD = DROPS + 10;
export const TX_LOOP = DROPS + 11;

export const RX_TOO_SHORT = DROPS + 1;
export const RX_TRUNCATED = DROPS + 2;
export const RX_NOT_IPV4 = DROPS + 3;
export const RX_BAD_HEADER = DROPS + 4;
export const RX_BAD_LENGTH = DROPS + 5;
export const RX_BAD_CHECKSUM = DROPS + 6;
export const RX_UNKNOWN_PEER = DROPS + 7;
export const RX_SPOOFED_SOURCE = DROPS + 8;
export const RX_MARTIAN_SOURCE = DROPS + 9;
export const RX_FOREIGN_DESTINATION = DROPS + 10;
export const RX_TTL_EXCEEDED = DROPS + 11;
export const RX_TUN_DOWN = DROPS + 12;
export const RX_TUN_FULL = DROPS + 13;
export const RX_TUN_REFUSED = DROPS + 14;
export const RX_SOCKET_OVERFLOW = DROPS + 15;
export const RX_TOO_BIG = DROPS + 16;
export const RX_ECN_CONGESTION = DROPS + 17;
export const RX_LEASE_LOST = DROPS + 18;

/** [slot, reason label, meaning], in the order of the checks. */
export type CounterRow = readonly [slot: number, label: string, help: string];

export const TX_DROPS: readonly CounterRow[] = [
  [TX_NOT_IPV4, 'not_ipv4', 'inner packet is not IPv4 (IPv6 is not carried)'],
  [TX_MALFORMED, 'malformed', 'inner header and length contradict each other'],
  [TX_BAD_OFFLOAD, 'bad_offload', 'virtio_net_hdr of the TUN that no kernel may write'],
  [
    TX_MALFORMED_OFFLOAD,
    'malformed_offload',
    'headers do not fit the checksum or the segments asked for (over 8,192 are too many)',
  ],
  [TX_LOOP, 'loop', 'a datagram of our own: the way to its peer leads into the overlay'],
  [TX_TTL_EXCEEDED, 'ttl_exceeded', 'inner TTL ran out here (--ttl=flannel)'],
  [TX_LEASE_LOST, 'lease_lost', "this node's lease is lost: nothing is carried until it is held"],
  [TX_NO_ROUTE, 'no_route', 'no lease covers the destination'],
  [TX_OWN_SUBNET, 'own_subnet', 'destination is in our own subnet: no bridge took it'],
  [TX_TOO_BIG, 'too_big', 'over the path MTU with DF set; the sender is told, within a rate limit'],
  [TX_SOCKET_FULL, 'socket_full', 'send buffer or device queue full (EAGAIN, ENOBUFS)'],
  [TX_SEND_REFUSED, 'send_refused', 'kernel refused the datagram (route, firewall)'],
];

export const RX_DROPS: readonly CounterRow[] = [
  [RX_TOO_SHORT, 'too_short', 'datagram shorter than an IPv4 header'],
  [RX_TRUNCATED, 'truncated', 'datagram longer than the receive buffer'],
  [RX_NOT_IPV4, 'not_ipv4', 'inner version is not 4'],
  [RX_BAD_HEADER, 'bad_header', 'inner header length impossible'],
  [RX_BAD_LENGTH, 'bad_length', 'inner total length differs from the datagram'],
  [RX_BAD_CHECKSUM, 'bad_checksum', 'inner IPv4 header checksum wrong'],
  [RX_LEASE_LOST, 'lease_lost', "this node's lease is lost: nothing is carried until it is held"],
  [RX_UNKNOWN_PEER, 'unknown_peer', 'sender is no PublicIP of a live lease'],
  [RX_SPOOFED_SOURCE, 'spoofed_source', 'inner source outside the lease of the sender'],
  [RX_MARTIAN_SOURCE, 'martian_source', 'inner source is ours, loopback or multicast'],
  [RX_FOREIGN_DESTINATION, 'foreign_destination', 'inner destination outside our subnet'],
  [RX_TTL_EXCEEDED, 'ttl_exceeded', 'inner TTL ran out here (--ttl=flannel)'],
  [RX_TOO_BIG, 'too_big', 'inner packet over the MTU of the TUN'],
  [RX_ECN_CONGESTION, 'ecn_congestion', 'outer CE on an inner packet that is not ECN-capable'],
  [RX_TUN_DOWN, 'tun_down', 'the TUN device is down (EIO)'],
  [RX_TUN_FULL, 'tun_full', 'the TUN device would block (EAGAIN)'],
  [RX_TUN_REFUSED, 'tun_refused', 'kernel refused the packet at the TUN'],
  [RX_SOCKET_OVERFLOW, 'socket_overflow', 'kernel dropped at the full receive buffer'],
];

export const ICMP_SENT: readonly CounterRow[] = [
  [ICMP_UNREACHABLE_SENT, 'net_unreachable', 'no lease for the destination'],
  [ICMP_FRAG_NEEDED_SENT, 'frag_needed', 'path MTU too small'],
  [ICMP_TIME_EXCEEDED_SENT, 'time_exceeded', 'TTL ran out'],
];

const CALLS = 48;
export const CALL_OK = 0;
export const CALL_AGAIN = 1;
export const CALL_ERROR = 2;
export const CALL_READV = CALLS;
export const CALL_SENDMMSG = CALLS + 3;
export const CALL_RECVMMSG = CALLS + 6;
export const CALL_WRITEV = CALLS + 9;
export const CALL_POLL = CALLS + 12;

/** Calls of each direction: [first of three slots (ok, again, error), name in the manual]. */
export const CALL_RESULTS = ['ok', 'again', 'error'] as const;
export const TX_CALLS: readonly (readonly [number, string])[] = [
  [CALL_READV, 'readv'],
  [CALL_SENDMMSG, 'sendmmsg'],
  [CALL_WRITEV, 'writev'],
  [CALL_POLL, 'poll'],
];
export const RX_CALLS: readonly (readonly [number, string])[] = [
  [CALL_RECVMMSG, 'recvmmsg'],
  [CALL_WRITEV, 'writev'],
  [CALL_POLL, 'poll'],
];

/** Histograms: power-of-two buckets, bucket b counts values in (2^(b-1), 2^b], then the sum. */
export const HISTOGRAM_BUCKETS = 12;
/** Packets (tx) or receive buffers (rx) of one breath. */
export const BATCH_HISTOGRAM = 64;
/** Segments of one superpacket. */
export const SEGMENT_HISTOGRAM = 80;
/** Datagrams of one UDP_SEGMENT run (tx) or one UDP_GRO buffer (rx). */
export const RUN_HISTOGRAM = 96;

/** Slots of one pump's block. */
export const BLOCK_SLOTS = 112;

/**
 * Accounts: what went to and came from one peer, four doubles an account and pump. Account 0 is
 * everybody who has none: strangers, and peers beyond the last account. Every datagram from a peer,
 * and every packet that a lease sends to it, is one of ACCOUNT_PACKETS or one of ACCOUNT_DROPS.
 */
export const ACCOUNT_PACKETS = 0;
export const ACCOUNT_BYTES = 1;
export const ACCOUNT_DROPS = 2;
/** In pumps: packets let in, whether or not the TUN took them. Who sends these is alive. */
export const ACCOUNT_ADMITTED = 3;
export const ACCOUNT_SLOTS = 4;
/** A /8 cut into /24s, flannel's most, and account 0. Pages never touched take no memory. */
export const ACCOUNTS = 65_537;
/** Doubles of one pump's accounts. */
export const ACCOUNT_BLOCK = ACCOUNTS * ACCOUNT_SLOTS;

/** Adds one observation; value ≥ 1. */
export function observe(block: Float64Array, histogram: number, value: number): void {
  const bucket = value <= 1 ? 0 : 32 - Math.clz32(value - 1);
  block[histogram + (bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1)] += 1;
  block[histogram + HISTOGRAM_BUCKETS] += value;
}

export type Direction = 'tx' | 'rx';

/** Main's view of one pump: its block, live. */
export interface PumpCounters {
  readonly worker: number;
  readonly direction: Direction;
  readonly values: Float64Array;
}
