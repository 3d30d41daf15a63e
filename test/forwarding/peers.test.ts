import assert from 'node:assert/strict';
import test from 'node:test';
import { compile, type Row, tableCapacity } from '../../src/forwarding/compile.ts';
import { TablePatcher } from '../../src/forwarding/patch.ts';
import { createPublication, publish } from '../../src/forwarding/publication.ts';
import {
  findPeer,
  lookup,
  NO_PEER,
  peerAccount,
  peerAt,
  peerCount,
} from '../../src/forwarding/table.ts';
import { formatSockaddr, SOCKADDR_WORDS, writeSockaddr } from '../../src/sys/sockaddr.ts';
import { formatAddress4, formatAddress6 } from '../../src/wire/address.ts';
import { withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const NETWORK = { network: 0x0a000000, length: 8 };
const OWN = { network: 0x0a000000, length: 24 };
const OVERLAY = { network: NETWORK, own: OWN, port: 8285 };
const PEERS = 64;

/** Peers of both families, many of which differ in one bit only. */
const ADDRESSES = Array.from({ length: PEERS }, (_, index) => {
  if (index % 2 === 0) return formatAddress4(0xc0000200 + index);
  const bytes = new Uint8Array(16);
  bytes.set([0x20, 1, 0xd, 0xb8]);
  bytes[4 + (index % 12)] = index;
  return formatAddress6(bytes);
});

const leaseOf = (index: number, peer: string): Row => {
  return { network: NETWORK.network + (index + 1) * 256, length: 24, peer };
};

function slotOf(table: Int32Array, address: string, port: number): number {
  const words = new Int32Array(SOCKADDR_WORDS);
  writeSockaddr(words, 0, address, port);
  return findPeer(table, words, 0);
}

function addressBehind(table: Int32Array, index: number): string {
  const slot = lookup(table, NETWORK.network + (index + 1) * 256 + 7);
  return slot === NO_PEER ? '' : formatSockaddr(table, peerAt(table, slot));
}

test('a table holds peers of both families, ready for the kernel and found by any port', () => {
  const table = new Int32Array(tableCapacity(NETWORK, PEERS));
  const rows = ADDRESSES.map((address, index) => leaseOf(index, address));
  assert.equal(compile(table, rows, OVERLAY), 0);
  assert.equal(peerCount(table), PEERS);
  for (const [index, address] of ADDRESSES.entries()) {
    assert.equal(addressBehind(table, index), address);
    const slot = slotOf(table, address, 8285);
    assert.notEqual(slot, NO_PEER);
    assert.equal(slotOf(table, address, 40_000), slot);
    const port = table[peerAt(table, slot)]! >>> 16;
    assert.equal(((port & 0xff) << 8) | (port >>> 8), 8285);
  }
  assert.equal(slotOf(table, '192.0.2.1', 8285), NO_PEER);
  assert.equal(slotOf(table, '::ffff:192.0.2.2', 8285), NO_PEER);
  assert.equal(slotOf(table, '', 0), NO_PEER);
});

test('peers of both families come, move and go as the rows say', () => {
  withSeed((random) => {
    const words = tableCapacity(NETWORK, 2 * PEERS);
    const publication = createPublication(0, words);
    const present = new Set<string>();
    const accounts = {
      accountOf(peer: string) {
        present.add(peer);
        return ADDRESSES.indexOf(peer) + 1;
      },
      release: (peer: string) => assert.ok(present.delete(peer), peer),
    };
    const patcher = new TablePatcher(OVERLAY, words, accounts);
    const rows = new Map<number, string>();
    for (let step = 0; step < rounds(2_000); step++) {
      const index = random.below(PEERS);
      const peer = random.oneIn(3) ? '' : random.pick(ADDRESSES);
      if (peer === '') rows.delete(index);
      else rows.set(index, peer);
      let table = publication.tables[0];
      const done = publish(publication, (idle, current) => {
        table = idle;
        assert.equal(patcher.update(idle, current, [leaseOf(index, peer)]), 0);
      });
      assert.ok(done);
      for (let each = 0; each < PEERS; each++) {
        assert.equal(addressBehind(table, each), rows.get(each) ?? '');
      }
      assert.deepEqual(present, new Set(rows.values()));
      for (const [number, address] of ADDRESSES.entries()) {
        const slot = slotOf(table, address, 8285);
        assert.equal(slot !== NO_PEER, present.has(address), address);
        if (slot !== NO_PEER) assert.equal(peerAccount(table, slot), number + 1);
      }
    }
  });
});
