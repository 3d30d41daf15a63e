/**
 * Addresses and prefixes: text ⇄ numbers. An IPv4 address is an unsigned 32-bit number in the
 * host's order (10.0.0.1 is 0x0a000001); an IPv6 address is its 16 bytes. Parsers are strict and
 * answer `undefined` for anything but the whole text of one address.
 */

/** `length` leading bits of `network`; the bits after them are zero. */
export interface Prefix4 {
  readonly network: number;
  readonly length: number;
}

/** An address together with the length of the prefix it lives in, as an interface has it. */
export interface Interface4 {
  readonly address: number;
  readonly length: number;
}

const DOT = 46;
const ZERO = 48;
const LENGTH = /^(0|[1-9][0-9]?)$/;

/** "10.244.0.1" → 0x0af40001. */
export function parseAddress4(text: string): number | undefined {
  let address = 0;
  let octet = -1; // none of its digits seen yet
  let octets = 0;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : DOT;
    if (code === DOT) {
      if (octet < 0 || ++octets > 4) return undefined;
      address = address * 256 + octet;
      octet = -1;
      continue;
    }
    const digit = code - ZERO;
    // No leading zeros: "010" is 8 to some parsers and 10 to others (RFC 6943 §3.1).
    if (digit < 0 || digit > 9 || octet === 0) return undefined;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (octet > 255) return undefined;
  }
  return octets === 4 ? address : undefined;
}

/** 0x0af40001 → "10.244.0.1"; signed numbers are taken as their unsigned bits. */
export function formatAddress4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

/** "10.244.1.7/24" with the address as written. */
export function parseInterface4(text: string): Interface4 | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseAddress4(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === undefined || !LENGTH.test(lengthText)) return undefined;
  const length = Number(lengthText);
  return length <= 32 ? { address, length } : undefined;
}

/** "10.244.1.7/24" masked to its base, 10.244.1.0/24. */
export function parsePrefix4(text: string): Prefix4 | undefined {
  const given = parseInterface4(text);
  if (given === undefined) return undefined;
  return { network: (given.address & maskOf(given.length)) >>> 0, length: given.length };
}

/** "10.244.1.0/24". */
export function formatPrefix4(prefix: Prefix4): string {
  return `${formatAddress4(prefix.network)}/${prefix.length}`;
}

/** The network mask of a prefix of 0 to 32 bits. */
export function maskOf(length: number): number {
  // A shift by 32 is a shift by 0 in JavaScript.
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

export function contains(prefix: Prefix4, address: number): boolean {
  return (address & maskOf(prefix.length)) >>> 0 === prefix.network;
}

/** Whether `outer` covers all of `inner`; a prefix contains itself. */
export function prefixContains(outer: Prefix4, inner: Prefix4): boolean {
  return outer.length <= inner.length && contains(outer, inner.network);
}

/** Whether any address is in both. */
export function overlaps(a: Prefix4, b: Prefix4): boolean {
  return prefixContains(a, b) || prefixContains(b, a);
}

/** 224.0.0.0/4 (RFC 5771). */
export function isMulticast4(address: number): boolean {
  return address >>> 28 === 0xe;
}

/** 127.0.0.0/8 (RFC 1122 §3.2.1.3). */
export function isLoopback4(address: number): boolean {
  return address >>> 24 === 127;
}

/** 169.254.0.0/16 (RFC 3927). */
export function isLinkLocal4(address: number): boolean {
  return address >>> 16 === 0xa9fe;
}

/** 0.0.0.0/8, "this network" (RFC 1122 §3.2.1.3). */
export function isThisNetwork4(address: number): boolean {
  return address >>> 24 === 0;
}

/** 240.0.0.0/4, the former class E (RFC 1112 §4), with the limited broadcast address in it. */
export function isReserved4(address: number): boolean {
  return address >>> 28 === 0xf;
}

/** 0.0.0.0 or 255.255.255.255, neither of which is ever one host. */
export function isUnspecifiedOrBroadcast4(address: number): boolean {
  return address >>> 0 === 0 || address >>> 0 === 0xffffffff;
}

/** The 16 bytes of an IPv6 address in any form of RFC 4291 §2.2; no zone, no brackets. */
export function parseAddress6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1], true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const zeros = 8 - head.length - tail.length;
  // "::" stands for at least one group; without it all eight must be there.
  if (halves.length === 2 ? zeros < 1 : zeros !== 0) return undefined;
  const groups = [...head, ...new Array<number>(zeros).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >>> 8, group & 0xff]));
}

/** Groups of one side of "::"; only at the very end may there be a dotted quad. */
function parseGroups(text: string, isLast: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (isLast && index === parts.length - 1 && part.includes('.')) {
      const address = parseAddress4(part);
      if (address === undefined) return undefined;
      groups.push(address >>> 16, address & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

/** Canonical text of 16 bytes (RFC 5952 §4 and, for IPv4-mapped addresses, §5). */
export function formatAddress6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] << 8) | bytes[2 * i + 1]);
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return `::ffff:${formatAddress4(groups[6] * 0x10000 + groups[7])}`;
  }
  const text = groups.map((group) => group.toString(16));
  const [start, length] = longestZeros(groups);
  if (length < 2) return text.join(':');
  return `${text.slice(0, start).join(':')}::${text.slice(start + length).join(':')}`;
}

/** Where the longest run of zero groups starts, the first among equals, and its length. */
function longestZeros(groups: number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > best[1]) best = [index - length + 1, length];
  }
  return best;
}
