/** Rows of leases, of accounts that go by address: nothing twice, and nothing ever less. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PeerBooks } from '../../../src/agent/udp/peer-books.ts';
import type { PeerTraffic } from '../../../src/dataplane/accounts.ts';
import type { PeerRow } from '../../../src/lease/watcher.ts';
import { withSeed } from '../../support/random.ts';

const lease = (third: number, peer: number): PeerRow => {
  return { network: 0x0a010000 + third * 256, length: 24, peer };
};

class Rig {
  readonly accounts = new Map<number, PeerTraffic>();
  readonly books = new PeerBooks((peer) => this.accounts.get(peer));

  count(peer: number, packets: number): void {
    const before = this.accounts.get(peer)?.txPackets ?? 0;
    this.accounts.set(peer, {
      ...{ txPackets: before + packets, txBytes: 0, txDrops: 0 },
      ...{ rxPackets: 0, rxBytes: 0, rxDrops: 0, lastSeenSeconds: 5 },
    });
  }

  shown(leases: readonly PeerRow[]): (number | undefined)[] {
    return this.books.show(leases).map(({ txPackets }) => txPackets);
  }
}

describe('the rows of leases', () => {
  it('show a node with several leases once, at the same one for ever', () => {
    const rig = new Rig();
    rig.count(7, 10);
    assert.deepEqual(rig.shown([lease(3, 7), lease(2, 7)]), [undefined, 10]);
    rig.count(7, 1);
    assert.deepEqual(rig.shown([lease(1, 7), lease(2, 7), lease(3, 7)]), [
      undefined,
      11,
      undefined,
    ]);
    const seen = rig.books.show([lease(1, 7), lease(2, 7)]);
    assert.deepEqual(
      seen.map(({ lastSeenSeconds }) => lastSeenSeconds),
      [5, 5],
    );
  });

  it('stay with a lease that moves to another address', () => {
    const rig = new Rig();
    rig.count(7, 10);
    assert.deepEqual(rig.shown([lease(1, 7)]), [10]);
    rig.count(7, 5);
    rig.books.changing([lease(1, 8)]);
    rig.count(8, 2);
    assert.deepEqual(rig.shown([lease(1, 8)]), [17]);
  });

  it('stay with two leases that swap their nodes', () => {
    const rig = new Rig();
    rig.count(7, 100);
    rig.count(8, 1);
    assert.deepEqual(rig.shown([lease(1, 7), lease(2, 8)]), [100, 1]);
    rig.count(7, 100);
    const swapped = [lease(1, 8), lease(2, 7)];
    rig.books.changing(swapped);
    rig.count(7, 3);
    rig.count(8, 4);
    assert.deepEqual(rig.shown(swapped), [204, 4]);
  });

  it('go on where pumps begin anew', () => {
    const rig = new Rig();
    rig.count(7, 10);
    assert.deepEqual(rig.shown([lease(1, 7)]), [10]);
    rig.books.closing();
    rig.accounts.clear();
    assert.deepEqual(rig.shown([lease(1, 7)]), [10]);
    rig.count(7, 15);
    assert.deepEqual(rig.shown([lease(1, 7)]), [25]);
  });

  it('add up to all there was, and never go down, whoever comes, moves and goes', () => {
    withSeed((random) => {
      const rig = new Rig();
      const leases = new Map<number, PeerRow>();
      const before = new Map<number, number>();
      let counted = 0;
      let left = 0;
      for (let step = 0; step < 5_000; step++) {
        const third = random.between(1, 6);
        const peer = random.between(1, 4);
        const row = lease(third, random.oneIn(4) ? 0 : peer);
        const live = [...leases.values()].some((one) => one.peer === peer);
        if (live) {
          rig.count(peer, 1);
          counted += 1;
        }
        if (!random.oneIn(3)) continue;
        const last = rig.shown([...leases.values()]);
        for (const [index, third] of [...leases.keys()].entries()) {
          if (last[index] !== undefined) before.set(third, last[index]);
        }
        rig.books.changing([row]);
        if (row.peer === 0) leases.delete(third);
        else leases.set(third, row);
        const present = [...leases.entries()];
        const shown = rig.shown(present.map(([, one]) => one));
        for (const [third, count] of before) {
          if (leases.has(third)) continue;
          left += count;
          before.delete(third);
        }
        for (const [index, [third]] of present.entries()) {
          const count = shown[index];
          if (count === undefined && !before.has(third)) continue;
          assert.ok(count !== undefined, `lease ${third} has no row any more`);
          assert.ok(count >= (before.get(third) ?? 0), `lease ${third} at step ${step}`);
          before.set(third, count);
        }
        const sum = [...before.values()].reduce((a, b) => a + b, 0);
        assert.equal(sum + left, counted, `step ${step}`);
      }
    });
  });
});
