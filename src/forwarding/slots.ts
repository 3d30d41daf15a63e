import { assert } from '../assert.ts';
import type { Journal } from './journal.ts';
import {
  findPeer,
  HASH_AT,
  HASH_MASK,
  HASH_PLACE_WORDS,
  hashOf,
  LONGEST_PROBE,
  NO_PEER,
  PEER_COUNT,
  PEER_WORDS,
  PEERS_AT,
} from './table.ts';

/** Who counts the traffic of whom; `dataplane/accounts` is one. */
export interface PeerAccounts {
  /** The account of a peer (public address, unsigned) that is in the table; 0 if none is left. */
  accountOf(peer: number): number;
  /** The peer is in the table no more. */
  release(peer: number): void;
}

/**
 * The peers of a table: a slot each, as long as a lease names the peer. A free slot goes to the
 * next newcomer at once, because no reader keeps a slot from one table to the next.
 */
export class PeerSlots {
  readonly #journal: Journal;
  readonly #accounts: PeerAccounts;
  /** Of each slot, how many leases name it. */
  readonly #leases: Int32Array;
  readonly #free: number[] = [];
  /** Slots from here on were never used. */
  #next = 0;
  /** Slots whose peer came when all accounts were taken. */
  readonly #uncounted = new Set<number>();

  /** @param most slots there may ever be */
  constructor(most: number, journal: Journal, accounts: PeerAccounts) {
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
      if (table[accountAt(table, slot)] === 0) this.#uncounted.add(slot);
    }
  }

  /** One more lease names the peer (public address, signed), which has a slot; returns that. */
  adopt(table: Int32Array, peer: number): number {
    const slot = findPeer(table, peer);
    assert(slot !== NO_PEER, 'a lease names a peer without a slot');
    this.#leases[slot]++;
    return slot;
  }

  /** The same for a peer that may be new. */
  hold(table: Int32Array, peer: number): number {
    if (findPeer(table, peer) === NO_PEER) this.#enter(table, peer);
    return this.adopt(table, peer);
  }

  /** One lease less names the peer; without any it leaves. */
  drop(table: Int32Array, peer: number): void {
    const slot = findPeer(table, peer);
    assert(slot !== NO_PEER, 'a lease named a peer without a slot');
    this.#leases[slot]--;
    if (this.#leases[slot] !== 0) return;
    this.#removeFromHash(table, peer);
    this.#count(table, -1);
    this.#free.push(slot);
    this.#uncounted.delete(slot);
    this.#accounts.release(peer >>> 0);
  }

  /** Asks again for accounts that could not be had before. */
  countUncounted(table: Int32Array): void {
    for (const slot of this.#uncounted) {
      const at = accountAt(table, slot);
      const account = this.#accounts.accountOf(table[at - 1] >>> 0);
      if (account === 0) return;
      table[at] = account;
      this.#journal.note(at, at + 1);
      this.#uncounted.delete(slot);
    }
  }

  #enter(table: Int32Array, peer: number): void {
    const slot = this.#free.pop() ?? this.#next++;
    const row = accountAt(table, slot) - 1;
    assert(row + PEER_WORDS <= table[HASH_AT], 'more peers than the table has room for');
    const account = this.#accounts.accountOf(peer >>> 0);
    table[row] = peer;
    table[row + 1] = account;
    this.#journal.note(row, row + PEER_WORDS);
    if (account === 0) this.#uncounted.add(slot);
    this.#count(table, 1);
    this.#enterHash(table, peer, slot);
  }

  #count(table: Int32Array, step: number): void {
    table[PEER_COUNT] += step;
    this.#journal.note(PEER_COUNT, PEER_COUNT + 1);
  }

  #enterHash(table: Int32Array, peer: number, slot: number): void {
    const mask = table[HASH_MASK];
    let place = hashOf(peer) & mask;
    let probes = 1;
    for (; table[placeAt(table, place)] !== 0; probes++) place = (place + 1) & mask;
    assert(probes <= mask, 'the hash is over half full');
    this.#setPlace(table, place, peer, slot + 1);
    if (probes <= table[LONGEST_PROBE]) return;
    table[LONGEST_PROBE] = probes;
    this.#journal.note(LONGEST_PROBE, LONGEST_PROBE + 1);
  }

  /**
   * Moves up who stands behind the gap and may, so that no mark has to be left in it: marks would
   * fill the hash in the end (Knuth, The Art of Computer Programming, 6.4, algorithm R).
   */
  #removeFromHash(table: Int32Array, peer: number): void {
    const mask = table[HASH_MASK];
    let gap = hashOf(peer) & mask;
    while (table[placeAt(table, gap)] !== peer) gap = (gap + 1) & mask;
    for (let place = (gap + 1) & mask; ; place = (place + 1) & mask) {
      const at = placeAt(table, place);
      const key = table[at];
      if (key === 0) break;
      const home = hashOf(key) & mask;
      // It stays if its home lies behind the gap, where a search for it would begin.
      if (((place - home) & mask) < ((place - gap) & mask)) continue;
      this.#setPlace(table, gap, key, table[at + 1]);
      gap = place;
    }
    this.#setPlace(table, gap, 0, 0);
  }

  #setPlace(table: Int32Array, place: number, key: number, entry: number): void {
    const at = placeAt(table, place);
    table[at] = key;
    table[at + 1] = entry;
    this.#journal.note(at, at + HASH_PLACE_WORDS);
  }
}

function placeAt(table: Int32Array, place: number): number {
  return table[HASH_AT] + place * HASH_PLACE_WORDS;
}

function accountAt(table: Int32Array, slot: number): number {
  return table[PEERS_AT] + PEER_WORDS * slot + 1;
}
