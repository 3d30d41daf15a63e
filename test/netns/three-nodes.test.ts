/** Three nodes: every pod reaches every other, and each datagram goes to the one node it is for. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { iperf } from '../support/iperf.ts';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';

describe('three nodes', () => {
  let topology: Topology;
  let wefts: Weft[] = [];

  before(async () => {
    topology = buildTopology({ nodes: 3 });
    wefts = await startAll(topology, ['--leases', writeLeases(topology), '--workers', '1']);
  });

  after(async () => {
    for (const weft of wefts) await weft.stop();
    topology?.remove();
  });

  test('every pod pings every other pod and every node of the overlay', () => {
    for (const from of topology.nodes) {
      for (const to of topology.nodes.filter((node) => node !== from)) {
        const base = to.subnet.replace('/24', '');
        for (const address of [to.pod.address, base, base.replace(/0$/, '1')]) {
          run(inside(from.pod.namespace, ['ping', '-c2', '-i0.01', '-W2', address]));
          run(inside(from.namespace, ['ping', '-c2', '-i0.01', '-W2', address]));
        }
      }
    }
  });

  test('a packet for one node is seen by that node alone', () => {
    const [first, second, third] = wefts;
    const before = [second!, third!].map((weft) => received(weft));
    const { namespace } = first!.space.pod;
    run(inside(namespace, ['ping', '-c10', '-i0.01', '-W2', third!.space.pod.address]));
    const after = [second!, third!].map((weft) => received(weft));
    assert.deepEqual([after[0]! - before[0]!, after[1]! - before[1]!], [0, 10]);
  });

  function received(weft: Weft): number {
    return weft.metrics().sum('weft_packets_total', { direction: 'rx' });
  }

  test('flows from two nodes to the third pass at once', async () => {
    const [first, second, third] = topology.nodes.map((node) => node.pod);
    const flows = [first!, second!].map((client) =>
      iperf({
        client: client.namespace,
        server: third!.namespace,
        address: third!.address,
        seconds: 1,
      }),
    );
    for (const { bytes } of await Promise.all(flows)) assert.ok(bytes > 1e6, `${bytes} bytes`);
    for (const weft of wefts) {
      const { unknown_peer, spoofed_source, no_route } = weft.metrics().drops('rx');
      assert.deepEqual([unknown_peer, spoofed_source, no_route], [undefined, undefined, undefined]);
    }
  });
});
