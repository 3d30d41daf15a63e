/** A peer whose route is a black hole: EINVAL for its every send, and no peer beside it suffers. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { iperf } from '../support/iperf.ts';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { Background, run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const REFUSED = 5000;

describe('a route that is a black hole', () => {
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

  function segments(): number {
    return wefts[0]!.metrics().sum('weft_capability', { feature: 'udp_gso' });
  }

  async function healthyFlow(): Promise<void> {
    const [from, to] = topology.nodes.map((node) => node.pod);
    const [client, server] = [from!.namespace, to!.namespace];
    const flow = await iperf({ client, server, address: to!.address, seconds: 1 });
    assert.ok(flow.bitsPerSecond > 0);
  }

  test('drops are counted, and UDP_SEGMENT stays in force for the others', async (t) => {
    if (segments() === 0) return t.diagnostic('UDP_SEGMENT is off here: nothing to lose');
    const [here, , lost] = topology.nodes;
    run(inside(here!.namespace, ['ip', 'route', 'add', 'blackhole', `${lost!.address}/32`]));
    // Equal datagrams as fast as they come: batches of them are planned as runs.
    const from = ['socat', '-u', '-b', '1000', 'OPEN:/dev/zero'];
    const flood = [...from, `UDP-SENDTO:${lost!.pod.address}:5000`];
    const flooding = new Background(inside(here!.pod.namespace, flood));
    const refused = () => wefts[0]!.metrics().drops('tx').send_refused ?? 0;
    try {
      await waitFor('drops', () => refused() > REFUSED, { every: 50 });
    } finally {
      await flooding.stop('SIGKILL');
    }
    await healthyFlow();
    assert.equal(segments(), 1);
    // A flood on a busy machine may also fill the TUN's queue.
    const dropped = Object.keys(wefts[0]!.metrics().drops('tx'));
    assert.deepEqual(
      dropped.filter((reason) => reason !== 'tun_queue_full'),
      ['send_refused'],
    );
  });
});
