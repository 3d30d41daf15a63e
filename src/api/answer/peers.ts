import { contains, parseAddress4, parsePrefix4 } from '../../wire/address.ts';
import { PEER_ORDERS, type PeerOrder } from '../routes.ts';
import type { Peer, Peers } from '../schema.ts';
import type { ApiView, PeerView } from '../view.ts';
import type { Recorder } from './history.ts';

export interface PeerWishes {
  readonly order: PeerOrder;
  /** The greatest first. */
  readonly descending: boolean;
  readonly filter: string;
  readonly limit: number;
}

/** `rx-rate` or `-rx-rate` → an order; undefined for a word that is none. */
export function readOrder(text: string): Pick<PeerWishes, 'order' | 'descending'> | undefined {
  const order = PEER_ORDERS.find((name) => name === text.replace(/^-/, ''));
  return order === undefined ? undefined : { order, descending: text.startsWith('-') };
}

/** A row a peer, filtered, sorted and cut. */
export function answerPeers(view: ApiView, recorder: Recorder, wishes: PeerWishes): Peers {
  const all = view.peers();
  const matched = all.filter((peer) => matches(peer, wishes.filter));
  const rows = matched.map((peer) => row(peer, recorder));
  sort(rows, wishes);
  const reason = view.probeOff();
  return {
    nowSeconds: Date.now() / 1000,
    total: all.length,
    matched: matched.length,
    peers: rows.slice(0, wishes.limit),
    probe: { running: reason === '', reason },
  };
}

/** By text, or by an address that lies in the peer's subnet. */
function matches(peer: PeerView, filter: string): boolean {
  if (filter === '') return true;
  if (peer.subnet.includes(filter) || peer.publicAddress.includes(filter)) return true;
  const address = parseAddress4(filter);
  const subnet = parsePrefix4(peer.subnet);
  return address !== undefined && subnet !== undefined && contains(subnet, address);
}

function row(peer: PeerView, recorder: Recorder): Peer {
  const rates = recorder.peerRates(peer);
  return {
    subnet: peer.subnet,
    publicAddress: peer.publicAddress,
    backendType: peer.backendType,
    txPackets: peer.txPackets ?? null,
    txBytes: peer.txBytes ?? null,
    rxPackets: peer.rxPackets ?? null,
    rxBytes: peer.rxBytes ?? null,
    txBytesPerSecond: rates.tx,
    rxBytesPerSecond: rates.rx,
    txDrops: peer.txDrops ?? null,
    rxDrops: peer.rxDrops ?? null,
    lastSeenSeconds: peer.lastSeenSeconds ?? null,
    pathMtu: peer.pathMtu ?? null,
    probe: peer.probe ?? null,
  };
}

const addressNumber = (text: string): number => parseAddress4(text.split('/')[0]!) ?? 0;
const dropsOf = ({ txDrops, rxDrops }: Peer): number | null =>
  txDrops === null && rxDrops === null ? null : (txDrops ?? 0) + (rxDrops ?? 0);

const KEYS: Readonly<Record<PeerOrder, (peer: Peer) => number | null>> = {
  subnet: (peer) => addressNumber(peer.subnet),
  address: (peer) => addressNumber(peer.publicAddress),
  tx: (peer) => peer.txBytes,
  rx: (peer) => peer.rxBytes,
  'tx-rate': (peer) => peer.txBytesPerSecond,
  'rx-rate': (peer) => peer.rxBytesPerSecond,
  drops: dropsOf,
  seen: (peer) => peer.lastSeenSeconds,
  mtu: (peer) => peer.pathMtu,
  rtt: (peer) => peer.probe?.roundTripMs ?? null,
  loss: (peer) => peer.probe?.lossRatio ?? null,
};

/** What is not known comes last, whichever way; equals stay in the order of their subnets. */
function sort(rows: Peer[], { order, descending }: PeerWishes): void {
  const keyed = rows.map((peer) => {
    return { peer, key: KEYS[order](peer), subnet: KEYS.subnet(peer)! };
  });
  keyed.sort((a, b) => {
    if (a.key === b.key) return a.subnet - b.subnet;
    if (a.key === null || b.key === null) return a.key === null ? 1 : -1;
    return descending ? b.key - a.key : a.key - b.key;
  });
  for (const [index, { peer }] of keyed.entries()) rows[index] = peer;
}
