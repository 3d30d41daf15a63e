import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createAccounts } from '../../src/dataplane/accounts.ts';
import * as counters from '../../src/dataplane/counters.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import {
  attach,
  createPublication,
  enter,
  type Fill,
  publish,
} from '../../src/forwarding/publication.ts';
import { NO_PEER, peerAccount } from '../../src/forwarding/table.ts';
import { parsePrefix4 } from '../../src/wire/address.ts';
import { compile, findPeer, TablePatcher, textOf } from '../support/ipv4-peers.ts';
import { type Random, withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const WORKERS = 2;

/** Accounts of two workers, and a way to count as pump `number` would. */
function create(capacity: number) {
  const shared = new SharedArrayBuffer(2 * WORKERS * counters.ACCOUNT_BLOCK * 8);
  const values = new Float64Array(shared);
  const add = (pump: number, account: number, slot: number, much: number) => {
    const at = pump * counters.ACCOUNT_BLOCK + account * counters.ACCOUNT_SLOTS + slot;
    values[at]! += much;
  };
  const accounts = createAccounts(shared, WORKERS, capacity);
  const byNumber = {
    begin: () => accounts.begin(),
    accountOf: (peer: number) => accounts.accountOf(textOf(peer)),
    release: (peer: number) => accounts.release(textOf(peer)),
    traffic: (peer: number) => accounts.traffic(textOf(peer)),
    look: (seconds: number) => accounts.look(seconds),
    others: () => accounts.others(),
  };
  return { accounts: byNumber, add };
}

describe('accounts of peers', () => {
  it('add up all pumps of a direction', () => {
    const { accounts, add } = create(10);
    accounts.begin();
    const account = accounts.accountOf(7);
    add(0, account, counters.ACCOUNT_PACKETS, 1);
    add(1, account, counters.ACCOUNT_BYTES, 200);
    add(2, account, counters.ACCOUNT_PACKETS, 3);
    add(2, account, counters.ACCOUNT_ADMITTED, 4);
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
    accounts.release(1);
    assert.equal(accounts.accountOf(3), 0, 'pumps may still look into the table before this one');
    accounts.begin();
    assert.equal(accounts.accountOf(3), first);
    assert.equal(accounts.traffic(3)?.txPackets, 0);
    assert.equal(accounts.traffic(1), undefined);
    add(0, first, counters.ACCOUNT_PACKETS, 5);
    assert.equal(accounts.traffic(3)?.txPackets, 5);
  });

  it('never show the traffic of another peer, however peers and tables come and go', () => {
    withSeed((random) => {
      for (let round = 0; round < rounds(200); round++) new Churn(random).run(200);
    });
  });
});

/** Peers that come and go in a real table, and a pump that counts for them as it reads. */
class Churn {
  static readonly own = parsePrefix4('10.1.0.0/24')!;
  static readonly network = parsePrefix4('10.1.0.0/16')!;
  static readonly words = tableCapacity(Churn.network, 40);
  readonly random: Random;
  /** Fewer than there are peers, so that some have none and others get one that was used. */
  readonly made: ReturnType<typeof create>;
  readonly publication = createPublication(1, Churn.words);
  readonly reader = attach(this.publication.memory, 0);
  readonly patcher: TablePatcher;
  readonly present = new Set<number>();
  /** What each peer was counted for since it has its account. */
  readonly counted = new Map<number, number>();
  readonly account = new Map<number, number>();
  held: Int32Array = enter(this.reader);

  constructor(random: Random) {
    this.random = random;
    this.made = create(random.between(2, 16));
    const { own, network, words } = Churn;
    this.patcher = new TablePatcher(own, network, words, this.made.accounts);
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      if (this.random.oneIn(2)) this.count();
      if (this.random.oneIn(2)) this.held = enter(this.reader);
      if (this.random.oneIn(3)) this.change();
      this.compare();
    }
  }

  /** The pump may hold a table that main has long replaced, but only by one. */
  count(): void {
    const peer = this.random.between(1, 20);
    const slot = findPeer(this.held, peer);
    if (slot === NO_PEER) return;
    const account = peerAccount(this.held, slot);
    this.made.add(0, account, counters.ACCOUNT_PACKETS, 1);
    if (account !== 0) this.counted.set(peer, (this.counted.get(peer) ?? 0) + 1);
  }

  change(): void {
    if (this.random.oneIn(20)) {
      this.patcher.reset();
      this.present.clear();
    }
    const peers = new Set(Array.from({ length: 4 }, () => this.random.between(1, 20)));
    const rows = [...peers].map((peer) => {
      const isHere = this.random.oneIn(2);
      if (isHere) this.present.add(peer);
      else this.present.delete(peer);
      const network = Churn.network.network + peer * 256;
      return { network, length: 24, peer: isHere ? peer : 0 };
    });
    const fill: Fill = (idle, current) => {
      this.made.accounts.begin();
      this.patcher.update(idle, current, rows);
    };
    if (!publish(this.publication, fill)) {
      // The pump holds the idle copy: again once it has moved on.
      this.held = enter(this.reader);
      assert.ok(publish(this.publication, fill));
    }
    const newest = this.publication.tables[this.publication.control[0] & 1];
    for (const peer of this.present) {
      const slot = findPeer(newest, peer);
      assert.notEqual(slot, NO_PEER);
      const account = peerAccount(newest, slot);
      // It was taken while the peer was away: what the peer has now begins at zero.
      if (account !== this.account.get(peer)) this.counted.delete(peer);
      this.account.set(peer, account);
    }
  }

  compare(): void {
    for (let peer = 1; peer <= 20; peer++) {
      const traffic = this.made.accounts.traffic(peer);
      if (traffic === undefined) this.counted.delete(peer);
      else assert.equal(traffic.txPackets, this.counted.get(peer) ?? 0, `peer ${peer}`);
    }
  }
}
