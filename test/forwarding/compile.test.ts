import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import {
  HASH_MASK,
  LEASE_COUNT,
  LONGEST_PROBE,
  lookup,
  NO_PEER,
  peerCount,
} from '../../src/forwarding/table.ts';
import { compile, isPeerAddress, peerAddress, type Row } from '../support/ipv4-peers.ts';
import { runSeed, withSeed } from '../support/random.ts';

const seed = runSeed();
const NETWORK = { network: 0x0a000000, length: 8 };
const OWN = { network: 0x0a000000, length: 24 };
const MANY = 65_536;

/** The `index`th /24 of the network, the first of which is our own. */
function lease(index: number, peer: number): Row {
  return { network: NETWORK.network + (index + 1) * 256, length: 24, peer };
}

function compiled(rows: readonly Row[], leases = rows.length): Int32Array {
  const table = new Int32Array(tableCapacity(NETWORK, leases));
  compile(table, rows, OWN, NETWORK);
  return table;
}

test('equal peers share a slot, and slots count from 0 in order of appearance', () => {
  const table = compiled([lease(0, 7), lease(1, 9), lease(2, 7), lease(3, 0xffffffff)]);
  assert.equal(peerCount(table), 3);
  const slots = [1, 2, 3, 4].map((index) => lookup(table, NETWORK.network + index * 256 + 5));
  assert.deepEqual(slots, [0, 1, 0, 2]);
  assert.deepEqual(
    [0, 1, 2].map((slot) => peerAddress(table, slot)),
    [7, 9, 0xffffffff],
  );
  assert.equal(table[LEASE_COUNT], 4);
});

test('of two leases for one subnet the later wins', () => {
  const table = compiled([lease(0, 7), lease(0, 8)]);
  assert.equal(peerAddress(table, lookup(table, lease(0, 0).network)), 8);
});

test('the own subnet is behind no peer, whoever claims it', () => {
  const rows = [
    { ...NETWORK, peer: 1 },
    { ...OWN, peer: 2 },
    { network: OWN.network + 128, length: 25, peer: 3 },
  ];
  const table = new Int32Array(tableCapacity(NETWORK, 3));
  // The own lease is as it should be; the one inside it is not.
  assert.equal(compile(table, rows, OWN, NETWORK), 1);
  for (const address of [0x0a000000, 0x0a000080, 0x0a0000ff]) {
    assert.equal(lookup(table, address), NO_PEER);
  }
  assert.equal(peerAddress(table, lookup(table, 0x0a000100)), 1);
  assert.ok(!isPeerAddress(table, 2) && !isPeerAddress(table, 3));
});

test('rows beyond the room are left out from the end, and counted', () => {
  const rows = Array.from({ length: 50 }, (_, index) => lease(index, index + 1));
  for (const room of [0, 1, 10, 49, 50, 51]) {
    const table = new Int32Array(tableCapacity(NETWORK, room));
    assert.equal(compile(table, rows, OWN, NETWORK), Math.max(0, 50 - room));
    for (const [index, row] of rows.entries()) {
      const slot = lookup(table, row.network + 1);
      assert.equal(slot === NO_PEER ? undefined : peerAddress(table, slot), at(index, room));
    }
  }
  function at(index: number, room: number): number | undefined {
    return index < room ? index + 1 : undefined;
  }
});

test('no rows are refused with a throw, whatever they hold', () => {
  const number = fc.oneof(fc.double(), fc.integer({ min: 0, max: 0xffffffff }), fc.integer());
  const length = fc.oneof(fc.double(), fc.integer({ min: -1, max: 33 }));
  const rows = fc.array(fc.record({ network: number, length, peer: number }), { maxLength: 8 });
  const table = new Int32Array(tableCapacity(NETWORK, 4));
  fc.assert(
    fc.property(rows, (given) => {
      const leftOut = compile(table, given, OWN, NETWORK);
      assert.ok(leftOut >= 0 && leftOut <= given.length);
      assert.ok(table[LEASE_COUNT] <= 4);
    }),
    { seed, numRuns: 2000 },
  );
});

test('malformed rows are left out one by one', () => {
  const good = lease(0, 7);
  const bad: Row[] = [
    { ...good, length: 33 },
    { ...good, length: -1 },
    { ...good, length: 24.5 },
    { ...good, length: Number.NaN },
    { ...good, network: good.network + 1 },
    { ...good, network: good.network + 0.5 },
    { ...good, network: good.network | 0x80000000 },
    { ...good, network: good.network + 2 ** 32 },
    { ...good, network: Number.NaN },
    { ...good, peer: 0 },
    { network: 0, length: 0, peer: 7 },
    { network: 0x0b000000, length: 24, peer: 7 },
  ];
  for (const row of bad) {
    const table = new Int32Array(tableCapacity(NETWORK, 2));
    assert.equal(compile(table, [row, good], OWN, NETWORK), 1, JSON.stringify(row));
    assert.equal(peerAddress(table, lookup(table, good.network)), 7);
  }
});

test('65,536 peers: all found, nobody else, in few probes', () => {
  const peers = Array.from({ length: MANY - 1 }, (_, index) => 0xc0a80000 + index);
  const table = compiled(peers.map((peer, index) => lease(index, peer)));
  assert.equal(peerCount(table), peers.length);
  for (const [index, peer] of peers.entries()) {
    const found = peerAddress(table, lookup(table, lease(index, 0).network + (index & 0xff)));
    if (found !== peer || !isPeerAddress(table, peer)) assert.equal(found, peer);
  }
  for (let stranger = 0; stranger < MANY; stranger++) {
    if (isPeerAddress(table, 0xac100000 + stranger)) assert.fail(`stranger ${stranger}`);
  }
  assert.ok(table[HASH_MASK] + 1 >= 2 * peers.length, 'at most half full');
  assert.ok(table[LONGEST_PROBE] < 64, `longest probe ${table[LONGEST_PROBE]}`);
});

test('65,536 leases of single addresses, far apart, fit', () => {
  withSeed((random) => {
    const table = new Int32Array(new SharedArrayBuffer(tableCapacity(NETWORK, MANY) * 4));
    const rows = Array.from({ length: MANY - 1 }, (_, index) => ({
      network: lease(index, 0).network + random.below(256),
      length: 32,
      peer: 0x80000000 + index,
    }));
    assert.equal(compile(table, rows, OWN, NETWORK), 0);
    for (const row of rows) {
      const slot = lookup(table, row.network);
      if (peerAddress(table, slot) !== row.peer) assert.equal(peerAddress(table, slot), row.peer);
      if (lookup(table, row.network ^ 1) !== NO_PEER) assert.fail(`beside ${row.network}`);
    }
  });
});
