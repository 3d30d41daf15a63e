import { assert } from '../assert.ts';
import { formatSockaddr } from '../sys/sockaddr.ts';
import { maskOf, type Prefix4, prefixContains } from '../wire/address.ts';
import { compile, fittingLeases, isUsable, type Overlay, type Row } from './compile.ts';
import { Journal } from './journal.ts';
import { type PeerAccounts, PeerSlots } from './slots.ts';
import {
  BLOCK_ENTRIES,
  findPeer,
  HASH_AT,
  HASH_MASK,
  HASH_PLACE_WORDS,
  LEASE_COUNT,
  NO_PEER,
  PEER_WORDS,
  PEERS_AT,
  peerAt,
  ROOT_AT,
  ROOT_FIRST,
  USED_WORDS,
} from './table.ts';

/**
 * Tables that follow single leases, at the cost of what changes: the idle copy first catches up
 * with the current one by the words that were written last, then each change is put in or taken
 * out. The whole is compiled where that cannot be: at first, after `reset`, and when the leases
 * outgrow the room or leave most of it empty, so that memory goes with what is there.
 *
 * What flat memory does not say is kept here, for the copy written last:
 *   owner        of an entry: length of the lease that it answers for, plus 1; 0 for nobody's
 *   blockLeases  of a block: leases longer than the prefix it stands for; without any it is freed
 * A lease overwrites the entries of shorter ones alone; one that goes leaves its entries to the
 * longest that covers it. Slots and blocks are used again at once: readers keep neither from one
 * table to the next, and the copy that they may be in is not written.
 */

/** One change: the peer of that prefix now, or the empty text where it has none any more. */
export type Change = Row;

/** A table compiled anew is at least half full, so this much emptier is worth another. */
const MOSTLY_EMPTY = 8;

export class TablePatcher {
  readonly #overlay: Overlay;
  readonly #accounts: PeerAccounts;
  readonly #journal = new Journal();
  readonly #slots: PeerSlots;
  /** Usable rows by `prefixNumber`: their peer; the empty text of the own subnet. */
  readonly #rows = new Map<number, string>();
  /** How many rows there are of each length. */
  readonly #lengths = new Int32Array(33);
  readonly #leftOut = new Set<number>();
  readonly #owners: Uint8Array;
  readonly #blockLeases: Int32Array;
  readonly #freeBlocks: number[] = [];
  /** Whether all this is true of the copy that was written last. */
  #sound = false;

  /** @param words of each copy, from `tableCapacity` */
  constructor(overlay: Overlay, words: number, accounts: PeerAccounts) {
    this.#overlay = overlay;
    this.#accounts = accounts;
    const most = fittingLeases(overlay.network, words, words);
    this.#slots = new PeerSlots(most, overlay.port, this.#journal, accounts);
    this.#owners = new Uint8Array(words);
    this.#blockLeases = new Int32Array(Math.ceil(words / BLOCK_ENTRIES));
    this.reset();
  }

  /** Forgets all leases; the next update begins with none. */
  reset(): void {
    this.#rows.clear();
    this.#leftOut.clear();
    this.#lengths.fill(0);
    this.#sound = false;
    if (this.#hasOwn()) this.#enterRow(this.#overlay.own, '');
  }

  /**
   * Makes `idle` what `current` is with the changes made, at most one of each prefix. Between
   * two updates `idle` and `current` must have changed places. Returns how many rows are left out,
   * as `compile` does.
   */
  update(idle: Int32Array, current: Int32Array, changes: readonly Change[]): number {
    const patches = this.#sound && this.#hasRoom(current, this.#leasesAfter(changes));
    // Until all is through: what throws on the way is mended by a whole table.
    this.#sound = false;
    if (!patches) return this.#compile(idle, current, changes);
    this.#journal.replay(current, idle, current[USED_WORDS]);
    this.#slots.countUncounted(idle);
    // Room is for as many as there are in the end: who leaves makes it for who comes.
    for (const row of changes) if (!this.#takes(row)) this.#remove(idle, row);
    for (const row of changes) if (this.#takes(row)) this.#set(idle, row);
    idle[LEASE_COUNT] = this.#leases();
    this.#journal.note(LEASE_COUNT, LEASE_COUNT + 1);
    this.#sound = true;
    return this.#leftOut.size;
  }

  #compile(idle: Int32Array, current: Int32Array, changes: readonly Change[]): number {
    for (const row of changes) {
      if (this.#takes(row)) this.#enterRow(row, row.peer);
      else this.#removeRow(row);
    }
    const rows = this.#listRows();
    const accountOf = (peer: string) => this.#accounts.accountOf(peer);
    const tooMany = compile(idle, rows, this.#overlay, accountOf);
    this.#releaseMissing(idle, current);
    this.#journal.noteEverything();
    // With some left out every update is a whole one, as nobody knows which fits next.
    if (tooMany === 0) this.#adopt(idle, rows);
    return this.#leftOut.size + tooMany;
  }

  #releaseMissing(table: Int32Array, before: Int32Array): void {
    // A table never filled has no hash.
    const places = before[HASH_AT] === 0 ? 0 : before[HASH_MASK] + 1;
    for (let place = 0; place < places; place++) {
      const entry = before[before[HASH_AT] + place * HASH_PLACE_WORDS + 1];
      if (entry === 0) continue;
      const at = peerAt(before, entry - 1);
      if (findPeer(table, before, at) !== NO_PEER) continue;
      this.#accounts.release(formatSockaddr(before, at));
    }
  }

  #listRows(): Row[] {
    const rows: Row[] = [];
    for (const [id, peer] of this.#rows) {
      if (peer === '') continue;
      rows.push({ network: Math.floor(id / LENGTHS), length: id % LENGTHS, peer });
    }
    return rows;
  }

  /** Learns what a compiled table does not say: shortest first, as it was compiled. */
  #adopt(table: Int32Array, rows: readonly Row[]): void {
    const { own } = this.#overlay;
    const used = table[USED_WORDS];
    this.#slots.reset(table);
    this.#freeBlocks.length = 0;
    this.#owners.fill(0, ROOT_AT, table[PEERS_AT]);
    this.#owners.fill(0, blocksAt(table), used);
    this.#blockLeases.fill(0, 0, this.#blockNumber(table, used));
    for (const [length, count] of this.#lengths.entries()) {
      if (count === 0) continue;
      for (const row of rows) {
        if (row.length !== length) continue;
        this.#insert(table, row, this.#slots.adopt(table, row.peer) + 1);
      }
      if (length === own.length && this.#hasOwn()) this.#insert(table, own, 0);
    }
    this.#sound = true;
  }

  #hasRoom(table: Int32Array, leases: number): boolean {
    const room = (table[HASH_AT] - table[PEERS_AT]) / PEER_WORDS;
    return leases <= room && leases * MOSTLY_EMPTY >= room;
  }

  #leases(): number {
    return this.#rows.size - Number(this.#hasOwn());
  }

  #hasOwn(): boolean {
    return prefixContains(this.#overlay.network, this.#overlay.own);
  }

  #leasesAfter(changes: readonly Change[]): number {
    let leases = this.#leases();
    for (const row of changes) {
      const is = Number(this.#rows.has(prefixNumber(row)));
      leases += Number(this.#takes(row)) - (this.#isOwn(row) ? 0 : is);
    }
    return leases;
  }

  #isOwn(row: Row): boolean {
    const { own } = this.#overlay;
    return row.network === own.network && row.length === own.length;
  }

  #takes(row: Row): boolean {
    return isUsable(row, this.#overlay);
  }

  #enterRow(row: Prefix4, peer: string): void {
    const id = prefixNumber(row);
    const before = this.#rows.size;
    this.#rows.set(id, peer);
    this.#lengths[row.length] += this.#rows.size - before;
    this.#leftOut.delete(id);
  }

  /** Also of rows that cannot be used, which are then counted. True if the prefix had a peer. */
  #removeRow(row: Row): boolean {
    const id = prefixNumber(row);
    if (this.#isOwn(row)) return false;
    if (row.peer === '') this.#leftOut.delete(id);
    else this.#leftOut.add(id);
    const had = this.#rows.delete(id);
    if (had) this.#lengths[row.length]--;
    return had;
  }

  #set(table: Int32Array, row: Row): void {
    const { peer } = row;
    const before = this.#rows.get(prefixNumber(row));
    if (before === peer) return;
    if (before !== undefined) this.#slots.drop(table, before);
    const entry = this.#slots.hold(table, peer) + 1;
    if (before === undefined) this.#insert(table, row, entry);
    else this.#replace(table, row, entry, row.length + 1);
    this.#enterRow(row, peer);
  }

  #remove(table: Int32Array, row: Row): void {
    const before = this.#rows.get(prefixNumber(row));
    if (!this.#removeRow(row)) return;
    const cover = this.#cover(row);
    const isPeers = cover !== undefined && cover.peer !== '';
    const entry = isPeers ? this.#slots.find(table, cover.peer) + 1 : 0;
    this.#replace(table, row, entry, cover === undefined ? 0 : cover.length + 1);
    this.#close(table, row);
    this.#slots.drop(table, before!);
  }

  /** The longest other lease that covers a prefix. */
  #cover(prefix: Prefix4): Row | undefined {
    for (let length = prefix.length - 1; length >= 0; length--) {
      if (this.#lengths[length] === 0) continue;
      const network = (prefix.network & maskOf(length)) >>> 0;
      const peer = this.#rows.get(prefixNumber({ network, length }));
      if (peer !== undefined) return { network, length, peer };
    }
    return undefined;
  }

  /** Opens the blocks on the way to a new lease, and writes it over shorter ones. */
  #insert(table: Int32Array, { network, length }: Prefix4, entry: number): void {
    let at = rootOf(table, network);
    if (length > 16) at = this.#open(table, at) + ((network >>> 8) & 0xff);
    if (length > 24) at = this.#open(table, at) + (network & 0xff);
    this.#spread(table, at, at + entriesOf(length), entry, length + 1);
  }

  #spread(table: Int32Array, from: number, end: number, entry: number, owner: number): void {
    this.#journal.note(from, end);
    for (let at = from; at < end; at++) {
      const found = table[at];
      if (found < 0) this.#spread(table, -found, BLOCK_ENTRIES - found, entry, owner);
      else if (this.#owners[at] < owner) this.#setEntry(table, at, entry, owner);
    }
  }

  /** Gives the entries that answer for a lease another answer, of `owner`. */
  #replace(table: Int32Array, { network, length }: Prefix4, entry: number, owner: number): void {
    let at = rootOf(table, network);
    if (length > 16) at = ((network >>> 8) & 0xff) - table[at];
    if (length > 24) at = (network & 0xff) - table[at];
    const change = (from: number, end: number): void => {
      this.#journal.note(from, end);
      for (let at = from; at < end; at++) {
        const found = table[at];
        if (found < 0) change(-found, BLOCK_ENTRIES - found);
        else if (this.#owners[at] === length + 1) this.#setEntry(table, at, entry, owner);
      }
    };
    change(at, at + entriesOf(length));
  }

  /** The block behind an entry, made if there is none, with one lease more in it. */
  #open(table: Int32Array, at: number): number {
    const entry = table[at];
    const block = entry < 0 ? -entry : this.#takeBlock(table);
    this.#blockLeases[this.#blockNumber(table, block)]++;
    if (entry < 0) return block;
    table.fill(entry, block, block + BLOCK_ENTRIES);
    this.#owners.fill(this.#owners[at], block, block + BLOCK_ENTRIES);
    this.#journal.note(block, block + BLOCK_ENTRIES);
    table[at] = -block;
    this.#journal.note(at, at + 1);
    return block;
  }

  #takeBlock(table: Int32Array): number {
    const free = this.#freeBlocks.pop();
    if (free !== undefined) return free;
    const block = table[USED_WORDS];
    assert(block + BLOCK_ENTRIES <= table.length, 'more blocks than leases can open');
    table[USED_WORDS] += BLOCK_ENTRIES;
    this.#journal.note(USED_WORDS, USED_WORDS + 1);
    return block;
  }

  /** One lease less in the blocks on the way to it, the last first. */
  #close(table: Int32Array, { network, length }: Prefix4): void {
    if (length <= 16) return;
    const root = rootOf(table, network);
    if (length > 24) this.#leaveBlock(table, ((network >>> 8) & 0xff) - table[root]);
    this.#leaveBlock(table, root);
  }

  /** Without a lease of its own all entries of a block are alike, and one says as much. */
  #leaveBlock(table: Int32Array, at: number): void {
    const block = -table[at];
    if (--this.#blockLeases[this.#blockNumber(table, block)] > 0) return;
    this.#setEntry(table, at, table[block], this.#owners[block]);
    this.#journal.note(at, at + 1);
    this.#freeBlocks.push(block);
  }

  #setEntry(table: Int32Array, at: number, entry: number, owner: number): void {
    table[at] = entry;
    this.#owners[at] = owner;
  }

  #blockNumber(table: Int32Array, block: number): number {
    return (block - blocksAt(table)) / BLOCK_ENTRIES;
  }
}

const LENGTHS = 64;

/**
 * A prefix as one number: 64 lengths a network, far below 2^53. What is no prefix has none of the
 * numbers that prefixes have.
 */
export function prefixNumber({ network, length }: Prefix4): number {
  return length >= 0 && length <= 32 ? network * LENGTHS + length : Number.NaN;
}

function rootOf(table: Int32Array, network: number): number {
  return ROOT_AT + (network >>> 16) - table[ROOT_FIRST];
}

/** Entries of a lease in the part of the table that its length leads to. */
function entriesOf(length: number): number {
  if (length <= 16) return 1 << (16 - length);
  return 1 << ((length <= 24 ? 24 : 32) - length);
}

/** Where the layout of `compile` has the first block. */
function blocksAt(table: Int32Array): number {
  return table[HASH_AT] + (table[HASH_MASK] + 1) * HASH_PLACE_WORDS;
}
