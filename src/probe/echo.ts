/** ICMP echo as bytes (RFC 792), for the probe and `weft ping`; packets of pods never come here. */
import { randomBytes } from 'node:crypto';
import { ECHO_MARK } from '../wire/icmp.ts';

export const IPV4_HEADER_BYTES = 20;
const ICMP_HEADER_BYTES = 8;
/** The mark of four bytes, and as many that, with the identifier, nobody guesses. */
const COOKIE_BYTES = 8;
/** The smallest packet that holds our cookie. */
export const LEAST_ECHO_BYTES = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + COOKIE_BYTES;

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const ECHO_REQUEST = 8;
const TIME_EXCEEDED = 11;
const FRAGMENTATION_NEEDED = 4;
const PROTOCOL_ICMP = 1;

/** Tells our echoes from those of others, and from what somebody invents. */
export interface Mark {
  readonly identifier: number;
  readonly cookie: Buffer;
}

export function makeMark(): Mark {
  const cookie = randomBytes(COOKIE_BYTES);
  cookie.writeUInt32BE(ECHO_MARK);
  return { identifier: randomBytes(2).readUInt16BE(), cookie };
}

/** What came in for one of our requests. */
export type Heard =
  | { readonly kind: 'reply'; readonly from: string; readonly sequence: number }
  | {
      readonly kind: 'error';
      /** Who says so. */
      readonly from: string;
      readonly sequence: number;
      readonly reason: 'unreachable' | 'time exceeded' | 'too long';
      /** Of the next hop, where the reason is `too long`; 0 where not told. */
      readonly mtu: number;
    };

/** @param bytes of the whole IPv4 packet that this becomes the payload of */
export function echoRequest(mark: Mark, sequence: number, bytes: number): Buffer {
  const message = Buffer.alloc(Math.max(bytes, LEAST_ECHO_BYTES) - IPV4_HEADER_BYTES);
  message.writeUInt8(ECHO_REQUEST, 0);
  message.writeUInt16BE(mark.identifier, 4);
  message.writeUInt16BE(sequence, 6);
  mark.cookie.copy(message, ICMP_HEADER_BYTES);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

/** RFC 1071, the plain way. */
function checksum(message: Buffer): number {
  let sum = 0;
  for (let at = 0; at < message.length; at += 2) {
    sum += at + 1 < message.length ? message.readUInt16BE(at) : message.readUInt8(at) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** A packet from a raw socket, IPv4 header and all; undefined where it is none of ours. */
export function readEcho(packet: Buffer, from: string, mark: Mark): Heard | undefined {
  const message = payloadOf(packet);
  if (message === undefined) return undefined;
  const type = message.readUInt8(0);
  if (type === ECHO_REPLY) {
    const end = ICMP_HEADER_BYTES + COOKIE_BYTES;
    const ours =
      message.readUInt16BE(4) === mark.identifier &&
      message.subarray(ICMP_HEADER_BYTES, end).equals(mark.cookie);
    return ours ? { kind: 'reply', from, sequence: message.readUInt16BE(6) } : undefined;
  }
  if (type !== UNREACHABLE && type !== TIME_EXCEEDED) return undefined;
  return readError(message, from, mark);
}

/** An error quotes the packet it is about: header, and eight bytes at least (RFC 792). */
function readError(message: Buffer, from: string, mark: Mark): Heard | undefined {
  const quoted = payloadOf(message.subarray(ICMP_HEADER_BYTES));
  if (quoted === undefined || quoted.readUInt8(0) !== ECHO_REQUEST) return undefined;
  if (quoted.readUInt16BE(4) !== mark.identifier) return undefined;
  const sequence = quoted.readUInt16BE(6);
  const type = message.readUInt8(0);
  const tooLong = type === UNREACHABLE && message.readUInt8(1) === FRAGMENTATION_NEEDED;
  const other = type === TIME_EXCEEDED ? 'time exceeded' : 'unreachable';
  return {
    kind: 'error',
    from,
    sequence,
    reason: tooLong ? 'too long' : other,
    mtu: tooLong ? message.readUInt16BE(6) : 0,
  };
}

function payloadOf(packet: Buffer): Buffer | undefined {
  if (packet.length < IPV4_HEADER_BYTES || packet.readUInt8(9) !== PROTOCOL_ICMP) return undefined;
  const header = (packet.readUInt8(0) & 0x0f) * 4;
  const message = packet.subarray(header);
  return message.length < ICMP_HEADER_BYTES ? undefined : message;
}
