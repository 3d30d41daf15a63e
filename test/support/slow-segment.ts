import { slowChecksum } from './slow-checksum.ts';

/**
 * Segmentation as the RFCs word it: the slow twin of offload/segment. Every packet is built as a
 * whole and every checksum is computed over all that it covers; nothing from src is used.
 */

/** The fields of struct virtio_net_hdr (linux/virtio_net.h) in their order. */
export interface VirtioWords {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

/** The ten bytes before a packet, little-endian as on every machine that these tests run on. */
export function virtioHeader(fields: VirtioWords): Uint8Array {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  bytes[0] = fields.flags;
  bytes[1] = fields.gsoType;
  view.setUint16(2, fields.headerLength, true);
  view.setUint16(4, fields.gsoSize, true);
  view.setUint16(6, fields.checksumStart, true);
  view.setUint16(8, fields.checksumOffset, true);
  return bytes;
}

/** Where things are in an IPv4 or IPv6 packet that carries TCP or UDP, without extensions. */
export interface Shape {
  six: boolean;
  tcp: boolean;
  ipHeader: number;
  /** IP and transport headers together. */
  header: number;
}

export function shapeOf(packet: Uint8Array): Shape {
  const six = packet[0] >> 4 === 6;
  const ipHeader = six ? 40 : (packet[0] & 15) * 4;
  const tcp = packet[six ? 6 : 9] === 6;
  return { six, tcp, ipHeader, header: ipHeader + (tcp ? (packet[ipHeader + 12] >> 4) * 4 : 8) };
}

/** The packets of a superpacket whose segments carry `size` bytes, the last one the rest. */
export function slowSegment(superpacket: Uint8Array, size: number): Uint8Array[] {
  const shape = shapeOf(superpacket);
  const payload = superpacket.slice(shape.header);
  const packets: Uint8Array[] = [];
  for (let from = 0; from === 0 || from < payload.length; from += size) {
    const part = payload.slice(from, from + size);
    const packet = new Uint8Array(shape.header + part.length);
    packet.set(superpacket.slice(0, shape.header));
    packet.set(part, shape.header);
    const view = new DataView(packet.buffer);
    const first = from === 0;
    const last = from + size >= payload.length;
    if (shape.tcp) sequenceTcp(view, shape.ipHeader, from, { first, last });
    else view.setUint16(shape.ipHeader + 4, 8 + part.length);
    lengthen(view, shape, packets.length);
    finishTransport(packet);
    packets.push(packet);
  }
  return packets;
}

/** RFC 9293 §3.4: a byte has a number. RFC 3168 §6.1.2: CWR once; PSH and FIN end the data. */
function sequenceTcp(
  view: DataView,
  at: number,
  from: number,
  place: { first: boolean; last: boolean },
): void {
  view.setUint32(at + 4, (view.getUint32(at + 4) + from) % 2 ** 32);
  let flags = view.getUint8(at + 13);
  if (!place.first) flags &= ~0x80;
  if (!place.last) flags &= ~0x09;
  view.setUint8(at + 13, flags);
}

/** RFC 791 §3.1 with an identification that counts up; RFC 8200 §3 has only a length. */
function lengthen(view: DataView, shape: Shape, index: number): void {
  if (shape.six) {
    view.setUint16(4, view.byteLength - 40);
    return;
  }
  view.setUint16(2, view.byteLength);
  view.setUint16(4, (view.getUint16(4) + index) % 0x10000);
  view.setUint16(10, 0);
  view.setUint16(10, slowChecksum(new Uint8Array(view.buffer), 0, shape.ipHeader));
}

/** Computes the TCP or UDP checksum of a packet anew and stores it. */
export function finishTransport(packet: Uint8Array): void {
  const { tcp, ipHeader } = shapeOf(packet);
  const view = new DataView(packet.buffer, packet.byteOffset);
  const field = ipHeader + (tcp ? 16 : 6);
  view.setUint16(field, 0);
  const covered = Uint8Array.of(...pseudoHeader(packet), ...packet.slice(ipHeader));
  const checksum = slowChecksum(covered);
  view.setUint16(field, checksum === 0 && !tcp ? 0xffff : checksum);
}

/** RFC 9293 §3.1 and RFC 768 for IPv4; for IPv6 its lengths (RFC 8200 §8.1) add up the same. */
export function pseudoHeader(packet: Uint8Array): number[] {
  const { six, tcp, ipHeader } = shapeOf(packet);
  const addresses = six ? packet.slice(8, 40) : packet.slice(12, 20);
  const length = packet.length - ipHeader;
  return [...addresses, 0, tcp ? 6 : 17, length >> 8, length & 0xff];
}
