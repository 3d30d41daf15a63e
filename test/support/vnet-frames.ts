/**
 * Frames that a pod sends with a virtio_net_hdr of its own making (PACKET_VNET_HDR of packet(7),
 * which needs CAP_NET_RAW). This file is also the program that does it, inside the pod.
 */
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { libc } from '../../src/sys/binding.ts';
import { trySetOption } from '../../src/udp/socket.ts';
import { hopsOf } from './frames.ts';
import { runAside } from './process.ts';
import { type VirtioWords, virtioHeader } from './slow-segment.ts';
import { inside, type NodeSpace } from './topology.ts';

/** linux/if_packet.h, bits/socket.h. */
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const ETHERNET_HEADER = 14;
const VIRTIO_HEADER = 10;

export interface VnetFrame {
  readonly packet: Uint8Array;
  /** Offsets in it are from the packet's first byte, as a TUN has them. */
  readonly header: VirtioWords;
}

/** Sends each frame; says of which the pod's own kernel took it. */
export async function sendVnetFrames(
  node: NodeSpace,
  frames: readonly VnetFrame[],
): Promise<boolean[]> {
  const hops = hopsOf(node);
  const lines = frames.map(({ packet, header }) => {
    const checksumStart = (header.checksumStart + ETHERNET_HEADER) & 0xffff;
    const headerLength = header.headerLength + ETHERNET_HEADER;
    const head = virtioHeader({ ...header, checksumStart, headerLength });
    return Buffer.concat([head, hops, packet]).toString('hex');
  });
  return sendLines(node.pod.namespace, lines);
}

/** Sends whole Ethernet frames, as they are, by eth0 of a namespace. */
export async function sendFrames(namespace: string, frames: readonly Uint8Array[]): Promise<void> {
  const none = new Uint8Array(VIRTIO_HEADER);
  const lines = frames.map((frame) => Buffer.concat([none, frame]).toString('hex'));
  const taken = await sendLines(namespace, lines);
  if (taken.includes(false)) throw new Error(`frames refused in ${namespace}`);
}

async function sendLines(namespace: string, lines: readonly string[]): Promise<boolean[]> {
  const program = [process.execPath, fileURLToPath(import.meta.url)];
  const ran = await runAside(inside(namespace, program), { input: lines.join('\n') });
  if (ran.status !== 0) throw new Error(`no packet socket: ${ran.stderr}`);
  return [...ran.stdout.trim()].map((letter) => letter === '1');
}

/** A struct sockaddr_ll: family, protocol (none: nothing is received), index. */
function linkAddress(index: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setInt32(4, index, true);
  return bytes;
}

async function main(): Promise<void> {
  const { readFileSync } = await import('node:fs');
  const index = Number(readFileSync('/sys/class/net/eth0/ifindex', 'latin1'));
  const fd = libc.socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0 || trySetOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1) < 0) process.exit(1);
  if (libc.bind(fd, linkAddress(index), 20) < 0) process.exit(1);
  const lines = (await text(process.stdin)).split('\n');
  const taken = lines.map((line) => {
    const bytes = new Uint8Array(Buffer.from(line, 'hex'));
    return libc.send(fd, bytes, bytes.length, 0) < 0 ? '0' : '1';
  });
  process.stdout.write(taken.join(''));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
