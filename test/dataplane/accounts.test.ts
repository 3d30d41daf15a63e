import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAccounts } from '../../src/dataplane/accounts.ts';
import * as counters from '../../src/dataplane/counters.ts';
import { compile, tableCapacity } from '../../src/forwarding/compile.ts';
import { findPeer, peerAccount } from '../../src/forwarding/table.ts';
import { parsePrefix4 } from '../../src/wire/address.ts';

const WORKERS = 2;

/** Accounts of two workers, and a way to count as pump `number` would. */
function create(capacity: number) {
  const shared = new SharedArrayBuffer(2 * WORKERS * counters.ACCOUNT_BLOCK * 8);
  const values = new Float64Array(shared);
  const add = (pump: number, account: number, slot: number, much: number) => {
    const at = pump * counters.ACCOUNT_BLOCK + account * counters.ACCOUNT_SLOTS + slot;
    values[at]! += much;
  };
  return { accounts: createAccounts(shared, WORKERS, capacity), add };
}

describe('accounts of peers', () => {
  it('add up all pumps of a direction', () => {
    const { accounts, add } = create(10);
    accounts.begin();
    const account = accounts.accountOf(7);
    add(0, account, counters.ACCOUNT_PACKETS, 1);
    add(1, account, counters.ACCOUNT_BYTES, 200);
    add(2, account, counters.ACCOUNT_PACKETS, 3);
    add(3, account, counters.ACCOUNT_DROPS, 4);
    add(3, 0, counters.ACCOUNT_DROPS, 5);
    accounts.look(99);
    assert.deepEqual(accounts.traffic(7), {
      ...{ txPackets: 1, txBytes: 200, txDrops: 0 },
      ...{ rxPackets: 3, rxBytes: 0, rxDrops: 4, lastSeenSeconds: 99 },
    });
    assert.equal(accounts.others().rxDrops, 5);
    assert.equal(accounts.traffic(8), undefined);
  });

  it('stay with their peer from table to table, whatever else changes', () => {
    const { accounts } = create(100);
    const network = parsePrefix4('10.1.0.0/16')!;
    const own = parsePrefix4('10.1.0.0/24')!;
    const table = new Int32Array(tableCapacity(network, 10));
    const row = (third: number, peer: number) => ({
      ...{ network: network.network + third * 256, length: 24, peer },
    });
    accounts.begin();
    compile(table, [row(1, 11), row(2, 12)], own, network, accounts.accountOf);
    const before = peerAccount(table, findPeer(table, 12));
    accounts.begin();
    compile(table, [row(3, 13), row(2, 12)], own, network, accounts.accountOf);
    assert.equal(peerAccount(table, findPeer(table, 12)), before);
    assert.notEqual(peerAccount(table, findPeer(table, 13)), before);
  });

  it('are taken from peers that left once there are no more, and begin at zero', () => {
    const { accounts, add } = create(3);
    accounts.begin();
    const first = accounts.accountOf(1);
    accounts.accountOf(2);
    add(0, first, counters.ACCOUNT_PACKETS, 1000);
    accounts.begin();
    accounts.accountOf(2);
    assert.equal(accounts.accountOf(3), 0, 'pumps may still look into the table before this one');
    accounts.begin();
    accounts.accountOf(2);
    assert.equal(accounts.accountOf(3), first);
    assert.equal(accounts.traffic(3)?.txPackets, 0);
    assert.equal(accounts.traffic(1), undefined);
    add(0, first, counters.ACCOUNT_PACKETS, 5);
    assert.equal(accounts.traffic(3)?.txPackets, 5);
  });
});
