/** Destinations without a lease: the sender is told, within the rate that a kernel keeps itself. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Weft, writeLeases } from '../support/node.ts';
import { attempt, run } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const NOWHERE = '10.244.99.9';
const FLOOD = 3000;

describe('destinations without a lease', () => {
  let topology: Topology;
  let weft: Weft;

  before(async () => {
    topology = buildTopology({ nodes: 1 });
    weft = await Weft.start(topology.nodes[0]!, ['--leases', writeLeases(topology)]);
  });

  after(async () => {
    await weft?.stop();
    topology?.remove();
  });

  function ping(...args: string[]): string {
    return attempt(inside(topology.nodes[0]!.pod.namespace, ['ping', ...args])).stdout;
  }

  function counts() {
    const metrics = weft.metrics();
    return {
      dropped: metrics.drops('tx').no_route ?? 0,
      told: metrics.sum('weft_icmp_sent_total', { type: 'net_unreachable' }),
      suppressed: metrics.sum('weft_icmp_suppressed_total'),
    };
  }

  test('a pod and the node itself hear that the net is unreachable', () => {
    const said = ping('-c1', '-W2', NOWHERE);
    assert.match(said, /From 10\.244\.1\.0 icmp_seq=1 Destination Net Unreachable/);
    const node = attempt(inside(topology.nodes[0]!.namespace, ['ping', '-c1', '-W2', NOWHERE]));
    assert.match(node.stdout, /Destination Net Unreachable/);
    assert.deepEqual(counts(), { dropped: 2, told: 2, suppressed: 0 });
  });

  test('nobody is told about multicast', async () => {
    const before = counts();
    const { namespace, pod } = topology.nodes[0]!;
    ip(namespace, 'route add 224.1.1.1 dev flannel0\n');
    const socat = ['socat', '-u', '-', 'UDP-DATAGRAM:224.1.1.1:9,bind=10.244.1.0'];
    run(inside(namespace, socat), { input: 'x' });
    await waitFor('the drop', () => counts().dropped > before.dropped);
    assert.equal(counts().told, before.told);
    assert.equal(ping('-c1', '-W2', pod.address).includes('1 received'), true);
  });

  test('a flood is answered at a limited rate; each packet is told or counted', async () => {
    const before = counts();
    ping('-f', '-c', String(FLOOD), '-W1', NOWHERE);
    const dropped = () => counts().dropped - before.dropped;
    await waitFor('the flood', () => dropped() >= FLOOD);
    const now = counts();
    const [told, suppressed] = [now.told - before.told, now.suppressed - before.suppressed];
    assert.equal(dropped(), FLOOD);
    assert.equal(told + suppressed, FLOOD);
    assert.ok(told > 0 && suppressed > 0, `${told} told, ${suppressed} suppressed`);
  });

  test('our own subnet without its bridge is no route either', () => {
    const { namespace } = topology.nodes[0]!;
    ip(namespace, 'link set cni0 down\n');
    const lost = attempt(inside(namespace, ['ping', '-c1', '-W1', '10.244.1.77']));
    assert.notEqual(lost.status, 0);
    assert.equal(weft.metrics().drops('tx').own_subnet, 1);
    ip(namespace, 'link set cni0 up\n');
  });
});
