/**
 * Superpackets through the kernel's own segmentation, beside ours. This file is also the program
 * that does it, for TUN and packet sockets belong to the namespace that a process runs in:
 *
 *   write ─▶ cut0 (TUN, virtio_net_hdr) ─ forwarded ─▶ out (veth, no offloads) ═▶ end ─▶ read
 *
 * Without offloads `out` takes only plain frames, so the kernel cuts before it. What is read at the
 * other end must be what our segmenter makes of the same superpacket with a TTL of one less.
 */
import { readSync, writeSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { kernelAtLeast } from '../../src/dataplane/features.ts';
import { PLAIN } from '../../src/offload/segment.ts';
import { libc } from '../../src/sys/binding.ts';
import { SO_RCVBUFFORCE, SOCK_DGRAM, SOL_SOCKET } from '../../src/sys/constants.ts';
import { check } from '../../src/sys/errno.ts';
import { openQueue } from '../../src/tun/device.ts';
import { setOption } from '../../src/udp/socket.ts';
import { pattern, tcp4, tcp6, udp4, udp6 } from './packets.ts';
import { type Ran, run, runAside } from './process.ts';
import { runSeed, withSeed } from './random.ts';
import { slowChecksum } from './slow-checksum.ts';
import { shapeOf, type VirtioWords, virtioHeader } from './slow-segment.ts';
import {
  AT,
  type Cutter,
  createCutter,
  generateSuperpacket,
  honestHeader,
  type Route,
  type Superpacket,
  unfinished,
  withZeroSum,
} from './superpackets.ts';
import { inside, ip } from './topology.ts';

const TUN = 'cut0';
const MTU = 65_535;
const ROUTE: Route = {
  source4: '10.7.0.0',
  destination4: '10.8.0.0',
  source6: Uint8Array.of(0xfd, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
  destination6: Uint8Array.of(0xfd, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
};

/** packet(7), linux/if_packet.h: a socket that sees whole packets behind the link's header. */
const AF_PACKET = 17;
const ETH_P_ALL = 0x0003;
const SOCKADDR_LL_SIZE = 20;
const SO_RCVTIMEO = 20;
/** All frames of a superpacket wait here: 64 KiB of payload, and a page or more around each. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
/** The kernel works at once; so long only a kernel that dropped something makes us wait. */
const PATIENCE_SECONDS = 5;

/** Builds devices and routes in a namespace; the program's TUN joins what is prepared here. */
export function prepareNamespace(namespace: string): void {
  const settings = [
    ...['all', 'default'].map((device) => `net.ipv4.conf.${device}.rp_filter=0`),
    'net.ipv4.ip_forward=1',
    'net.ipv6.conf.all.forwarding=1',
    'net.ipv6.conf.all.disable_ipv6=0',
  ];
  run(inside(namespace, ['sysctl', '-qw', ...settings]));
  // A neighbour that is not `end`: the stack there takes its frames for none of its business.
  const neighbour = 'lladdr 02:00:00:00:00:99 dev out nud permanent';
  ip(
    namespace,
    `tuntap add ${TUN} mode tun multi_queue
     link set ${TUN} mtu ${MTU} up
     link add out mtu ${MTU} type veth peer name end mtu ${MTU}
     link set out addrgenmode none up
     link set end addrgenmode none up
     neigh add 192.0.2.9 ${neighbour}
     neigh add fe80::9 ${neighbour}
     route add 10.8.0.0/16 via 192.0.2.9 dev out onlink
     route add fd08::/16 via fe80::9 dev out onlink\n`,
  );
  const offloads = ['tx', 'tso', 'gso', 'gro', 'sg'].flatMap((name) => [name, 'off']);
  run(inside(namespace, ['ethtool', '-K', 'out', ...offloads]));
}

/** Runs the program in a prepared namespace until it has compared `frames` frames. */
export async function compareIn(namespace: string, frames: number): Promise<Ran> {
  const program = [process.execPath, fileURLToPath(import.meta.url), String(frames)];
  return await runAside(inside(namespace, program));
}

/** A socket that reads whole packets at a device, and gives up after a while (packet(7)). */
function openPacketSocket(device: string): number {
  const links = JSON.parse(run(['ip', '-json', 'link', 'show', 'dev', device])) as {
    ifindex: number;
  }[];
  const bigEndianAll = ETH_P_ALL << 8;
  const fd = check(libc.socket(AF_PACKET, SOCK_DGRAM, bigEndianAll), 'socket', 'packet socket');
  const address = new Uint8Array(SOCKADDR_LL_SIZE);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ALL);
  view.setInt32(4, links[0]!.ifindex, true);
  check(libc.bind(fd, address, SOCKADDR_LL_SIZE), 'bind', `packet socket on ${device}`);
  setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
  const patience = new Uint8Array(BigInt64Array.of(BigInt(PATIENCE_SECONDS), 0n).buffer);
  check(libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, patience, 16), 'setsockopt', 'SO_RCVTIMEO');
  return fd;
}

/** The next frame of ours, for what the host itself says on a link is not; undefined if none. */
function readFrame(socket: number, buffer: Uint8Array): Uint8Array | undefined {
  for (;;) {
    let length: number;
    try {
      length = readSync(socket, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
      throw error;
    }
    const ours = buffer[0] >> 4 === 4 ? buffer[12] === 10 : buffer[8] === 0xfd;
    if (ours) return buffer.slice(0, length);
  }
}

/** What routing changes, done to ours beforehand: a hop less, and the header checksum of that. */
function hopped(packet: Uint8Array): Uint8Array {
  const { six, ipHeader } = shapeOf(packet);
  const copy = packet.slice();
  copy[six ? 7 : 8] -= 1;
  if (six) return copy;
  copy.fill(0, 10, 12);
  const checksum = slowChecksum(copy, 0, ipHeader);
  copy.set([checksum >> 8, checksum & 0xff], 10);
  return copy;
}

/** Kernels never mark what is no longer than one segment, and drop it where somebody else does. */
function kernelHeader(given: Superpacket): VirtioWords {
  const header = honestHeader(given);
  const isOne = given.packet.length - header.headerLength <= given.size;
  return isOne ? { ...header, gsoType: 0, gsoSize: 0 } : header;
}

/** What our segmenter makes of a packet and its virtio_net_hdr. */
function cutByUs(cutter: Cutter, packet: Uint8Array, header: VirtioWords): Uint8Array[] {
  const segments = cutter.inspect(packet, header);
  if (segments < PLAIN) throw new Error(`refused: ${JSON.stringify(header)}`);
  return segments === PLAIN ? [cutter.bytes.slice(AT, AT + packet.length)] : cutter.cut();
}

/** Checksums that come out as zero: what stands in the field then depends on who finishes it. */
function zeroSums(): Superpacket[] {
  const [four, six] = [
    { source: '10.7.0.1', destination: '10.8.0.1' },
    { source: ROUTE.source6, destination: ROUTE.destination6 },
  ];
  const builds = [
    (payload: Uint8Array) => tcp4(payload, {}, four),
    (payload: Uint8Array) => udp4(payload, {}, four),
    (payload: Uint8Array) => tcp6(payload, {}, six),
    (payload: Uint8Array) => udp6(payload, {}, six),
  ];
  return builds.flatMap((build) => {
    const payload = withZeroSum(pattern(200), build);
    const longer = Uint8Array.of(...payload, ...pattern(100));
    return [payload, longer].map((each) => ({ packet: build(each), size: payload.length }));
  });
}

function kindOf({ packet }: Superpacket): string {
  const { six, tcp } = shapeOf(packet);
  return `${tcp ? 'TCP' : 'UDP'} over IPv${six ? 6 : 4}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Sends superpackets both ways until enough frames were equal; prints how many of each kind. */
function main(wanted: number): void {
  const queue = openQueue(TUN, { vnetHeader: true, tso: true, uso: true });
  const socket = openPacketSocket('end');
  const cutter = createCutter();
  const buffer = new Uint8Array(65_536);
  const counts = new Map<string, number>();
  // Superpackets of UDP are written to a TUN from Linux 6.2 on.
  const udpToo = kernelAtLeast(6, 2, release());

  function compare(given: Superpacket): number {
    const header = kernelHeader(given);
    const sent = unfinished(given.packet);
    const ours = cutByUs(cutter, hopped(sent), header);
    writeSync(queue.fd, Buffer.concat([virtioHeader(header), sent]));
    for (const [i, own] of ours.entries()) {
      const kernels = readFrame(socket, buffer);
      if (kernels !== undefined && Buffer.compare(kernels, own) === 0) continue;
      const place = `segment ${i} of ${ours.length}, size ${given.size}`;
      const theirs = kernels === undefined ? 'nothing more' : hex(kernels);
      throw new Error(`${place}\nkernel ${theirs}\nours   ${hex(own)}\nof ${hex(sent)}`);
    }
    return ours.length;
  }

  const takes = (given: Superpacket) => udpToo || shapeOf(given.packet).tcp;
  for (const given of zeroSums().filter(takes)) compare(given);
  withSeed((random) => {
    let frames = 0;
    for (let i = 0; frames < wanted; i++) {
      const given = generateSuperpacket(random, i, ROUTE);
      const kind = kindOf(given);
      if (!takes(given)) continue;
      const count = compare(given);
      counts.set(kind, (counts.get(kind) ?? 0) + count);
      frames += count;
    }
  }, runSeed());
  process.stdout.write(`${JSON.stringify(Object.fromEntries(counts))}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(Number(process.argv[2]));
