/** A tunnel in a tunnel: refused by the leases, and bounded where a route makes one afterwards. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Weft, writeLeases } from '../support/node.ts';
import { attempt } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

describe('a tunnel in a tunnel', () => {
  let topology: Topology;
  before(() => {
    topology = buildTopology();
  });
  after(() => topology.remove());

  const sent = (weft: Weft) => weft.metrics().sum('weft_packets_total', { direction: 'tx' });

  test('two leases that lead through each other are refused, and nothing leaves', async () => {
    const [node] = topology.nodes;
    const leases = writeLeases(topology, {
      '10.244.5.0-24': { PublicIP: '10.244.6.5' },
      '10.244.6.0-24': { PublicIP: '10.244.5.5' },
    });
    const weft = await Weft.start(node!, ['--leases', leases]);
    try {
      const refused = { reason: 'bad_public_address' };
      assert.equal(weft.metrics().sum('weft_lease_refused', refused), 2);
      attempt(inside(node!.pod.namespace, ['ping', '-c3', '-i0.2', '-W1', '10.244.5.7']));
      assert.equal(sent(weft), 0);
    } finally {
      await weft.stop();
    }
  });

  test('a route that leads to a peer through the device is counted as loop', async () => {
    const [node, peer] = topology.nodes;
    const weft = await Weft.start(node!, ['--leases', writeLeases(topology)]);
    try {
      const device = ['ip', '-n', node!.namespace, 'link', 'show', 'flannel0'];
      assert.equal(attempt(device).status, 0);
      const before = weft.metrics();
      ip(node!.namespace, `route add ${peer!.address}/32 dev flannel0\n`);
      const ping = ['ping', '-c3', '-i0.2', '-W1', peer!.pod.address];
      attempt(inside(node!.pod.namespace, ping));
      const drops = await waitFor('the drops', () => {
        const found = weft.metrics().newDrops(before, 'tx');
        return (found.loop ?? 0) >= 3 && found;
      });
      assert.deepEqual(drops, { loop: 3 }, 'one level, and no more');
      ip(node!.namespace, `route delete ${peer!.address}/32 dev flannel0\n`);
    } finally {
      await weft.stop();
    }
  });
});
