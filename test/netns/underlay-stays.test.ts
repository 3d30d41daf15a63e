/** A whole weft keeps address, PublicIP and subnet, whatever comes beside what it chose. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { after, before, describe } from 'node:test';
import { Cluster, readiness } from '../support/cluster.ts';
import { ip } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

describe('the underlay of a weft run', () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.build({ nodes: 1 });
    await cluster.configure();
    await cluster.reserveSubnets();
  });
  after(() => cluster.remove());

  test('stays over events and restarts', async () => {
    const node = cluster.nodes[0]!;
    const events = [
      'address delete 192.0.2.1/24 dev eth0\naddress add 10.9.9.9/8 dev eth0\n' +
        'address add 192.0.2.1/24 dev eth0\n',
      'link set eth0 down\nlink set eth0 up\n',
      'link add br0 type bridge\nlink set br0 up\nlink set eth0 master br0\n' +
        'address delete 192.0.2.1/24 dev eth0\naddress add 192.0.2.1/24 dev br0\n',
    ];
    const leases = await cluster.leases();
    for (const event of events) {
      const weft = await cluster.start(node);
      const file = readFileSync(node.subnetFile, 'utf8');
      ip(node.namespace, event);
      const looked = () => /underlay|ready/.test(weft.process.stdout) && readiness(weft).status;
      await waitFor('readiness', () => looked() === 200, { every: 50 });
      await cluster.stop(weft);
      await cluster.stop(await cluster.start(node));
      assert.deepEqual(await cluster.leases(), leases, event);
      assert.equal(readFileSync(node.subnetFile, 'utf8'), file);
    }
  });
});
