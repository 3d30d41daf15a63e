/**
 * Superpackets from a pod, as its kernel would hand them on, but of any make: written to a TUN of
 * the node's, with a virtio_net_hdr, and routed by its kernel. This file is also the program that
 * does it, for a TUN belongs to the namespace that a process runs in.
 */
import { writeSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { openQueue } from '../../src/tun/device.ts';
import { run } from './process.ts';
import { virtioHeader } from './slow-segment.ts';
import { honestHeader, type Superpacket, unfinished } from './superpackets.ts';
import { inside, ip, type NodeSpace } from './topology.ts';

const TUN = 'inject0';

/** Makes the node route what is injected; sources of its own pods come by another way else. */
export function prepareInjection(node: NodeSpace): void {
  const settings = ['all', 'default'].map((name) => `net.ipv4.conf.${name}.rp_filter=0`);
  run(inside(node.namespace, ['sysctl', '-qw', ...settings]));
  ip(node.namespace, `tuntap add ${TUN} mode tun multi_queue\nlink set ${TUN} mtu 65535 up\n`);
}

/** The superpacket, finished by nobody yet, enters the node's kernel. */
export function inject(node: NodeSpace, given: Superpacket): void {
  const bytes = Buffer.concat([virtioHeader(honestHeader(given)), unfinished(given.packet)]);
  const program = [process.execPath, fileURLToPath(import.meta.url)];
  run(inside(node.namespace, program), { input: bytes.toString('hex') });
}

async function main(): Promise<void> {
  const queue = openQueue(TUN, { vnetHeader: true, tso: true, uso: true });
  writeSync(queue.fd, Buffer.from(await text(process.stdin), 'hex'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
