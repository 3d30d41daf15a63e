/**
 * A kernel whose release says that it mangles runs of equal size: weft sends none, unless it is
 * told to. Only the release is another one here; the kernel is the one that there is.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { iperf } from '../support/iperf.ts';
import { Weft, writeLeases } from '../support/node.ts';
import { buildTopology, type Topology } from '../support/topology.ts';

/** A module that Node loads before weft, in every thread. */
function pretend(release: string): string {
  const module = `
    import os from 'node:os';
    import { syncBuiltinESMExports } from 'node:module';
    os.release = () => '${release}';
    syncBuiltinESMExports();
  `;
  return `--import=data:text/javascript,${encodeURIComponent(module)}`;
}

/** Only where all tests run without the feature must it be asked for. */
const OFFLOAD = process.env.TEST_OFFLOAD === undefined ? [] : ['--offload', 'udp_gso=on'];

describe('a kernel that says it is', () => {
  let topology: Topology;
  let peer: Weft;
  let args: readonly string[];

  before(async () => {
    topology = buildTopology();
    args = ['--leases', writeLeases(topology), '--workers', '1'];
    peer = await Weft.start(topology.nodes[1]!, args);
  });

  after(async () => {
    await peer?.stop();
    topology?.remove();
  });

  /** Whether udp_gso is in force, the longest runs of a second of TCP, and what was logged. */
  async function carry(release: string, offload: readonly string[]) {
    process.env.NODE_OPTIONS = pretend(release);
    const weft = new Weft(topology.nodes[0]!, [...args, ...offload]);
    delete process.env.NODE_OPTIONS;
    await weft.ready();
    const [from, to] = topology.nodes.map(({ pod }) => pod);
    const [client, server] = [from!.namespace, to!.namespace];
    await iperf({ client, server, address: to!.address, seconds: 1, args: [] });
    const metrics = weft.metrics();
    const inForce = metrics.sum('weft_capability', { feature: 'udp_gso' });
    const sends = metrics.sum('weft_run_datagrams_count', { direction: 'tx' });
    const datagrams = metrics.sum('weft_run_datagrams_sum', { direction: 'tx' });
    await weft.stop();
    return { inForce, isJoined: datagrams > 2 * sends, said: weft.process.describe() };
  }

  for (const release of ['7.0.0', '7.0.9-generic', '7.1.4-2-pve']) {
    test(`${release} gets each datagram by itself`, async () => {
      const { inForce, isJoined, said } = await carry(release, []);
      assert.deepEqual([inForce, isJoined], [0, false]);
      assert.doesNotMatch(said, /udp_gso=on/);
    });
  }

  for (const release of ['7.1.5', '6.17.0-5-generic']) {
    test(`${release} gets runs`, async () => {
      const { inForce, isJoined } = await carry(release, OFFLOAD);
      assert.deepEqual([inForce, isJoined], [1, true]);
    });
  }

  test('7.0.0 gets runs where --offload udp_gso=on says so, and it is logged', async () => {
    const { inForce, isJoined, said } = await carry('7.0.0', ['--offload', 'udp_gso=on']);
    assert.deepEqual([inForce, isJoined], [1, true]);
    assert.match(said, /udp_gso is in use on Linux 7\.0\.0 because --offload udp_gso=on says so/);
  });
});
