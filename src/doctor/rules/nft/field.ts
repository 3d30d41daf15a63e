/** The left side of a match: what a packet has to say to an expression of libnftables-json(5). */
import { parseAddress4 } from '../../../wire/address.ts';
import type { Packet } from '../packet.ts';

export type Json = Readonly<Record<string, unknown>>;

/** How values of a field are written, and so how two of them are compared. */
export type Kind = 'address' | 'number' | 'protocol' | 'interface' | 'word' | 'state';

export type Field =
  | { readonly is: 'known'; readonly kind: Kind; readonly value: number | string }
  /** Its packet does not have it: the rule ends there, whatever the operator (NFT_BREAK). */
  | { readonly is: 'absent' }
  | { readonly is: 'unknown'; readonly why: string };

const ABSENT: Field = { is: 'absent' };
const UDP = 17;

const known = (kind: Kind, value: number | string | undefined, why: string): Field =>
  value === undefined ? { is: 'unknown', why } : { is: 'known', kind, value };

/** Protocols whose headers a UDP datagram over IPv4 has none of. */
const FOREIGN = new Set(
  'tcp icmp icmpv6 ip6 sctp dccp udplite ah esp comp igmp arp vlan hbh rt frag dst mh'.split(' '),
);

/** @param left as it stands in `match` or `vmap` */
export function readField(packet: Packet, left: unknown): Field {
  if (typeof left !== 'object' || left === null) return unknownOf(left);
  const expression = left as Json;
  const [name = '', value] = Object.entries(expression)[0] ?? [];
  if (name === 'payload') return payload(packet, value as Json);
  if (name === 'meta') return meta(packet, `${(value as Json).key}`);
  if (name === 'ct') return conntrack(packet, value as Json);
  if (name === 'fib') return fib(packet, value as Json);
  if (name === '&' || name === '|' || name === '^') return bitwise(packet, name, value);
  if (name === 'exthdr' || name === 'tcp option' || name === 'sctp chunk') return ABSENT;
  return { is: 'unknown', why: name };
}

const unknownOf = (value: unknown): Field => ({ is: 'unknown', why: JSON.stringify(value) ?? '' });

function payload(packet: Packet, { protocol, field }: Json): Field {
  const name = `${protocol} ${field}`;
  switch (name) {
    case 'udp dport':
    case 'th dport':
      return known('number', packet.dport, name);
    case 'udp sport':
    case 'th sport':
      return known('number', packet.sport, name);
    case 'ip saddr':
      return known('address', packet.saddr, name);
    case 'ip daddr':
      return known('address', packet.daddr, name);
    case 'ip protocol':
      return known('protocol', UDP, name);
    case 'ip version':
      return known('number', 4, name);
    case 'ip hdrlength':
      return known('number', 5, name);
    default:
      return FOREIGN.has(`${protocol}`) ? ABSENT : { is: 'unknown', why: name };
  }
}

function meta(packet: Packet, key: string): Field {
  const why = `meta ${key}`;
  switch (key) {
    case 'l4proto':
      return known('protocol', UDP, why);
    case 'nfproto':
      return known('word', 'ipv4', why);
    case 'protocol':
      return known('word', 'ip', why);
    case 'mark':
      return known('number', packet.mark, why);
    case 'iif':
    case 'iifname':
      return known('interface', packet.iifname, why);
    case 'oif':
    case 'oifname':
      return known('interface', packet.oifname, why);
    default:
      return { is: 'unknown', why };
  }
}

function conntrack(packet: Packet, { key, dir }: Json): Field {
  const why = `ct ${key}`;
  if (key === 'state') return known('state', packet.ct, why);
  const untracked = packet.ct === 'untracked' || packet.ct === 'invalid';
  if (untracked) return ABSENT;
  if (packet.ct !== 'new' || dir !== undefined) return { is: 'unknown', why };
  if (key === 'mark') return known('number', packet.ctMark, why);
  return key === 'direction' ? known('word', 'original', why) : { is: 'unknown', why };
}

function fib({ way }: Packet, { result, flags }: Json): Field {
  const of = `${flags}`;
  const why = `fib ${of} ${result}`;
  if (result !== 'type' || (of !== 'saddr' && of !== 'daddr')) return { is: 'unknown', why };
  return known('word', addressType(way, of), why);
}

/** What the local routing table says of the two ends of a datagram that is ours, or for us. */
export function addressType(way: Packet['way'], end: 'saddr' | 'daddr'): string {
  return (way === 'in') === (end === 'daddr') ? 'local' : 'unicast';
}

function bitwise(packet: Packet, operator: string, operands: unknown): Field {
  const [inner, constant] = operands as [unknown, unknown];
  const field = readField(packet, inner);
  if (field.is !== 'known') return field;
  const mask = readNumber(field.kind, constant);
  if (mask === undefined || typeof field.value !== 'number') {
    return { is: 'unknown', why: `${operator} of ${JSON.stringify(inner)}` };
  }
  const results = { '&': field.value & mask, '|': field.value | mask, '^': field.value ^ mask };
  const value = results[operator as keyof typeof results] >>> 0;
  return { is: 'known', kind: field.kind, value };
}

/** Protocols by the number of IANA's registry, as /etc/protocols names them. */
const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, sctp: 132 };

/** A scalar of a field that is counted; undefined where it is none. */
export function readNumber(kind: Kind, scalar: unknown): number | undefined {
  if (kind === 'address') return parseAddress4(`${scalar}`);
  if (kind === 'protocol' && typeof scalar === 'string' && scalar in PROTOCOLS) {
    return PROTOCOLS[scalar];
  }
  if (kind !== 'number' && kind !== 'protocol') return undefined;
  if (typeof scalar === 'string' && !/^(0x[0-9a-f]+|\d+)$/i.test(scalar)) return undefined;
  const number = Number(scalar);
  return typeof scalar !== 'object' && Number.isSafeInteger(number) ? number : undefined;
}
