/** The end: prompt under full load, and nothing stays behind however often it happens. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { startAll, Weft, writeLeases } from '../support/node.ts';
import { Background, run } from '../support/process.ts';
import { buildTopology, inside, type NodeSpace, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** The promise, from SIGTERM to the end of the process. */
const STOPS_WITHIN_MS = 1000;
const ROUNDS = 50;
const NODES = 4;

/** Names alone: whether a bridge has found its state is not ours to compare. */
function links(node: NodeSpace): string {
  return run(['ip', '-n', node.namespace, '-brief', 'link']).replace(/[@ ].*$/gm, '');
}

describe('stop under load', () => {
  let topology: Topology;
  let floods: Background[] = [];

  before(() => {
    topology = buildTopology();
  });

  after(() => topology.remove());

  function flood(from: NodeSpace, to: NodeSpace, port: number): void {
    const { namespace } = from.pod;
    const sink = ['socat', '-u', `UDP-RECV:${port}`, 'OPEN:/dev/null'];
    floods.push(new Background(inside(to.pod.namespace, sink)));
    const source = `UDP-SENDTO:${to.pod.address}:${port}`;
    floods.push(
      new Background(inside(namespace, ['socat', '-u', '-b', '1400', 'OPEN:/dev/zero', source])),
    );
  }

  for (const workers of [1, 2]) {
    test(`with ${workers} workers, flooded from both sides`, async () => {
      const [first, second] = topology.nodes;
      const bare = links(first!);
      const leases = ['--leases', writeLeases(topology)];
      const wefts = await startAll(topology, [...leases, '--workers', String(workers)]);
      floods = [];
      flood(first!, second!, 7001);
      flood(second!, first!, 7002);
      const packets = () => wefts[0]!.metrics().sum('weft_packets_total', { direction: 'rx' });
      await waitFor('the flood', () => packets() > 10_000, { every: 50 });
      const ends = await Promise.all(wefts.map((weft) => weft.stop()));
      for (const flooding of floods) await flooding.stop('SIGKILL');
      const milliseconds = Math.max(...ends.map((end) => end.milliseconds));
      assert.ok(milliseconds <= STOPS_WITHIN_MS, `stopped after ${milliseconds.toFixed()} ms`);
      assert.equal(links(first!), bare);
    });
  }

  test('--keep-device leaves the device to the next start', async () => {
    const args = ['--leases', writeLeases(topology), '--workers', '1', '--keep-device'];
    const first = await Weft.start(topology.nodes[0]!, args);
    await first.stop();
    assert.match(links(topology.nodes[0]!), /flannel0/);
    const second = await Weft.start(topology.nodes[0]!, args.slice(0, -1));
    await second.stop();
    assert.doesNotMatch(links(topology.nodes[0]!), /flannel0/);
  });
});

describe(`${ROUNDS * NODES} starts and stops`, () => {
  let topology: Topology;

  before(() => {
    topology = buildTopology({ nodes: NODES });
  });

  after(() => topology.remove());

  test('leave no device, process, socket or file behind', async () => {
    const args = ['--leases', writeLeases(topology), '--workers', '1'];
    const state = () => topology.nodes.map((node) => remains(topology, node));
    const bare = state();
    await Promise.all(
      topology.nodes.map(async (node) => {
        for (let round = 0; round < ROUNDS; round++) {
          const weft = await Weft.start(node, args);
          await weft.stop();
        }
      }),
    );
    assert.deepEqual(state(), bare);
  });
});

/** All that a node's namespace and the test's directory hold. */
function remains(topology: Topology, node: NodeSpace) {
  const { namespace } = node;
  return {
    links: links(node),
    routes: run(['ip', '-n', namespace, 'route']),
    rules: run(inside(namespace, ['nft', 'list', 'ruleset'])),
    sockets: run(inside(namespace, ['ss', '-Hltun'])),
    processes: run(['ip', 'netns', 'pids', namespace]),
    files: run(['find', topology.directory]),
  };
}
