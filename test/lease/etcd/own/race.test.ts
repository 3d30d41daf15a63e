import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Etcd, startEtcd } from '../../../support/etcd.ts';
import { runAside } from '../../../support/process.ts';
import { waitFor } from '../../../support/waitfor.ts';
import * as tenancy from './tenant.ts';
import { networkOf, Tenant } from './tenant.ts';

/** Three subnets: whoever starts beside another wants the same one as often as not. */
const THREE = networkOf({ Network: '10.9.0.0/22', SubnetLen: 24 });
const CONTENDER = fileURLToPath(new URL('./contender.js', import.meta.url));

describe('agents that start at the same instant', () => {
  let etcd: Etcd;

  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd.stop());

  /** Every key is held by who thinks so, and by an etcd lease that no other key has. */
  async function settled(prefix: string, subnets: readonly string[]): Promise<void> {
    const leases = await tenancy.leasesIn(etcd, prefix);
    const keys = subnets.map((subnet) => subnet.replace('/', '-'));
    assert.deepEqual([...leases.keys()].sort(), keys.sort());
    assert.equal(new Set([...leases.values()].map(({ lease }) => lease)).size, keys.length);
  }

  test('two never share a subnet, a hundred times', async () => {
    const before = await tenancy.etcdLeases(etcd);
    let met = 0;
    for (let round = 0; round < 100; round++) {
      const prefix = `/two/${round}`;
      const common = { endpoints: etcd.endpoints, prefix, network: THREE };
      const tenants = [1, 2].map((node) => {
        const publicAddress = `192.0.2.${node}`;
        // Every other time both come back with one and the same subnet.env.
        return new Tenant({
          ...common,
          publicAddress,
          ...(round % 2 === 0 && { previous: '10.9.2.1/24' }),
        });
      });
      const subnets = await Promise.all(tenants.map((tenant) => tenant.holds()));
      assert.notEqual(subnets[0], subnets[1]);
      if (round % 2 === 0) met += Number(subnets.includes('10.9.2.0/24'));
      for (const [node, tenant] of tenants.entries()) {
        assert.deepEqual(tenant.events, [`held ${subnets[node]}`]);
        assert.deepEqual(tenant.book.warnings(), []);
      }
      await Promise.all(tenants.map((tenant) => tenant.stop()));
      await settled(prefix, subnets);
    }
    assert.equal(met, 50, 'somebody should have got the subnet that both wanted');
    // The loser of a race uses its etcd lease for the next try: none is left over.
    assert.equal((await tenancy.etcdLeases(etcd)).length, before.length + 200);
  });

  test('sixty share out the subnets there are, and the one too many says so', async () => {
    const network = networkOf({ Network: '10.9.0.0/18', SubnetLen: 24, SubnetMin: '10.9.4.0' });
    const common = { endpoints: etcd.endpoints, prefix: '/sixty', network };
    const tenants = Array.from({ length: 61 }, (_, node) => {
      return new Tenant({ ...common, publicAddress: `192.0.2.${node}`, timing: {} });
    });
    try {
      const holding = () => tenants.filter((tenant) => tenant.subnet() !== undefined);
      const isFull = () => holding().length === 60;
      await waitFor('sixty leases', isFull, { every: 50 });
      const left = tenants.find((tenant) => tenant.subnet() === undefined)!;
      await waitFor('the one too many', () => /out of subnets/.test(left.keeper.status().trouble));
      await settled(
        '/sixty',
        holding().map((tenant) => tenant.subnet()!),
      );
      const first = holding()[0]!;
      const freed = first.subnet()!;
      await first.stop();
      await etcd.delete(`/sixty/subnets/${freed.replace('/', '-')}`);
      assert.equal(await left.holds(), freed);
    } finally {
      await Promise.all(tenants.map((tenant) => tenant.stop()));
    }
  });

  test('processes of their own do not share one either', async () => {
    const start = Date.now() + 3000;
    const runs = [1, 2, 3].map((node) => {
      const argv = [process.execPath, CONTENDER, etcd.endpoints[0]!, `192.0.2.${node}`];
      return runAside([...argv, String(start), '20']);
    });
    const rounds = (await Promise.all(runs)).map(({ status, stdout, stderr }) => {
      assert.equal(status, 0, stderr);
      return stdout.trim().split('\n');
    });
    for (let round = 0; round < 20; round++) {
      const subnets = rounds.map((lines) => lines[round]!);
      assert.equal(new Set(subnets).size, 3, subnets.join());
      await settled(`/process/${round}`, subnets);
    }
  });
});
