import { slowChecksum } from './slow-checksum.ts';

/**
 * Packets built straight from the RFCs, as fresh arrays, without anything from src/wire: what
 * the code under test reads here must not have been written by that same code. Addresses are
 * dotted text for IPv4 and 16 bytes for IPv6.
 */

export interface Ipv4Options {
  source?: string;
  destination?: string;
  protocol?: number;
  timeToLive?: number;
  typeOfService?: number;
  identification?: number;
  dontFragment?: boolean;
  moreFragments?: boolean;
  /** In bytes, a multiple of eight. */
  fragmentOffset?: number;
  /** IP options, padded here with zeros to a multiple of four. */
  options?: Uint8Array;
}

export const DEFAULT_SOURCE = '10.244.1.2';
export const DEFAULT_DESTINATION = '10.244.2.3';

/** An IPv4 packet around a payload (RFC 791 §3.1), header checksum included. */
export function ipv4(payload: Uint8Array, fields: Ipv4Options = {}): Uint8Array {
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  const header = 20 + options.length;
  const fragment =
    (fields.dontFragment ? 0x4000 : 0) |
    (fields.moreFragments ? 0x2000 : 0) |
    ((fields.fragmentOffset ?? 0) / 8);
  const packet = join(
    [0x40 | (header / 4), fields.typeOfService ?? 0],
    big16(header + payload.length),
    big16(fields.identification ?? 0x1234),
    big16(fragment),
    [fields.timeToLive ?? 64, fields.protocol ?? 17],
    big16(0),
    quad(fields.source ?? DEFAULT_SOURCE),
    quad(fields.destination ?? DEFAULT_DESTINATION),
    options,
    payload,
  );
  packet.set(big16(slowChecksum(packet, 0, header)), 10);
  return packet;
}

export interface Ipv6Options {
  source?: Uint8Array;
  destination?: Uint8Array;
  nextHeader?: number;
  hopLimit?: number;
  trafficClass?: number;
  flowLabel?: number;
}

export const DEFAULT_SOURCE6 = Uint8Array.of(0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
export const DEFAULT_DESTINATION6 = DEFAULT_SOURCE6.with(3, 2).with(15, 3);

/** An IPv6 packet around a payload (RFC 8200 §3). */
export function ipv6(payload: Uint8Array, fields: Ipv6Options = {}): Uint8Array {
  const trafficClass = fields.trafficClass ?? 0;
  const flowLabel = fields.flowLabel ?? 0;
  return join(
    [0x60 | (trafficClass >> 4), ((trafficClass & 0xf) << 4) | (flowLabel >> 16)],
    big16(flowLabel & 0xffff),
    big16(payload.length),
    [fields.nextHeader ?? 17, fields.hopLimit ?? 64],
    fields.source ?? DEFAULT_SOURCE6,
    fields.destination ?? DEFAULT_DESTINATION6,
    payload,
  );
}

export interface TransportOptions {
  sourcePort?: number;
  destinationPort?: number;
}

export interface TcpOptions extends TransportOptions {
  sequence?: number;
  acknowledgement?: number;
  flags?: number;
  window?: number;
  urgentPointer?: number;
  /** TCP options, padded here with zeros to a multiple of four. */
  options?: Uint8Array;
}

/** A TCP segment with a zero checksum field (RFC 9293 §3.1): wrap it with `tcp4` or `tcp6`. */
export function tcpSegment(payload: Uint8Array, fields: TcpOptions = {}): Uint8Array {
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  return join(
    big16(fields.sourcePort ?? 40_000),
    big16(fields.destinationPort ?? 5201),
    big32(fields.sequence ?? 1000),
    big32(fields.acknowledgement ?? 2000),
    [((20 + options.length) / 4) << 4, fields.flags ?? 0x10],
    big16(fields.window ?? 512),
    big16(0),
    big16(fields.urgentPointer ?? 0),
    options,
    payload,
  );
}

/** A UDP datagram with a zero checksum field (RFC 768): wrap it with `udp4` or `udp6`. */
export function udpDatagram(payload: Uint8Array, fields: TransportOptions = {}): Uint8Array {
  return join(
    big16(fields.sourcePort ?? 40_000),
    big16(fields.destinationPort ?? 5201),
    big16(8 + payload.length),
    big16(0),
    payload,
  );
}

export function tcp4(payload: Uint8Array, tcp: TcpOptions = {}, ip: Ipv4Options = {}): Uint8Array {
  return ipv4(withChecksum4(tcpSegment(payload, tcp), 6, 16, ip), { ...ip, protocol: 6 });
}

export function udp4(
  payload: Uint8Array,
  udp: TransportOptions = {},
  ip: Ipv4Options = {},
): Uint8Array {
  return ipv4(withChecksum4(udpDatagram(payload, udp), 17, 6, ip), { ...ip, protocol: 17 });
}

export function tcp6(payload: Uint8Array, tcp: TcpOptions = {}, ip: Ipv6Options = {}): Uint8Array {
  return ipv6(withChecksum6(tcpSegment(payload, tcp), 6, 16, ip), { ...ip, nextHeader: 6 });
}

export function udp6(
  payload: Uint8Array,
  udp: TransportOptions = {},
  ip: Ipv6Options = {},
): Uint8Array {
  return ipv6(withChecksum6(udpDatagram(payload, udp), 17, 6, ip), { ...ip, nextHeader: 17 });
}

/** An ICMP message of any type (RFC 792); `rest` is the header's second word. */
export function icmp4(
  type: number,
  code: number,
  payload: Uint8Array = new Uint8Array(0),
  ip: Ipv4Options = {},
  rest = 0,
): Uint8Array {
  const message = join([type, code], big16(0), big32(rest), payload);
  message.set(big16(slowChecksum(message)), 2);
  return ipv4(message, { ...ip, protocol: 1 });
}

/** An SCTP packet with one DATA chunk (RFC 9260 §3); its CRC32c is left zero. */
export function sctp4(payload: Uint8Array, ip: Ipv4Options = {}): Uint8Array {
  const chunk = join([0, 3], big16(16 + payload.length), new Uint8Array(12), padded(payload, 4));
  const packet = join(big16(5000), big16(5001), big32(0xfeedbeef), big32(0), chunk);
  return ipv4(packet, { ...ip, protocol: 132 });
}

/** A GRE packet (RFC 2784) that carries another IPv4 packet. */
export function gre4(inner: Uint8Array, ip: Ipv4Options = {}): Uint8Array {
  return ipv4(join(big16(0), big16(0x0800), inner), { ...ip, protocol: 47 });
}

/** The fragments of a packet without options, each with at most `size` payload bytes. */
export function fragments4(packet: Uint8Array, size: number, ip: Ipv4Options = {}): Uint8Array[] {
  const payload = packet.subarray(20);
  const step = size - (size % 8);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; offset < payload.length; offset += step) {
    const end = Math.min(offset + step, payload.length);
    const moreFragments = end < payload.length;
    const fields = { ...ip, protocol: packet[9], fragmentOffset: offset, moreFragments };
    pieces.push(ipv4(payload.subarray(offset, end), fields));
  }
  return pieces;
}

/** Bytes 0, 1, 2 ... 250, 0, 1 ...: a shift of payload by any power of two shows. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index % 251);
}

function withChecksum4(
  transport: Uint8Array,
  protocol: number,
  at: number,
  ip: Ipv4Options,
): Uint8Array {
  const pseudo = join(
    quad(ip.source ?? DEFAULT_SOURCE),
    quad(ip.destination ?? DEFAULT_DESTINATION),
    [0, protocol],
    big16(transport.length),
  );
  return stamped(pseudo, transport, at, protocol === 17);
}

function withChecksum6(
  transport: Uint8Array,
  nextHeader: number,
  at: number,
  ip: Ipv6Options,
): Uint8Array {
  const pseudo = join(
    ip.source ?? DEFAULT_SOURCE6,
    ip.destination ?? DEFAULT_DESTINATION6,
    big32(transport.length),
    [0, 0, 0, nextHeader],
  );
  return stamped(pseudo, transport, at, nextHeader === 17);
}

/** The checksum over pseudo-header and transport, put in its place; UDP writes 0 as 0xffff. */
function stamped(pseudo: Uint8Array, transport: Uint8Array, at: number, udp: boolean): Uint8Array {
  const checksum = slowChecksum(join(pseudo, transport));
  transport.set(big16(udp && checksum === 0 ? 0xffff : checksum), at);
  return transport;
}

function padded(bytes: Uint8Array, multiple: number): Uint8Array {
  return join(bytes, new Uint8Array((multiple - (bytes.length % multiple)) % multiple));
}

function quad(address: string): number[] {
  return address.split('.').map(Number);
}

function big16(value: number): [number, number] {
  return [Math.floor(value / 0x100) % 0x100, value % 0x100];
}

function big32(value: number): [number, number, number, number] {
  return [...big16(Math.floor(value / 0x10000)), ...big16(value % 0x10000)];
}

function join(...parts: ArrayLike<number>[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
