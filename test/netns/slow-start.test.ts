/** A start that takes long because everything does, which is no reason to give up. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { httpGet, weftPath, writeLeases } from '../support/node.ts';
import { Background } from '../support/process.ts';
import { buildTopology, inside, OVERLAY, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Calls that pumps alone make at their start: one pump makes both, 12 s in all (strace(1)). */
const CALLS = 'sched_setscheduler,getsockopt';
const SLOW = ['-e', `trace=${CALLS}`, '-e', `inject=${CALLS}:delay_enter=6000000`];

describe('a start on a slow machine', () => {
  let topology: Topology;

  before(() => {
    topology = buildTopology({ nodes: 1 });
  });
  after(() => topology.remove());

  test('waits for pumps that get on, and says so', async () => {
    const space = topology.nodes[0]!;
    const own = ['--network', OVERLAY, '--subnet', space.subnet, '--leases', writeLeases(topology)];
    const rest = ['--api-socket', 'none', '--iface', 'eth0', '--workers', '1'];
    const weft = [
      process.execPath,
      weftPath,
      'dataplane',
      ...own,
      ...rest,
      '--probe-interval',
      '0',
    ];
    const traced = ['strace', '-f', '-D', '-qq', '-o', '/dev/null', ...SLOW, ...weft];
    const slow = new Background(inside(space.namespace, traced));
    try {
      const look = () =>
        slow.end !== undefined || httpGet(space.namespace, '/readyz').status === 200;
      await waitFor('the start', look, { every: 500 });
      assert.equal(slow.end, undefined, slow.describe());
      assert.match(slow.stdout, /waiting for the packet workers to come up: slow, but it gets on/);
      const { code } = await slow.stop('SIGTERM');
      assert.equal(code, 0, slow.describe());
    } finally {
      slow.child.kill('SIGKILL');
    }
  });
});
