/**
 * No reordering within a flow, on a clean path with delay: the receiving stack never has to put a
 * segment aside (TCPOFOQueue). Faults of order that a short path hides show here.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { DELAY_MS, delayBetween, delayDrops } from '../support/delay-line.ts';
import { iperf } from '../support/iperf.ts';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';

/**
 * Windows small enough that nothing on the way can overflow, for what is lost is put aside too:
 * sixteen flows have less in flight together than the TUN queues and socket buffers hold.
 */
const RECEIVE_MEMORY = '4096 131072 131072';
const FLOWS = [
  ['one flow', []],
  // Where workers had source ports of their own, flows went round the queues of both nodes.
  ['eight flows each way', ['-P', '8', '--bidir']],
] as const;

for (const args of [[], ['--workers', '2', '--tx-ports', '4']] as const) {
  describe(`order over ${2 * DELAY_MS} ms of round trip, ${args.join(' ') || 'defaults'}`, () => {
    let topology: Topology;
    let wefts: Weft[] = [];

    before(async () => {
      topology = buildTopology({ routed: true });
      await delayBetween(topology.underlay, ['to-n1', 'to-mid']);
      for (const { pod } of topology.nodes) {
        const memory = `net.ipv4.tcp_rmem=${RECEIVE_MEMORY}`;
        run(inside(pod.namespace, ['sysctl', '-qw', memory]));
      }
      wefts = await startAll(topology, ['--leases', writeLeases(topology), ...args]);
    });

    after(async () => {
      for (const weft of wefts) await weft.stop();
      topology?.remove();
    });

    /** Counters of both pods' TCP, summed: proc(5), /proc/net/netstat. */
    function putAside(): number {
      const counts = topology.nodes.map(({ pod }) => {
        const text = run(inside(pod.namespace, ['cat', '/proc/net/netstat']));
        const [names, values] = text.split('\n').filter((line) => line.startsWith('TcpExt:'));
        const index = names!.split(' ').indexOf('TCPOFOQueue');
        assert.ok(index > 0, 'this kernel counts no TCPOFOQueue');
        return Number(values!.split(' ')[index]);
      });
      return counts.reduce((a, b) => a + b, 0);
    }

    test('the path has its delay', () => {
      const [from, to] = topology.nodes.map(({ pod }) => pod);
      const answer = run(inside(from!.namespace, ['ping', '-c3', '-i0.2', to!.address]));
      const least = Number(/= ([\d.]+)\//.exec(answer)?.[1]);
      assert.ok(least >= 2 * DELAY_MS, answer);
    });

    for (const [name, flags] of FLOWS) {
      test(`${name}: nothing arrives out of order`, async () => {
        const [from, to] = topology.nodes.map(({ pod }) => pod);
        const [client, server] = [from!.namespace, to!.namespace];
        const flow = { client, server, address: to!.address, seconds: 1, args: flags };
        const { bytes } = await iperf(flow);
        assert.ok(bytes > 1e6, `${bytes} bytes in a second`);
        assert.equal(delayDrops(topology.underlay), 0, 'lost in the delay itself');
        for (const weft of wefts) {
          assert.deepEqual([weft.metrics().drops('tx'), weft.metrics().drops('rx')], [{}, {}]);
        }
        assert.equal(putAside(), 0, 'segments that came before their turn');
      });
    }

    test('superpackets and runs crossed the path, where the kernel grants them', () => {
      for (const weft of wefts) {
        const metrics = weft.metrics();
        const has = (feature: string) => metrics.sum('weft_capability', { feature }) === 1;
        const superpackets = (direction: 'tx' | 'rx') =>
          metrics.sum('weft_superpackets_total', { direction });
        assert.equal(superpackets('tx') > 0, has('tun_tso'));
        assert.equal(superpackets('rx') > 0, has('coalesce_tcp'));
      }
    });
  });
}
