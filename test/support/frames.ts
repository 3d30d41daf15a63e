/** Puts packets of any make onto a pod's link, past its own network stack. */
import { run } from './process.ts';
import { inside, type NodeSpace } from './topology.ts';

export const ETHERTYPE_IPV4 = [0x08, 0x00];

export function macAddress(namespace: string, device: string): number[] {
  const text = run(inside(namespace, ['cat', `/sys/class/net/${device}/address`]));
  return text
    .trim()
    .split(':')
    .map((byte) => Number.parseInt(byte, 16));
}

/** The Ethernet header of an IPv4 packet from the node's pod to the node. */
export function hopsOf(node: NodeSpace): Uint8Array {
  const { namespace } = node.pod;
  const addresses = [...macAddress(node.namespace, 'cni0'), ...macAddress(namespace, 'eth0')];
  return Uint8Array.from([...addresses, ...ETHERTYPE_IPV4]);
}

/** Returns a function that sends one IPv4 packet from the node's pod to the node, as a frame. */
export function frameSender(node: NodeSpace): (packet: Uint8Array) => void {
  const header = hopsOf(node);
  return (packet) => {
    const frame = Buffer.concat([header, packet]);
    run(inside(node.pod.namespace, ['socat', '-u', '-', 'INTERFACE:eth0']), { input: frame });
  };
}
