/** Superpackets of every make, and what the segmenter cuts them into. */
import { createSegmenter, type Segmenter } from '../../src/offload/segment.ts';
import { loadSum } from '../../src/wire/checksum.ts';
import { ipv4, ipv6, type TcpOptions, tcpSegment, udpDatagram } from './packets.ts';
import type { Random } from './random.ts';
import { slowSum } from './slow-checksum.ts';
import { pseudoHeader, shapeOf, type VirtioWords, virtioHeader } from './slow-segment.ts';

export interface Superpacket {
  packet: Uint8Array;
  /** Payload of each segment but the last. */
  size: number;
}

/** The virtio_net_hdr that the kernel writes before such a superpacket. */
export function honestHeader({ packet, size }: Superpacket): VirtioWords {
  const { six, tcp, ipHeader, header } = shapeOf(packet);
  return {
    flags: 1,
    gsoType: tcp ? (six ? 4 : 1) : 5,
    headerLength: header,
    gsoSize: size,
    checksumStart: ipHeader,
    checksumOffset: tcp ? 16 : 6,
  };
}

/** The packet as the kernel leaves it: the field holds the pseudo-header's sum (virtio 1.2). */
export function unfinished(packet: Uint8Array): Uint8Array {
  const { ipHeader, tcp } = shapeOf(packet);
  const sum = slowSum(Uint8Array.from(pseudoHeader(packet)), 0, pseudoHeader(packet).length);
  const copy = packet.slice();
  copy.set([sum >> 8, sum & 0xff], ipHeader + (tcp ? 16 : 6));
  return copy;
}

/** The payload with such a first word that the packet's checksum is zero (RFC 1624: add it in). */
export function withZeroSum(
  payload: Uint8Array,
  build: (payload: Uint8Array) => Uint8Array,
): Uint8Array {
  const changed = payload.slice();
  changed.fill(0, 0, 2);
  const packet = build(changed);
  const { ipHeader, tcp } = shapeOf(packet);
  changed.set(packet.subarray(ipHeader + (tcp ? 16 : 6)).subarray(0, 2));
  return changed;
}

/** As the TUN reader places packets: 16 behind a 64-byte line, the virtio_net_hdr just before. */
export const AT = 64 + 16;
export const STRIP = 128 * 1024;
/** 128 KiB, and headers of as many segments as there may be, 120 bytes and a bit each. */
const SLAB_PAGES = 20;

/** A segmenter with memory around it. */
export interface Cutter {
  readonly bytes: Uint8Array;
  readonly segmenter: Segmenter;
  /** Places header and packet, and has the segmenter look at them. */
  inspect(packet: Uint8Array, header: VirtioWords): number;
  /** The packets that leave: each header of the strip with its slice of the payload. */
  cut(): Uint8Array[];
}

export function createCutter(): Cutter {
  const memory = new WebAssembly.Memory({ initial: SLAB_PAGES, maximum: SLAB_PAGES });
  const bytes = new Uint8Array(memory.buffer);
  const segmenter = createSegmenter(bytes, loadSum(memory));
  return {
    bytes,
    segmenter,
    inspect(packet, header) {
      bytes.set(virtioHeader(header), AT - 10);
      bytes.set(packet, AT);
      return segmenter.inspect(AT, packet.length);
    },
    cut() {
      segmenter.cut(STRIP);
      const { at, header, size, payload, segments, stride } = segmenter.cuts;
      return Array.from({ length: segments }, (_, i) => {
        const from = i * size;
        const slice = Math.min(payload - from, size);
        const packet = new Uint8Array(header + slice);
        packet.set(bytes.subarray(STRIP + i * stride, STRIP + i * stride + header));
        packet.set(bytes.subarray(at + header + from, at + header + from + slice), header);
        return packet;
      });
    },
  };
}

const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;
const ECE = 0x40;
const CWR = 0x80;

/** Of few or many segments, whose last is whole, one byte, or anything between. */
function payloadLength(size: number, random: Random): number {
  const most = Math.min(60_000, size * random.pick([1, 2, 4, 46]));
  const length = random.pick([size, size + 1, most, random.between(1, most), most - 1]);
  return Math.max(1, Math.min(length, most));
}

function tcpFields(random: Random, optionsLength: number): TcpOptions {
  const rarely = (flag: number) => (random.oneIn(3) ? flag : 0);
  return {
    sourcePort: random.below(65_536),
    destinationPort: random.below(65_536),
    // Near the end of sequence space the numbers wrap within a superpacket.
    sequence: random.oneIn(4) ? 0xffff_ffff - random.below(3000) : random.uint32(),
    acknowledgement: random.uint32(),
    window: random.below(65_536),
    flags: ACK | rarely(FIN) | rarely(PSH) | rarely(ECE) | rarely(CWR),
    options: random.bytes(optionsLength),
  };
}

/** What a kernel that forwards packets would drop, where they must pass one. */
export interface Route {
  readonly source4: string;
  readonly destination4: string;
  readonly source6: Uint8Array;
  readonly destination6: Uint8Array;
}

/**
 * Any superpacket; its transport checksum is left random. With `route` it is one that a router
 * forwards: these addresses but for their last two bytes, no-operation options, TTL of 2 or more.
 */
export function generateSuperpacket(random: Random, index: number, route?: Route): Superpacket {
  const size = random.pick([1, 2, 7, 100, 535, 536, 1400, 1431, 1448, random.between(1, 9000)]);
  const payload = random.bytes(payloadLength(size, random));
  const ports = { sourcePort: random.below(65_536), destinationPort: random.below(65_536) };
  const tcp = !random.oneIn(3);
  const transport = tcp
    ? tcpSegment(payload, tcpFields(random, index % 41))
    : udpDatagram(payload, ports);
  // What the field held before does not matter: the kernel leaves a sum of its own there.
  transport.set(random.bytes(2), tcp ? 16 : 6);
  const protocol = tcp ? 6 : 17;
  const packet = random.oneIn(2)
    ? sixAround(transport, protocol, random, route)
    : fourAround(transport, protocol, random, route);
  return { packet, size };
}

function sixAround(transport: Uint8Array, nextHeader: number, random: Random, route?: Route) {
  const near = (address: Uint8Array) => {
    const changed = address.slice();
    changed.set(random.bytes(2), 14);
    return changed;
  };
  return ipv6(transport, {
    nextHeader,
    trafficClass: random.below(256),
    flowLabel: random.below(0x100000),
    hopLimit: random.between(2, 255),
    source: route ? near(route.source6) : random.bytes(16),
    destination: route ? near(route.destination6) : random.bytes(16),
  });
}

function fourAround(transport: Uint8Array, protocol: number, random: Random, route?: Route) {
  const any = () => [...random.bytes(4)].join('.');
  const near = (address: string) =>
    [...address.split('.').slice(0, 2), ...random.bytes(2)].join('.');
  const optionBytes = random.oneIn(8) ? random.below(41) : 0;
  return ipv4(transport, {
    protocol,
    source: route ? near(route.source4) : any(),
    destination: route ? near(route.destination4) : any(),
    identification: random.oneIn(4) ? 0xfffe : random.below(65_536),
    dontFragment: random.oneIn(2),
    typeOfService: random.below(256),
    timeToLive: random.between(2, 255),
    options: route ? new Uint8Array(4 * (optionBytes >> 2)).fill(1) : random.bytes(optionBytes),
  });
}
