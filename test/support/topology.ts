/**
 * Nodes, pods and links as network namespaces. One segment, the default:
 *
 *   pod 1 ns                                              pod 2 ns
 *   eth0 10.244.1.2/24                                    eth0 10.244.2.2/24
 *     │                                                     │
 *   cni0 10.244.1.1/24   ┌──────────────────────┐         cni0 10.244.2.1/24
 *   node 1 ns (flannel0) │ underlay ns          │         node 2 ns (flannel0)
 *   eth0 192.0.2.1/24 ───┤ br0 192.0.2.254/24   ├─────── eth0 192.0.2.2/24
 *                        │ (etcd lives here)    │
 *                        └──────────┬───────────┘
 *                                 node 3, the same with 3
 *
 * Routed, for a middle hop whose MTU may shrink (`setMiddleMtu`):
 *
 *   node 1 ns 192.0.2.1/26 ─── underlay ns ═══ middle ns ─── node 2 ns 192.0.2.130/26
 *                      192.0.2.62      192.0.2.65 .66      192.0.2.190
 *
 * Names carry their maker's mark (maker.ts), so that two runs on one machine do not meet and the
 * next run knows what a killed one left. Devices are made inside their namespaces: removing the
 * namespaces removes everything.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeNamespace } from './leftovers.ts';
import { makeFolder, ownPrefix } from './maker.ts';
import { atEnd, run } from './process.ts';

export interface TopologyOptions {
  readonly nodes?: number;
  /** MTU of the underlay, 9000 for jumbo; pods get 28 bytes less. */
  readonly underlayMtu?: number;
  /** Two nodes with two routers between them instead of one segment. */
  readonly routed?: boolean;
  /** Leaves pods' namespaces unattached, for CNI plugins; nodes do not forward yet either. */
  readonly bare?: boolean;
}

export interface PodSpace {
  readonly namespace: string;
  readonly address: string;
}

export interface NodeSpace {
  readonly index: number;
  readonly namespace: string;
  /** Underlay address, on eth0. */
  readonly address: string;
  /** The node's share of the overlay, and flannel's etcd key for it. */
  readonly subnet: string;
  readonly subnetKey: string;
  /** Where its weft serves the API, and where its agent writes. */
  readonly apiSocket: string;
  readonly subnetFile: string;
  readonly pod: PodSpace;
}

export interface Topology {
  readonly nodes: readonly NodeSpace[];
  readonly underlay: string;
  /** Where etcd and outsiders are: an address of the underlay namespace. */
  readonly underlayAddress: string;
  /** For lease files and logs; removed with the rest. */
  readonly directory: string;
  setMiddleMtu(mtu: number): void;
  remove(): void;
}

export const OVERLAY = '10.244.0.0/16';
let built = 0;

/** Prefixes a command so that it runs inside a namespace. */
export function inside(namespace: string, argv: readonly string[]): string[] {
  return ['ip', 'netns', 'exec', namespace, ...argv];
}

/** Runs `ip` commands, one a line, in one namespace. */
export function ip(namespace: string, commands: string): void {
  run(['ip', '-n', namespace, '-batch', '-'], { input: commands });
}

function setSysctl(namespace: string, ...settings: string[]): void {
  run(inside(namespace, ['sysctl', '-qw', ...settings]));
}

/** Builds namespaces and links; whoever builds removes. */
export function buildTopology(options: TopologyOptions = {}): Topology {
  const { nodes: count = 2, underlayMtu = 1500, routed = false, bare = false } = options;
  built += 1;
  const prefix = `${ownPrefix}-${built}`;
  const directory = makeFolder('t');
  const nodes = Array.from({ length: count }, (_, i) => {
    const apiSocket = join(directory, `n${i + 1}.sock`);
    const subnetFile = join(directory, `n${i + 1}`, 'subnet.env');
    return { ...nodeSpace(prefix, i + 1, routed), apiSocket, subnetFile };
  });
  const underlay = `${prefix}-net`;
  const middle = `${prefix}-mid`;
  const routers = routed ? [underlay, middle] : [underlay];
  const spaces = [...routers, ...nodes.flatMap((node) => [node.namespace, node.pod.namespace])];
  const remove = () => {
    forget();
    for (const space of spaces) removeNamespace(space);
    rmSync(directory, { recursive: true, force: true });
  };
  const forget = atEnd(remove);
  run(['ip', '-batch', '-'], { input: spaces.map((space) => `netns add ${space}\n`).join('') });
  for (const space of spaces) ip(space, 'link set lo up\n');
  if (routed) buildRouted(nodes, [underlay, middle], underlayMtu);
  else buildSegment(nodes, underlay, underlayMtu);
  if (!bare) for (const node of nodes) buildPod(node, underlayMtu - 28);
  const setMiddleMtu = (mtu: number) => {
    ip(underlay, `link set to-mid mtu ${mtu}\n`);
    ip(middle, `link set to-net mtu ${mtu}\n`);
  };
  const underlayAddress = routed ? '192.0.2.62' : '192.0.2.254';
  return { nodes, underlay, underlayAddress, directory, setMiddleMtu, remove };
}

type BareNode = Omit<NodeSpace, 'apiSocket' | 'subnetFile'>;

function nodeSpace(prefix: string, index: number, routed: boolean): BareNode {
  return {
    index,
    namespace: `${prefix}-n${index}`,
    address: routed && index === 2 ? '192.0.2.130' : `192.0.2.${index}`,
    subnet: `10.244.${index}.0/24`,
    subnetKey: `10.244.${index}.0-24`,
    pod: { namespace: `${prefix}-p${index}`, address: `10.244.${index}.2` },
  };
}

function buildSegment(nodes: readonly NodeSpace[], underlay: string, mtu: number): void {
  setSysctl(underlay, 'net.ipv6.conf.all.disable_ipv6=1');
  ip(
    underlay,
    `link add br0 mtu ${mtu} type bridge
     addr add 192.0.2.254/24 dev br0
     link set br0 up\n`,
  );
  for (const node of nodes) {
    const device = `to-n${node.index}`;
    ip(
      underlay,
      `link add ${device} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${node.namespace}
       link set ${device} master br0 up\n`,
    );
    ip(node.namespace, attachNode(`${node.address}/24`, '192.0.2.254'));
  }
}

function buildRouted(nodes: readonly NodeSpace[], routers: readonly string[], mtu: number): void {
  const [first, second] = nodes;
  const [underlay, middle] = routers;
  for (const router of [underlay!, middle!]) {
    setSysctl(router, 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.disable_ipv6=1');
  }
  ip(
    underlay!,
    `link add to-n1 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${first!.namespace}
     link add to-mid mtu ${mtu} type veth peer name to-net mtu ${mtu} netns ${middle}
     addr add 192.0.2.62/26 dev to-n1
     addr add 192.0.2.65/26 dev to-mid
     link set to-n1 up
     link set to-mid up\n`,
  );
  ip(
    middle!,
    `link add to-n2 mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${second!.namespace}
     addr add 192.0.2.66/26 dev to-net
     addr add 192.0.2.190/26 dev to-n2
     link set to-net up
     link set to-n2 up
     route add default via 192.0.2.65\n`,
  );
  ip(underlay!, 'route add default via 192.0.2.66\n');
  ip(first!.namespace, attachNode(`${first!.address}/26`, '192.0.2.62'));
  ip(second!.namespace, attachNode(`${second!.address}/26`, '192.0.2.190'));
}

function attachNode(address: string, gateway: string): string {
  return `addr add ${address} dev eth0
          link set eth0 up
          route add default via ${gateway}\n`;
}

function buildPod(node: NodeSpace, mtu: number): void {
  const { namespace, address } = node.pod;
  const gateway = `10.244.${node.index}.1`;
  setSysctl(node.namespace, 'net.ipv4.ip_forward=1');
  setSysctl(namespace, 'net.ipv6.conf.all.disable_ipv6=1');
  ip(
    node.namespace,
    `link add cni0 mtu ${mtu} type bridge
     addr add ${gateway}/24 dev cni0
     link set cni0 up
     link add pod mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${namespace}
     link set pod master cni0 up\n`,
  );
  ip(
    namespace,
    `addr add ${address}/24 dev eth0
     link set eth0 up
     route add default via ${gateway}\n`,
  );
}
