import type { Peer, Status } from '../api/schema.ts';
import type { Run } from '../linux/command.ts';
import { type Link, listLinks } from '../linux/link.ts';

/** What carries packets to other nodes, as far as it can be seen from outside. */
export interface Carrier {
  readonly backend: 'udp' | 'vxlan' | 'host-gw';
  /** The tunnel's device; for host-gw that of the underlay. */
  readonly device: string;
  readonly mtu: number;
  /** UDP port between nodes; undefined where packets go as they are. */
  readonly port: number | undefined;
  /** Bytes that are put around a packet. */
  readonly overhead: number;
}

/** Outer IPv4 and UDP headers (RFC 791, RFC 768). */
const UDP_OVERHEAD = 28;
/** And the inner Ethernet header with VXLAN's (RFC 7348 §5). */
const VXLAN_OVERHEAD = 50;

/** @returns null where no packets are carried by this node's weft, or nobody can tell how */
export async function findCarrier(
  status: Status,
  peers: readonly Peer[],
  run: Run,
): Promise<Carrier | null> {
  const { device, underlay } = status;
  if (underlay === null) return null;
  if (device !== null) {
    const { name, mtu } = device;
    const { port } = underlay;
    return { backend: 'udp', device: name, mtu, port, overhead: UDP_OVERHEAD };
  }
  const links = await listLinks(run);
  const type = peers[0]?.backendType;
  const tunnel = links.find(({ vxlan, name }) => vxlan !== undefined && /^flannel\./.test(name));
  if (tunnel !== undefined && (type === undefined || type === 'vxlan')) return vxlan(tunnel);
  if (type !== 'host-gw') return null;
  const { name, mtu } = underlay;
  return { backend: 'host-gw', device: name, mtu, port: undefined, overhead: 0 };
}

function vxlan({ name, mtu, vxlan }: Link): Carrier {
  return { backend: 'vxlan', device: name, mtu, port: vxlan!.port, overhead: VXLAN_OVERHEAD };
}
