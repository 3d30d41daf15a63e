import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import {
  lookup,
  NO_PEER,
  networkContains,
  ownContains,
  peerCount,
} from '../../src/forwarding/table.ts';
import { compile, findPeer, isPeerAddress, peerAddress, type Row } from '../support/ipv4-peers.ts';
import { type Random, withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';
import {
  type SlowPrefix,
  slowContains,
  slowLookup,
  slowRows,
  slowSize,
} from '../support/slow-table.ts';

const TABLES = rounds(100_000);
const MOST_ROWS = 10;
const EVERYTHING = { network: 0, length: 0 };

interface Case {
  network: SlowPrefix;
  own: SlowPrefix;
  rows: Row[];
}

/** What the table says, in the twin's words. */
function answer(table: Int32Array, address: number): number | undefined {
  const slot = lookup(table, address);
  return slot === NO_PEER ? undefined : peerAddress(table, slot);
}

function prefixAround(address: number, length: number): SlowPrefix {
  const size = 2 ** (32 - length);
  return { network: Math.floor(address / size) * size, length };
}

/** Few distinct addresses with many lengths: nearly every table has overlaps and duplicates. */
function generate(random: Random): Case {
  const anchor = random.uint32();
  const network = prefixAround(anchor, random.pick([0, 1, 7, 8, 12, 15, 16, 17, 20, 24, 28]));
  const size = slowSize(network);
  const inside = () => (random.oneIn(12) ? random.uint32() : network.network + random.below(size));
  const places = [inside(), inside(), inside(), anchor];
  const near = () => (random.pick(places) + random.below(random.pick([1, 2, 256, 65_536]))) >>> 0;
  const length = () => random.between(Math.max(0, network.length - 1), 32);
  const peers = [random.uint32() || 1, random.uint32() || 1, 0xffffffff, 0x80000000];
  const own = prefixAround(near(), length());
  const row = () => ({ ...prefixAround(near(), length()), peer: random.pick(peers) });
  const rows = Array.from({ length: random.below(MOST_ROWS + 1) }, row);
  if (random.oneIn(4)) rows.push({ ...own, peer: peers[0] });
  return { network, own, rows };
}

/** Both sides of both ends of every prefix, and a place within. */
function probesOf({ network, own, rows }: Case, random: Random): number[] {
  const probes = [0, 0xffffffff, random.uint32()];
  for (const prefix of [network, own, ...rows]) {
    const last = prefix.network + slowSize(prefix) - 1;
    probes.push(prefix.network, last, prefix.network + random.below(slowSize(prefix)));
    if (prefix.network > 0) probes.push(prefix.network - 1);
    if (last < 0xffffffff) probes.push(last + 1);
  }
  return probes;
}

function compareWithTwin(table: Int32Array, given: Case, random: Random): void {
  const { network, own, rows } = given;
  const kept = slowRows(rows, own, network);
  const isOwn = (row: Row) => row.network === own.network && row.length === own.length;
  const leftOut = rows.filter((row) => !isOwn(row)).length - kept.length;
  assert.equal(compile(table, rows, own, network), leftOut);
  for (const address of probesOf(given, random)) {
    const slow = slowLookup(kept, own, address);
    if (answer(table, address) !== slow || lookup(table, address | 0) !== lookup(table, address)) {
      assert.equal(answer(table, address), slow, `${address} in ${JSON.stringify(given)}`);
      assert.fail(`${address} signed and unsigned differ in ${JSON.stringify(given)}`);
    }
    assert.equal(ownContains(table, address), slowContains(own, address));
    assert.equal(networkContains(table, address), slowContains(network, address));
  }
  const peers = new Set(kept.map((row) => row.peer));
  assert.equal(peerCount(table), peers.size);
  for (const peer of peers) assert.equal(peerAddress(table, findPeer(table, peer)), peer);
  for (const row of rows) assert.equal(isPeerAddress(table, row.peer), peers.has(row.peer));
  assert.ok(!isPeerAddress(table, 0));
}

test('a hundred thousand tables with overlaps answer as the list does', () => {
  withSeed((random) => {
    // The same memory throughout, and rubbish at first: a table must not remember.
    const shared = new Int32Array(tableCapacity(EVERYTHING, MOST_ROWS + 1));
    for (let at = 0; at < shared.length; at++) shared[at] = random.uint32();
    for (let round = 0; round < TABLES; round++) {
      const given = generate(random);
      const isExact = random.oneIn(16) && given.network.length > 4;
      const words = tableCapacity(given.network, given.rows.length);
      compareWithTwin(isExact ? new Int32Array(words) : shared, given, random);
    }
  });
});

test('every address of a crowded /16 answers as the list does', () => {
  withSeed((random) => {
    const network = prefixAround(random.uint32(), 16);
    const within = () => network.network + random.below(65_536);
    const rows = Array.from({ length: 60 }, () => ({
      ...prefixAround(within(), random.between(16, 32)),
      peer: random.between(1, 9),
    }));
    const own = prefixAround(within(), 24);
    const table = new Int32Array(tableCapacity(network, rows.length));
    compile(table, rows, own, network);
    const kept = slowRows(rows, own, network);
    for (let low = 0; low < 65_536; low++) {
      const address = network.network + low;
      const slow = slowLookup(kept, own, address);
      if (answer(table, address) !== slow) assert.equal(answer(table, address), slow);
    }
  });
});

test('leases that come, move and go', () => {
  withSeed((random) => {
    const network = { network: 0x0a000000, length: 8 };
    const own = { network: 0x0a000000, length: 24 };
    const leases = new Map<number, Row>();
    const table = new Int32Array(tableCapacity(network, 64));
    for (let step = 0; step < 3000; step++) {
      const prefix = { network: network.network + random.below(64) * 256, length: 24 };
      if (random.oneIn(3)) leases.delete(prefix.network);
      else leases.set(prefix.network, { ...prefix, peer: random.between(1, 40) });
      const rows = [...leases.values()];
      compile(table, rows, own, network);
      for (let third = 0; third < 65; third++) {
        const address = network.network + third * 256 + random.below(256);
        const lease = third === 0 ? undefined : leases.get(network.network + third * 256);
        assert.equal(answer(table, address), lease?.peer);
      }
    }
  });
});

test('a table never filled knows nobody', () => {
  const table = new Int32Array(tableCapacity(EVERYTHING, 1));
  for (const address of [1, 0x0a000001, 0x7fffffff, 0x80000000, 0xffffffff]) {
    assert.equal(lookup(table, address), NO_PEER);
    assert.equal(findPeer(table, address), NO_PEER);
    assert.ok(!ownContains(table, address));
    assert.ok(!networkContains(table, address));
  }
});
