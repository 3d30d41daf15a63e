/**
 * What an agent would have done before weft starts: the network config, and for each node a lease
 * in etcd and a subnet.env. Keys, values and TTL are flannel's.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Etcd } from '../test/support/etcd.ts';
import { type NodeSpace, OVERLAY } from '../test/support/topology.ts';

const PREFIX = '/coreos.com/network';
/** flannel's leases live for a day and are renewed an hour before their end. */
const LEASE_SECONDS = 86_400;

export async function writeNetworkConfig(etcd: Etcd): Promise<void> {
  const config = { Network: OVERLAY, SubnetLen: 24, Backend: { Type: 'udp', Port: 8285 } };
  await etcd.put(`${PREFIX}/config`, JSON.stringify(config));
}

/** Claims the node's subnet: only where nobody holds the key, and bound to an etcd lease. */
export async function acquireLease(etcd: Etcd, node: NodeSpace): Promise<void> {
  const granted = await etcd.etcdctl(['lease', 'grant', `${LEASE_SECONDS}`]);
  const [, id] = /^lease ([0-9a-f]+) granted/.exec(granted) ?? [];
  if (id === undefined) throw new Error(`etcd granted no lease: ${granted}`);
  const key = `${PREFIX}/subnets/${node.subnetKey}`;
  const value = JSON.stringify({ PublicIP: node.address, PublicIPv6: null });
  // etcdctl's language: comparisons, requests on success, requests on failure; a blank line ends each.
  const transaction = `version("${key}") = "0"\n\nput --lease=${id} ${key} ${JSON.stringify(value)}\n\n\n`;
  const answer = await etcd.etcdctl(['txn'], { input: transaction });
  if (!answer.includes('SUCCESS')) throw new Error(`${key} is somebody else's: ${answer}`);
}

/** The file that container runtimes, and weft, learn the node's subnet from. */
export function writeSubnetFile(file: string, node: NodeSpace, mtu: number): void {
  const gateway = node.subnet.replace(/\.0\//, '.1/');
  const lines = [
    `FLANNEL_NETWORK=${OVERLAY}`,
    `FLANNEL_SUBNET=${gateway}`,
    `FLANNEL_MTU=${mtu}`,
    'FLANNEL_IPMASQ=false',
  ];
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${lines.join('\n')}\n`);
}
