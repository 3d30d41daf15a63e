import { assert } from '../assert.ts';
import { hostBits, SOCKADDR_WORDS, sameHost, writeSockaddr } from '../sys/sockaddr.ts';
import { maskOf, type Prefix4, prefixContains } from '../wire/address.ts';
import {
  BLOCK_ENTRIES,
  HASH_AT,
  HASH_MASK,
  HASH_PLACE_WORDS,
  hashOf,
  LEASE_COUNT,
  LONGEST_PROBE,
  NETWORK,
  NETWORK_HOST_MASK,
  OWN_HOST_MASK,
  OWN_NETWORK,
  PEER_ACCOUNT,
  PEER_COUNT,
  PEER_WORDS,
  PEERS_AT,
  peerAt,
  ROOT_AT,
  ROOT_COUNT,
  ROOT_FIRST,
  SUSPENDED,
  USED_WORDS,
} from './table.ts';

/** One lease: `length` leading bits of `network` (in the host's order) are behind `peer`. */
export interface Row extends Prefix4 {
  /** The node's public address of either family as canonical text; empty for none. */
  readonly peer: string;
}

/** What a table is for. */
export interface Overlay {
  readonly network: Prefix4;
  /** The node's own share of it. */
  readonly own: Prefix4;
  /** UDP port of every node. */
  readonly port: number;
}

/** The account of a peer, by its public address as in a row; 0 is everybody's. */
export type AccountOf = (peer: string) => number;
const noAccount: AccountOf = () => 0;

/** Where the parts of a table begin, in words from its first. */
interface Layout {
  readonly roots: number;
  readonly peersAt: number;
  readonly hashAt: number;
  readonly hashPlaces: number;
  readonly blocksAt: number;
  readonly end: number;
}

/**
 * Words a table needs so that `leases` of any shape fit in the network. Generous for leases
 * longer than /24, which is free: memory the compiler never touches is never backed by pages.
 */
export function tableCapacity(network: Prefix4, leases: number): number {
  return layoutFor(network, leases).end;
}

/**
 * Fills a table, whatever it held before; what is not used is not cleared. Of two rows for one
 * prefix the later wins. The own subnet is behind no peer: its row is passed over, and a wider
 * row gets a hole. Returns how many rows were left out: malformed ones, those outside the network
 * or inside the own subnet, and, counted from the end, those for which the table is too small.
 * Room is left for leases to come, for `patch` to put in: up to twice as many.
 * @param accountOf asked once for each peer: which account counts its traffic
 */
export function compile(
  table: Int32Array,
  rows: readonly Row[],
  overlay: Overlay,
  accountOf: AccountOf = noAccount,
): number {
  const { own, network } = overlay;
  const usable: Row[] = [];
  let passedOver = 0;
  for (const row of rows) {
    if (row.network === own.network && row.length === own.length) passedOver++;
    else if (isUsable(row, overlay)) usable.push(row);
  }
  const leases = fittingLeases(network, usable.length, table.length);
  usable.length = leases;
  const room = fittingLeases(network, hashedLeases(leases), table.length);
  writeHeader(table, layoutFor(network, room), own, network);
  table[LEASE_COUNT] = leases;
  // As a row without a peer, so that it takes its place among the prefix lengths.
  if (prefixContains(network, own)) usable.push({ ...own, peer: '' });
  insertAll(table, usable, { port: overlay.port, accountOf });
  return rows.length - passedOver - leases;
}

/** Makes a table just filled with no rows one by which nothing passes: the lease is lost. */
export function suspend(table: Int32Array): void {
  table[SUSPENDED] = 1;
}

/** Whether a row belongs into a table, beside the own subnet. */
export function isUsable(row: Row, { own, network }: Overlay): boolean {
  if (!Number.isInteger(row.length) || row.length < 0 || row.length > 32) return false;
  if ((row.network & maskOf(row.length)) >>> 0 !== row.network) return false;
  if (row.peer === '') return false;
  return prefixContains(network, row) && !prefixContains(own, row);
}

/** Leases for which the hash is no larger than for `leases`: as many may come by and by. */
function hashedLeases(leases: number): number {
  let room = 1;
  while (room < leases) room *= 2;
  return room;
}

/** The largest number of leases, up to `wanted`, that are sure to fit in so many words. */
export function fittingLeases(network: Prefix4, wanted: number, words: number): number {
  assert(tableCapacity(network, 0) <= words, 'a table without room for its own header');
  if (tableCapacity(network, wanted) <= words) return wanted;
  let fits = 0;
  let tooMany = wanted;
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >>> 1;
    if (tableCapacity(network, middle) <= words) fits = middle;
    else tooMany = middle;
  }
  return fits;
}

function layoutFor(network: Prefix4, leases: number): Layout {
  const roots = network.length < 16 ? 1 << (16 - network.length) : 1;
  // Every lease may open a block on either level, and the own subnet counts as one lease more.
  const middle = Math.min(leases + 1, roots);
  const last = Math.min(leases + 1, roots * BLOCK_ENTRIES);
  let hashPlaces = 2;
  while (hashPlaces < 2 * leases) hashPlaces *= 2;
  const peersAt = ROOT_AT + roots;
  const hashAt = peersAt + PEER_WORDS * leases;
  const blocksAt = hashAt + hashPlaces * HASH_PLACE_WORDS;
  return {
    roots,
    peersAt,
    hashAt,
    hashPlaces,
    blocksAt,
    end: blocksAt + (middle + last) * BLOCK_ENTRIES,
  };
}

/** What is known of all peers of a table. */
interface Peers {
  readonly port: number;
  readonly accountOf: AccountOf;
}

/** Header words, and an empty root and hash. Blocks are cleared as they are opened. */
function writeHeader(table: Int32Array, layout: Layout, own: Prefix4, network: Prefix4): void {
  table.fill(0, 0, layout.peersAt);
  table.fill(0, layout.hashAt, layout.blocksAt);
  table[OWN_NETWORK] = own.network;
  table[OWN_HOST_MASK] = ~maskOf(own.length);
  table[NETWORK] = network.network;
  table[NETWORK_HOST_MASK] = ~maskOf(network.length);
  table[ROOT_FIRST] = network.network >>> 16;
  table[ROOT_COUNT] = layout.roots;
  table[PEERS_AT] = layout.peersAt;
  table[HASH_AT] = layout.hashAt;
  table[HASH_MASK] = layout.hashPlaces - 1;
  table[USED_WORDS] = layout.blocksAt;
}

/**
 * Shortest prefixes first, so that a longer one overwrites what a shorter one spread. One pass
 * over the rows for each length that occurs, of which there are few, is cheaper than a sort.
 */
function insertAll(table: Int32Array, rows: readonly Row[], peers: Peers): void {
  const occurs = new Array<boolean>(33).fill(false);
  for (const row of rows) occurs[row.length] = true;
  for (const [length, does] of occurs.entries()) {
    if (!does) continue;
    for (const row of rows) if (row.length === length) insert(table, row, peers);
  }
}

function insert(table: Int32Array, row: Row, peers: Peers): void {
  const entry = row.peer === '' ? 0 : slotFor(table, row.peer, peers) + 1;
  let at = ROOT_AT + (row.network >>> 16) - table[ROOT_FIRST];
  let bits = 16;
  if (row.length > 16) {
    at = openBlock(table, at) + ((row.network >>> 8) & 0xff);
    bits = 24;
  }
  if (row.length > 24) {
    at = openBlock(table, at) + (row.network & 0xff);
    bits = 32;
  }
  // Stores rather than fill(), whose call costs more than the one store that most leases need.
  const end = at + (1 << (bits - row.length));
  for (; at < end; at++) table[at] = entry;
}

/** The block behind an entry, made if there is none, with the entry's own answer throughout. */
function openBlock(table: Int32Array, at: number): number {
  const entry = table[at];
  if (entry < 0) return -entry;
  const block = table[USED_WORDS];
  const end = block + BLOCK_ENTRIES;
  assert(end <= table.length, 'a table smaller than tableCapacity said');
  table[USED_WORDS] = end;
  table.fill(entry, block, end);
  table[at] = -block;
  return block;
}

/** The peer that is being looked for. */
const sought = new Int32Array(SOCKADDR_WORDS);

/** The slot of a peer, made at its first appearance, so that equal peers share one. */
function slotFor(table: Int32Array, peer: string, { port, accountOf }: Peers): number {
  writeSockaddr(sought, 0, peer, port);
  const bits = hostBits(sought, 0);
  const mask = table[HASH_MASK];
  let place = hashOf(bits) & mask;
  for (let probes = 1; ; probes++) {
    assert(probes <= mask, 'the hash is over half full');
    const at = table[HASH_AT] + place * HASH_PLACE_WORDS;
    const entry = table[at + 1];
    if (entry !== 0) {
      const isIt = table[at] === bits && sameHost(table, peerAt(table, entry - 1), sought, 0);
      if (isIt) return entry - 1;
    } else {
      const slot = table[PEER_COUNT]++;
      const row = peerAt(table, slot);
      table.set(sought, row);
      table[row + PEER_ACCOUNT] = accountOf(peer);
      table[at] = bits;
      table[at + 1] = slot + 1;
      table[LONGEST_PROBE] = Math.max(table[LONGEST_PROBE], probes);
      return slot;
    }
    place = (place + 1) & mask;
  }
}
