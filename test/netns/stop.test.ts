/** The end: prompt under full load, and nothing stays behind however often it happens. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test, { after, afterEach, before, beforeEach, describe } from 'node:test';
import { startAll, Weft, writeLeases } from '../support/node.ts';
import { Background, type End, run } from '../support/process.ts';
import { buildTopology, inside, type NodeSpace, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** The promise, from SIGTERM to the end of the process, on a machine that has CPU time for it. */
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
      const milliseconds = Math.max(...ends.map((end) => end.ownMilliseconds));
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

describe('stop of a pump that hangs in a system call', () => {
  let topology: Topology;
  let weft: Weft;
  let tracer: Background;

  beforeEach(async () => {
    topology = buildTopology({ nodes: 1 });
    const args = ['--leases', writeLeases(topology), '--workers', '1'];
    weft = await Weft.start(topology.nodes[0]!, args);
    tracer = await hangPump(weft);
  });

  afterEach(async () => {
    tracer?.child.kill('SIGKILL');
    topology.remove();
  });

  /** A killed process whose thread is traced stays as long as the tracer does. */
  async function endOf(of: Weft): Promise<End> {
    const stat = `/proc/${of.process.pid}/stat`;
    await waitFor('the end of the process', () => /\) Z /.test(readFileSync(stat, 'utf8')));
    await tracer.stop('SIGKILL');
    return await of.process.wait();
  }

  test('a second signal does not wait for it', async () => {
    weft.process.child.kill('SIGTERM');
    await weft.process.waitForOutput(/SIGTERM: stopping/);
    assert.equal(weft.process.end, undefined, 'it waits for the pump');
    weft.process.child.kill('SIGTERM');
    const { signal } = await endOf(weft);
    assert.equal(signal, 'SIGKILL', weft.process.describe());
    assert.match(weft.process.stderr, /SIGTERM again: killed/);
  });

  test('one signal ends it too, later, and says what did not end', async () => {
    weft.process.child.kill('SIGTERM');
    const { signal } = await endOf(weft);
    assert.equal(signal, 'SIGKILL', weft.process.describe());
    assert.match(weft.process.stderr, /these do not end: the packet workers \(.*no CPU time/);
    assert.doesNotMatch(links(topology.nodes[0]!), /flannel0/);
  });
});

/** Holds one pump in its poll(2) for longer than any test runs: strace(1), delay_enter. */
async function hangPump(weft: Weft): Promise<Background> {
  const { pid } = weft.process;
  const thread = await waitFor('a pump that waits', () =>
    readdirSync(`/proc/${pid}/task`).find((task) => {
      // poll_schedule_timeout or do_poll; Node's own threads sleep in epoll and in futexes.
      const place = readFileSync(`/proc/${pid}/task/${task}/wchan`, 'utf8');
      return place.includes('poll') && !place.includes('epoll');
    }),
  );
  const delay = 'inject=/^p?poll$:delay_enter=600000000';
  const tracer = new Background(['strace', '-p', thread, '-e', 'trace=/^p?poll$', '-e', delay]);
  const age = () => weft.metrics().sum('weft_worker_heartbeat_age_seconds');
  // Pumps wake once a second at least.
  await waitFor('the pump to hang', () => tracer.end !== undefined || age() > 4, { every: 100 });
  assert.equal(tracer.end, undefined, tracer.describe());
  return tracer;
}

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
