import {
  isLoopback4,
  isMulticast4,
  isReserved4,
  isThisNetwork4,
  isUnspecifiedOrBroadcast4,
} from './address.ts';
import { readUint32, writeUint16, writeUint32 } from './bytes.ts';
import { complement, sumHeader } from './checksum.ts';
import {
  buildIpv4,
  checkIpv4,
  destination,
  fragmentOffset,
  headerLength,
  IPV4_DONT_FRAGMENT,
  IPV4_HEADER_MINIMUM,
  type Ipv4Fields,
  PROTOCOL_ICMP,
  protocol,
  source,
} from './ipv4.ts';

/** ICMP for IPv4 (RFC 792). Offsets are from the ICMP header's first byte. */
export const ICMP_TYPE_AT = 0;
export const ICMP_CODE_AT = 1;
export const ICMP_CHECKSUM_AT = 2;
export const ICMP_REST_AT = 4;

export const ICMP_HEADER_LENGTH = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;

/** Codes of ICMP_UNREACHABLE; with the second, the rest of header ends in the next hop's MTU. */
export const ICMP_CODE_NET = 0;
export const ICMP_CODE_FRAG_NEEDED = 4;
/** The code of ICMP_TIME_EXCEEDED for a spent time to live. */
export const ICMP_CODE_IN_TRANSIT = 0;

/**
 * `weft` in ASCII: how the data of weft's own echo requests begins, and so of the replies to them,
 * which tells them from packets of pods.
 */
export const ECHO_MARK = 0x77656674;

/** As much of the offender as fits is quoted, up to this whole length (RFC 1812 §4.3.2.3). */
export const ICMP_ERROR_MAXIMUM = 576;

// Precedence "internetwork control" for errors, by RFC 1812 §4.3.2.5.
const ERROR_TYPE_OF_SERVICE = 0xc0;
const ERROR_TIME_TO_LIVE = 64;

/** Whether it is an echo request of weft's own or the reply to one; `length` is not trusted. */
export function isOwnEcho(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < IPV4_HEADER_MINIMUM || protocol(bytes, at) !== PROTOCOL_ICMP) return false;
  const data = headerLength(bytes, at) + ICMP_HEADER_LENGTH;
  if (data + 4 > length || fragmentOffset(bytes, at) !== 0) return false;
  const type = bytes[at + data - ICMP_HEADER_LENGTH + ICMP_TYPE_AT];
  if (type !== ICMP_ECHO && type !== ICMP_ECHO_REPLY) return false;
  return readUint32(bytes, at + data) === ECHO_MARK;
}

/**
 * Whether an error about this packet may be sent (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7): never
 * about an ICMP error, a later fragment, a packet to many, or one whose source is no single host.
 * Broadcast addresses of particular subnets are not known here. Looks only at `length` bytes and
 * refuses what `checkIpv4` refuses.
 */
export function mayAnswer(bytes: Uint8Array, at: number, length: number): boolean {
  if (checkIpv4(bytes, at, length) !== 0) return false;
  if (fragmentOffset(bytes, at) !== 0) return false;
  const to = destination(bytes, at);
  if (isMulticast4(to) || isUnspecifiedOrBroadcast4(to)) return false;
  const from = source(bytes, at);
  if (isThisNetwork4(from) || isLoopback4(from)) return false;
  if (isMulticast4(from) || isReserved4(from)) return false;
  return protocol(bytes, at) !== PROTOCOL_ICMP || mayAnswerIcmp(bytes, at, length);
}

function mayAnswerIcmp(bytes: Uint8Array, at: number, length: number): boolean {
  const header = headerLength(bytes, at);
  // Without its type byte nobody can tell that it is not an error.
  if (header >= length) return false;
  switch (bytes[at + header + ICMP_TYPE_AT]) {
    case ICMP_UNREACHABLE:
    case ICMP_SOURCE_QUENCH:
    case ICMP_REDIRECT:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETER_PROBLEM:
      return false;
    default:
      return true;
  }
}

/** What `buildError` says; made once and rewritten, so that an answer allocates nothing. */
export interface ErrorRequest {
  type: number;
  code: number;
  /** The second word of the ICMP header: 0, or the next hop's MTU for ICMP_CODE_FRAG_NEEDED. */
  rest: number;
  /** Our address, in the host's order. */
  source: number;
  /** How many bytes of the offender there are; nothing beyond them is quoted. */
  offenderLength: number;
}

// Rewritten for each error: packets are numbers and the slab, never fresh objects.
const header: Ipv4Fields = {
  typeOfService: ERROR_TYPE_OF_SERVICE,
  totalLength: 0,
  identification: 0,
  // An atomic datagram, whose identification may therefore stay 0 (RFC 6864 §4.1).
  fragmentField: IPV4_DONT_FRAGMENT,
  timeToLive: ERROR_TIME_TO_LIVE,
  protocol: PROTOCOL_ICMP,
  source: 0,
  destination: 0,
};

/**
 * Writes a whole IPv4 packet with an ICMP error about the packet at `offenderAt` and returns its
 * length, at most ICMP_ERROR_MAXIMUM. The offender must have passed `mayAnswer`; the answer may
 * be written over it.
 */
export function buildError(
  bytes: Uint8Array,
  to: number,
  offenderAt: number,
  request: ErrorRequest,
): number {
  const icmp = to + IPV4_HEADER_MINIMUM;
  const room = ICMP_ERROR_MAXIMUM - IPV4_HEADER_MINIMUM - ICMP_HEADER_LENGTH;
  const quoted = Math.min(request.offenderLength, room);
  header.source = request.source;
  header.destination = source(bytes, offenderAt);
  header.totalLength = IPV4_HEADER_MINIMUM + ICMP_HEADER_LENGTH + quoted;
  // The quote moves first, for the headers may land on the offender.
  bytes.copyWithin(icmp + ICMP_HEADER_LENGTH, offenderAt, offenderAt + quoted);
  buildIpv4(bytes, to, header);
  bytes[icmp + ICMP_TYPE_AT] = request.type;
  bytes[icmp + ICMP_CODE_AT] = request.code;
  writeUint16(bytes, icmp + ICMP_CHECKSUM_AT, 0);
  writeUint32(bytes, icmp + ICMP_REST_AT, request.rest);
  const sum = sumHeader(bytes, icmp, ICMP_HEADER_LENGTH + quoted);
  writeUint16(bytes, icmp + ICMP_CHECKSUM_AT, complement(sum));
  return header.totalLength;
}
