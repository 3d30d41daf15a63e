import { hostBits, SOCKADDR_WORDS, sameHost } from '../sys/sockaddr.ts';

/**
 * Leases as flat memory: one Int32Array that a worker only indexes. It begins with a header of
 * fixed words; then come
 *   root    one entry for each /16 of the overlay network
 *   peers   slot → socket address, ready for the kernel, and the account that counts its traffic
 *   hash    host → slot, open addressing, at most half full
 *   blocks  256 entries each, for the third and the fourth byte of an address
 * An entry is 0 for no peer, slot + 1 for a peer, or minus the index of the block that says more.
 * A table never filled is all zeros and has no peers. On the path a peer is its slot and nothing
 * else: who needs the address copies its words, whatever the family.
 */

/** What a look-up without an answer returns. */
export const NO_PEER = -1;

/** Header words. Masks are kept inverted, so that a table never filled contains no network. */
export const OWN_NETWORK = 0;
export const OWN_HOST_MASK = 1;
export const NETWORK = 2;
export const NETWORK_HOST_MASK = 3;
export const ROOT_FIRST = 4;
export const ROOT_COUNT = 5;
export const PEERS_AT = 6;
export const PEER_COUNT = 7;
export const LEASE_COUNT = 8;
export const HASH_AT = 9;
export const HASH_MASK = 10;
export const LONGEST_PROBE = 11;
export const USED_WORDS = 12;
/** 1 where the node's own lease is lost, and nothing may pass; `suspend` of the compiler's. */
export const SUSPENDED = 13;

/** The root follows the header, at a fixed place, which saves the look-up a load. */
export const ROOT_AT = 16;
export const BLOCK_ENTRIES = 256;
/** Of each peer: the words of its socket address, then its account. */
export const PEER_WORDS = SOCKADDR_WORDS + 1;
export const PEER_ACCOUNT = SOCKADDR_WORDS;
/** `hostBits` of the peer, then slot + 1, which is 0 in an empty place. */
export const HASH_PLACE_WORDS = 2;

/**
 * The slot of the peer behind an address (host order, signed or unsigned), or NO_PEER. The
 * longest prefix wins. At most three dependent loads.
 */
export function lookup(table: Int32Array, address: number): number {
  const index = (address >>> 16) - table[ROOT_FIRST];
  if (index >>> 0 >= table[ROOT_COUNT]) return NO_PEER;
  let entry = table[ROOT_AT + index];
  if (entry < 0) entry = table[((address >>> 8) & 0xff) - entry];
  if (entry < 0) entry = table[(address & 0xff) - entry];
  return entry - 1;
}

/** Where the socket address of a slot that `lookup` returned begins, in words. */
export function peerAt(table: Int32Array, slot: number): number {
  return table[PEERS_AT] + PEER_WORDS * slot;
}

/** The account of a slot that `lookup` returned: where its traffic is counted. */
export function peerAccount(table: Int32Array, slot: number): number {
  return table[table[PEERS_AT] + PEER_WORDS * slot + PEER_ACCOUNT];
}

/** How many peers there are. Slots count from 0, with gaps where peers have left. */
export function peerCount(table: Int32Array): number {
  return table[PEER_COUNT];
}

/**
 * The slot of the peer whose socket address, but for the port, stands in `words` at `from`, or
 * NO_PEER. Probes are few and bounded.
 */
export function findPeer(table: Int32Array, words: Int32Array, from: number): number {
  const mask = table[HASH_MASK];
  const bits = hostBits(words, from);
  let place = hashOf(bits) & mask;
  for (let probes = table[LONGEST_PROBE]; probes > 0; probes--) {
    const at = table[HASH_AT] + place * HASH_PLACE_WORDS;
    const entry = table[at + 1];
    if (entry === 0) return NO_PEER;
    if (table[at] === bits && sameHost(table, peerAt(table, entry - 1), words, from)) {
      return entry - 1;
    }
    place = (place + 1) & mask;
  }
  return NO_PEER;
}

/** Whether an address lies in this node's own subnet. */
export function ownContains(table: Int32Array, address: number): boolean {
  return ((address ^ table[OWN_NETWORK]) & ~table[OWN_HOST_MASK]) === 0;
}

/** Whether an address lies in the overlay network. */
export function networkContains(table: Int32Array, address: number): boolean {
  return ((address ^ table[NETWORK]) & ~table[NETWORK_HOST_MASK]) === 0;
}

/** Whether nothing may pass, for the node's lease is lost; such a table has no peers. */
export function isSuspended(table: Int32Array): boolean {
  return table[SUSPENDED] !== 0;
}

/** Spreads hosts that differ in few bits, as nodes do, over all 32. */
export function hashOf(bits: number): number {
  let hash = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
