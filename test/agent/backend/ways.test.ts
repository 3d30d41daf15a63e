/** Ways between nodes: direct or by tunnel, behind routers, from one backend to the other. */
import assert from 'node:assert/strict';
import test, { afterEach, describe } from 'node:test';
import { createBackend } from '../../../src/agent/backend/backend.ts';
import { removeLeftovers } from '../../../src/agent/backend/leftovers.ts';
import { removePeerRoutes } from '../../../src/agent/backend/routes.ts';
import { parseAddress4, parsePrefix4 } from '../../../src/wire/address.ts';
import { run } from '../../support/process.ts';
import { inside, OVERLAY } from '../../support/topology.ts';
import { waitFor } from '../../support/waitfor.ts';
import { leaseOf } from '../backend.cases.ts';
import { buildRig, type Rig, RigNode, reaches, waitUntilReached, within } from './rig.ts';

describe('ways between nodes', () => {
  let rig: Rig;
  let others: RigNode[] = [];

  afterEach(async () => {
    for (const node of others) await node.stop();
    others = [];
    await rig.remove();
  });

  /** The nodes started again, with another backend or other options. */
  async function startAgain(type: string, options = {}): Promise<[RigNode, RigNode]> {
    for (const node of [...rig.nodes, ...others]) await node.stop();
    others = rig.nodes.map(({ space }) => new RigNode(space, type, options));
    for (const node of others) await node.start();
    const [first, second] = others as [RigNode, RigNode];
    first.backend.setPeers([second.own]);
    second.backend.setPeers([first.own]);
    await first.programmed(1);
    await second.programmed(1);
    return [first, second];
  }

  async function start(...arguments_: Parameters<typeof buildRig>): Promise<[RigNode, RigNode]> {
    rig = await buildRig(...arguments_);
    for (const node of rig.nodes) await node.start();
    rig.introduce();
    return rig.nodes as unknown as [RigNode, RigNode];
  }

  test('with DirectRouting are direct on the link, and follow the topology', async () => {
    const [first, second] = await start('vxlan', { DirectRouting: true }, { nodes: 2 });
    const direct = /^10\.244\.2\.0\/24 via 192\.0\.2\.2 dev eth0/m;
    const tunnel = /^10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 onlink/m;
    await waitFor('a direct route', () => direct.test(first.traces()));
    assert.doesNotMatch(first.traces(), /PERMANENT|dst 192/, 'no entry on the device');
    await waitUntilReached(first, second);
    run(inside(rig.topology.underlay, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']));
    first.ip('route add 192.0.2.2/32 via 192.0.2.254 dev eth0\n');
    await waitFor('the tunnel', () => tunnel.test(first.traces()));
    await waitUntilReached(first, second);
    assert.equal(first.backend.status().repairs, 0);
    first.ip('route delete 192.0.2.2/32\n');
    await waitFor('the direct route again', () => direct.test(first.traces()));
    await waitFor('a bare device', () => !/PERMANENT|dst 192/.test(first.traces()));
    await waitUntilReached(first, second);
  });

  test('behind routers are by tunnel, with DirectRouting too', async () => {
    const shape = { nodes: 2, routed: true };
    const [first, second] = await start('vxlan', { DirectRouting: true }, shape);
    await waitUntilReached(first, second);
    assert.match(first.traces(), /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 onlink/);
  });

  test('by host-gw end at the router, and the node is named', async () => {
    const [first] = await start('host-gw', {}, { nodes: 2, routed: true });
    const failure = await waitFor('the failure', () => first.backend.status().failures[0]);
    assert.match(failure.reason, /192\.0\.2\.130 is not on the link of eth0.*DirectRouting/);
    assert.doesNotMatch(first.traces(), /10\.244\.2\./);
  });

  test('by host-gw are refused to a node behind NAT', async () => {
    rig = await buildRig('host-gw', {}, { nodes: 1 });
    const [first] = rig.nodes as [RigNode];
    const uplink = { ...(await first.uplink()), publicAddress: parseAddress4('203.0.113.1')! };
    const context = { run: first.run, uplink, options: {}, previous: undefined };
    const rest = { log: undefined as never, readiness: first.readiness, republish: () => {} };
    await assert.rejects(createBackend('host-gw', { ...context, ...rest }), {
      name: 'Fault',
      kind: 'configuration',
      message: /behind NAT.*203\.0\.113\.1.*eth0 has 192\.0\.2\.1.*--public-ip/,
    });
    await assert.rejects(
      createBackend('ipip', { ...context, ...rest }),
      /not one of vxlan, host-gw/,
    );
  });

  test('that the kernel refuses are tried again, and hold up no other', async () => {
    const [first, second] = await start('host-gw', {}, { nodes: 2 });
    // The broadcast address of the link passes for one on it until the kernel is asked.
    const bad = leaseOf('10.244.99.0-24', '{"PublicIP":"192.0.2.255","BackendType":"host-gw"}');
    first.backend.setPeers([bad, second.own]);
    await waitUntilReached(first, second);
    const failure = await waitFor('the failure', () => first.backend.status().failures[0]);
    assert.match(failure.reason, /invalid gateway/);
    const tries = () => first.ran.filter((line) => line.includes('-batch')).length;
    const before = tries();
    await waitFor('another try', () => tries() > before);
    first.backend.setPeers([second.own]);
    await waitFor('the end of it', () => first.backend.status().failing === 0);
  });

  test('that are as they should be cost a look and no change', async () => {
    const [first, second] = await start('vxlan', {}, { nodes: 2 });
    await first.programmed(1);
    await waitUntilReached(first, second);
    await waitFor('rest', () => first.backend.status().reconciles >= 2);
    first.ran.length = 0;
    const before = first.backend.status().reconciles;
    first.backend.setPeers([second.own]);
    await waitFor('a look', () => first.backend.status().reconciles > before);
    assert.deepEqual(
      first.ran.filter((line) => line.includes('-batch')),
      [],
    );
    assert.ok(first.ran.length <= 8, first.ran.join('\n'));
  });

  test('lead over from vxlan to host-gw and back, and leave nothing behind', async () => {
    const [first, second] = await start('vxlan', {}, { nodes: 2 });
    await first.programmed(1);
    await second.programmed(1);
    await waitUntilReached(first, second);
    for (const type of ['host-gw', 'vxlan']) {
      const [one, other] = await startAgain(type);
      await waitUntilReached(one, other);
      const kept = type === 'vxlan';
      await waitFor('the old device to go', () => {
        return within(one, ['ip', '-br', 'link', 'show']).includes('flannel.1') === kept;
      });
      const hop = kept ? 'via 10.244.2.0 dev flannel.1 onlink' : 'via 192.0.2.2 dev eth0';
      assert.match(one.traces(), new RegExp(`^10\\.244\\.2\\.0/24 ${hop}$`, 'm'));
    }
  });

  test('stand while weft is away, and until there are new ones', async () => {
    const [first, second] = await start('vxlan', {}, { nodes: 2 });
    await waitUntilReached(first, second);
    for (const node of rig.nodes) await node.stop();
    assert.ok(await reaches(first, second));
    others = [new RigNode(first.space, 'host-gw', {})];
    await others[0]!.start();
    assert.ok(await reaches(first, second), 'the peers are not known yet');
  });

  test('lead over to another VNI, whose device takes the place of the old one', async () => {
    const [first, second] = await start('vxlan', {}, { nodes: 2 });
    await waitUntilReached(first, second);
    first.ip('tuntap add dev flannel0 mode tun multi_queue\naddr add 10.244.1.0/32 dev flannel0\n');
    const [one, other] = await startAgain('vxlan', { VNI: 7 });
    await waitUntilReached(one, other);
    await waitFor('the old devices to go', () => {
      return !/flannel\.1|flannel0/.test(within(one, ['ip', '-br', 'link', 'show']));
    });
    assert.match(one.traces(), /^10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.7 onlink$/m);
  });

  test('of another backend are cleared on request, those of others are not', async () => {
    const [first, second] = await start('host-gw', {}, { nodes: 2 });
    await waitUntilReached(first, second);
    await first.stop();
    first.ip(`tuntap add dev flannel0 mode tun multi_queue
address add 10.244.1.0/32 dev flannel0
tuntap add dev flannel7 mode tun
address add 198.51.100.1/32 dev flannel7
link add flannel.5 type vxlan id 5 dev eth0 dstport 4789
address add 10.244.1.0/32 dev flannel.5
link add vx7 type vxlan id 7 dev eth0 dstport 4789
address add 10.244.1.0/32 dev vx7
route add 10.244.88.0/24 via 192.0.2.254 proto static
`);
    const ground = { network: parsePrefix4(OVERLAY)!, subnet: first.own.subnet };
    assert.deepEqual(await removePeerRoutes(first.run, ground, 'eth0'), ['10.244.2.0/24']);
    const gone = await removeLeftovers(first.run, ground.network, undefined);
    assert.deepEqual(gone.sort(), ['flannel.5', 'flannel0']);
    assert.match(first.traces(), /10\.244\.88\.0\/24/);
    assert.match(within(first, ['ip', '-br', 'link', 'show']), /flannel7[\s\S]*vx7/);
  });

  test('to two nodes of one MAC address: the newer is reached, the other named', async () => {
    const [first, second] = await start('vxlan', {}, { nodes: 2 });
    const copy = { ...second.own, key: '10.244.9.0-24', subnet: parsePrefix4('10.244.9.0/24')! };
    const old = { ...copy, publicAddress: parseAddress4('192.0.2.99')! };
    first.backend.setPeers([old, second.own]);
    await waitUntilReached(first, second);
    const failure = await waitFor('the failure', () => first.backend.status().failures[0]);
    assert.equal(failure.subnet, '10.244.9.0/24');
    assert.match(failure.reason, /VtepMAC .* is also that of 10\.244\.2\.0\/24/);
    const own = { ...copy, backendData: first.own.backendData! };
    first.backend.setPeers([own, second.own]);
    await waitFor('the other failure', () => {
      return /is this node's own/.test(first.backend.status().failures[0]?.reason ?? '');
    });
  });
});
