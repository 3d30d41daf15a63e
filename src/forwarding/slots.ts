import { assert } from '../assert.ts';
import { formatSockaddr, hostBits, SOCKADDR_WORDS, writeSockaddr } from '../sys/sockaddr.ts';
import type { Journal } from './journal.ts';
import {
  findPeer,
  HASH_AT,
  HASH_MASK,
  HASH_PLACE_WORDS,
  hashOf,
  LONGEST_PROBE,
  NO_PEER,
  PEER_ACCOUNT,
  PEER_COUNT,
  PEER_WORDS,
  peerAt,
} from './table.ts';

/** Who counts the traffic of whom; `dataplane/accounts` is one. */
export interface PeerAccounts {
  /** The account of a peer (its public address) that is in the table; 0 if none is left. */
  accountOf(peer: string): number;
  /** The peer is in the table no more. */
  release(peer: string): void;
}

/**
 * The peers of a table: a slot each, as long as a lease names the peer. A free slot goes to the
 * next newcomer at once, because no reader keeps a slot from one table to the next.
 */
export class PeerSlots {
  readonly #port: number;
  readonly #journal: Journal;
  readonly #accounts: PeerAccounts;
  /** The peer that is being looked for. */
  readonly #sought = new Int32Array(SOCKADDR_WORDS);
  /** Of each slot, how many leases name it. */
  readonly #leases: Int32Array;
  readonly #free: number[] = [];
  /** Slots from here on were never used. */
  #next = 0;
  /** Slots whose peer came when all accounts were taken. */
  readonly #uncounted = new Set<number>();

  /**
   * @param most slots there may ever be
   * @param port UDP port of every peer
   */
  constructor(most: number, port: number, journal: Journal, accounts: PeerAccounts) {
    this.#port = port;
    this.#journal = journal;
    this.#accounts = accounts;
    this.#leases = new Int32Array(most);
  }

  /** Takes over a table fresh from `compile`; each of its leases is then told by `adopt`. */
  reset(table: Int32Array): void {
    this.#leases.fill(0, 0, this.#next);
    this.#free.length = 0;
    this.#uncounted.clear();
    this.#next = table[PEER_COUNT];
    for (let slot = 0; slot < this.#next; slot++) {
      if (table[peerAt(table, slot) + PEER_ACCOUNT] === 0) this.#uncounted.add(slot);
    }
  }

  /** The slot of the peer with this public address, or NO_PEER. */
  find(table: Int32Array, peer: string): number {
    writeSockaddr(this.#sought, 0, peer, this.#port);
    return findPeer(table, this.#sought, 0);
  }

  /** One more lease names the peer, which has a slot; returns that. */
  adopt(table: Int32Array, peer: string): number {
    const slot = this.find(table, peer);
    assert(slot !== NO_PEER, 'a lease names a peer without a slot');
    this.#leases[slot]++;
    return slot;
  }

  /** The same for a peer that may be new. */
  hold(table: Int32Array, peer: string): number {
    if (this.find(table, peer) === NO_PEER) this.#enter(table, peer);
    return this.adopt(table, peer);
  }

  /** One lease less names the peer; without any it leaves. */
  drop(table: Int32Array, peer: string): void {
    const slot = this.find(table, peer);
    assert(slot !== NO_PEER, 'a lease named a peer without a slot');
    this.#leases[slot]--;
    if (this.#leases[slot] !== 0) return;
    this.#removeFromHash(table, slot);
    this.#count(table, -1);
    this.#free.push(slot);
    this.#uncounted.delete(slot);
    this.#accounts.release(peer);
  }

  /** Asks again for accounts that could not be had before. */
  countUncounted(table: Int32Array): void {
    for (const slot of this.#uncounted) {
      const row = peerAt(table, slot);
      const at = row + PEER_ACCOUNT;
      const account = this.#accounts.accountOf(formatSockaddr(table, row));
      if (account === 0) return;
      table[at] = account;
      this.#journal.note(at, at + 1);
      this.#uncounted.delete(slot);
    }
  }

  /** The peer last looked for comes in. */
  #enter(table: Int32Array, peer: string): void {
    const slot = this.#free.pop() ?? this.#next++;
    const row = peerAt(table, slot);
    assert(row + PEER_WORDS <= table[HASH_AT], 'more peers than the table has room for');
    const account = this.#accounts.accountOf(peer);
    table.set(this.#sought, row);
    table[row + PEER_ACCOUNT] = account;
    this.#journal.note(row, row + PEER_WORDS);
    if (account === 0) this.#uncounted.add(slot);
    this.#count(table, 1);
    this.#enterHash(table, hostBits(table, row), slot);
  }

  #count(table: Int32Array, step: number): void {
    table[PEER_COUNT] += step;
    this.#journal.note(PEER_COUNT, PEER_COUNT + 1);
  }

  #enterHash(table: Int32Array, bits: number, slot: number): void {
    const mask = table[HASH_MASK];
    let place = hashOf(bits) & mask;
    let probes = 1;
    for (; table[placeAt(table, place) + 1] !== 0; probes++) place = (place + 1) & mask;
    assert(probes <= mask, 'the hash is over half full');
    this.#setPlace(table, place, bits, slot + 1);
    if (probes <= table[LONGEST_PROBE]) return;
    table[LONGEST_PROBE] = probes;
    this.#journal.note(LONGEST_PROBE, LONGEST_PROBE + 1);
  }

  /**
   * Moves up who stands behind the gap and may, so that no mark has to be left in it: marks would
   * fill the hash in the end (Knuth, The Art of Computer Programming, 6.4, algorithm R).
   */
  #removeFromHash(table: Int32Array, slot: number): void {
    const mask = table[HASH_MASK];
    let gap = hashOf(hostBits(table, peerAt(table, slot))) & mask;
    while (table[placeAt(table, gap) + 1] !== slot + 1) gap = (gap + 1) & mask;
    for (let place = (gap + 1) & mask; ; place = (place + 1) & mask) {
      const at = placeAt(table, place);
      const entry = table[at + 1];
      if (entry === 0) break;
      const bits = table[at];
      const home = hashOf(bits) & mask;
      // It stays if its home lies behind the gap, where a search for it would begin.
      if (((place - home) & mask) < ((place - gap) & mask)) continue;
      this.#setPlace(table, gap, bits, entry);
      gap = place;
    }
    this.#setPlace(table, gap, 0, 0);
  }

  #setPlace(table: Int32Array, place: number, bits: number, entry: number): void {
    const at = placeAt(table, place);
    table[at] = bits;
    table[at + 1] = entry;
    this.#journal.note(at, at + HASH_PLACE_WORDS);
  }
}

function placeAt(table: Int32Array, place: number): number {
  return table[HASH_AT] + place * HASH_PLACE_WORDS;
}
