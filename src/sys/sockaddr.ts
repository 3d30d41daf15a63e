/**
 * Socket addresses of either family as seven 32-bit words, as the kernel takes them: struct
 * sockaddr_in (netinet/in.h, ip(7)) with zeros after it, or struct sockaddr_in6 (ipv6(7)).
 *
 *   word  0              1          2 to 5     6
 *   IPv4  family, port   address    zeros      zeros
 *   IPv6  family, port   flow info  address    scope id
 *
 * The family is in the host's order, port and address are big-endian. Words are copied and compared
 * as they are, so nothing on the packet path asks which family it has. All zeros is no address.
 */
import { assert } from '../assert.ts';
import { formatAddress4, formatAddress6, parseAddress4, parseAddress6 } from '../wire/address.ts';
import { AF_INET, AF_INET6 } from './constants.ts';

export const SOCKADDR_WORDS = 7;
/** sizeof(struct sockaddr_in6); the kernel takes as much for an IPv4 address too. */
export const SOCKADDR_SIZE = 4 * SOCKADDR_WORDS;
/** sizeof(struct sockaddr_in): what the kernel itself fills in for one. */
export const SOCKADDR_IN_SIZE = 16;

/** Stands for nobody's address. */
export const NO_ADDRESS: Int32Array = new Int32Array(SOCKADDR_WORDS);

/** Writes the words of an IPv4 or IPv6 address and a port; the empty text is no address. */
export function writeSockaddr(words: Int32Array, at: number, address: string, port: number): void {
  words.fill(0, at, at + SOCKADDR_WORDS);
  if (address === '') return;
  const four = parseAddress4(address);
  if (four !== undefined) {
    words[at] = AF_INET | bigEndian16(port);
    words[at + 1] = swap(four);
    return;
  }
  const six = parseAddress6(address);
  assert(six !== undefined, `an address that was parsed before: ${address}`);
  words[at] = AF_INET6 | bigEndian16(port);
  for (let i = 0; i < 4; i++) words[at + 2 + i] = littleEndian(six, 4 * i);
}

/** The address in words as canonical text, without its port; empty for none. */
export function formatSockaddr(words: Int32Array, at: number): string {
  const family = familyOf(words, at);
  if (family === AF_INET) return formatAddress4(swap(words[at + 1]));
  if (family !== AF_INET6) return '';
  return formatAddress6(new Uint8Array(words.slice(at + 2, at + 6).buffer));
}

/** AF_INET, AF_INET6, or 0 for no address. */
export function familyOf(words: Int32Array, at: number): number {
  return words[at] & 0xffff;
}

/** Whether both are addresses of one host, whatever the ports. */
export function sameHost(a: Int32Array, at: number, b: Int32Array, bt: number): boolean {
  if (((a[at] ^ b[bt]) & 0xffff) !== 0) return false;
  if ((a[at] & 0xffff) === AF_INET) return a[at + 1] === b[bt + 1];
  return (
    a[at + 2] === b[bt + 2] &&
    a[at + 3] === b[bt + 3] &&
    a[at + 4] === b[bt + 4] &&
    a[at + 5] === b[bt + 5]
  );
}

/** 32 bits of a host for a hash: equal for equal hosts, an IPv4 address as it is. */
export function hostBits(words: Int32Array, at: number): number {
  if ((words[at] & 0xffff) !== AF_INET6) return words[at + 1];
  const high = Math.imul(words[at + 2], 0x9e3779b1) ^ words[at + 3];
  return Math.imul(high, 0x85ebca6b) ^ Math.imul(words[at + 4], 0xc2b2ae35) ^ words[at + 5];
}

/** A port as the upper half of the first word. */
function bigEndian16(port: number): number {
  return ((port & 0xff) << 24) | ((port & 0xff00) << 8);
}

function swap(word: number): number {
  return ((word >>> 24) | ((word >>> 8) & 0xff00) | ((word & 0xff00) << 8) | (word << 24)) >>> 0;
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
