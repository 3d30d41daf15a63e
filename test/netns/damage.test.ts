/** Damage on the way never reaches an application: weft joins nothing whose checksum is wrong. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { endReceiver, startReceiver, startSender } from '../support/flipped.ts';
import { Weft, writeLeases } from '../support/node.ts';
import { run } from '../support/process.ts';
import { withSeedAsync } from '../support/random.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const FLIPPED = 100_000;

describe('flipped bits of inner payload', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology();
    const args = ['--leases', writeLeases(topology), '--workers', '1'];
    weft = await Weft.start(topology.nodes[0]!, args);
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  /** Datagrams that the pod's kernel threw away for their checksum: proc(5), /proc/net/snmp. */
  function refused(): number {
    const { namespace } = topology.nodes[0]!.pod;
    const text = run(inside(namespace, ['cat', '/proc/net/snmp']));
    const [names, values] = text.split('\n').filter((line) => line.startsWith('Udp:'));
    return Number(values!.split(' ')[names!.split(' ').indexOf('InCsumErrors')]);
  }

  test(`0 of ${FLIPPED} reach the application`, async () => {
    await withSeedAsync(async (random) => {
      const [own, peer] = topology.nodes;
      const application = await startReceiver(own!.pod.namespace);
      const sender = startSender(peer!.namespace, own!.address, random.uint32());
      const enough = () => {
        assert.equal(sender.end, undefined, sender.describe());
        return refused() >= FLIPPED;
      };
      await waitFor(`${FLIPPED} refusals`, enough, { every: 50 });
      await sender.stop('SIGKILL');
      const { whole, damaged } = await endReceiver(application);
      assert.equal(damaged, 0);
      // What was not damaged came through, and some of it in trains, where the kernel grants them.
      assert.ok(whole > FLIPPED / 100, `${whole} whole datagrams`);
      const metrics = weft.metrics();
      const joins = metrics.sum('weft_capability', { feature: 'coalesce_udp' }) === 1;
      const trains = metrics.sum('weft_superpackets_total', { direction: 'rx' });
      assert.equal(trains > 0, joins);
    });
  });
});
