import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { prefixNumber } from '../../src/forwarding/patch.ts';
import { createPublication, type Publication, publish } from '../../src/forwarding/publication.ts';
import {
  findPeer as findWords,
  HASH_AT,
  LEASE_COUNT,
  lookup,
  NO_PEER,
  peerAccount,
  peerCount,
  ROOT_AT,
  USED_WORDS,
} from '../../src/forwarding/table.ts';
import type { Prefix4 } from '../../src/wire/address.ts';
import {
  compile,
  findPeer,
  nameOf,
  peerAddress,
  type Row,
  TablePatcher,
} from '../support/ipv4-peers.ts';
import { createRandom, type Random, runSeed, withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';
import { slowSize } from '../support/slow-table.ts';

const seed = runSeed();
const CHURN = rounds(1_000_000);
const DEEP = { network: 0x0a000000, length: 8 };
const NARROW = { network: 0x0a030000, length: 20 };

const accountOf = (peer: number) => (peer % 1000) + 1;

/** Knows who is in the table by what it was told. */
class Book {
  readonly present = new Set<number>();
  accountOf(peer: number): number {
    this.present.add(peer);
    return accountOf(peer);
  }
  release(peer: number): void {
    assert.ok(this.present.delete(peer), `${peer} left without having been there`);
  }
}

/** A table under patches beside the rows that it should hold. */
class Rig {
  readonly own: Prefix4;
  readonly network: Prefix4;
  readonly book = new Book();
  readonly rows = new Map<number, Row>();
  readonly publication: Publication;
  readonly patcher: TablePatcher;
  readonly #twin: Int32Array;

  constructor(own: Prefix4, network: Prefix4, leases: number) {
    this.own = own;
    this.network = network;
    const words = tableCapacity(network, leases);
    this.publication = createPublication(0, words);
    this.patcher = new TablePatcher(own, network, words, this.book);
    this.#twin = new Int32Array(words);
  }

  get table(): Int32Array {
    return this.publication.tables[this.publication.control[0] & 1];
  }

  /** Of several changes of a prefix the last counts, as in `PeerTable`. */
  update(changes: readonly Row[]): number {
    const last = new Map(changes.map((row) => [prefixNumber(row), row]));
    for (const [id, row] of last) {
      if (row.peer === 0) this.rows.delete(id);
      else this.rows.set(id, row);
    }
    let leftOut = -1;
    const fill = (idle: Int32Array, current: Int32Array) => {
      leftOut = this.patcher.update(idle, current, [...last.values()]);
    };
    assert.ok(publish(this.publication, fill));
    return leftOut;
  }

  reset(): void {
    this.patcher.reset();
    this.rows.clear();
  }

  /** The table compiled whole from the same rows. */
  twin(): { table: Int32Array; leftOut: number } {
    const leftOut = compile(this.#twin, [...this.rows.values()], this.own, this.network);
    return { table: this.#twin, leftOut };
  }

  /** Every address says what the twin says, and so does every peer. */
  compare(addresses: Iterable<number>): void {
    const { table } = this;
    const { table: twin } = this.twin();
    for (const address of addresses) {
      const found = answer(table, address);
      if (found !== answer(twin, address)) assert.equal(found, answer(twin, address), `${address}`);
    }
    assert.equal(peerCount(table), peerCount(twin));
    assert.equal(table[LEASE_COUNT], twin[LEASE_COUNT]);
    const peers = new Set<number>();
    for (const { peer } of this.rows.values()) {
      const slot = findPeer(table, peer);
      assert.equal(slot === NO_PEER, findPeer(twin, peer) === NO_PEER);
      if (slot === NO_PEER) continue;
      peers.add(peer);
      assert.equal(peerAddress(table, slot), peer);
      assert.equal(peerAccount(table, slot), accountOf(peer));
    }
    assert.deepEqual(this.book.present, peers);
  }
}

function answer(table: Int32Array, address: number): number | undefined {
  const slot = lookup(table, address);
  return slot === NO_PEER ? undefined : peerAddress(table, slot);
}

function prefixOf(address: number, length: number): Prefix4 {
  const size = 2 ** (32 - length);
  return { network: Math.floor(address / size) * size, length };
}

/** Both sides of both ends of a prefix. */
function edgesOf(prefix: Prefix4): number[] {
  const last = prefix.network + slowSize(prefix) - 1;
  const outside = [prefix.network - 1, last + 1].map((address) => address >>> 0);
  return [prefix.network, last, ...outside];
}

/** Prefixes on top of each other and side by side, of any length; few, so that they come again. */
function prefixes(network: Prefix4) {
  const near = fc.constantFrom(0, 1, 255, 256, 511, 512, 0x0fff, 0x1_0000, 0x1_0100, 0x20_0000);
  const length = fc.oneof(
    fc.constantFrom(8, 12, 15, 16, 17, 22, 23, 24, 25, 26, 30, 31, 32),
    fc.integer({ min: 6, max: 32 }),
  );
  return fc.tuple(near, length).map(([offset, bits]) => prefixOf(network.network + offset, bits));
}

/** Peers beside each other in the hash and far apart, high bit set and not; 0 removes. */
const PEERS = [1, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff, 0xac100001, 0xac100002, 0xac100003];
const peer = fc.oneof(fc.constant(0), fc.constantFrom(...PEERS));

type Step = 'reset' | readonly Row[];

function steps(network: Prefix4): fc.Arbitrary<Step[]> {
  const row = fc
    .tuple(prefixes(network), peer)
    .map(([prefix, of]): Row => ({ ...prefix, peer: of }));
  const batch = fc.array(row, { maxLength: 12 });
  const step = fc.oneof({ weight: 12, arbitrary: batch }, fc.constant<Step>('reset'));
  return fc.array(step, { minLength: 1, maxLength: 30 });
}

/** Does the steps; after each the table must say what the twin does. */
function walk(rig: Rig, steps: readonly Step[], random: Random): void {
  const seen = new Set(edgesOf(rig.own));
  for (const step of steps) {
    if (step === 'reset') rig.reset();
    const changes = step === 'reset' ? [] : step;
    const before = rig.table;
    const was = before.slice(0, before[USED_WORDS]);
    const leftOut = rig.update(changes);
    assert.equal(leftOut, rig.twin().leftOut);
    assert.notEqual(rig.table, before);
    assert.deepEqual(before.subarray(0, was.length), was, 'the table of readers was written');
    for (const row of changes) for (const edge of edgesOf(row)) seen.add(edge);
    const anywhere = Array.from({ length: 20 }, () => rig.network.network + random.below(2 ** 24));
    rig.compare([...seen, ...anywhere]);
  }
  rig.update([]);
  rig.update([]);
  const [one, other] = rig.publication.tables;
  // What is compiled without leases leaves words that nobody reads.
  if (one[LEASE_COUNT] === 0) return;
  const used = (table: Int32Array) => table.subarray(0, table[USED_WORDS]);
  assert.deepEqual(used(one), used(other), 'the copies differ though nothing changed');
}

for (const network of [DEEP, NARROW]) {
  const own = { network: network.network + 256, length: 24 };
  test(`changes in a /${network.length} leave what a whole compile makes`, () => {
    fc.assert(
      fc.property(steps(network), fc.integer(), (given, random) => {
        walk(new Rig(own, network, 300), given, createRandom(random));
      }),
      { seed, numRuns: 600 },
    );
  });
}

test('leases that outgrow the table are left out, and come in when there is room', () => {
  const own = { network: 0x0a03_0f00, length: 24 };
  fc.assert(
    fc.property(steps(NARROW), (given) => {
      const rig = new Rig(own, NARROW, 4);
      for (const step of given) {
        if (step === 'reset') rig.reset();
        assert.equal(rig.update(step === 'reset' ? [] : step), rig.twin().leftOut);
        rig.compare([...rig.rows.values()].flatMap(edgesOf));
      }
    }),
    { seed, numRuns: 300 },
  );
});

test('malformed changes are left out, and harm nothing', () => {
  const rig = new Rig({ network: 0x0a000000, length: 24 }, DEEP, 8);
  const good = { network: 0x0a000100, length: 32, peer: 7 };
  rig.update([good]);
  const bad: Row[] = [
    { ...good, length: 33 },
    { ...good, network: 0x0a0000ff, length: 96 },
    { ...good, length: Number.NaN },
    { ...good, network: good.network + 0.5 },
    { ...good, network: good.network + 2 ** 32 },
    { ...good, network: good.network + 1, length: 24 },
    { network: 0x0b000000, length: 24, peer: 7 },
  ];
  for (const row of bad) {
    assert.ok(rig.update([row]) >= 1, JSON.stringify(row));
    assert.equal(rig.update([{ ...row, peer: 0 }]), 0);
    assert.equal(answer(rig.table, good.network), 7);
  }
});

/** The `index`th /24 of the /8 behind the `index`th peer, or another. */
function lease(index: number, of = 0xac100000 + index): Row {
  return { network: DEEP.network + (index + 1) * 256, length: 24, peer: of };
}

test('peers that stay keep their slots, and slots of those that left are used again', () => {
  const leases = 1000;
  const rig = new Rig({ network: 0x0a000000, length: 24 }, DEEP, 2 * leases);
  rig.update(Array.from({ length: leases }, (_, index) => lease(index)));
  const first = [...rig.rows.values()];
  const names = first.map(({ peer }) => nameOf(peer).slice());
  const slots = () => names.map((name) => findWords(rig.table, name, 0));
  const staying = slots();
  withSeed((random) => {
    for (let round = 0; round < rounds(2000); round++) {
      // At most 10 leases more than there were: they fit.
      const changes = Array.from({ length: random.below(10) }, () => {
        const index = leases + random.below(10);
        return lease(index, random.oneIn(3) ? 0 : 1 + random.below(1e9));
      });
      rig.update(changes);
      assert.deepEqual(slots(), staying);
      for (const { network, peer } of rig.rows.values()) {
        if (network < lease(leases).network) continue;
        assert.ok(findPeer(rig.table, peer) < leases + 10, 'a slot more than there were peers');
      }
    }
  });
});

test('room is made as leases come, and given back when most have gone', () => {
  const most = 4096;
  const rig = new Rig({ network: 0x0a000000, length: 24 }, DEEP, most);
  const roomNow = () => rig.table[HASH_AT] - ROOT_AT;
  for (let index = 0; index < most; index++) rig.update([lease(index)]);
  rig.compare([...rig.rows.values()].map(({ network }) => network));
  const full = roomNow();
  for (let index = 0; index < most - 4; index++) rig.update([lease(index, 0)]);
  rig.compare([...rig.rows.values()].map(({ network }) => network));
  assert.ok(roomNow() < full / 8, `${roomNow()} of ${full} words`);
});

test(`${CHURN} changes of the same leases over and over leave the table no larger`, () => {
  withSeed((random) => {
    const places = Array.from({ length: 600 }, () => {
      const address = DEEP.network + random.below(2 ** 20);
      return prefixOf(address, random.pick([12, 15, 16, 18, 20, 22, 24, 24, 24, 26, 28, 30, 32]));
    });
    const rig = new Rig({ network: 0x0a00_0100, length: 24 }, DEEP, places.length);
    const edges = places.flatMap(edgesOf);
    // All places at once, which no moment of the churn can outdo.
    for (const place of places) rig.rows.set(prefixNumber(place), { ...place, peer: 1 });
    const { table: whole } = rig.twin();
    const blocks = whole[USED_WORDS] - whole[HASH_AT];
    rig.reset();
    let changed = 0;
    for (let round = 0; changed < CHURN; round++) {
      const changes = Array.from({ length: random.between(1, 20) }, () => {
        return { ...random.pick(places), peer: random.oneIn(2) ? 0 : random.between(1, 5000) };
      });
      changed += changes.length;
      rig.update(changes);
      const { table } = rig;
      const size = table[USED_WORDS] - table[HASH_AT];
      if (size > blocks) assert.fail(`${size} words for what takes ${blocks} at most`);
      if (round % 5000 === 0) rig.compare(edges);
    }
    rig.compare(edges);
  });
});
