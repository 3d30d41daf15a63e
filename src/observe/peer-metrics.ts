import { counter, gauge, type ReadMetric, type Sample } from './exposition.ts';

/** One peer as metrics see it; what is left out is not measured. Counters never go down. */
export interface PeerTraffic {
  /** Its lease's subnet: stays while addresses change. */
  readonly subnet: string;
  readonly txPackets?: number;
  readonly txBytes?: number;
  readonly txDrops?: number;
  readonly rxPackets?: number;
  readonly rxBytes?: number;
  readonly rxDrops?: number;
  readonly lastSeenSeconds?: number;
  readonly pathMtu?: number;
  readonly probe?: { readonly roundTripMs: number | null; readonly lossRatio: number };
}

/** Label of what is beyond the cap, all peers of it together. */
export const OTHER = 'other';

const COUNTERS = ['txPackets', 'txBytes', 'txDrops', 'rxPackets', 'rxBytes', 'rxDrops'] as const;
type CounterName = (typeof COUNTERS)[number];
type Counts = Record<CounterName, number>;

const zero = (): Counts => ({
  ...{ txPackets: 0, txBytes: 0, txDrops: 0 },
  ...{ rxPackets: 0, rxBytes: 0, rxDrops: 0 },
});

/**
 * Which peers have series of their own: the first `limit` that were seen, as long as they are
 * peers. The rest is added up under `other`, which never goes down: a peer that leaves takes
 * nothing away, and one of the rest stays in the rest while it lives.
 */
export class PeerSeries {
  private readonly limit: number;
  private readonly read: () => readonly PeerTraffic[];
  private readonly named = new Set<string>();
  private readonly rest = new Map<string, Counts>();
  private readonly other = zero();

  constructor(limit: number, read: () => readonly PeerTraffic[]) {
    this.limit = limit;
    this.read = read;
  }

  /** The peers with series of their own, once for all metrics of a scrape. */
  update(): readonly PeerTraffic[] {
    const peers = this.read();
    const present = new Set(peers.map(({ subnet }) => subnet));
    for (const known of [this.named, this.rest]) {
      for (const subnet of known.keys()) if (!present.has(subnet)) known.delete(subnet);
    }
    const strangers = peers.filter(({ subnet }) => !this.named.has(subnet));
    // By name, so that the same peers are chosen again after a restart.
    if (this.named.size < this.limit) strangers.sort(bySubnet);
    for (const peer of strangers) {
      const room = this.named.size < this.limit && !this.rest.has(peer.subnet);
      if (room) this.named.add(peer.subnet);
      else this.addToOther(peer);
    }
    return peers.filter(({ subnet }) => this.named.has(subnet));
  }

  otherOf(name: CounterName): number {
    return this.other[name];
  }

  private addToOther(peer: PeerTraffic): void {
    const before = this.rest.get(peer.subnet) ?? zero();
    const now = zero();
    for (const name of COUNTERS) {
      now[name] = peer[name] ?? 0;
      // Less than before is a peer that left and came back between two scrapes: all of it is new.
      const added = now[name] - before[name];
      this.other[name] += added < 0 ? now[name] : added;
    }
    this.rest.set(peer.subnet, now);
  }
}

/**
 * Metrics of single peers, for `--metrics-peers`. At most `limit` peers have series of their own.
 * The first metric brings `series` up to date for all: the registry reads them in this order.
 */
export function peerMetrics(series: PeerSeries): ReadMetric[] {
  let peers: readonly PeerTraffic[] = [];
  const first = () => {
    peers = series.update();
    return pairs('txPackets', 'rxPackets');
  };
  const pairs = (tx: CounterName, rx: CounterName) => [
    ...peers.flatMap((peer) => [
      ...sample({ peer: peer.subnet, direction: 'tx' }, peer[tx]),
      ...sample({ peer: peer.subnet, direction: 'rx' }, peer[rx]),
    ]),
    { labels: { peer: OTHER, direction: 'tx' }, value: series.otherOf(tx) },
    { labels: { peer: OTHER, direction: 'rx' }, value: series.otherOf(rx) },
  ];
  const each = (value: (peer: PeerTraffic) => number | null | undefined) => () =>
    peers.flatMap((peer) => sample({ peer: peer.subnet }, value(peer)));
  return [
    counter('weft_peer_packets_total', 'Inner packets to (tx) and from (rx) the peer', first),
    counter('weft_peer_bytes_total', 'Bytes of those packets', () => pairs('txBytes', 'rxBytes')),
    counter(
      'weft_peer_dropped_packets_total',
      'Packets that a lease sends to the peer, and datagrams from it, that weft dropped: with ' +
        'weft_peer_packets_total all that workers saw of it',
      () => pairs('txDrops', 'rxDrops'),
      '`weft_dropped_packets_total` has the reason, and what no worker saw: `tun_queue_full`, ' +
        '`socket_overflow`',
    ),
    ...peerState(each),
  ];
}

type Each = (value: (peer: PeerTraffic) => number | null | undefined) => () => Sample[];

function peerState(each: Each): ReadMetric[] {
  return [
    gauge(
      'weft_peer_last_seen_timestamp_seconds',
      'When a packet last came from the peer',
      each((peer) => peer.lastSeenSeconds),
      'old, while packets go out: UDP 8285 is closed on the way back, or the peer is dead',
    ),
    gauge(
      'weft_peer_path_mtu_bytes',
      'Largest outer packet that passes to the peer',
      each((peer) => peer.pathMtu),
      'below `weft_mtu_bytes{layer="underlay"}`: a hop on the way carries less',
    ),
    gauge(
      'weft_peer_round_trip_seconds',
      'Round trip of the last answered overlay probe',
      each((peer) => (peer.probe?.roundTripMs == null ? null : peer.probe.roundTripMs / 1000)),
    ),
    gauge(
      'weft_peer_loss_ratio',
      'Share of the last overlay probes that were not answered',
      each((peer) => peer.probe?.lossRatio),
      '1: the peer is dead or cut off; in between: the underlay loses packets',
    ),
  ];
}

const bySubnet = (a: PeerTraffic, b: PeerTraffic) => (a.subnet < b.subnet ? -1 : 1);

/** One sample, or none where the value is not known. */
function sample(labels: Sample['labels'], value: number | null | undefined): Sample[] {
  return value == null ? [] : [{ labels, value }];
}
