/** What a packet says of itself in its first bytes, for people; pure, at ease with any bytes. */
import { RX_DROPS, TX_DROPS } from '../dataplane/counters.ts';
import type { TappedPacket } from '../dataplane/tap/reader.ts';
import { formatAddress4 } from '../wire/address.ts';
import { readUint16 } from '../wire/bytes.ts';
import * as icmp from '../wire/icmp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as tcp from '../wire/tcp.ts';
import { UDP_HEADER_LENGTH, UDP_LENGTH_AT } from '../wire/udp.ts';

/** Null is what cannot be read, or is not there. */
export interface Description {
  readonly protocol: string | null;
  readonly source: string | null;
  readonly destination: string | null;
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  /** What else tells one packet from another: flags, type, fragment. */
  readonly detail: string;
}

export interface DropReason {
  readonly label: string;
  readonly meaning: string;
}

/** The protocols that have a name here, by IANA's numbers; all others are shown by theirs. */
export const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: ipv4.PROTOCOL_ICMP,
  tcp: ipv4.PROTOCOL_TCP,
  udp: ipv4.PROTOCOL_UDP,
  gre: ipv4.PROTOCOL_GRE,
  sctp: ipv4.PROTOCOL_SCTP,
};
const NAMES = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));

const UNREADABLE = {
  protocol: null,
  source: null,
  destination: null,
  sourcePort: null,
  destinationPort: null,
};

/** Describes the packet whose first bytes these are. */
export function describePacket(bytes: Uint8Array): Description {
  if (bytes.length === 0) return { ...UNREADABLE, detail: 'no bytes' };
  const version = ipv4.version(bytes, 0);
  if (version !== 4) {
    return { ...UNREADABLE, detail: version === 6 ? 'IPv6' : `no IP packet: version ${version}` };
  }
  if (bytes.length < ipv4.IPV4_HEADER_MINIMUM) {
    return { ...UNREADABLE, detail: `${bytes.length} bytes of an IPv4 header` };
  }
  const number = ipv4.protocol(bytes, 0);
  const ports = readPorts(bytes);
  return {
    protocol: NAMES.get(number) ?? `${number}`,
    source: formatAddress4(ipv4.source(bytes, 0)),
    destination: formatAddress4(ipv4.destination(bytes, 0)),
    sourcePort: ports?.[0] ?? null,
    destinationPort: ports?.[1] ?? null,
    detail: detailOf(bytes, number),
  };
}

/** Why a packet was dropped: the label of its counter and what that means; null if it was not. */
export function dropReason({ direction, reason }: TappedPacket): DropReason | null {
  if (reason === undefined) return null;
  const rows = direction === 'tx' ? TX_DROPS : RX_DROPS;
  const [, label, meaning] = rows.find(([slot]) => slot === reason) ?? [];
  return { label: label ?? `slot ${reason}`, meaning: meaning ?? 'a reason without a name' };
}

/** Source and destination port of TCP and UDP; undefined where they are not in these bytes. */
export function readPorts(bytes: Uint8Array): readonly [number, number] | undefined {
  if (bytes.length < ipv4.IPV4_HEADER_MINIMUM || ipv4.version(bytes, 0) !== 4) return undefined;
  const number = ipv4.protocol(bytes, 0);
  if (number !== ipv4.PROTOCOL_TCP && number !== ipv4.PROTOCOL_UDP) return undefined;
  if (ipv4.fragmentOffset(bytes, 0) !== 0) return undefined;
  const at = ipv4.headerLength(bytes, 0);
  if (at < ipv4.IPV4_HEADER_MINIMUM || at + 4 > bytes.length) return undefined;
  return [readUint16(bytes, at), readUint16(bytes, at + 2)];
}

function detailOf(bytes: Uint8Array, number: number): string {
  const offset = ipv4.fragmentOffset(bytes, 0);
  if (offset !== 0) return `fragment at ${offset}`;
  const at = ipv4.headerLength(bytes, 0);
  const first = ipv4.hasMoreFragments(bytes, 0) ? ' first fragment' : '';
  if (at < ipv4.IPV4_HEADER_MINIMUM || at >= bytes.length) return first.trim();
  return `${transportDetail(bytes, at, number)}${first}`.trim();
}

function transportDetail(bytes: Uint8Array, at: number, number: number): string {
  const room = bytes.length - at;
  if (number === ipv4.PROTOCOL_ICMP && room >= icmp.ICMP_HEADER_LENGTH)
    return icmpDetail(bytes, at);
  if (number === ipv4.PROTOCOL_UDP && room >= UDP_HEADER_LENGTH) {
    return `payload ${readUint16(bytes, at + UDP_LENGTH_AT) - UDP_HEADER_LENGTH}`;
  }
  if (number === ipv4.PROTOCOL_TCP && room >= tcp.TCP_HEADER_MINIMUM) {
    return `${flagNames(tcp.tcpFlags(bytes, at))} seq ${tcp.tcpSequence(bytes, at)}`;
  }
  return '';
}

const FLAGS: readonly (readonly [number, string])[] = [
  [tcp.TCP_SYN, 'SYN'],
  [tcp.TCP_FIN, 'FIN'],
  [tcp.TCP_RST, 'RST'],
  [tcp.TCP_PSH, 'PSH'],
  [tcp.TCP_ACK, 'ACK'],
  [tcp.TCP_URG, 'URG'],
];

function flagNames(flags: number): string {
  const names = FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? 'no flags' : names.join(',');
}

/** RFC 792; the second half of an echo's header is identifier and sequence number. */
function icmpDetail(bytes: Uint8Array, at: number): string {
  const type = bytes[at + icmp.ICMP_TYPE_AT]!;
  const code = bytes[at + icmp.ICMP_CODE_AT]!;
  const rest = at + icmp.ICMP_REST_AT;
  const echo = () => `id ${readUint16(bytes, rest)} seq ${readUint16(bytes, rest + 2)}`;
  switch (type) {
    case icmp.ICMP_ECHO:
      return `echo request ${echo()}`;
    case icmp.ICMP_ECHO_REPLY:
      return `echo reply ${echo()}`;
    case icmp.ICMP_UNREACHABLE:
      return code === icmp.ICMP_CODE_FRAG_NEEDED
        ? `fragmentation needed, MTU ${readUint16(bytes, rest + 2)}`
        : `unreachable, code ${code}`;
    case icmp.ICMP_TIME_EXCEEDED:
      return 'time exceeded';
    default:
      return `type ${type} code ${code}`;
  }
}
