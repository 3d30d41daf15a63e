/**
 * A node that carries nothing but its own probes loses nothing: not while it starts, while peers
 * come, go and come back, nor when doctor knocks.
 */
import assert from 'node:assert/strict';
import test, { afterEach, describe } from 'node:test';
import { leasesOf, Weft, writeLeases } from '../support/node.ts';
import { run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Probes of each node that have to be through. */
const PROBES = 5;
const OFFLOADS = 'tun_vnet_hdr tun_tso tun_uso udp_gso udp_gro coalesce_tcp coalesce_udp';
const NONE = OFFLOADS.split(' ').flatMap((feature) => ['--offload', `${feature}=off`]);

for (const [name, offloads] of [
  ['all offloads', []],
  ['no offload', NONE],
] as const) {
  describe(`an idle node with ${name}`, () => {
    let topology: Topology;
    let wefts: Weft[] = [];

    afterEach(async () => {
      for (const weft of wefts) await weft.stop();
      wefts = [];
      topology?.remove();
    });

    const start = async (node: number, leases: string) => {
      const args = ['--leases', leases, '--probe-interval', '1', '--metrics-peers', '8'];
      const weft = await Weft.start(topology.nodes[node]!, [...args, ...offloads]);
      wefts.push(weft);
      return weft;
    };

    const probed = async (weft: Weft) => {
      const carried = () => weft.metrics().sum('weft_packets_total');
      const before = carried();
      await waitFor('probes', () => carried() >= before + 2 * PROBES, { every: 200 });
    };

    function assertNothingLost(): void {
      for (const weft of wefts) {
        const metrics = weft.metrics();
        assert.deepEqual({ tx: metrics.drops('tx'), rx: metrics.drops('rx') }, { tx: {}, rx: {} });
        assert.equal(metrics.sum('weft_peer_dropped_packets_total'), 0);
      }
    }

    test('has no drops under any reason', async () => {
      topology = buildTopology();
      const leases = writeLeases(topology);
      const first = await start(0, leases);
      // It asks a peer that is not there yet, and then one that knows nobody yet.
      const asked = () => first.metrics().sum('weft_packets_total', { direction: 'tx' });
      await waitFor('probes', () => asked() > PROBES, { every: 200 });
      const second = await start(1, leases);
      await probed(first);
      assertNothingLost();
      // The peer forgets us, and answers nowhere; then it is told again.
      const [own, peer] = topology.nodes;
      writeLeases(topology, leasesOf([peer!]));
      const known = () => second.metrics().sum('weft_leases', { state: 'peer' });
      await waitFor('the lease to go', () => known() === 0);
      const lost = () => second.metrics().sum('weft_probes_dropped_total');
      await waitFor('a probe that it does not answer', () => lost() > 0, { every: 200 });
      writeLeases(topology, leasesOf([own!, peer!]));
      await waitFor('the lease', () => known() === 1);
      await probed(first);
      assertNothingLost();
    });

    test('counts knocks apart', async () => {
      topology = buildTopology();
      const weft = await start(0, writeLeases(topology));
      const { address } = weft.space;
      const { href } = new URL('../../src/doctor/ping.js', import.meta.url);
      const script = `import { isRefused } from '${href}';
        process.exit(Number(await isRefused('${address}', 8285)));`;
      const node = [process.execPath, '--input-type=module', '--eval', script];
      run(inside(topology.nodes[1]!.namespace, node));
      assert.ok(weft.metrics().sum('weft_sentinel_datagrams_total') > 0);
      assertNothingLost();
    });
  });
}
